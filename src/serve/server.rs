//! Accepts connections and runs the handler over them until it is told to stop.

use super::{
    Body, Handler, Limits, Listener, Peer, Request, Response,
    connection::{SharedFraming, Watched},
    listener::{Connection, Tls},
    problem,
    rpc::{self, Rpc},
    socket::{Client, Socket},
    switch::{Switch, Switched},
};
use crate::base::{TaskGroup, task::panic_message};
use futures_util::FutureExt;
use http::{
    HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long accepting rests after the host refused a new descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// One refusal in so many is told: one in ten seconds while none is accepted.
const REFUSALS_TOLD_EVERY: u64 = 100;
/// Between two requests to idle connections to make room.
const CROWDED_PAUSE: Duration = Duration::from_millis(50);
/// What connections that outstayed the drain are given to notice that they are cut.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);

/// An HTTP server.
pub struct Server;

/// Where a connection's answer that leaves HTTP waits for HTTP's end.
type Leaving = Arc<Mutex<Option<Switched>>>;

/// What every connection of a server shares.
struct Shared {
    handler: Arc<dyn Handler>,
    /// Who answers what comes by HTTP/2; None: nobody, only HTTP/1 is served.
    rpc: Option<Arc<dyn Rpc>>,
    limits: Limits,
    /// Fires when the server stops: finish what is in flight, take nothing new.
    stop: CancellationToken,
    /// Fires when the drain's time is up.
    cut: CancellationToken,
    /// Told when all places are taken: connections give up keep-alive, so that idle ones make room.
    crowded: Notify,
}

impl Server {
    /// Serves `listener` until `stop` fires, then lets requests in flight finish within `limits.drain_timeout`.
    /// Returns when no connection is left.
    pub async fn run(listener: Listener, handler: Arc<dyn Handler>, limits: Limits, stop: CancellationToken) {
        Self::run_all(listener, handler, None, limits, stop).await;
    }

    /// The same, and what begins as HTTP/2 on the same port goes to `rpc`. Over TCP, without TLS.
    pub async fn run_rpc(
        listener: Listener,
        handler: Arc<dyn Handler>,
        rpc: Arc<dyn Rpc>,
        limits: Limits,
        stop: CancellationToken,
    ) {
        Self::run_all(listener, handler, Some(rpc), limits, stop).await;
    }

    async fn run_all(
        listener: Listener,
        handler: Arc<dyn Handler>,
        rpc: Option<Arc<dyn Rpc>>,
        limits: Limits,
        stop: CancellationToken,
    ) {
        let group = TaskGroup::new();
        let places = Arc::new(Semaphore::new(limits.connections_max));
        let shared =
            Arc::new(Shared { handler, rpc, limits, stop, cut: CancellationToken::new(), crowded: Notify::new() });
        let mut refusals = Refusals::default();
        loop {
            let place = tokio::select! {
                biased;
                () = shared.stop.cancelled() => break,
                place = shared.place(&places) => place,
            };
            let accepted = tokio::select! {
                biased;
                () = shared.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(connection) => {
                    let shared = shared.clone();
                    let (kind, tls) = (listener.kind, listener.tls.clone());
                    group.spawn("http-connection", async move {
                        match connection {
                            Connection::Tcp(s, a) => {
                                shared.accepted(s, tls, Peer { address: Some(a), listener: kind }).await
                            }
                            Connection::Unix(s) => {
                                let peer = Peer { address: None, listener: kind };
                                shared.serve(s, peer, Client::default()).await;
                            }
                        }
                        drop(place);
                    });
                }
                Err(error) => refusals.rest(&error).await,
            }
        }
        drop(listener);
        if !group.stop(shared.limits.drain_timeout).await {
            tracing::warn!("requests still in flight at the end of the drain were cut");
            shared.cut.cancel();
            group.stop(CUT_TIMEOUT).await;
        }
    }
}

/// Accepts that failed: told now and then, not each time.
#[derive(Default)]
struct Refusals(u64);

impl Refusals {
    /// A client that is gone already needs no rest; a host without descriptors or memory does, or the loop would spin.
    async fn rest(&mut self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            return;
        }
        if self.0.is_multiple_of(REFUSALS_TOLD_EVERY) {
            tracing::warn!(%error, refusals = self.0 + 1, "cannot accept connections");
        }
        self.0 += 1;
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

impl Shared {
    /// A place for one more connection; while there is none, idle ones are asked to leave, again and again, since
    /// one that is busy now may be idle next.
    async fn place(&self, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        loop {
            if places.available_permits() == 0 {
                self.crowded.notify_waiters();
            }
            tokio::select! {
                // None only of a closed semaphore, and nobody closes this one.
                place = places.clone().acquire_owned() => return place.ok(),
                () = tokio::time::sleep(CROWDED_PAUSE) => {}
            }
        }
    }

    async fn accepted(self: Arc<Self>, socket: TcpStream, tls: Option<Tls>, peer: Peer) {
        let Some(Tls(acceptor)) = tls else {
            let Some(rpc) = self.rpc.clone() else { return self.serve_plain(socket, peer).await };
            let is_http2 = tokio::select! {
                is_http2 = rpc::is_http2(&socket, &self.limits) => is_http2,
                () = self.stop.cancelled() => return,
            };
            return match is_http2 {
                true => rpc::serve(socket, rpc, self.stop.clone(), self.cut.clone()).await,
                false => self.serve_plain(socket, peer).await,
            };
        };
        let shaken = tokio::select! {
            shaken = timeout(self.limits.header_timeout, acceptor.accept(socket)) => shaken,
            () = self.stop.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.serve(stream, peer, Client::default()).await,
            Ok(Err(error)) => tracing::debug!(%error, ?peer, "no tls handshake"),
            Err(_) => tracing::debug!(?peer, "no tls handshake in time"),
        }
    }

    async fn serve_plain(self: Arc<Self>, socket: TcpStream, peer: Peer) {
        let socket = Socket::new(socket);
        let client = socket.client();
        self.serve(socket, peer, client).await;
    }

    async fn serve<S>(self: Arc<Self>, socket: S, peer: Peer, client: Client)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let framing = SharedFraming::new(&self.limits);
        let leaving = Leaving::default();
        let watched = Watched::new(socket, framing.clone(), &self.limits);
        let service = {
            let (shared, leaving) = (self.clone(), leaving.clone());
            hyper::service::service_fn(move |request| {
                let verdict = framing.lock().next_verdict();
                let (shared, client) = (shared.clone(), client.clone());
                let (framing, leaving) = (framing.clone(), leaving.clone());
                async move {
                    match verdict {
                        Some(reason) => Ok(bad_request(reason)),
                        None => shared.answer(request, peer, client, (framing, leaving)).await,
                    }
                }
            })
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            // The library's timer starts when the last answer ended, so it is our idle timer. `Watched` times heads.
            .header_read_timeout(self.limits.idle_timeout)
            .max_headers(self.limits.headers_max)
            .max_header_size(self.limits.head_bytes_max)
            .half_close(true)
            .serve_connection(TokioIo::new(watched), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let early = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.cut.cancelled() => return,
            () = self.leave() => None,
        };
        let ended = match early {
            Some(ended) => ended,
            None => {
                // Told once, the connection ends by itself, or is cut.
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.cut.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, ?peer, "connection ended early");
        }
        let switched = leaving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(switched) = switched {
            self.cut.run_until_cancelled(switched.run()).await;
        }
    }

    async fn leave(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.crowded.notified() => {}
        }
    }

    async fn answer(
        self: Arc<Self>,
        mut request: http::Request<hyper::body::Incoming>,
        peer: Peer,
        client: Client,
        (framing, leaving): (SharedFraming, Leaving),
    ) -> Result<Response, Infallible> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            let detail = format!("{} is not served here", request.method());
            return Ok(closing(problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                detail,
            )));
        }
        let (switch, heard) = Switch::of(&mut request).unzip();
        let socket = client.clone();
        let request = Request::from_wire(request, peer, self.limits.body_timeout, self.stop.clone(), client);
        let request = match heard {
            Some(heard) => request.switchable(heard),
            None => request,
        };
        let head_only = request.head_only;
        let path = request.path().to_owned();
        let caught = AssertUnwindSafe(async { self.handler.handle(request).await }).catch_unwind().await;
        let response = caught.unwrap_or_else(|payload| {
            tracing::error!(path, message = panic_message(payload.as_ref()), "handler panicked");
            let detail = "skyvis failed on this request; its log says more";
            problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
        });
        if let Some(switch) = switch.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
            let (head, body) = response.into_parts();
            framing.lock().leave();
            socket.hears_what_happens();
            *leaving.lock().unwrap_or_else(PoisonError::into_inner) = Some(switch.granted(body));
            return Ok(Response::from_parts(head, Body::empty()));
        }
        Ok(if head_only { without_body(response) } else { response })
    }
}

/// The answer to HEAD: the head that GET would have, its length included.
fn without_body(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if let Some(len) = body.len().filter(|_| !head.headers.contains_key(CONTENT_LENGTH)) {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
    Response::from_parts(head, Body::empty())
}

fn bad_request(reason: &'static str) -> Response {
    closing(problem(StatusCode::BAD_REQUEST, "bad-request", "Bad request", reason))
}

/// An answer after which nothing more of this connection is believed.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
