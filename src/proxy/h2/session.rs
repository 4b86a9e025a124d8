//! HTTP/2 with an upstream: sessions that many exchanges share, and one exchange of them, which takes a request as the
//! bytes of HTTP/1.1 and gives such an answer.

use super::{
    head,
    incoming::Incoming,
    limits::{CONNECTION_WINDOW_BYTES, HEAD_BYTES_MAX, SEND_BUFFER_BYTES_MAX, STREAM_WINDOW_BYTES},
    outgoing::{Outgoing, failed, unsound},
};
use crate::proxy::{
    h1::{self, Limits, RequestHead},
    io::Transport,
};
use bytes::Bytes;
use h2::{
    Reason, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use std::{
    cell::Cell,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Exchanges at once in one session, where the upstream allows more: they share one window and one task.
const EXCHANGES_MAX: usize = 100;

/// A connection to an upstream. Cheap to clone.
#[derive(Clone)]
pub(in crate::proxy) struct Session {
    send: SendRequest<Bytes>,
    shared: Rc<Shared>,
    https: bool,
}

#[derive(Default)]
struct Shared {
    /// Exchanges that are open.
    open: Cell<usize>,
    /// It takes no more: its connection ended, or did not answer.
    retired: Cell<bool>,
    used: Cell<bool>,
}

/// One exchange.
pub(in crate::proxy) struct Asking {
    session: Session,
    /// It is not the first one of its session.
    pub(in crate::proxy) reused: bool,
    state: State,
    /// The begin of a head.
    begun: Vec<u8>,
}

enum State {
    /// The request's head is not sent.
    Head,
    /// It is, and the answer's is to come.
    Asked { answer: ResponseFuture, send: SendStream<Bytes>, body: Outgoing, bare: bool },
    /// The answer comes.
    Answered { answer: Incoming, send: SendStream<Bytes>, body: Outgoing },
}

impl Session {
    /// Begins one over a connection; the future moves its frames, and is to be run by a task.
    pub(in crate::proxy) async fn begin<T: AsyncRead + AsyncWrite + Unpin + 'static>(
        io: T,
        https: bool,
    ) -> io::Result<(Self, impl Future<Output = ()> + 'static)> {
        let mut builder = Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
            .max_header_list_size(HEAD_BYTES_MAX)
            .enable_push(false);
        let (send, connection) = builder.handshake(io).await.map_err(failed)?;
        let shared = Rc::new(Shared::default());
        let session = Self { send, shared: shared.clone(), https };
        let moving = async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream's HTTP/2 ended");
            }
            shared.retired.set(true);
        };
        Ok((session, moving))
    }

    /// Whether it can be used again, now or later.
    pub(in crate::proxy) fn is_open(&mut self) -> bool {
        let ready = self.send.poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Err(_))) {
            self.shared.retired.set(true);
        }
        !self.shared.retired.get()
    }

    /// Whether nothing goes on in it.
    pub(in crate::proxy) fn is_idle(&self) -> bool {
        self.shared.open.get() == 0
    }

    /// An exchange, where there is room for one.
    pub(in crate::proxy) fn ask(&mut self) -> Option<Asking> {
        let most = self.send.current_max_send_streams().min(EXCHANGES_MAX);
        if !self.is_open() || self.shared.open.get() >= most {
            return None;
        }
        self.shared.open.set(self.shared.open.get() + 1);
        let reused = self.shared.used.replace(true);
        Some(Asking { session: self.clone(), reused, state: State::Head, begun: Vec::new() })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let shared = &self.session.shared;
        shared.open.set(shared.open.get() - 1);
        // A session that gave no answer may be one to a host that is gone: others shall not wait for it, too.
        if matches!(self.state, State::Asked { .. }) {
            shared.retired.set(true);
        }
    }
}

impl Asking {
    fn take_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let before = self.begun.len();
        self.begun.extend_from_slice(bytes);
        let mut head = RequestHead::default();
        // It is our own, grown by what we add.
        let Some(len) = h1::parse_request(&self.begun, &Limits::default(), &mut head).map_err(unsound)? else {
            return Ok(bytes.len());
        };
        let request = head::request(&head, &self.begun, self.session.https).ok_or_else(invalid)?;
        let body = Outgoing::new(head.body()).ok_or_else(invalid)?;
        let bare = head.method() == h1::Method::Head;
        let (answer, send) = self.session.send.send_request(request, body.is_over()).map_err(unprocessed)?;
        self.state = State::Asked { answer, send, body, bare };
        self.begun = Vec::new();
        Ok(len - before)
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Head => Poll::Ready(Ok(())),
            State::Asked { send, body, .. } | State::Answered { send, body, .. } => body.poll_send(send, cx, |_| {}),
        }
    }

    /// True once there is a piece of the answer, false at its end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            match &mut self.state {
                State::Head => return Poll::Pending,
                State::Asked { answer, bare, .. } => {
                    let answered = ready!(Pin::new(answer).poll(cx)).map_err(unprocessed)?;
                    let (parts, body) = answered.into_parts();
                    let mut text = Vec::with_capacity(512);
                    let framing = head::write_response(&mut text, &parts, body.is_end_stream(), *bare);
                    let answer = Incoming::new(text, framing, body);
                    let State::Asked { send, body, .. } = std::mem::replace(&mut self.state, State::Head) else {
                        return Poll::Pending;
                    };
                    self.state = State::Answered { answer, send, body };
                }
                State::Answered { answer, .. } => {
                    let reset = |error| io::Error::new(io::ErrorKind::ConnectionReset, error);
                    return answer.poll(cx, |_| {}).map_err(reset);
                }
            }
        }
    }
}

/// An error before an answer. What the upstream says that it has not looked at can be asked again, whatever it is.
fn unprocessed(error: h2::Error) -> io::Error {
    let is_untouched = error.reason() == Some(Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.reason() == Some(Reason::NO_ERROR));
    let kind = if is_untouched { io::ErrorKind::ConnectionRefused } else { io::ErrorKind::ConnectionReset };
    io::Error::new(kind, error)
}

impl AsyncRead for Asking {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if ready!(self.poll_piece(cx))?
            && let State::Answered { answer, .. } = &mut self.state
        {
            answer.put(into);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Asking {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_held(cx))?;
        let taken = match &mut self.state {
            State::Head => return Poll::Ready(self.take_head(bytes)),
            State::Asked { body, .. } | State::Answered { body, .. } => body.take(bytes).map(|()| bytes.len())?,
        };
        if let Poll::Ready(Err(error)) = self.poll_held(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_held(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_held(cx)
    }
}

impl Transport for Asking {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_piece(cx).map_ok(|_| ())
    }

    fn plain(&self) -> Option<&TcpStream> {
        None
    }

    fn socket(&self) -> Option<&TcpStream> {
        None
    }

    fn abort(&mut self) {
        if let State::Asked { send, .. } | State::Answered { send, .. } = &mut self.state {
            send.send_reset(Reason::CANCEL);
        }
    }

    fn is_h2(&self) -> bool {
        true
    }
}
