//! The head of a response as the client gets it: written straight from the origin's bytes, or our own.

use super::{
    Body, Edits, ResponseHead, Version,
    field::{Copier, Kind},
    text::{is_value_byte, push_field, push_number},
};

/// What a client waits for that is told to send its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The length of a date in `Date`.
pub const DATE_BYTES: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

/// How a response is passed on.
#[derive(Clone, Copy, Debug)]
pub struct Replying<'a> {
    /// The version of the client.
    pub client: Version,
    /// What will come behind the head; see [`framing_for`].
    pub body: Body,
    /// Whether another request may come on this connection.
    pub keep_alive: bool,
    /// The protocol that 101 grants.
    pub upgrade: Option<&'a [u8]>,
    /// What the route changes.
    pub edits: Option<&'a Edits>,
    /// The present date, for a response without.
    pub date: &'a [u8; DATE_BYTES],
    /// The id of the request, where the client is to know it.
    pub request_id: Option<&'a [u8]>,
    /// Whole lines more.
    pub extra: &'a [u8],
}

/// How a response is framed for the client, and whether that lets its connection be used again.
pub fn framing_for(client: Version, head: &ResponseHead) -> (Body, bool) {
    match (head.body(), client) {
        (Body::Chunked | Body::UntilClose, Version::Http11) => (Body::Chunked, true),
        (Body::Chunked | Body::UntilClose, Version::Http10) => (Body::UntilClose, false),
        (body, _) => (body, true),
    }
}

/// Writes the head at the end of `out`.
pub fn write_response(out: &mut Vec<u8>, bytes: &[u8], head: &ResponseHead, to: &Replying<'_>) {
    out.reserve(head.head_bytes() + 256);
    write_status(out, bytes, head);
    let mut has_date = false;
    let mut fields = Copier::new(out, bytes);
    for slot in head.slots() {
        let is_ours = match slot.kind {
            Kind::ContentLength => true,
            Kind::RequestId => to.request_id.is_some(),
            _ => slot.is_dropped,
        };
        if is_ours || to.edits.is_some_and(|edits| edits.takes(slot.name.of(bytes))) {
            continue;
        }
        has_date |= slot.kind == Kind::Date;
        fields.copy(slot);
    }
    fields.flush();
    let is_free = |name: &str| to.edits.is_none_or(|edits| !edits.takes(name.as_bytes()));
    if !has_date && is_free("date") {
        push_field(out, b"Date", to.date);
    }
    if let Some(id) = to.request_id.filter(|_| is_free("x-request-id")) {
        push_field(out, b"X-Request-Id", id);
    }
    if to.body == Body::Chunked {
        for names in head.all(bytes, Kind::Trailer) {
            push_field(out, b"Trailer", names);
        }
    }
    // Where nothing comes, the length is one that would have come; 1xx and 204 have none.
    let would_come = head.content_length().filter(|_| head.status() >= 200 && head.status() != 204);
    match to.body {
        Body::None => write_framing(out, would_come.map_or(Body::None, Body::Length)),
        body => write_framing(out, body),
    }
    write_connection(out, to.client, to.keep_alive, to.upgrade);
    if let Some(edits) = to.edits {
        edits.write(out);
    }
    out.extend_from_slice(to.extra);
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim response, which has no body, at the end of `out`.
pub fn write_interim(out: &mut Vec<u8>, bytes: &[u8], head: &ResponseHead) {
    write_status(out, bytes, head);
    let mut fields = Copier::new(out, bytes);
    for slot in head.slots().iter().filter(|slot| !slot.is_dropped && slot.kind != Kind::ContentLength) {
        fields.copy(slot);
    }
    fields.flush();
    out.extend_from_slice(b"\r\n");
}

fn write_status(out: &mut Vec<u8>, bytes: &[u8], head: &ResponseHead) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, u64::from(head.status()));
    out.push(b' ');
    out.extend_from_slice(head.reason(bytes));
    out.extend_from_slice(b"\r\n");
}

/// Writes the line that says how long the body is.
pub fn write_framing(out: &mut Vec<u8>, body: Body) {
    match body {
        Body::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            push_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Body::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Body::None | Body::UntilClose => {}
    }
}

/// Writes the line that says what becomes of the connection.
pub fn write_connection(out: &mut Vec<u8>, client: Version, keep_alive: bool, upgrade: Option<&[u8]>) {
    if let Some(token) = upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        return push_field(out, b"Upgrade", token);
    }
    match (keep_alive, client) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
}

/// An answer of our own.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// Further fields, which are not those of framing, `Date`, `Connection` and `Content-Type`.
    pub fields: &'a [(&'a str, &'a str)],
    /// The type of the text.
    pub content_type: &'a str,
    /// The body.
    pub text: &'a [u8],
    /// What the route changes.
    pub edits: Option<&'a Edits>,
    /// Whole lines more.
    pub extra: &'a [u8],
}

/// Writes an answer of our own, head and body, at the end of `out`. To `HEAD` the body is left out.
pub fn write_answer(
    out: &mut Vec<u8>,
    answer: &Answer<'_>,
    is_head: bool,
    client: Version,
    keep_alive: bool,
    date: &[u8; DATE_BYTES],
) {
    let is_free = |name: &str| answer.edits.is_none_or(|edits| !edits.takes(name.as_bytes()));
    push_status(out, answer.status);
    if is_free("date") {
        push_field(out, b"Date", date);
    }
    for (name, value) in answer.fields.iter().filter(|(name, value)| value.bytes().all(is_value_byte) && is_free(name))
    {
        push_field(out, name.as_bytes(), value.as_bytes());
    }
    let has_body = answer.status >= 200 && !matches!(answer.status, 204 | 304);
    if has_body {
        if !answer.text.is_empty() && is_free("content-type") {
            push_field(out, b"Content-Type", answer.content_type.as_bytes());
        }
        write_framing(out, Body::Length(answer.text.len() as u64));
    }
    write_connection(out, client, keep_alive, None);
    if let Some(edits) = answer.edits {
        edits.write(out);
    }
    out.extend_from_slice(answer.extra);
    out.extend_from_slice(b"\r\n");
    if has_body && !is_head {
        out.extend_from_slice(answer.text);
    }
}

fn push_status(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, u64::from(status));
    out.push(b' ');
    let known = http::StatusCode::from_u16(status).ok();
    out.extend_from_slice(known.and_then(|status| status.canonical_reason()).unwrap_or("Answer").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The head of an answer of our own whose body comes from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The status.
    pub status: u16,
    /// Whole lines, which are not those of framing, `Date` and `Connection`.
    pub lines: &'a [u8],
    /// What the route changes in them.
    pub edits: Option<&'a Edits>,
    /// Whole lines more, which nothing changes.
    pub extra: &'a [u8],
    /// What comes behind it.
    pub body: Body,
}

/// Writes such a head at the end of `out`.
pub fn write_told(out: &mut Vec<u8>, told: &Told<'_>, client: Version, keep_alive: bool, date: &[u8; DATE_BYTES]) {
    push_status(out, told.status);
    match told.edits {
        None => {
            push_field(out, b"Date", date);
            out.extend_from_slice(told.lines);
        }
        Some(edits) => {
            if !edits.takes(b"date") {
                push_field(out, b"Date", date);
            }
            for line in told.lines.split_inclusive(|b| *b == b'\n') {
                let name = line.split(|b| *b == b':').next().unwrap_or_default();
                if !edits.takes(name) {
                    out.extend_from_slice(line);
                }
            }
            edits.write(out);
        }
    }
    write_framing(out, told.body);
    write_connection(out, client, keep_alive, None);
    out.extend_from_slice(told.extra);
    out.extend_from_slice(b"\r\n");
}
