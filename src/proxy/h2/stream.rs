//! A client's stream: its request as the bytes of HTTP/1.1, and its answer out of such bytes.

use super::{
    answer::{Answering, Sent},
    flood::{Account, add},
    incoming::Incoming,
    outgoing::failed,
};
use crate::proxy::{deadline::Deadline, io::Transport};
use bytes::Bytes;
use h2::{Reason, SendStream, server::SendResponse};
use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A stream of a client's connection.
pub(super) struct Stream {
    account: Rc<Account>,
    request: Incoming,
    side: Side,
    answering: Answering,
    /// The answer is sent, and what the client still sends is of no use.
    closed: bool,
    /// The client has taken the request back.
    taken_back: bool,
    /// Until when the client waits, where it says so.
    patience: Option<Deadline>,
}

/// What frames are sent by.
enum Side {
    Respond(SendResponse<Bytes>),
    Send(SendStream<Bytes>),
}

impl Stream {
    pub(super) fn new(
        request: Incoming,
        respond: SendResponse<Bytes>,
        answering: Answering,
        account: Rc<Account>,
        patience: Option<Deadline>,
    ) -> Self {
        account.request();
        let side = Side::Respond(respond);
        Self { account, request, side, answering, closed: false, taken_back: false, patience }
    }

    /// True once there is a piece, false where none comes any more.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.closed {
            return Poll::Ready(Ok(false));
        }
        let account = &self.account;
        match self.request.poll(cx, |n| add(&account.carried, n)) {
            Poll::Ready(Ok(true)) => Poll::Ready(Ok(true)),
            // Nothing more comes of a request that is all here, unless the client takes it back.
            Poll::Ready(Ok(false)) => match self.poll_taken_back(cx) {
                Poll::Ready(error) => Poll::Ready(Err(error)),
                Poll::Pending => self.poll_patience(cx).map_ok(|()| false),
            },
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.broken(error))),
            Poll::Pending => self.poll_patience(cx).map_ok(|()| false),
        }
    }

    fn poll_taken_back(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let reset = match &mut self.side {
            Side::Respond(respond) => respond.poll_reset(cx),
            Side::Send(send) => send.poll_reset(cx),
        };
        Poll::Ready(match ready!(reset) {
            Ok(_) => {
                self.taken_back = true;
                io::ErrorKind::ConnectionReset.into()
            }
            Err(error) => self.broken(error),
        })
    }

    /// Ready with an error once the client waits no longer.
    fn poll_patience(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.patience.as_ref().is_some_and(|patience| patience.poll(cx).is_ready()) {
            let expired = self.answering.expire();
            self.send(expired)?;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    fn broken(&mut self, error: h2::Error) -> io::Error {
        self.taken_back |= error.is_reset() && error.is_remote();
        io::Error::new(io::ErrorKind::ConnectionReset, error)
    }

    /// Gives frames to the connection.
    fn send(&mut self, sent: Sent) -> io::Result<()> {
        match (sent, &mut self.side) {
            (Sent::Nothing, _) => {}
            (Sent::Interim(head), Side::Respond(respond)) => respond.send_informational(head).map_err(failed)?,
            (Sent::Head(head, ends), Side::Respond(respond)) => {
                self.side = Side::Send(respond.send_response(head, ends).map_err(failed)?);
            }
            (Sent::Trailers(trailers), Side::Send(send)) => send.send_trailers(trailers).map_err(failed)?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(())
    }

    /// Sends what is held of the answer's body as far as the client takes it.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (Side::Send(send), Some(body)) = (&mut self.side, &mut self.answering.body) else {
            return Poll::Ready(Ok(()));
        };
        let account = &self.account;
        body.poll_send(send, cx, |n| add(&account.carried, n))
    }

    fn reset(&mut self, reason: Reason) {
        match &mut self.side {
            Side::Respond(respond) => respond.send_reset(reason),
            Side::Send(send) => send.send_reset(reason),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.account.ended(self.taken_back);
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if ready!(self.poll_piece(cx))? {
            self.request.put(into);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // One write's worth is held at most.
        ready!(self.poll_held(cx))?;
        let (taken, sent) = self.answering.take(bytes)?;
        self.send(sent)?;
        if let Poll::Ready(Err(error)) = self.poll_held(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_held(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        // A client that would send on is told by the drop that it need not (RFC 9113, 8.1): that waits for what is on its
        // way, where a reset would throw it away.
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Transport for Stream {
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
        if !self.answering.is_over() {
            self.reset(Reason::INTERNAL_ERROR);
        }
    }

    fn is_h2(&self) -> bool {
        true
    }

    fn answer_is_ours(&mut self) {
        self.answering.is_ours();
    }
}
