//! A message as it comes in frames, given as the bytes of HTTP/1.1: its head, and its body by length or in chunks.

use super::head::{Framing, last_chunk};
use crate::proxy::h1;
use bytes::Bytes;
use h2::RecvStream;
use std::{
    collections::VecDeque,
    task::{Context, Poll, ready},
};
use tokio::io::ReadBuf;

/// What came and was not taken, and what is to come.
pub(super) struct Incoming {
    pieces: VecDeque<Piece>,
    framing: Framing,
    body: RecvStream,
    /// All of it is here.
    ended: bool,
}

/// Some bytes.
struct Piece {
    bytes: Bytes,
    /// They are the other side's, and it may send as many more once they are taken.
    counts: bool,
}

impl Incoming {
    pub(super) fn new(head: Vec<u8>, framing: Framing, body: RecvStream) -> Self {
        let pieces = VecDeque::from([Piece { bytes: head.into(), counts: false }]);
        let ended = body.is_end_stream();
        let mut incoming = Self { pieces, framing, body, ended: false };
        if ended {
            incoming.end(None);
        }
        incoming
    }

    /// True once there is something to be put, false at the end. `came` is told how much came.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, came: impl Fn(u64)) -> Poll<Result<bool, h2::Error>> {
        while self.pieces.is_empty() && !self.ended {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => {
                    came(data.len() as u64);
                    self.take(data);
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => {
                    let trailers = ready!(self.body.poll_trailers(cx))?;
                    self.end(trailers.as_ref());
                }
            }
        }
        Poll::Ready(Ok(!self.pieces.is_empty()))
    }

    fn end(&mut self, trailers: Option<&http::HeaderMap>) {
        self.ended = true;
        if self.framing == Framing::Chunked {
            self.pieces.push_back(Piece { bytes: last_chunk(trailers).into(), counts: false });
        }
    }

    fn take(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let own = |bytes: Bytes| Piece { bytes, counts: false };
        if self.framing == Framing::Chunked {
            let line = h1::size_line(data.len() as u64);
            self.pieces.push_back(own(Bytes::copy_from_slice(line.as_bytes())));
            self.pieces.push_back(Piece { bytes: data, counts: true });
            self.pieces.push_back(own(Bytes::from_static(b"\r\n")));
        } else {
            self.pieces.push_back(Piece { bytes: data, counts: true });
        }
    }

    /// Puts as much as there is and goes in.
    pub(super) fn put(&mut self, into: &mut ReadBuf<'_>) {
        while into.remaining() > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let n = piece.bytes.len().min(into.remaining());
            into.put_slice(&piece.bytes.split_to(n));
            if piece.counts {
                // A stream that is gone takes no more, and says so elsewhere.
                let _ = self.body.flow_control().release_capacity(n);
            }
            if piece.bytes.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}
