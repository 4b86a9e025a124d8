//! A client's socket, shared between who reads and writes it and who answers: that one can see whether the client is
//! still there.

use std::{
    future::pending,
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The client of one request.
#[derive(Clone, Debug, Default)]
pub struct Client(Option<Arc<TcpStream>>);

impl Client {
    /// Ends once the client has closed its side, or is not there any more; never where that cannot be seen, since something
    /// that it sent ahead is still to be read, or since another server than this room's has its socket. Asked for once the
    /// request's body was read.
    ///
    /// One that has closed its side may still read. An answer that waits for nothing is due to it then.
    pub async fn gone(&self) {
        if let Some(socket) = &self.0
            && let Ok(0) | Err(_) = socket.peek(&mut [0]).await
        {
            return;
        }
        pending().await
    }

    /// What it is told from now on is told as it happens: see [`Switched`](super::switch::Switched).
    pub(super) fn hears_what_happens(&self) {
        if let Some(socket) = &self.0 {
            super::switch::keep_little_unsent(&**socket);
        }
    }
}

/// What is read and written.
pub(super) struct Socket(Arc<TcpStream>);

impl Socket {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self(Arc::new(socket))
    }

    pub(super) fn client(&self) -> Client {
        Client(Some(self.0.clone()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(n) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Socket {
    /// Writes once there is room.
    fn poll_room(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_room(cx, |socket| socket.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_room(cx, |socket| socket.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.0).shutdown(Shutdown::Write))
    }
}
