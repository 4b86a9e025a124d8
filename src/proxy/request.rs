//! What becomes of a request: found its route, checked against the route's limits, made into what is to be done. Nothing
//! waits in here, so that all of it is one look at one table.

use super::{
    answer::{self, Own},
    connection::{Connection, Next},
    forward::{self, Job, Rest},
    h1::{self, Asked, Body, Form, Method, Refusal, RequestHead},
    inside,
    io::Transport,
    record::Record,
    table::{Action, Forward, Found, Group, HostHeader, RequestView, Route, Vars},
    worker::Lent,
};
use std::sync::Arc;

/// A body of this size that came with its head is sent with it, and kept in case that it must be sent again.
const BODY_WITH_HEAD_BYTES_MAX: u64 = 16 << 10;

/// What to do.
enum Planned {
    Forward(Job),
    Inside(inside::Job),
    Own { record: Record, own: Own, all_read: bool },
    Refused { record: Record, refusal: Refusal },
}

/// Answers one request, whose head is the first `len` bytes of the input.
pub(super) async fn answer<C: Transport>(connection: &Connection<C>, head: Lent<RequestHead>, len: usize) -> Next {
    let planned = plan(connection, &head, len);
    drop(head);
    match planned {
        Planned::Forward(job) => forward::forward(connection, job).await,
        Planned::Inside(job) => Box::pin(inside::answer(connection, job)).await,
        Planned::Own { record, own, all_read } => Box::pin(answer::own(connection, &record, own, all_read)).await,
        Planned::Refused { record, refusal } => Box::pin(answer::refuse_rest(connection, &record, refusal)).await,
    }
}

fn plan<C: Transport>(connection: &Connection<C>, head: &RequestHead, len: usize) -> Planned {
    let worker = &connection.worker;
    worker.budget.borrow_mut().request();
    let planned = {
        let input = connection.input.borrow();
        let bytes = input.as_ref().map_or(&[][..], |buffer| &buffer.filled()[..len]);
        let view = RequestView { method: head.method_bytes(bytes), host: head.host(bytes), path: head.path(bytes) };
        let parts = Parts { connection, head, bytes, request_id: &worker.request_id() };
        let table = worker.table();
        match table.find(&view) {
            _ if connection.is_misdirected(head, bytes) => {
                parts.own(None, Own::text(421, "this host is not served by the certificate of this connection"))
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
            Found::Route(found) => parts.plan(found.route, found.group, &found.path),
        }
    };
    connection.consume(len);
    match planned {
        Planned::Forward(mut job) => {
            take_body(connection, &mut job);
            Planned::Forward(job)
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
    fn plan(&self, route: &Arc<Route>, group: Option<&Arc<Group>>, normalised: &[u8]) -> Planned {
        let Self { connection, head, bytes, .. } = self;
        match &route.action {
            Action::Forward(forward) => match self.job(route, forward, group, normalised) {
                Ok(job) => Planned::Forward(job),
                Err(refusal) => Planned::Refused { record: self.record(Some(route)), refusal },
            },
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

    fn own(&self, route: Option<&Arc<Route>>, own: Own) -> Planned {
        Planned::Own { record: self.record(route), own, all_read: !self.head.body().is_some() }
    }

    fn record(&self, route: Option<&Arc<Route>>) -> Record {
        let Self { connection, head, bytes, .. } = self;
        let worker = &connection.worker;
        let line = worker.lines.begin(connection, head, bytes);
        let seen = (head.method(), head.version(), head.keep_alive());
        Record::new(worker.clone(), route.cloned(), seen, line)
    }

    fn vars(&self) -> Vars<'_> {
        let Self { connection, head, bytes, request_id } = self;
        Vars {
            scheme: connection.client.scheme().as_str().as_bytes(),
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
        route: &Arc<Route>,
        forward: &Forward,
        group: Option<&Arc<Group>>,
        normalised: &[u8],
    ) -> Result<Job, Refusal> {
        let Self { connection, head, bytes, request_id } = self;
        let worker = &connection.worker;
        let group = group.expect("a table has a group for each route that forwards");
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
        })
    }
}

/// The 413 of a route.
pub(super) fn too_long_body(limit_bytes: u64) -> Own {
    Own::text(413, &format!("the body is longer than the {limit_bytes} bytes that this route takes"))
}
