//! Answers of our own: refusals, redirects, fixed texts, and what is said where no upstream answers.

use super::{
    connection::{Connection, Next},
    h1::{self, Answer, Edits, Method, Refusal, Version},
    io::Transport,
    record::Record,
};
use std::borrow::Cow;

/// A short answer.
pub(super) struct Own {
    status: u16,
    content_type: Cow<'static, str>,
    /// No part of it may hold a secret.
    body: Vec<u8>,
    field: Option<(&'static str, String)>,
}

impl Own {
    /// A status alone.
    pub(super) fn bare(status: u16) -> Self {
        Self { status, content_type: "".into(), body: Vec::new(), field: None }
    }

    /// A text for people.
    pub(super) fn text(status: u16, text: &str) -> Self {
        Self {
            body: format!("{text}\n").into(),
            content_type: "text/plain; charset=utf-8".into(),
            ..Self::bare(status)
        }
    }

    /// Whatever a route says.
    pub(super) fn of(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self { body, content_type: content_type.to_owned().into(), ..Self::bare(status) }
    }

    /// With a field more.
    pub(super) fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        Self { field: Some((name, value.into())), ..self }
    }

    /// As it is written, with what the route changes in it and what else it has to say.
    fn answer<'a>(
        &'a self,
        field: &'a Option<(&'a str, &'a str)>,
        edits: Option<&'a Edits>,
        extra: &'a [u8],
    ) -> Answer<'a> {
        let (content_type, text) = (&*self.content_type, self.body.as_slice());
        Answer { status: self.status, fields: field.as_slice(), content_type, text, edits, extra }
    }

    fn field(&self) -> Option<(&str, &str)> {
        self.field.as_ref().map(|(name, value)| (*name, value.as_str()))
    }
}

/// Refuses what came in place of a request. Nothing more of this connection is believed.
pub(super) async fn refuse<C: Transport>(connection: &Connection<C>, refusal: Refusal) -> Next {
    connection.worker.shared.meters.refused(refusal.name());
    tracing::debug!(peer = %connection.ends.peer, reason = refusal.name(), "request refused");
    connection.worker.lines.refused(connection, refusal);
    // What an upstream is refused for is its own fault.
    connection.io.answer_is_ours();
    let own = Own::text(refusal.status(), refusal.reason());
    let mut out = connection.worker.buffers.head();
    let (field, date) = (own.field(), connection.worker.date());
    h1::write_answer(&mut out.bytes, &own.answer(&field, None, b""), false, Version::Http11, false, &date);
    write(connection, &out.bytes, Next::Linger).await
}

/// Refuses a request whose head was sound, for where it leads or what came behind it. Nothing more of this connection is
/// believed.
pub(super) async fn refuse_rest<C: Transport>(connection: &Connection<C>, record: &Record, refusal: Refusal) -> Next {
    connection.worker.shared.meters.refused(refusal.name());
    record.refused(refusal.name());
    own(connection, record, Own::text(refusal.status(), refusal.reason()), false).await
}

/// Answers a request without anybody else. `all_read`: the request's body, if it has one, is at an end.
pub(super) async fn own<C: Transport>(connection: &Connection<C>, record: &Record, own: Own, all_read: bool) -> Next {
    connection.io.answer_is_ours();
    let stay = all_read && record.keep_alive && connection.may_stay();
    let mut out = connection.worker.buffers.head();
    let (is_head, date) = (record.method == Method::Head, connection.worker.date());
    let (field, extra) = (own.field(), record.lines.take());
    let answer = own.answer(&field, record.edits(own.status), &extra);
    h1::write_answer(&mut out.bytes, &answer, is_head, record.version, stay, &date);
    record.answered(own.status, own.body.len() as u64);
    let next = match (stay, all_read) {
        (true, _) => Next::Request,
        (_, true) => Next::Close,
        (_, false) => Next::Linger,
    };
    write(connection, &out.bytes, next).await
}

/// Writes, and then `next`; a client that does not take it is gone.
async fn write<C: Transport>(connection: &Connection<C>, bytes: &[u8], next: Next) -> Next {
    match connection.send(bytes).await {
        Ok(()) => next,
        Err(_) => Next::Abort,
    }
}
