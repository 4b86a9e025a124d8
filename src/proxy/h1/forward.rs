//! The head of a request as the upstream gets it: written straight from the client's bytes, field by field.

use super::{
    Body, Client, Edits, Refusal, RequestHead, Trust,
    client::{has_passed, push_node},
    field::{Copier, Kind, Slot},
    text::{push_field, push_number},
    trace::is_trace_parent,
};
use std::net::IpAddr;

/// How a request is passed on.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// Path and query to ask for; [`RequestHead::target`] where a route changes nothing.
    pub target: &'a [u8],
    /// The host to ask for, with its port; [`RequestHead::host`] where a route changes nothing. Never empty: a client of
    /// HTTP/1.0 that names none is given the upstream's address.
    pub host: &'a [u8],
    /// What will come behind the head.
    pub body: Body,
    /// Whether the client's wish for another protocol is passed on.
    pub upgrade: bool,
    /// Whether the upstream decides about `Expect: 100-continue`; else it does not see it.
    pub expect: bool,
    /// The other end.
    pub client: &'a Client,
    /// The proxies before us.
    pub trust: &'a Trust,
    /// What the route changes.
    pub edits: Option<&'a Edits>,
    /// Our own id for the request; see [`Client::request_id`].
    pub request_id: &'a [u8],
    /// Our own name in `Via`, by which loops are found. `None`: no `Via` is written and no loop found.
    pub via: Option<&'a str>,
}

/// Writes the head at the end of `out`. Refused is only what has passed here before.
pub fn write_request(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, to: &Forwarding<'_>) -> Result<(), Refusal> {
    check_loop(bytes, head, to)?;
    write(out, bytes, head, to, head.method_bytes(bytes), b"");
    Ok(())
}

/// Writes a question about the request at the end of `out`: a `GET` with its fields, and whole `lines` more. Refused is
/// only what has passed here before.
pub fn write_question(
    out: &mut Vec<u8>,
    bytes: &[u8],
    head: &RequestHead,
    to: &Forwarding<'_>,
    lines: &[u8],
) -> Result<(), Refusal> {
    check_loop(bytes, head, to)?;
    write(out, bytes, head, to, b"GET", lines);
    Ok(())
}

fn check_loop(bytes: &[u8], head: &RequestHead, to: &Forwarding<'_>) -> Result<(), Refusal> {
    let is_loop = to.via.is_some_and(|name| has_passed(head.all(bytes, Kind::Via), name));
    if is_loop { Err(Refusal::Loop) } else { Ok(()) }
}

fn write(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, to: &Forwarding<'_>, method: &[u8], lines: &[u8]) {
    // What we add is a few hundred bytes; one growth at most, and none once the buffer has been used.
    out.reserve(head.head_bytes() + 512);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(to.target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    push_field(out, b"Host", to.host);
    let is_traced = is_traced(head, bytes);
    let mut fields = Copier::new(out, bytes);
    for slot in head.slots() {
        if is_passed_on(slot, bytes, to, is_traced) {
            fields.copy(slot);
        }
    }
    fields.flush();
    write_identity(out, bytes, head, to);
    write_framing(out, bytes, head, to);
    if let Some(edits) = to.edits {
        edits.write(out);
    }
    out.extend_from_slice(lines);
    out.extend_from_slice(b"\r\n");
}

/// Whether exactly one `traceparent` is there, and is one.
fn is_traced(head: &RequestHead, bytes: &[u8]) -> bool {
    let mut parents = head.all(bytes, Kind::TraceParent);
    parents.next().is_some_and(is_trace_parent) && parents.next().is_none()
}

fn is_passed_on(field: &Slot, bytes: &[u8], to: &Forwarding<'_>, is_traced: bool) -> bool {
    if field.is_dropped {
        return false;
    }
    let is_ours = match field.kind {
        Kind::Other => false,
        Kind::Host | Kind::ContentLength | Kind::Expect | Kind::RequestId => true,
        Kind::TraceParent | Kind::TraceState => !is_traced,
        // These are written anew, with what a trusted peer said in them.
        Kind::ForwardedFor | Kind::ForwardedProto | Kind::ForwardedHost | Kind::RealIp | Kind::Forwarded => true,
        kind if kind.is_identity() => !to.client.is_trusted(),
        _ => false,
    };
    !is_ours && to.edits.is_none_or(|edits| !edits.takes(field.name.of(bytes)))
}

/// Who asks, and by which id.
fn write_identity(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, to: &Forwarding<'_>) {
    let is_free = |name: &str| to.edits.is_none_or(|edits| !edits.takes(name.as_bytes()));
    let address = to.client.address(head, bytes, to.trust);
    if is_free("x-forwarded-for") {
        out.extend_from_slice(b"X-Forwarded-For: ");
        write_hops(out, bytes, head, to, address);
        out.extend_from_slice(b"\r\n");
    }
    if is_free("x-real-ip") {
        out.extend_from_slice(b"X-Real-IP: ");
        to.client.push_address(out, address);
        out.extend_from_slice(b"\r\n");
    }
    if is_free("x-forwarded-proto") {
        push_field(out, b"X-Forwarded-Proto", to.client.outer_scheme(head, bytes));
    }
    let host = to.client.outer_host(head, bytes);
    if is_free("x-forwarded-host") && !host.is_empty() {
        push_field(out, b"X-Forwarded-Host", host);
    }
    if to.client.is_trusted() && is_free("forwarded") && head.get(bytes, Kind::Forwarded).is_some() {
        write_forwarded(out, bytes, head, to.client);
    }
    if is_free("x-request-id") {
        push_field(out, b"X-Request-Id", to.client.request_id(head, bytes, to.request_id));
    }
    if let Some(name) = to.via.filter(|_| is_free("via")) {
        out.extend_from_slice(b"Via: 1.1 ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// The list of `X-Forwarded-For`: what a trusted peer brought, and the peer.
fn write_hops(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, to: &Forwarding<'_>, address: IpAddr) {
    let peer = to.client.peer();
    if to.client.is_trusted() {
        let mut is_empty = true;
        for value in head.all(bytes, Kind::ForwardedFor).filter(|value| !value.is_empty()) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
            is_empty = false;
        }
        // The peer said it in `Forwarded` alone.
        if is_empty && address != peer {
            to.client.push_address(out, address);
            out.extend_from_slice(b", ");
        }
    }
    to.client.push_address(out, peer);
}

/// `Forwarded` of a trusted peer, and our element.
fn write_forwarded(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, client: &Client) {
    out.extend_from_slice(b"Forwarded: ");
    for value in head.all(bytes, Kind::Forwarded).filter(|value| !value.is_empty()) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(b"for=");
    push_node(out, client.peer());
    if !head.host(bytes).is_empty() {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(head.host(bytes));
        out.push(b'"');
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(client.scheme().as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// How the message is read, and what is meant for the next hop.
fn write_framing(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, to: &Forwarding<'_>) {
    match to.body {
        Body::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            push_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Body::Chunked => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            for names in head.all(bytes, Kind::Trailer) {
                push_field(out, b"Trailer", names);
            }
        }
        Body::None | Body::UntilClose => {}
    }
    if to.expect && head.expect_continue() {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    let upgrade = head.upgrade(bytes).filter(|_| to.upgrade);
    match (upgrade, head.takes_trailers()) {
        (Some(_), true) => out.extend_from_slice(b"Connection: Upgrade, TE\r\n"),
        (Some(_), false) => out.extend_from_slice(b"Connection: Upgrade\r\n"),
        (None, true) => out.extend_from_slice(b"Connection: TE\r\n"),
        (None, false) => {}
    }
    if let Some(token) = upgrade {
        push_field(out, b"Upgrade", token);
    }
    if head.takes_trailers() {
        push_field(out, b"TE", b"trailers");
    }
}
