//! What becomes of a request: found its route, checked against the route's limits, made into what is to be done. Nothing
//! waits in here, so that all of it is one look at one table.

use super::{
    answer::{self, Own},
    connection::{Connection, Next},
    cors::Preflight,
    files,
    forward::{self, Job, Rest},
    guard::{self, Decided},
    h1::{self, Asked, Body, Form, Method, Refusal, RequestHead},
    inside,
    io::Transport,
    record::Record,
    table::{
        self, Action, Chosen, Files, Forward, Found, Group, HostHeader, Match, RequestView, Route, RouteTable, Vars,
    },
    worker::Lent,
};
use std::{pin::Pin, sync::Arc};

/// A body of this size that came with its head is sent with it, and kept in case that it must be sent again.
const BODY_WITH_HEAD_BYTES_MAX: u64 = 16 << 10;

/// What to do.
enum Planned {
    Forward(Job),
    Inside(inside::Job),
    File(files::Job),
    Own { record: Record, own: Own, all_read: bool },
    Refused { record: Record, refusal: Refusal },
    Guarded(Box<Guarded>),
}

/// What is done if somebody else lets it.
struct Guarded {
    question: guard::Question,
    planned: Planned,
    /// How long the head for the upstream is, to which the answer may add.
    head_bytes: usize,
}

/// What answers one request, whose head is the first `len` bytes of the input. It lies apart from the connection, which
/// takes no room for it while nothing is asked.
pub(super) fn answer<C: Transport>(
    connection: &Connection<C>,
    head: Lent<RequestHead>,
    len: usize,
) -> Pin<Box<dyn Future<Output = Next> + '_>> {
    let planned = plan(connection, &head, len);
    drop(head);
    carry_out(connection, planned)
}

fn carry_out<C: Transport>(connection: &Connection<C>, planned: Planned) -> Pin<Box<dyn Future<Output = Next> + '_>> {
    match planned {
        Planned::Forward(job) => Box::pin(forward::forward(connection, job)),
        Planned::Inside(job) => Box::pin(inside::answer(connection, job)),
        Planned::File(job) => Box::pin(files::answer(connection, job)),
        Planned::Own { record, own, all_read } => {
            Box::pin(async move { answer::own(connection, &record, own, all_read).await })
        }
        Planned::Refused { record, refusal } => {
            Box::pin(async move { answer::refuse_rest(connection, &record, refusal).await })
        }
        Planned::Guarded(guarded) => Box::pin(async move {
            let Guarded { question, mut planned, head_bytes } = *guarded;
            let Some((record, all_read)) = planned.asks() else { return carry_out(connection, planned).await };
            match guard::ask(connection, question, record, all_read).await {
                Decided::Answered(next) => next,
                Decided::Lets(lines) => {
                    if let Planned::Forward(job) = &mut planned {
                        // Before the empty line at the head's end.
                        let at = head_bytes - 2;
                        job.out.bytes.splice(at..at, lines);
                    }
                    carry_out(connection, planned).await
                }
            }
        }),
    }
}

impl Planned {
    /// Whose request it is, and whether its body, if it has one, is at an end. None: nobody need be asked about it.
    fn asks(&self) -> Option<(&Record, bool)> {
        match self {
            Self::Forward(job) => Some((&job.record, job.rest == Rest::None)),
            Self::File(job) => Some((&job.record, job.all_read)),
            Self::Own { record, all_read, .. } => Some((record, *all_read)),
            Self::Inside(_) | Self::Refused { .. } | Self::Guarded(_) => None,
        }
    }
}

fn plan<C: Transport>(connection: &Connection<C>, head: &RequestHead, len: usize) -> Planned {
    let worker = &connection.worker;
    worker.budget.borrow_mut().request();
    let planned = {
        let input = connection.input.borrow();
        let bytes = input.as_ref().map_or(&[][..], |buffer| &buffer.filled()[..len]);
        let view = RequestView {
            scheme: connection.client.scheme_outside(head, bytes),
            method: head.method_bytes(bytes),
            host: head.host(bytes),
            path: head.path(bytes),
        };
        let parts = Parts { connection, head, bytes, request_id: &worker.request_id() };
        let table = worker.table();
        match table.find(&view) {
            // Before any route: a redirect of all to https must not keep the certificate from coming.
            _ if let Some(answer) = worker.shared.tls.challenges().by_http(view.path) => {
                parts.own(None, Own::of(200, "application/octet-stream", answer))
            }
            _ if connection.is_misdirected(head, bytes) => {
                parts.own(None, Own::text(421, "this host is not served by the certificate of this connection"))
            }
            _ if table.has_cors()
                && view.method == b"OPTIONS"
                && let Some(own) = parts.preflight(&table, view) =>
            {
                own
            }
            _ if head.form() == Form::Asterisk => {
                parts.own(None, Own::bare(204).with("Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"))
            }
            Found::NotFound => parts.own(None, Own::text(404, "no route serves this address")),
            Found::MethodNotAllowed(allow) => {
                parts.own(None, Own::text(405, "no route serves this method here").with("Allow", allow))
            }
            Found::Refused(refusal) => Planned::Refused { record: parts.record(None), refusal },
            Found::Route(found) if matches!(head.body(), Body::Length(n) if n > found.route.body_max) => {
                parts.own(Some(found.route), too_long_body(found.route.body_max))
            }
            Found::Route(found) => match &found.route.guard {
                None => parts.plan(&table, &found),
                Some(guard) => parts.guarded(&table, &found, guard),
            },
        }
    };
    connection.consume(len);
    match planned {
        Planned::Forward(mut job) => {
            take_body(connection, &mut job);
            Planned::Forward(job)
        }
        Planned::Guarded(mut guarded) => {
            if let Planned::Forward(job) = &mut guarded.planned {
                take_body(connection, job);
            }
            Planned::Guarded(guarded)
        }
        other => other,
    }
}

/// Puts a small body that is there behind its head.
fn take_body<C: Transport>(connection: &Connection<C>, job: &mut Job) {
    let Rest::Length(n) = job.rest else { return };
    let input = connection.input.borrow();
    let there = input.as_ref().map_or(0, |buffer| buffer.len() as u64);
    if n > there || n > BODY_WITH_HEAD_BYTES_MAX {
        return;
    }
    if let Some(buffer) = input.as_ref() {
        job.out.bytes.extend_from_slice(&buffer.filled()[..usize::try_from(n).unwrap_or_default()]);
    }
    drop(input);
    connection.consume(usize::try_from(n).unwrap_or_default());
    job.record.received.set(n);
    job.rest = Rest::None;
}

/// What is known of a request.
struct Parts<'a, C> {
    connection: &'a Connection<C>,
    head: &'a RequestHead,
    bytes: &'a [u8],
    request_id: &'a [u8],
}

impl<C: Transport> Parts<'_, C> {
    fn plan(&self, table: &RouteTable, found: &Match<'_, '_>) -> Planned {
        let Self { connection, head, bytes, .. } = self;
        let Match { route, group, path: normalised } = found;
        match &route.action {
            Action::Forward(forward) => match self.job(table, route, forward, *group, normalised) {
                Ok(job) => Planned::Forward(job),
                Err(refusal) => Planned::Refused { record: self.record(Some(route)), refusal },
            },
            // The table finds none of them for a request.
            Action::Tcp(_) => self.own(Some(route), Own::text(404, "no route serves this address")),
            Action::Files(site) => self.file(route, site, normalised),
            Action::Redirect(redirect) => {
                let mut location = Vec::new();
                redirect.location(&self.vars(), &mut location);
                let location = String::from_utf8_lossy(&location).into_owned();
                self.own(Some(route), Own::text(redirect.status, "see Location").with("Location", location))
            }
            Action::Respond(respond) => {
                let mut body = Vec::new();
                respond.body(&self.vars(), &mut body);
                self.own(Some(route), Own::of(respond.status, &respond.content_type, body))
            }
            Action::Handler(handler) => Planned::Inside(inside::Job {
                request: inside::take(connection, head, bytes),
                handler: handler.clone(),
                record: self.record(Some(route)),
                body_max: route.body_max,
                body: head.body(),
                expects: head.expect_continue(),
            }),
        }
    }

    /// The same, once somebody else lets it.
    fn guarded(&self, table: &RouteTable, found: &Match<'_, '_>, guard: &table::Guard) -> Planned {
        let planned = self.plan(table, found);
        match self.question(table, found.route, guard) {
            Ok(question) => {
                let head_bytes = if let Planned::Forward(job) = &planned { job.out.bytes.len() } else { 0 };
                Planned::Guarded(Box::new(Guarded { question, planned, head_bytes }))
            }
            Err(refusal) => Planned::Refused { record: self.record(Some(found.route)), refusal },
        }
    }

    fn question(
        &self,
        table: &RouteTable,
        route: &Arc<Route>,
        guard: &table::Guard,
    ) -> Result<guard::Question, Refusal> {
        let Self { connection, head, bytes, request_id } = self;
        let (worker, asked) = (&connection.worker, &guard.config);
        let lines = guard::lines(head.method_bytes(bytes), head.path(bytes), head.query(bytes));
        let mut out = worker.buffers.head();
        let to = h1::Forwarding {
            target: asked.target.as_bytes(),
            host: asked.forward.host_header.as_deref().unwrap_or_default().as_bytes(),
            body: Body::None,
            client: &connection.client,
            trust: &connection.settings.trusted,
            upgrade: false,
            edits: Some(&asked.edits),
            expect: false,
            request_id,
            via: Some(&worker.shared.via),
        };
        h1::write_question(&mut out.bytes, bytes, head, &to, &lines)?;
        let group = table.guard_group(guard).expect("a table has a group for each guard");
        Ok(guard::Question::new(worker, route.clone(), group.clone(), out))
    }

    fn file(&self, route: &Arc<Route>, files: &Files, normalised: &[u8]) -> Planned {
        let Self { head, bytes, .. } = self;
        let head_only = head.method() == Method::Head;
        if !head_only && head.method_bytes(bytes) != b"GET" {
            let own =
                Own::text(405, "these are files: GET and HEAD are all that can be done").with("Allow", "GET, HEAD");
            return self.own(Some(route), own);
        }
        let mut asked = files::Asked::new(head_only);
        head.fields(bytes).for_each(|field| asked.field(field.name, field.value));
        Planned::File(files::Job {
            site: files.site.clone(),
            place: files::Place::of(&files.path(normalised)),
            asked,
            record: self.record(Some(route)),
            with_slash: Files::with_slash(normalised, head.query(bytes)),
            all_read: !head.body().is_some(),
        })
    }

    /// The answer to a browser that asks whether a page of another origin may ask. None: it does not ask that, or here
    /// is no route that has a say in it.
    fn preflight(&self, table: &RouteTable, view: RequestView<'_>) -> Option<Planned> {
        let Self { head, bytes, .. } = self;
        let method = head.find(bytes, "access-control-request-method")?;
        let origin = head.find(bytes, "origin")?;
        let Found::Route(found) = table.find(&RequestView { method, ..view }) else { return None };
        let headers = head.find(bytes, "access-control-request-headers");
        let told = found.route.cors.as_ref()?.preflight(&Preflight { origin, method, headers });
        let record = self.record(Some(found.route));
        let own = match told {
            Some(lines) => {
                *record.lines.borrow_mut() = lines;
                Own::bare(204)
            }
            None => Own::text(403, "this route is not open to pages of that origin"),
        };
        Some(Planned::Own { record, own, all_read: !head.body().is_some() })
    }

    fn own(&self, route: Option<&Arc<Route>>, own: Own) -> Planned {
        Planned::Own { record: self.record(route), own, all_read: !self.head.body().is_some() }
    }

    fn record(&self, route: Option<&Arc<Route>>) -> Record {
        let Self { connection, head, bytes, .. } = self;
        let worker = &connection.worker;
        let line = worker.lines.begin(connection, head, bytes);
        let seen = (head.method(), head.version(), head.keep_alive());
        let record = Record::new(worker.clone(), route.cloned(), seen, line);
        if let Some(cors) = route.and_then(|route| route.cors.as_ref()) {
            cors.lines(head.find(bytes, "origin"), &mut record.lines.borrow_mut());
        }
        record
    }

    fn vars(&self) -> Vars<'_> {
        let Self { connection, head, bytes, request_id } = self;
        Vars {
            scheme: connection.client.scheme_outside(head, bytes).as_str().as_bytes(),
            host: head.host_name(bytes),
            path: head.path(bytes),
            query: head.query(bytes),
            method: head.method_bytes(bytes),
            remote: connection.client.address(head, bytes, &connection.settings.trusted),
            request_id: connection.client.request_id(head, bytes, request_id),
        }
    }

    fn job(
        &self,
        table: &RouteTable,
        route: &Arc<Route>,
        forward: &Forward,
        group: Option<&Arc<Group>>,
        normalised: &[u8],
    ) -> Result<Job, Refusal> {
        let Self { connection, head, bytes, request_id } = self;
        let worker = &connection.worker;
        let own = group.expect("a table has a group for each route that forwards");
        let header = |name: &str| head.find(bytes, name);
        let Chosen { group, member } = match forward.has_lines() {
            false => Chosen { group: own, member: None },
            true => table.line(forward, own, header, worker.draw(), worker.now_micros()),
        };
        let trust = &connection.settings.trusted;
        let local;
        let host = match &forward.host {
            HostHeader::Pass if head.host(bytes).is_empty() => {
                local = connection.ends.local.to_string();
                local.as_bytes()
            }
            HostHeader::Pass => head.host(bytes),
            HostHeader::Set(host) => host.as_bytes(),
        };
        let mut target = worker.buffers.head();
        forward.target(head.path(bytes), normalised, head.query(bytes), &mut target.bytes);
        let mut out = worker.buffers.head();
        let to = h1::Forwarding {
            target: &target.bytes,
            host,
            body: head.body(),
            client: &connection.client,
            trust,
            upgrade: true,
            edits: route.request_edits.as_ref(),
            // Answered here, once the upstream is there and the body is asked for.
            expect: false,
            request_id,
            via: Some(&worker.shared.via),
        };
        h1::write_request(&mut out.bytes, bytes, head, &to)?;
        let upgrade = head.upgrade(bytes).map(Box::from);
        Ok(Job {
            hash: forward
                .hash(connection.client.address(head, bytes, trust), &target.bytes, |name| head.find(bytes, name)),
            record: self.record(Some(route)),
            route: route.clone(),
            group: group.clone(),
            out,
            rest: match head.body() {
                Body::Length(n @ 1..) => Rest::Length(n),
                Body::Chunked => Rest::Chunked,
                _ => Rest::None,
            },
            asked: Asked { head: head.method() == Method::Head, upgrade: upgrade.is_some() },
            upgrade,
            expects: head.expect_continue(),
            trailers: head.takes_trailers(),
            member,
            sticky: forward.sticky.as_ref().map(|_| forward.sticky_of(header)),
        })
    }
}

/// The 413 of a route.
pub(super) fn too_long_body(limit_bytes: u64) -> Own {
    Own::text(413, &format!("the body is longer than the {limit_bytes} bytes that this route takes"))
}
