//! What waits to be written to one connection, and writing it without waiting.

use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};
use tokio::net::TcpStream;

/// Pieces that one system call takes.
const PIECES_MAX: usize = 32;
/// No more is made for a client than this while it has not taken what was made before.
pub(super) const WAITING_BYTES_MAX: usize = 128 << 10;

/// Pieces in their order.
#[derive(Debug, Default)]
pub(in crate::playback) struct Outbox {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    pub(in crate::playback) fn push(&mut self, piece: impl Into<Bytes>) {
        let piece = piece.into();
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(in crate::playback) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether there is room for a picture more.
    pub(in crate::playback) fn has_room(&self) -> bool {
        self.bytes < WAITING_BYTES_MAX
    }

    /// Writes what the socket takes now; how many bytes that was.
    pub(in crate::playback) fn write(&mut self, socket: &TcpStream) -> io::Result<usize> {
        let mut written = 0;
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES_MAX];
            let count = self.pieces.len().min(PIECES_MAX);
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(piece);
            }
            match socket.try_write_vectored(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    written += len;
                    self.advance(len);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn advance(&mut self, mut len: usize) {
        self.bytes -= len;
        while let Some(first) = self.pieces.front_mut() {
            if len < first.len() {
                first.advance(len);
                return;
            }
            len -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{io::AsyncReadExt, net::TcpListener};

    #[tokio::test]
    async fn pieces_come_out_as_they_went_in_however_slowly_they_are_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (mut client, server) = (client.unwrap(), server.unwrap().0);
        let mut outbox = Outbox::default();
        let mut wanted = Vec::new();
        for n in 0..500usize {
            let piece = vec![n as u8; n * 37 % 20_000];
            wanted.extend_from_slice(&piece);
            outbox.push(piece);
        }
        assert!(!outbox.has_room());
        let mut got = Vec::new();
        let mut buffer = vec![0; 10_000];
        while got.len() < wanted.len() {
            tokio::select! {
                _ = server.writable(), if !outbox.is_empty() => drop(outbox.write(&server).unwrap()),
                len = client.read(&mut buffer) => got.extend_from_slice(&buffer[..len.unwrap()]),
            }
        }
        assert!(got == wanted && outbox.is_empty() && outbox.has_room());
    }
}
