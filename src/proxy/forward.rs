//! A request on its way to an instance: chosen, connected to, and tried again where that is right.

use super::{
    answer::{self, Own},
    buffer::Head,
    connection::{Connection, Next},
    exchange::{self, Exchange, Lost, Relayed},
    h1::Asked,
    io::{Broken, Transport},
    record::Record,
    retry::{self, Failure, Tried, Verdict},
    table::{Action, Endpoint, Forward, Group, Route},
    tunnel::{self, Tunnel},
    upstream::{NoConnection, Upstream, Upstreams},
};
use crate::balance::{Ask, Outcome};
use std::{cell::Cell, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

/// A request to be forwarded.
pub(super) struct Job {
    pub(super) record: Record,
    pub(super) route: Arc<Route>,
    pub(super) group: Arc<Group>,
    /// The head for the upstream, and a small body behind it.
    pub(super) out: Head,
    /// What is not in `out`.
    pub(super) rest: Rest,
    pub(super) asked: Asked,
    /// The protocol that the client would switch to.
    pub(super) upgrade: Option<Box<[u8]>>,
    /// What the balancer's hash goes by.
    pub(super) hash: u64,
    /// The client waits for a 100 before it sends its body.
    pub(super) expects: bool,
    /// The client takes trailers.
    pub(super) trailers: bool,
    /// The member that the client stays with.
    pub(super) member: Option<u32>,
    /// With a route whose clients stay: whom its cookie names.
    pub(super) sticky: Option<Option<u64>>,
}

/// What of a request's body is still to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    None,
    Length(u64),
    Chunked,
}

/// Forwards a request until it is answered.
pub(super) async fn forward<C: Transport>(connection: &Connection<C>, job: Job) -> Next {
    let worker = &connection.worker;
    let Action::Forward(settings) = &job.route.action else { return Next::Abort };
    let mut tried = Tried::default();
    let mut members: Vec<u32> = Vec::new();
    let mut again = job.member.map(|member| (member, false));
    let mut last = None;
    // Looks at the clock cost more than most of what is done between them: a request that goes straight through takes
    // one at its begin, one at the answer's head, and one at the end.
    let mut now_micros = job.record.began_micros;
    loop {
        let (member, fresh) = match again.take() {
            Some(again) => again,
            None => {
                let ask = Ask { now_micros, hash: job.hash, tried: &members };
                let picked = worker.pickers.borrow_mut().pick(&job.group, &ask).map(|(member, _)| member);
                match picked {
                    Some(member) => (member, false),
                    None => break Box::pin(nobody(connection, &job, last.as_ref())).await,
                }
            }
        };
        let endpoint = job.group.endpoints.get(member as usize);
        let known_out = endpoint.is_some_and(|e| e.state.ejected(now_micros).is_some());
        let lost = match attempt(connection, &job, settings, (member, fresh), now_micros).await {
            Ok(next) => return next,
            Err(lost) => lost,
        };
        now_micros = worker.now_micros();
        if let Some(outcome) = lost.outcome() {
            job.group.pool.settle(member, outcome, now_micros);
        }
        let asked = retry::Asked {
            idempotent: job.record.method.is_idempotent(),
            replayable: job.rest == Rest::None || lost.untouched,
            retries: settings.retries,
        };
        match retry::verdict(lost.failure, asked, tried, || worker.budget.borrow_mut().take()) {
            Verdict::Fresh => {
                tried.stale += 1;
                worker.shared.meters.stale.inc();
                again = Some((member, true));
            }
            Verdict::Other => {
                match lost.failure {
                    Failure::Refused | Failure::Silent | Failure::Full => {
                        tried.silent += u32::from(lost.failure == Failure::Silent);
                        tried.hopeless += u32::from(known_out);
                    }
                    _ => tried.again += 1,
                }
                job.record.retry();
                members.push(member);
                last = Some(lost);
            }
            Verdict::GiveUp => break Box::pin(give_up(connection, &job, &lost)).await,
        }
    }
}

/// One try with one instance. An error is before any byte of an answer.
async fn attempt<C: Transport>(
    connection: &Connection<C>,
    job: &Job,
    settings: &Forward,
    (member, fresh): (u32, bool),
    now_micros: u64,
) -> Result<Next, Lost> {
    let worker = &connection.worker;
    let Some(endpoint) = job.group.endpoints.get(member as usize) else {
        return Err(Lost::no_connection(Failure::Refused));
    };
    let flight = endpoint.state.begin();
    job.record.upstream(&endpoint.name);
    let take = |at: &SocketAddr| worker.upstreams.take(*at, endpoint.via.as_ref(), now_micros);
    let kept = if fresh { None } else { endpoint.targets.iter().find_map(take) };
    let mut sent_micros = now_micros;
    let upstream = match kept {
        Some(upstream) => upstream,
        None => {
            let upstream = Box::pin(connect(connection, endpoint, settings.connect_timeout)).await?;
            sent_micros = worker.now_micros();
            upstream
        }
    };
    let reused = upstream.reused;
    let sent = upstream.io.write_all(&job.out.bytes, &connection.deadline, settings.timeout).await;
    if let Err(broken) = sent {
        return Err(Lost::before_answer(&broken, reused, true));
    }
    let exchange = Exchange {
        connection,
        job,
        upstream: &upstream.io,
        member,
        reused,
        long: &upstream.long,
        timeout: settings.timeout,
        sent_micros,
        sending: Cell::new(job.rest != Rest::None),
        broken: Cell::new(false),
        begun: Cell::new(false),
    };
    let relayed = match job.rest {
        Rest::None => exchange::relay(&exchange).await?,
        _ => Box::pin(exchange::both(&exchange)).await?,
    };
    Ok(match relayed {
        Relayed::Done { reusable, stay } => {
            let all_read = !exchange.sending.get();
            let ended_micros = job.record.end();
            if reusable && all_read && !exchange.broken.get() {
                worker.upstreams.keep(upstream, ended_micros);
            }
            match (all_read, stay) {
                (true, true) => Next::Request,
                (true, false) => Next::Close,
                (false, _) => Next::Linger,
            }
        }
        Relayed::Switched { behind } => {
            let (meters, carried) = (worker.shared.clone(), Rc::default());
            let tunnel = Tunnel { upstream, behind, _flight: flight, meters, idle: tunnel::IDLE_MAX, carried };
            Next::Tunnel(Box::new(tunnel))
        }
        Relayed::Cut => {
            job.record.cut.set(true);
            Next::Abort
        }
        Relayed::Refused(refusal) => Box::pin(answer::refuse_rest(connection, &job.record, refusal)).await,
        Relayed::TooLong => {
            let own = super::request::too_long_body(job.route.body_max);
            Box::pin(answer::own(connection, &job.record, own, false)).await
        }
    })
}

/// A new connection to one of the instance's addresses, in their order. Each has its share of the time, so that one that
/// is silent does not hide the others.
async fn connect<C: Transport>(
    connection: &Connection<C>,
    endpoint: &Endpoint,
    limit: Duration,
) -> Result<Box<Upstream>, Lost> {
    connection.pack_input();
    let share = limit / u32::try_from(endpoint.targets.len()).unwrap_or(u32::MAX).max(1);
    let mut last = Lost::no_connection(Failure::Refused);
    for target in endpoint.targets.iter() {
        connection.deadline.set(share);
        match connection.deadline.within(Upstreams::connect(&connection.worker, *target, endpoint)).await {
            Ok(Ok(upstream)) => return Ok(upstream),
            Ok(Err(NoConnection::Full)) => return Err(Lost::no_connection(Failure::Full)),
            Ok(Err(NoConnection::Exhausted(error))) => {
                tracing::warn!(%error, "this host has no connection left for an upstream");
                return Err(Lost::no_connection(Failure::Exhausted));
            }
            Ok(Err(NoConnection::Refused(error))) => {
                tracing::debug!(%target, %error, "an upstream refused");
                last = Lost::no_connection(Failure::Refused);
            }
            Err(_) => {
                tracing::debug!(%target, "an upstream is silent");
                last = Lost::no_connection(Failure::Silent);
            }
        }
    }
    Err(last)
}

/// No instance is left, or there was none.
async fn nobody<C: Transport>(connection: &Connection<C>, job: &Job, last: Option<&Lost>) -> Next {
    if let Some(last) = last {
        return give_up(connection, job, last).await;
    }
    job.record.reason.set("no_instance");
    let own = Own::text(503, &job.group.missing()).with("Retry-After", "1");
    Box::pin(answer::own(connection, &job.record, own, job.rest == Rest::None)).await
}

async fn give_up<C: Transport>(connection: &Connection<C>, job: &Job, lost: &Lost) -> Next {
    let (status, reason, text) = match lost.failure {
        Failure::Full => (503, "full", "the instance has as many connections as it may"),
        Failure::Exhausted => (503, "exhausted", "skyvis has as many connections as it may"),
        Failure::Silent => (504, "connect_timeout", "the instance could not be reached in time"),
        Failure::Refused => (502, "unreachable", "the instance could not be reached"),
        Failure::Slow => (504, "timeout", "the instance did not answer in time"),
        Failure::Stale | Failure::Unprocessed | Failure::Broken => {
            (502, "broken", "the instance broke off before its answer")
        }
        Failure::Unsound => (502, "unsound", "the instance's answer is not sound HTTP"),
    };
    job.record.reason.set(reason);
    let own = Own::text(status, text);
    let own = if status == 503 { own.with("Retry-After", "1") } else { own };
    Box::pin(answer::own(connection, &job.record, own, job.rest == Rest::None)).await
}

impl Lost {
    fn no_connection(failure: Failure) -> Self {
        Self { failure, untouched: true }
    }

    /// A connection failed before a byte of an answer came.
    pub(super) fn before_answer(broken: &Broken, reused: bool, untouched: bool) -> Self {
        let failure = match broken {
            Broken::Slow => Failure::Slow,
            Broken::Unprocessed => Failure::Unprocessed,
            Broken::Ended | Broken::Failed if reused => Failure::Stale,
            Broken::Ended | Broken::Failed => Failure::Broken,
        };
        tracing::debug!(?broken, reused, "an upstream's connection ended before an answer");
        Self { failure, untouched }
    }

    /// What the balancer should know.
    fn outcome(&self) -> Option<Outcome> {
        match self.failure {
            Failure::Refused | Failure::Silent => Some(Outcome::Unreachable),
            Failure::Full | Failure::Exhausted | Failure::Stale | Failure::Unprocessed => None,
            Failure::Broken | Failure::Unsound => Some(Outcome::Broken),
            Failure::Slow => Some(Outcome::Slow),
        }
    }
}
