//! HTTP/2 on a plain port, for calls whose bodies go both ways at once and end in trailers.

use super::{BoxFuture, Limits};
use crate::base::TaskGroup;
use bytes::Bytes;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// How an HTTP/2 connection begins; no method of HTTP/1 does.
const PREFACE: &[u8] = b"PRI";
/// Between two looks at a connection that has sent one or two bytes.
const PREFACE_PAUSE: Duration = Duration::from_millis(10);
/// Streams of one connection at once: clients that watch hold thousands on one.
const STREAMS_MAX: u32 = 10_000;
/// What a client may send of one call, and of all together, before we have read any of it.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// What waits to be sent on one stream: a client that reads nothing holds no more than this of ours.
const SEND_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Bytes of one head.
const HEAD_BYTES_MAX: u32 = 16 << 10;
/// A peer that is gone without a word is noticed within these two.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is answered.
pub type RpcAnswer = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// Answers calls. One value serves all connections at once.
pub trait Rpc: Send + Sync + 'static {
    /// The answer to one call; what it sends may come before all of the request is there. `stopping` fires when the
    /// server stops: an answer without end ends then.
    fn call(
        &self,
        request: http::Request<RpcBody>,
        stopping: CancellationToken,
    ) -> BoxFuture<'static, http::Response<RpcAnswer>>;
}

/// What a client sends.
#[derive(Debug)]
pub struct RpcBody(hyper::body::Incoming);

impl http_body::Body for RpcBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

/// Runs the streams of connections in a group of tasks.
#[derive(Clone)]
struct Streams(TaskGroup);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn("rpc-stream", stream);
    }
}

/// Whether a connection begins as HTTP/2 does. Takes nothing of it.
pub(super) async fn is_http2(socket: &TcpStream, limits: &Limits) -> bool {
    let look = async {
        loop {
            let mut begin = [0; PREFACE.len()];
            match socket.peek(&mut begin).await {
                Ok(n) if n < PREFACE.len() && n > 0 && PREFACE.starts_with(&begin[..n]) => {
                    tokio::time::sleep(PREFACE_PAUSE).await;
                }
                Ok(n) => return begin[..n] == *PREFACE,
                Err(_) => return false,
            }
        }
    };
    tokio::time::timeout(limits.header_timeout, look).await.unwrap_or(false)
}

/// Serves one connection until it ends or `stop` fires, and then what is in flight until `cut` does.
pub(super) async fn serve(socket: TcpStream, rpc: Arc<dyn Rpc>, stop: CancellationToken, cut: CancellationToken) {
    let streams = TaskGroup::new();
    let service = {
        let stop = stop.clone();
        hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let answer = rpc.call(request.map(RpcBody), stop.clone());
            async move { Ok::<_, std::convert::Infallible>(answer.await) }
        })
    };
    let connection = hyper::server::conn::http2::Builder::new(Streams(streams.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let early = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = cut.cancelled() => return,
        () = stop.cancelled() => None,
    };
    let ended = match early {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "rpc connection ended early");
    }
}
