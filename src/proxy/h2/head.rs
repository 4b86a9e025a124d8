//! Heads of HTTP/2 as HTTP/1.1 writes them, and back. Pure.
//!
//! What a head of HTTP/2 says twice is written twice, and what is no host is written as one: the one parser refuses it.

use crate::proxy::h1::{self, Kind, RequestHead, ResponseHead};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING, UPGRADE},
    request, response,
};

/// How a request's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length,
    Chunked,
}

/// A head with a field that HTTP/2 does not have (RFC 9113, 8.2.2), which others could take for framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Writes the head of a request. `ended`: nothing comes behind it.
pub(super) fn write_request(out: &mut Vec<u8>, parts: &request::Parts, ended: bool) -> Result<Framing, Malformed> {
    let headers = &parts.headers;
    let foreign = ["keep-alive", "proxy-connection"];
    let is_foreign = [CONNECTION, TRANSFER_ENCODING, UPGRADE].iter().any(|name| headers.contains_key(name));
    if is_foreign || foreign.iter().any(|name| headers.contains_key(*name)) {
        return Err(Malformed);
    }
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target(&parts.uri).as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    if let Some(authority) = authority {
        field(out, b"host", authority.as_bytes());
    }
    let is_said = |host: &HeaderValue| authority.is_some_and(|a| a.as_bytes().eq_ignore_ascii_case(host.as_bytes()));
    let mut cookies = headers.get_all(COOKIE).iter();
    if let Some(first) = cookies.next() {
        // It may come in pieces, to be compressed better, and is one in HTTP/1.1 (RFC 9113, 8.2.3).
        out.extend_from_slice(b"cookie: ");
        out.extend_from_slice(first.as_bytes());
        for more in cookies {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(more.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in headers {
        if name != COOKIE && !(name == HOST && is_said(value)) {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let framing = match (headers.contains_key(CONTENT_LENGTH), ended) {
        (true, _) => Framing::Length,
        (false, true) => Framing::None,
        (false, false) => {
            field(out, b"transfer-encoding", b"chunked");
            Framing::Chunked
        }
    };
    // One stream, one request.
    out.extend_from_slice(b"connection: close\r\n\r\n");
    Ok(framing)
}

fn target(uri: &Uri) -> &str {
    match uri.path_and_query() {
        Some(target) if !target.as_str().is_empty() => target.as_str(),
        _ => "/",
    }
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The fields of an answer. What belongs to a connection of HTTP/1.1 stays behind.
pub(super) fn fields(head: &ResponseHead, bytes: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(16);
    for field in head.fields(bytes).filter(|field| !field.is_dropped) {
        push(&mut headers, field.name, field.value)?;
    }
    Some(headers)
}

fn push(headers: &mut HeaderMap, name: &[u8], value: &[u8]) -> Option<()> {
    let (name, value) = (HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    headers.try_append(name, value).ok()?;
    Some(())
}

/// Trailers out of the lines in which a chunked body has them.
pub(super) fn trailers(lines: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|b| *b == b':')?;
        push(&mut headers, &line[..colon], line[colon + 1..].trim_ascii())?;
    }
    Some(headers)
}

/// Trailers as the end of a chunked body.
pub(super) fn last_chunk(trailers: Option<&HeaderMap>) -> Vec<u8> {
    let (mut lines, mut out) = (Vec::new(), Vec::new());
    for (name, value) in trailers.into_iter().flatten() {
        field(&mut lines, name.as_str().as_bytes(), value.as_bytes());
    }
    h1::write_last(&mut out, &lines);
    out
}

/// A request out of a head that we have written ourselves for an upstream.
pub(super) fn request(head: &RequestHead, bytes: &[u8], https: bool) -> Option<Request<()>> {
    let mut headers = HeaderMap::with_capacity(16);
    for field in head.fields(bytes).filter(|field| !field.is_dropped && field.kind != Kind::Host) {
        push(&mut headers, field.name, field.value)?;
    }
    if head.takes_trailers() {
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    let uri = Uri::builder()
        .scheme(if https { "https" } else { "http" })
        .authority(head.host(bytes))
        .path_and_query(head.target(bytes))
        .build()
        .ok()?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method_bytes(bytes)).ok()?;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    *request.version_mut() = http::Version::HTTP_2;
    Some(request)
}

/// Writes the head of an upstream's answer. `bare`: nothing comes behind it, whatever it says.
pub(super) fn write_response(out: &mut Vec<u8>, parts: &response::Parts, ended: bool, bare: bool) -> Framing {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &parts.headers {
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    let has_none = bare || matches!(parts.status.as_u16(), 204 | 304);
    let framing = match (parts.headers.contains_key(CONTENT_LENGTH), ended || has_none) {
        (true, _) => Framing::Length,
        (false, true) => {
            if !has_none {
                field(out, b"content-length", b"0");
            }
            Framing::None
        }
        (false, false) => {
            field(out, b"transfer-encoding", b"chunked");
            Framing::Chunked
        }
    };
    out.extend_from_slice(b"\r\n");
    framing
}
