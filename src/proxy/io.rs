//! A socket as the connection loop uses it: shared by both directions of one task, and never holding memory to wait.

use super::{
    buffer::{Buffer, Buffers},
    deadline::{Deadline, Elapsed},
    pace::Limit,
};
use socket2::SockRef;
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    os::fd::AsFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What a connection can be made of.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Ready once a read may bring something, without memory to read into.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The socket, where what goes through it are the very bytes: the kernel can move them then.
    fn plain(&self) -> Option<&TcpStream>;

    /// The socket below it, whatever goes through that. None where others share it.
    fn socket(&self) -> Option<&TcpStream>;

    /// Makes its close tell the peer that what was sent is not whole.
    fn abort(&mut self);

    /// The socket, where there is nothing else: see [`Transport::plain`].
    fn into_plain(self) -> Option<TcpStream>
    where
        Self: Sized,
    {
        None
    }

    /// Whether it is a stream of HTTP/2.
    fn is_h2(&self) -> bool {
        false
    }

    /// What is written from now on is an answer of our own, and no upstream's.
    fn answer_is_ours(&mut self) {}
}

impl Transport for TcpStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn plain(&self) -> Option<&TcpStream> {
        Some(self)
    }

    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }

    fn into_plain(self) -> Option<TcpStream> {
        Some(self)
    }

    fn abort(&mut self) {
        reset_on_close(self);
    }
}

/// Makes a socket's close tell the peer that what was sent is not whole.
pub(super) fn reset_on_close(socket: &impl AsFd) {
    // One that is gone already needs no reset.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// None: not now, the socket tells when.
pub(super) fn or_not_now<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        done => done.map(Some),
    }
}

/// Why a wait for a peer ended badly.
#[derive(Debug)]
pub(super) enum Broken {
    /// The limit ran out.
    Slow,
    /// The peer ended the stream.
    Ended,
    /// The connection failed.
    Failed,
    /// The peer says that it has not looked at what it was sent (HTTP/2).
    Unprocessed,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        // On a connection that is made, this is nothing that a socket says.
        if error.kind() == io::ErrorKind::ConnectionRefused { Self::Unprocessed } else { Self::Failed }
    }
}

impl From<Elapsed> for Broken {
    fn from(_: Elapsed) -> Self {
        Self::Slow
    }
}

/// A transport that both directions of a task share: each poll takes it for itself.
pub(super) struct Io<T>(RefCell<T>);

impl<T: Transport> Io<T> {
    pub(super) fn new(transport: T) -> Self {
        Self(RefCell::new(transport))
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    pub(super) fn into_inner(self) -> T {
        self.0.into_inner()
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.borrow())
    }

    /// True where the kernel can move this connection's bytes.
    pub(super) fn is_plain(&self) -> bool {
        self.0.borrow().plain().is_some()
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_readable(cx)
    }

    /// Reads once; what is filled stays as it was at the stream's end.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, room)
    }

    /// Writes once.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, bytes)
    }

    /// Sends what a TLS session holds back.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    pub(super) fn poll_fill(&self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        buffer.poll_fill(cx, &mut *self.0.borrow_mut(), usize::MAX)
    }

    /// Reads behind what is in the buffer; 0 at the stream's end. Holds the buffer while it waits.
    pub(super) async fn fill(&self, buffer: &mut Buffer) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx, buffer)).await
    }

    /// The next bytes, in a buffer that is leased once they are there; none at the stream's end. A connection that waits
    /// is little more than this, so it is one future and not made of several.
    pub(super) fn next_within(
        &self,
        buffers: &Rc<Buffers>,
        deadline: &Deadline,
    ) -> impl Future<Output = Result<Option<Buffer>, Broken>> {
        poll_fn(move |cx| match self.poll_next(cx, buffers) {
            Poll::Ready(read) => Poll::Ready(read.map_err(Broken::from)),
            Poll::Pending => deadline.poll(cx).map(|elapsed| Err(elapsed.into())),
        })
    }

    /// The same without a limit.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>, buffers: &Rc<Buffers>) -> Poll<io::Result<Option<Buffer>>> {
        self.poll_some(cx, buffers, usize::MAX)
    }

    /// The next bytes, `most` at most.
    pub(super) fn poll_some(
        &self,
        cx: &mut Context<'_>,
        buffers: &Rc<Buffers>,
        most: usize,
    ) -> Poll<io::Result<Option<Buffer>>> {
        // Where nothing is there, the buffer goes back at once: cheaper than to ask before whether there is something.
        let mut buffer = buffers.lease();
        let got = std::task::ready!(buffer.poll_fill(cx, &mut *self.0.borrow_mut(), most))?;
        Poll::Ready(Ok((got > 0).then_some(buffer)))
    }

    /// Reads behind what is in the buffer, `most` bytes at most, where they are there already. Whatever else there is to
    /// know of this connection, the next read tells.
    pub(super) async fn fill_now(&self, buffer: &mut Buffer, most: usize) -> usize {
        poll_fn(|cx| match buffer.poll_fill(cx, &mut *self.0.borrow_mut(), most) {
            Poll::Ready(Ok(got)) => Poll::Ready(got),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(0),
        })
        .await
    }

    /// Writes all; the limit holds from each write to the next, or as a pace says.
    pub(super) async fn write_all<'l>(
        &self,
        bytes: &[u8],
        deadline: &Deadline,
        limit: impl Into<Limit<'l>>,
    ) -> Result<(), Broken> {
        let limit = limit.into();
        let mut rest = bytes;
        let mut waits = None;
        let write = poll_fn(|cx| {
            while !rest.is_empty() {
                match self.poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Broken::Ended)),
                    Poll::Ready(Ok(n)) => {
                        rest = &rest[n..];
                        if let Some(since) = waits.take() {
                            limit.ends(deadline, since, n);
                        }
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => {
                        if waits.is_none() {
                            waits = Some(limit.begins(deadline));
                        }
                        return deadline.poll(cx).map(|elapsed| Err(elapsed.into()));
                    }
                }
            }
            // What a TLS session holds back goes out now; a plain socket has nothing to flush.
            let flushed = self.poll_flush(cx);
            if flushed.is_pending() {
                if waits.is_none() {
                    waits = Some(limit.begins(deadline));
                }
                return deadline.poll(cx).map(|elapsed| Err(elapsed.into()));
            }
            if let Some(since) = waits.take() {
                limit.ends(deadline, since, bytes.len());
            }
            flushed.map_err(Broken::from)
        });
        write.await
    }

    /// Says that nothing more comes.
    pub(super) async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)).await
    }

    /// What is written from now on is an answer of our own.
    pub(super) fn answer_is_ours(&self) {
        self.0.borrow_mut().answer_is_ours();
    }

    /// Makes the close of this connection a reset: what was sent is not whole, and the peer shall know.
    pub(super) fn abort_on_close(&self) {
        self.0.borrow_mut().abort();
    }
}
