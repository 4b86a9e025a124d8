//! A question and its answer.

use super::slate::Slate;
use crate::proxy::{
    answer::{self, Own},
    buffer::Head,
    connection::{Connection, Next},
    forward::{self, Job, Rest},
    h1::{self, Asked, Body, Limits, Method, Replying, ResponseHead, Version, push_field},
    inside::{Watched, watched},
    io::Transport,
    record::Record,
    table::{Group, Guard, Route},
    worker::Worker,
};
use std::{rc::Rc, sync::Arc};

/// What somebody is asked about a request.
pub(in crate::proxy) struct Question {
    job: Job,
    /// The route that is guarded.
    route: Arc<Route>,
}

/// What came of it.
pub(in crate::proxy) enum Decided {
    /// The request may be served; the upstream gets these lines more.
    Lets(Vec<u8>),
    /// It may not, and the client knows.
    Answered(Next),
}

/// What is said of the request beside its own fields, by the names that Traefik's and nginx's users know.
pub(in crate::proxy) fn lines(method: &[u8], path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    let uri = match query {
        Some(query) => [path, b"?", query].concat(),
        None => path.to_vec(),
    };
    let mut lines = Vec::with_capacity(2 * uri.len() + 128);
    for (name, value) in [
        (&b"X-Forwarded-Method"[..], method),
        (b"X-Forwarded-Uri", &uri),
        (b"X-Original-Method", method),
        (b"X-Original-URI", &uri),
    ] {
        push_field(&mut lines, name, value);
    }
    lines
}

impl Question {
    /// `out`: its head.
    pub(in crate::proxy) fn new(worker: &Rc<Worker>, route: Arc<Route>, group: Arc<Group>, out: Head) -> Self {
        let way = guard_of(&route).way.clone();
        // An answer without chunks, to a client that says nothing more.
        let record = Record::new(worker.clone(), Some(way.clone()), (Method::Get, Version::Http10, false), None);
        let job = Job {
            record,
            route: way,
            group,
            out,
            rest: Rest::None,
            asked: Asked::default(),
            upgrade: None,
            hash: 0,
            expects: false,
            trailers: false,
            member: None,
            sticky: None,
        };
        Self { job, route }
    }
}

fn guard_of(route: &Route) -> &Guard {
    route.guard.as_deref().expect("only a guarded route has questions")
}

/// Asks whether a request may be served, and answers it where it may not. `all_read`: its body, if it has one, is at an
/// end.
pub(in crate::proxy) async fn ask<C: Transport>(
    connection: &Connection<C>,
    question: Question,
    record: &Record,
    all_read: bool,
) -> Decided {
    let Question { job, route } = question;
    let (worker, asked) = (&connection.worker, &guard_of(&route).config);
    let to = Connection::new(worker.clone(), Slate::default(), connection.ends, None, connection.settings.clone());
    let limit = worker.deadlines.slot();
    // Each try has its own limits; this one is for an answer that comes drop by drop.
    limit.set(2 * (asked.forward.connect_timeout + asked.forward.timeout));
    let asking = Box::pin(limit.within(forward::forward(&to, job)));
    let next = match watched(connection, all_read, asking).await {
        Watched::Gone => return Decided::Answered(Next::Abort),
        Watched::Came(next) => next,
    };
    let slate = to.io.into_inner();
    let is_whole = matches!(next, Ok(Next::Request | Next::Close | Next::Linger));
    let mut head = worker.response_head();
    head.clear();
    let parsed = h1::parse_response(&slate.bytes, &Limits::default(), Asked::default(), &mut head);
    let (body, status) = match (next, parsed) {
        (Err(_), _) => return fail(connection, record, all_read, 504, "it did not answer in time").await,
        _ if slate.is_too_long => return fail(connection, record, all_read, 502, "its answer is too long").await,
        (Ok(_), Ok(Some(len))) if is_whole => (&slate.bytes[len..], head.status()),
        _ => return fail(connection, record, all_read, 502, "its answer is not whole").await,
    };
    match status {
        // What we say ourselves lets nobody pass.
        200..=299 if !slate.is_ours => {
            let fields = |names: &[String]| copied(&head, &slate.bytes, names);
            record.lines.borrow_mut().extend_from_slice(&fields(&asked.told));
            Decided::Lets(fields(&asked.copied))
        }
        300..=499 if !slate.is_ours => {
            record.reason.set("auth");
            Decided::Answered(pass_on(connection, record, all_read, (&head, &slate.bytes), body).await)
        }
        _ if slate.is_ours => {
            let why = String::from_utf8_lossy(body);
            fail(connection, record, all_read, if matches!(status, 503 | 504) { status } else { 502 }, why.trim()).await
        }
        _ => fail(connection, record, all_read, 502, &format!("it answered {status}")).await,
    }
}

/// The fields of these names, as lines.
fn copied(head: &ResponseHead, bytes: &[u8], names: &[String]) -> Vec<u8> {
    let mut lines = Vec::new();
    for field in head.fields(bytes) {
        if names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(field.name)) {
            push_field(&mut lines, field.name, field.value);
        }
    }
    lines
}

/// Nobody has let it pass.
async fn fail<C: Transport>(
    connection: &Connection<C>,
    record: &Record,
    all_read: bool,
    status: u16,
    why: &str,
) -> Decided {
    record.reason.set("auth_failed");
    let own = Own::text(status, &format!("whoever decides on this route could not be asked: {why}"));
    let own = if status == 503 { own.with("Retry-After", "1") } else { own };
    Decided::Answered(Box::pin(answer::own(connection, record, own, all_read)).await)
}

/// Gives the client the answer as it is.
async fn pass_on<C: Transport>(
    connection: &Connection<C>,
    record: &Record,
    all_read: bool,
    (head, bytes): (&ResponseHead, &[u8]),
    body: &[u8],
) -> Next {
    connection.io.answer_is_ours();
    let stay = all_read && record.keep_alive && connection.may_stay();
    let extra = record.lines.take();
    let mut out = connection.worker.buffers.head();
    let replying = Replying {
        client: record.version,
        body: if head.status() == 304 { Body::None } else { Body::Length(body.len() as u64) },
        keep_alive: stay,
        upgrade: None,
        edits: None,
        date: &connection.worker.date(),
        request_id: None,
        extra: &extra,
    };
    h1::write_response(&mut out.bytes, bytes, head, &replying);
    if record.method != Method::Head && head.status() != 304 {
        out.bytes.extend_from_slice(body);
    }
    record.answered(head.status(), body.len() as u64);
    match connection.send(&out.bytes).await {
        Err(_) => Next::Abort,
        Ok(()) if stay => Next::Request,
        Ok(()) if all_read => Next::Close,
        Ok(()) => Next::Linger,
    }
}
