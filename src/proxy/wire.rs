//! A connection to an upstream, whatever is spoken on it: towards the exchange, all of them are HTTP/1.1.

use super::{h2::Asking, io::Transport};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// What there is.
pub(super) enum Wire {
    /// HTTP/1.1 in the clear.
    Plain(TcpStream),
    /// The same over TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// One exchange of a session of HTTP/2.
    H2(Box<Asking>),
}

impl Wire {
    /// Whether a kept one was not closed meanwhile, and nothing came that nobody asked for.
    pub(super) fn is_silent(&mut self) -> bool {
        match self {
            // Costs no call into the kernel where nothing came: the runtime knows that.
            Self::Plain(socket) => {
                socket.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            // What came may be tickets, which are for the session and nobody else.
            Self::Tls(session) => {
                let mut room = [0];
                let mut room = ReadBuf::new(&mut room);
                Pin::new(session).poll_read(&mut Context::from_waker(Waker::noop()), &mut room).is_pending()
            }
            Self::H2(_) => false,
        }
    }

    /// Whether it is one exchange and no more.
    pub(super) fn is_single(&self) -> bool {
        matches!(self, Self::H2(_))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, into),
            Self::Tls(session) => Pin::new(session).poll_read(cx, into),
            Self::H2(asking) => Pin::new(asking).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(session) => Pin::new(session).poll_write(cx, bytes),
            Self::H2(asking) => Pin::new(asking).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(session) => Pin::new(session).poll_flush(cx),
            Self::H2(asking) => Pin::new(asking).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(session) => Pin::new(session).poll_shutdown(cx),
            Self::H2(asking) => Pin::new(asking).poll_shutdown(cx),
        }
    }
}

impl Transport for Wire {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_read_ready(cx),
            Self::Tls(session) => {
                let (socket, state) = session.get_ref();
                // It wants nothing of the socket while there is something of it to be read.
                if state.wants_read() { socket.poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
            }
            Self::H2(asking) => asking.poll_readable(cx),
        }
    }

    fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(_) | Self::H2(_) => None,
        }
    }

    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(session) => Some(session.get_ref().0),
            Self::H2(_) => None,
        }
    }

    fn into_plain(self) -> Option<TcpStream> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(_) | Self::H2(_) => None,
        }
    }

    fn abort(&mut self) {
        match self {
            Self::Plain(socket) => socket.abort(),
            Self::Tls(session) => session.get_mut().0.abort(),
            Self::H2(asking) => asking.abort(),
        }
    }
}
