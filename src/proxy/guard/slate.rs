//! A client that is none: what it is answered is kept, within a bound, and it never says anything.

use crate::proxy::io::Transport;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A head, and the page of a login behind it.
const ANSWER_BYTES_MAX: usize = 128 << 10;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Slate {
    pub(super) bytes: Vec<u8>,
    /// It would have been longer.
    pub(super) is_too_long: bool,
    /// We wrote it, and nobody that was asked.
    pub(super) is_ours: bool,
}

impl AsyncRead for Slate {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Slate {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.bytes.len() + bytes.len() > ANSWER_BYTES_MAX {
            self.is_too_long = true;
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for Slate {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn plain(&self) -> Option<&TcpStream> {
        None
    }

    fn socket(&self) -> Option<&TcpStream> {
        None
    }

    fn abort(&mut self) {}

    fn answer_is_ours(&mut self) {
        self.is_ours = true;
    }
}
