//! A client's connection: its streams, each a task of its own, and its end.

use super::{
    answer::Answering,
    flood::{Account, add},
    head::write_request,
    incoming::Incoming,
    limits::{
        CONNECTION_WINDOW_BYTES, FAULTS_MAX, GOODBYE_MAX, HEAD_BYTES_MAX, RESET_STREAMS_KEPT, RESET_STREAMS_MAX,
        RESET_UNSEEN_MAX, SEND_BUFFER_BYTES_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX,
    },
    stream::Stream,
};
use crate::proxy::{
    connection::{Connection, Ends},
    deadline::Deadline,
    h1::Asked,
    settings::Settings,
    tls::Secured,
    worker::Worker,
};
use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Builder, SendResponse},
};
use http::{Request, header::CONTENT_TYPE, request};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection's bytes, counted.
struct Counted<T> {
    io: T,
    account: Rc<Account>,
}

/// What streams of a connection share.
struct Client {
    worker: Rc<Worker>,
    settings: Arc<Settings>,
    ends: Ends,
    secured: Option<Rc<Secured>>,
    account: Rc<Account>,
    open: Rc<Cell<usize>>,
}

/// One stream in the count.
struct Open(Rc<Cell<usize>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Serves a connection to its end.
pub(in crate::proxy) async fn serve<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    io: T,
    ends: Ends,
    secured: Option<Rc<Secured>>,
    settings: Arc<Settings>,
) {
    let deadline = worker.deadlines.slot();
    let account = Rc::new(Account::default());
    deadline.set(settings.header_timeout);
    let counted = Counted { io, account: account.clone() };
    let Ok(Ok(frames)) = deadline.within(builder().handshake::<_, Bytes>(counted)).await else { return };
    let client = Client { worker, settings, ends, secured, account, open: Rc::default() };
    client.run(frames, &deadline).await;
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .reset_stream_duration(RESET_STREAMS_KEPT)
        .max_pending_accept_reset_streams(RESET_UNSEEN_MAX)
        .max_local_error_reset_streams(Some(FAULTS_MAX));
    builder
}

impl Client {
    async fn run<T: AsyncRead + AsyncWrite + Unpin>(
        self,
        mut frames: h2::server::Connection<Counted<T>, Bytes>,
        deadline: &Deadline,
    ) {
        let stopping = self.worker.shared.stopping.clone();
        let mut stopping = pin!(stopping.cancelled());
        let (mut leaving, mut idle, mut cut) = (false, true, false);
        // The first request is due as it is over HTTP/1.1.
        deadline.set_fresh(self.settings.header_timeout);
        // Who comes while we leave has come to ask something.
        let comes_late = self.worker.draining.get();
        let mut asked = false;
        poll_fn(|cx| {
            loop {
                match frames.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        asked = true;
                        self.begin(request, respond);
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => {
                        // So the limits that we gave to the library end it.
                        if error.reason() == Some(Reason::ENHANCE_YOUR_CALM) && !error.is_remote() && !cut {
                            self.worker.shared.meters.flooded("limits");
                        }
                        tracing::debug!(peer = %self.ends.peer, %error, "a client's HTTP/2 ended");
                        return Poll::Ready(());
                    }
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
                if let Some(flood) = self.account.judge().filter(|_| !cut) {
                    self.worker.shared.meters.flooded(flood.name());
                    tracing::debug!(peer = %self.ends.peer, flood = flood.name(), "a client floods");
                    (cut, leaving) = (true, true);
                    frames.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    deadline.set(GOODBYE_MAX);
                    continue;
                }
                if !leaving && (asked || !comes_late) && stopping.as_mut().poll(cx).is_ready() {
                    leaving = true;
                    self.goodbye(&mut frames, deadline);
                    continue;
                }
                let rests = self.open.get() == 0;
                if rests != idle && !leaving {
                    idle = rests;
                    if rests {
                        deadline.set_idle(self.settings.idle_timeout);
                    } else {
                        deadline.clear();
                    }
                }
                if deadline.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                if leaving {
                    return Poll::Ready(());
                }
                leaving = true;
                self.goodbye(&mut frames, deadline);
            }
        })
        .await;
    }

    /// Tells the client to ask nothing more here. What it asked is answered.
    fn goodbye<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        frames: &mut h2::server::Connection<Counted<T>, Bytes>,
        deadline: &Deadline,
    ) {
        if self.open.get() > 0 {
            deadline.clear();
            return frames.graceful_shutdown();
        }
        // What it may be sending just now it can send again elsewhere: it is told that nothing of it was taken.
        deadline.set(GOODBYE_MAX);
        frames.abrupt_shutdown(Reason::NO_ERROR);
    }

    /// A request: a task, in which it is one as any other.
    fn begin(&self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (parts, body) = request.into_parts();
        let mut head = Vec::with_capacity(512);
        let Ok(framing) = write_request(&mut head, &parts, body.is_end_stream()) else {
            self.worker.shared.meters.refused("h2_field");
            return respond.send_reset(Reason::PROTOCOL_ERROR);
        };
        let grpc = is_grpc(&parts);
        let patience = grpc.then(|| patience(&parts)).flatten().map(|limit| {
            let deadline = self.worker.deadlines.slot();
            deadline.set(limit);
            deadline
        });
        let asked = Asked { head: parts.method == http::Method::HEAD, upgrade: false };
        let answering = Answering::new(asked, grpc);
        let request = Incoming::new(head, framing, body);
        let stream = Stream::new(request, respond, answering, self.account.clone(), patience);
        self.open.set(self.open.get() + 1);
        let open = Open(self.open.clone());
        let connection =
            Connection::new(self.worker.clone(), stream, self.ends, self.secured.clone(), self.settings.clone());
        self.worker.tasks.spawn("proxy stream", async move {
            connection.run().await;
            drop(open);
        });
    }
}

fn is_grpc(parts: &request::Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE).map_or(&b""[..], http::HeaderValue::as_bytes);
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// How long a client of gRPC waits (`grpc-timeout`: up to eight digits and a unit).
fn patience(parts: &request::Parts) -> Option<Duration> {
    let (unit, digits) = parts.headers.get("grpc-timeout")?.as_bytes().split_last()?;
    if digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(n * 3600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return None,
    })
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, into);
        add(&self.account.came, (into.filled().len() - before) as u64);
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
