//! An answer of HTTP/1.1 on its way into frames. Pure.

use super::{
    head,
    outgoing::{Outgoing, unsound},
};
use crate::proxy::h1::{self, Asked, Body, Limits, ResponseHead};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::io;

/// What is to be sent of it.
pub(super) enum Sent {
    Nothing,
    Interim(Response<()>),
    /// True: nothing comes behind it.
    Head(Response<()>, bool),
    Trailers(HeaderMap),
}

/// An answer in the making.
pub(super) struct Answering {
    asked: Asked,
    /// The client speaks gRPC: it reads what went wrong in trailers, and takes a status of HTTP for a broken proxy.
    grpc: bool,
    /// The answer is our own, and no upstream's.
    ours: bool,
    head: ResponseHead,
    /// The begin of a head.
    begun: Vec<u8>,
    /// None until the head is sent.
    pub(super) body: Option<Outgoing>,
}

/// `grpc-status`, as far as we say it ourselves.
#[derive(Clone, Copy)]
enum Grpc {
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Grpc {
    /// Of a status of HTTP.
    fn of(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 | 405 => Self::Unimplemented,
            413 | 431 => Self::ResourceExhausted,
            429 | 502 | 503 => Self::Unavailable,
            408 | 504 => Self::DeadlineExceeded,
            _ => Self::Internal,
        }
    }

    fn fields(self, message: &'static str) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert("grpc-status", HeaderValue::from(self as u16));
        fields.insert("grpc-message", HeaderValue::from_static(message));
        fields
    }
}

/// What an answer of our own is told as to a client of gRPC.
fn told(status: StatusCode) -> Response<()> {
    let message = status.canonical_reason().unwrap_or("the proxy answered");
    let mut response = Response::new(());
    *response.headers_mut() = Grpc::of(status.as_u16()).fields(message);
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

impl Answering {
    pub(super) fn new(asked: Asked, grpc: bool) -> Self {
        Self { asked, grpc, ours: false, head: ResponseHead::default(), begun: Vec::new(), body: None }
    }

    /// What comes is our own.
    pub(super) fn is_ours(&mut self) {
        self.ours = true;
    }

    /// Takes bytes of the answer: how many, and what is to be sent before what is then held of the body.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<(usize, Sent)> {
        match &mut self.body {
            None => self.take_head(bytes),
            Some(body) => body.take(bytes).map(|()| (bytes.len(), Sent::Nothing)),
        }
    }

    fn take_head(&mut self, bytes: &[u8]) -> io::Result<(usize, Sent)> {
        let before = self.begun.len();
        if before > 0 {
            self.begun.extend_from_slice(bytes);
        }
        let text = if before > 0 { &self.begun[..] } else { bytes };
        let Some(len) = h1::parse_response(text, &Limits::default(), self.asked, &mut self.head).map_err(unsound)?
        else {
            if before == 0 {
                self.begun.extend_from_slice(bytes);
            }
            return Ok((bytes.len(), Sent::Nothing));
        };
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(self.head.status()).map_err(|_| invalid())?;
        *response.headers_mut() = head::fields(&self.head, text).ok_or_else(invalid)?;
        let (status, body) = (self.head.status(), self.head.body());
        self.head.clear();
        self.begun.clear();
        let taken = len - before;
        if status < 200 {
            return Ok((taken, Sent::Interim(response)));
        }
        if self.grpc && self.ours {
            self.body = Outgoing::new(Body::None);
            return Ok((taken, Sent::Head(told(response.status()), true)));
        }
        // A client of HTTP/1.1 is never told to wait for the close.
        let body = Outgoing::new(body).ok_or_else(invalid)?;
        let ends = body.is_over();
        self.body = Some(body);
        Ok((taken, Sent::Head(response, ends)))
    }

    /// The client waits no longer.
    pub(super) fn expire(&mut self) -> Sent {
        match &mut self.body {
            None => {
                self.body = Outgoing::new(Body::None);
                Sent::Head(told(StatusCode::GATEWAY_TIMEOUT), true)
            }
            Some(body) if body.is_over() => Sent::Nothing,
            Some(body) => {
                body.give_up();
                Sent::Trailers(Grpc::DeadlineExceeded.fields("Gateway Timeout"))
            }
        }
    }

    /// Whether the client has all of it.
    pub(super) fn is_over(&self) -> bool {
        self.body.as_ref().is_some_and(Outgoing::is_over)
    }
}
