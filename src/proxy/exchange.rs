//! One exchange with one instance, once the request's head is on its way: the rest of the request up, the answer down,
//! both at once in one task. The slower side of each direction sets the pace: nothing is read that cannot be sent.

use super::{
    body,
    buffer::Buffer,
    connection::Connection,
    forward::Job,
    h1::{self, Interim, Limits, Refusal, Replying, ResponseHead},
    io::{Broken, Io, Transport},
    retry::Failure,
    send::{self, Fault},
    table::{Action, Forward},
    wire::Wire,
    worker::Lent,
};
use crate::balance::Outcome;
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// What a client that sends nothing more is waited for: it may have half-closed and still read, or be gone.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(2);

/// What is read at once of an answer before it is known how long it is: a head and a body of 16 KiB. More of a long body
/// would be copied than need be.
const FIRST_READ_BYTES: usize = 20 << 10;
/// The same where the last answer on this connection was long: a head.
const FIRST_READ_OF_LONG_BYTES: usize = 4 << 10;

/// What both directions know.
pub(super) struct Exchange<'a, C> {
    pub(super) connection: &'a Connection<C>,
    pub(super) job: &'a Job,
    pub(super) upstream: &'a Io<Wire>,
    pub(super) member: u32,
    /// The connection was used before.
    pub(super) reused: bool,
    /// Whether the last answer on it was long.
    pub(super) long: &'a Cell<bool>,
    /// Between two reads or writes of the upstream.
    pub(super) timeout: Duration,
    pub(super) sent_micros: u64,
    /// The request's body is not all sent.
    pub(super) sending: Cell<bool>,
    /// The upstream takes no more of it.
    pub(super) broken: Cell<bool>,
    /// The client has been sent the begin of the answer.
    pub(super) begun: Cell<bool>,
}

/// How an attempt failed before an answer.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) failure: Failure,
    /// Nothing of the request's body was taken from the client.
    pub(super) untouched: bool,
}

/// How an exchange ended.
pub(super) enum Relayed {
    /// The answer was sent.
    Done {
        /// The upstream's connection can take another request.
        reusable: bool,
        /// The client was told that the connection stays.
        stay: bool,
    },
    /// Both speak another protocol now.
    Switched {
        /// What the upstream sent of it already.
        behind: Option<Buffer>,
    },
    /// The answer cannot be sent whole, or nobody is there to take it.
    Cut,
    /// The request's body is not sound; nothing of an answer was sent.
    Refused(Refusal),
    /// The request's body is longer than the route takes; nothing of an answer was sent.
    TooLong,
}

/// Sends the request's body and relays the answer. The answer's end is the end.
pub(super) async fn both<C: Transport>(exchange: &Exchange<'_, C>) -> Result<Relayed, Lost> {
    let mut sending = pin!(send::body(exchange));
    let mut relaying = pin!(relay(exchange));
    poll_fn(|cx| {
        if exchange.sending.get() && !exchange.broken.get() {
            match sending.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => exchange.sending.set(false),
                // It may have answered and hung up: what it says counts.
                Poll::Ready(Err(Fault::Upstream)) => exchange.broken.set(true),
                Poll::Ready(Err(Fault::Gone)) => return Poll::Ready(Ok(Relayed::Cut)),
                // Nothing more of the request goes on; the answer that has begun is for what did.
                Poll::Ready(Err(_)) if exchange.begun.get() => exchange.broken.set(true),
                Poll::Ready(Err(Fault::TooLong)) => return Poll::Ready(Ok(Relayed::TooLong)),
                Poll::Ready(Err(Fault::Unsound(refusal))) => return Poll::Ready(Ok(Relayed::Refused(refusal))),
            }
        }
        relaying.as_mut().poll(cx)
    })
    .await
}

/// Relays the answer.
pub(super) async fn relay<C: Transport>(exchange: &Exchange<'_, C>) -> Result<Relayed, Lost> {
    let (mut buffer, head, len) = match exchange.answer().await {
        Ok(answer) => answer,
        Err(Stop::Lost(lost)) => return Err(lost),
        Err(Stop::ClientGone) => return Ok(Relayed::Cut),
    };
    let Exchange { connection, job, .. } = exchange;
    let (worker, record) = (&connection.worker, &job.record);
    let now_micros = worker.now_micros();
    let micros = now_micros.saturating_sub(exchange.sent_micros);
    let outcome = Outcome::Answered { status: head.status(), micros };
    job.group.pool.settle(exchange.member, outcome, now_micros);

    let switched = head.status() == 101;
    let (to, stays) = h1::framing_for(record.version, &head);
    // Where the answer comes before the request is all here, what follows on this connection is not waited for.
    let stay = stays && record.keep_alive && connection.may_stay() && !exchange.sending.get();
    if job.sticky.is_some() {
        stick(exchange);
    }
    let extra = record.lines.take();
    let mut out = worker.buffers.head();
    {
        let replying = Replying {
            client: record.version,
            body: to,
            keep_alive: stay,
            upgrade: if switched { head.upgrade(buffer.filled()) } else { None },
            edits: job.route.response_edits.as_ref(),
            date: &worker.date(),
            request_id: None,
            extra: &extra,
        };
        h1::write_response(&mut out.bytes, buffer.filled(), &head, &replying);
    }
    record.answered(head.status(), 0);
    let (from, keeps) = (head.body(), head.keep_alive());
    drop(head);
    buffer.consume(len);
    exchange.begun.set(true);
    if switched {
        let written = exchange.to_client(&out.bytes).await;
        return Ok(if written {
            Relayed::Switched { behind: (!buffer.is_empty()).then_some(buffer) }
        } else {
            Relayed::Cut
        });
    }
    Ok(match body::relay(exchange, out, buffer, from, to).await {
        Ok(exact) => Relayed::Done { reusable: exact && keeps, stay },
        Err(body::Cut) => Relayed::Cut,
    })
}

/// Tells the client which instance it stays with, unless its cookie says so.
fn stick<C: Transport>(exchange: &Exchange<'_, C>) {
    let Exchange { connection, job, .. } = exchange;
    let Action::Forward(Forward { sticky: Some(name), .. }) = &job.route.action else { return };
    let Some(endpoint) = job.group.endpoints.get(exchange.member as usize) else { return };
    let named = endpoint.sticks_to();
    if job.sticky != Some(Some(named)) {
        let secure = if connection.client.scheme() == h1::Scheme::Https { "; Secure" } else { "" };
        let line = format!("Set-Cookie: {name}={named:016x}; Path=/; HttpOnly; SameSite=Lax{secure}\r\n");
        job.record.lines.borrow_mut().extend_from_slice(line.as_bytes());
    }
}

/// Why there is no answer to relay.
enum Stop {
    Lost(Lost),
    ClientGone,
}

impl<C: Transport> Exchange<'_, C> {
    /// The final head, parsed, at the begin of a buffer. Those of status 1xx before it are passed on or dropped.
    async fn answer(&self) -> Result<(Buffer, Lent<ResponseHead>, usize), Stop> {
        let mut head = self.connection.worker.response_head();
        let mut interims = 0u8;
        let mut buffer = self.more(None).await?;
        loop {
            head.clear();
            match h1::parse_response(buffer.filled(), &Limits::default(), self.job.asked, &mut head) {
                Err(refusal) => {
                    tracing::debug!(reason = refusal.name(), "an upstream's answer is not sound");
                    return Err(Stop::Lost(self.lost(Failure::Unsound)));
                }
                Ok(None) => buffer = self.more(Some(buffer)).await?,
                Ok(Some(len)) if head.status() >= 200 => return Ok((buffer, head, len)),
                Ok(Some(len)) => {
                    match h1::interim(head.status(), self.job.record.version, false) {
                        Interim::Switch => {
                            let granted =
                                self.job.upgrade.as_deref().is_some_and(|asked| head.grants(buffer.filled(), asked));
                            if granted {
                                return Ok((buffer, head, len));
                            }
                            return Err(Stop::Lost(self.lost(Failure::Unsound)));
                        }
                        Interim::Forward => {
                            let mut out = self.connection.worker.buffers.head();
                            h1::write_interim(&mut out.bytes, buffer.filled(), &head);
                            if !self.to_client(&out.bytes).await {
                                return Err(Stop::ClientGone);
                            }
                        }
                        Interim::Drop => {}
                    }
                    interims += 1;
                    if interims > h1::limits::INTERIM_RESPONSES_MAX {
                        return Err(Stop::Lost(self.lost(Failure::Unsound)));
                    }
                    buffer.consume(len);
                    if buffer.is_empty() {
                        buffer = self.more(None).await?;
                    }
                }
            }
        }
    }

    fn lost(&self, failure: Failure) -> Lost {
        let untouched = self.job.rest == super::forward::Rest::None;
        Lost { failure, untouched }
    }

    /// More bytes of the upstream before an answer.
    async fn more(&self, have: Option<Buffer>) -> Result<Buffer, Stop> {
        let fresh = have.is_none();
        match self.upstream_bytes(have, if self.long.get() { FIRST_READ_OF_LONG_BYTES } else { FIRST_READ_BYTES }).await
        {
            Ok(Some(buffer)) => Ok(buffer),
            Err(Waited::ClientGone) => Err(Stop::ClientGone),
            // A kept connection that ends without a word was closed before the request came to it.
            Ok(None) => Err(Stop::Lost(Lost::before_answer(
                &Broken::Ended,
                self.reused && fresh,
                self.lost(Failure::Broken).untouched,
            ))),
            Err(Waited::Upstream(broken)) => Err(Stop::Lost(Lost::before_answer(
                &broken,
                self.reused && fresh,
                self.lost(Failure::Broken).untouched,
            ))),
        }
    }

    /// The upstream's next bytes; None at its end. Meanwhile the client is watched.
    pub(super) async fn read_upstream(&self) -> Result<Option<Buffer>, Waited> {
        self.upstream_bytes(None, usize::MAX).await
    }

    /// The same behind those at hand, or `most` of them.
    async fn upstream_bytes(&self, mut have: Option<Buffer>, most: usize) -> Result<Option<Buffer>, Waited> {
        let mut armed = false;
        poll_fn(|cx| {
            let polled = match &mut have {
                Some(buffer) => self.upstream.poll_fill(cx, buffer).map_ok(|got| got > 0),
                None => match self.upstream.poll_some(cx, &self.connection.worker.buffers, most) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(buffer)) => {
                        have = buffer;
                        Poll::Ready(Ok(have.is_some()))
                    }
                },
            };
            match polled {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(have.take())),
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Waited::Upstream(error.into()))),
                Poll::Pending => {}
            }
            // As long as the request is on its way, its own limits hold.
            if self.sending.get() && !self.broken.get() {
                return Poll::Pending;
            }
            let open = !self.connection.half_closed.get();
            if self.connection.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Waited::ClientGone));
            }
            armed &= open != self.connection.half_closed.get();
            self.connection.pack_input();
            if !armed {
                armed = true;
                let half_closed = self.connection.half_closed.get();
                self.connection.deadline.set(if half_closed {
                    HALF_CLOSED_MAX.min(self.timeout)
                } else {
                    self.timeout
                });
            }
            self.connection.deadline.poll(cx).map(|elapsed| {
                Err(if self.connection.half_closed.get() {
                    Waited::ClientGone
                } else {
                    Waited::Upstream(elapsed.into())
                })
            })
        })
        .await
    }

    /// Sends to the client. False: it is gone, or takes nothing.
    pub(super) async fn to_client(&self, bytes: &[u8]) -> bool {
        let written = self.connection.send(bytes).await;
        let sent = &self.job.record.sent;
        sent.set(sent.get() + bytes.len() as u64);
        written.is_ok()
    }
}

/// Why no bytes came.
pub(super) enum Waited {
    Upstream(Broken),
    ClientGone,
}
