//! A connection's bytes under watch: framing is followed, slow heads and clients that take nothing are cut off.

use super::{framing::Framing, limits::Limits};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// The reader of a connection's framing, shared with the service that asks for its verdicts.
#[derive(Clone, Debug)]
pub(super) struct SharedFraming(Arc<Mutex<Framing>>);

impl SharedFraming {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Mutex::new(Framing::new(limits.head_bytes_max))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Framing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that fails reads and writes which take longer than [`Limits`] allow.
pub(super) struct Watched<S> {
    socket: S,
    framing: SharedFraming,
    header_timeout: Duration,
    write_stall_timeout: Duration,
    /// Runs while a head is awaited: from the accept, and from the first byte of each later one.
    head_timer: Option<Pin<Box<Sleep>>>,
    /// Runs while the client takes nothing of what is ready for it.
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(socket: S, framing: SharedFraming, limits: &Limits) -> Self {
        Self {
            socket,
            framing,
            header_timeout: limits.header_timeout,
            write_stall_timeout: limits.write_stall_timeout,
            head_timer: Some(Box::pin(tokio::time::sleep(limits.header_timeout))),
            write_timer: None,
        }
    }

    fn watch_write(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if polled.is_ready() {
            self.write_timer = None;
            return polled;
        }
        let patience = self.write_stall_timeout;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        timer.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.socket).poll_read(cx, buf) {
            Poll::Pending => {
                let Some(timer) = &mut self.head_timer else { return Poll::Pending };
                timer.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the head is too slow")))
            }
            Poll::Ready(result) => {
                let in_head = {
                    let mut framing = self.framing.lock();
                    framing.feed(&buf.filled()[before..]);
                    framing.in_head()
                };
                let patience = self.header_timeout;
                if !in_head {
                    self.head_timer = None;
                } else if self.head_timer.is_none() {
                    self.head_timer = Some(Box::pin(tokio::time::sleep(patience)));
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch_write(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.watch_write(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
