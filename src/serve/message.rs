//! Requests, responses and the trait that turns one into the other.

use super::{Body, BoxFuture, ByteStream, Client, Error, ListenerKind, query};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::BodyExt;
use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// An answer.
pub type Response = http::Response<Body>;

/// Answers requests. One value serves all connections at once.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request. A panic in here is caught: the client gets a 500 and its connection lives on.
    fn handle(&self, request: Request) -> BoxFuture<'_, Response>;

    /// The same answer, where it is at hand: nothing is waited for, and little is done. Servers may ask for it first, on
    /// threads that must not wait. None: only [`Handler::handle`] can tell.
    fn at_hand(&self, _request: &Request) -> Option<Response> {
        None
    }
}

/// A [`Handler`] out of an async closure.
pub struct HandlerFn<F>(pub F);

impl<F, R> Handler for HandlerFn<F>
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin((self.0)(request))
    }
}

/// Who sent a request, and by which door it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the TCP connection; none on a unix socket.
    pub address: Option<SocketAddr>,
    /// The door.
    pub listener: ListenerKind,
}

impl Peer {
    /// True where the peer is on this host: a unix socket or a loopback address.
    pub fn is_local(&self) -> bool {
        self.address.is_none_or(|a| a.ip().to_canonical().is_loopback())
    }
}

/// One request, head read, body not yet.
#[derive(Debug)]
pub struct Request {
    /// Never HEAD: that comes as GET with [`Request::head_only`] set, and the server withholds the body.
    pub method: Method,
    /// Path and query, as sent.
    pub uri: Uri,
    /// Header fields.
    pub headers: HeaderMap,
    /// Who asks.
    pub peer: Peer,
    /// The client asked with HEAD and gets the head alone; a handler may spare itself work.
    pub head_only: bool,
    /// Fires when the server stops: an answer without end ends then.
    pub stopping: CancellationToken,
    /// Whoever waits for the answer.
    pub client: Client,
    /// A handler that hands the request on to another has seen that whoever asks may.
    pub vouched: bool,
    body: Incoming,
    /// What the client sends once its request was answered by a 101, where it asked for that.
    switch: Option<Raw>,
}

/// Bytes behind a switch; the lock is as in [`Incoming::Stream`].
struct Raw(Mutex<ByteStream>);

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Raw")
    }
}

pub(super) enum Incoming {
    Bytes(Bytes),
    Wire(hyper::body::Incoming, Duration),
    /// Nobody shares it; the lock lets a request be looked at from several threads.
    Stream(Mutex<ByteStream>, Duration),
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Incoming")
    }
}

/// The head of a request that another server than this room's has read.
#[derive(Debug)]
pub struct RequestParts {
    /// As sent.
    pub method: Method,
    /// Path and query, as sent.
    pub uri: Uri,
    /// Header fields.
    pub headers: HeaderMap,
    /// Who asks.
    pub peer: Peer,
    /// Fires when the server stops.
    pub stopping: CancellationToken,
}

impl Request {
    /// A request made inside the process, for tests and for one handler that asks another.
    pub fn local(method: Method, uri: Uri, body: impl Into<Bytes>) -> Self {
        let peer = Peer { address: None, listener: ListenerKind::Admin };
        let stopping = CancellationToken::new();
        let body = Incoming::Bytes(body.into());
        let client = Client::default();
        Self {
            method,
            uri,
            headers: HeaderMap::new(),
            peer,
            head_only: false,
            stopping,
            client,
            vouched: false,
            body,
            switch: None,
        }
    }

    /// A request whose head is read, and whose body comes in pieces, all of them within `body_timeout` of being asked for.
    pub fn from_parts(parts: RequestParts, body: ByteStream, body_timeout: Duration) -> Self {
        let RequestParts { method, uri, headers, peer, stopping } = parts;
        let head_only = method == Method::HEAD;
        let method = if head_only { Method::GET } else { method };
        let (client, body) = (Client::default(), Incoming::Stream(Mutex::new(body), body_timeout));
        Self { method, uri, headers, peer, head_only, stopping, client, vouched: false, body, switch: None }
    }

    pub(super) fn from_wire(
        request: http::Request<hyper::body::Incoming>,
        peer: Peer,
        body_timeout: Duration,
        stopping: CancellationToken,
        client: Client,
    ) -> Self {
        let (head, body) = request.into_parts();
        let head_only = head.method == Method::HEAD;
        Self {
            method: if head_only { Method::GET } else { head.method },
            uri: head.uri,
            headers: head.headers,
            peer,
            head_only,
            stopping,
            client,
            body: Incoming::Wire(body, body_timeout),
            vouched: false,
            switch: None,
        }
    }

    /// The same of a client who asks for another protocol: once it is answered by a 101, these are its bytes.
    #[must_use]
    pub fn switchable(self, heard: ByteStream) -> Self {
        Self { switch: Some(Raw(Mutex::new(heard))), ..self }
    }

    /// What the client sends behind the switch that it asks for. Whoever takes it answers by a 101, and the answer's body
    /// goes out as it is. None: it asks for none, or it was taken.
    pub fn take_switch(&mut self) -> Option<ByteStream> {
        Some(self.switch.take()?.0.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The path, as sent: still percent-encoded.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The first query parameter of this name, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        self.query_pairs().into_iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// All query parameters in order, decoded.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        query::parse_query(self.uri.query().unwrap_or(""))
    }

    /// A header field's text, where it is there and is text.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The whole body, `limit_bytes` at most.
    pub async fn body(self, limit_bytes: usize) -> Result<Bytes, Error> {
        let too_long = Error::BodyTooLong { limit_bytes };
        match self.body {
            Incoming::Bytes(b) if b.len() > limit_bytes => Err(too_long),
            Incoming::Bytes(b) => Ok(b),
            Incoming::Stream(body, patience) => match tokio::time::timeout(
                patience,
                gather(body.into_inner().unwrap_or_else(PoisonError::into_inner), limit_bytes),
            )
            .await
            {
                Err(_) => Err(Error::BodyTooSlow(patience)),
                Ok(Ok(Some(whole))) => Ok(whole),
                Ok(Ok(None)) => Err(too_long),
                Ok(Err(e)) => Err(Error::BodyBroken(e.to_string())),
            },
            Incoming::Wire(body, patience) => {
                let limited = http_body_util::Limited::new(body, limit_bytes);
                match tokio::time::timeout(patience, limited.collect()).await {
                    Err(_) => Err(Error::BodyTooSlow(patience)),
                    Ok(Ok(whole)) => Ok(whole.to_bytes()),
                    Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => Err(too_long),
                    Ok(Err(e)) => Err(Error::BodyBroken(e.to_string())),
                }
            }
        }
    }
}

/// All pieces together; None where they are longer than they may be.
async fn gather(mut body: ByteStream, limit_bytes: usize) -> std::io::Result<Option<Bytes>> {
    let mut whole = Vec::new();
    while let Some(piece) = body.next().await {
        whole.extend_from_slice(&piece?);
        if whole.len() > limit_bytes {
            return Ok(None);
        }
    }
    Ok(Some(whole.into()))
}

/// Puts the usual response together.
pub(super) fn response(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}
