//! Chunked bodies on their way through: read by our own reader, sent on in chunks of our own. Extensions end here.

use super::{
    buffer::Buffer,
    h1::{self, ChunkReader, Refusal, Step},
};

/// A chunked body in the making.
#[derive(Default)]
pub(super) struct Chunks {
    reader: ChunkReader,
}

/// What a buffer was turned into.
pub(super) enum Turned {
    /// A piece of the body, more follows.
    More,
    /// The last piece.
    End {
        /// What is to be sent behind it, if it had no room in the buffer.
        tail: Vec<u8>,
        /// What came behind the body: the begin of something else.
        rest: Vec<u8>,
    },
}

/// How the body goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Send {
    /// In chunks, with its trailers where the other side wants them.
    Chunked { trailers: bool },
    /// As it is, up to the close.
    Raw,
}

impl Chunks {
    /// Turns what a buffer holds, all of it, into what is to be sent. `data`: how many bytes of the body that is.
    pub(super) fn turn(&mut self, buffer: &mut Buffer, send: Send, data: &mut u64) -> Result<Turned, Refusal> {
        let (mut at, mut kept) = (0, 0);
        let mut ended = false;
        while at < buffer.len() {
            match self.reader.feed(&buffer.filled()[at..])? {
                Step::More => at = buffer.len(),
                Step::Data { from, to } => {
                    kept = buffer.compact(kept, at + from..at + to);
                    at += to;
                }
                Step::End(n) => {
                    at += n;
                    ended = true;
                    break;
                }
            }
        }
        let rest = buffer.filled()[at..].to_vec();
        buffer.truncate(kept);
        *data += kept as u64;
        if let Send::Chunked { .. } = send {
            frame(buffer);
        }
        if !ended {
            return Ok(Turned::More);
        }
        let mut tail = Vec::new();
        if let Send::Chunked { trailers } = send {
            let trailers = if trailers { self.reader.trailers() } else { b"" };
            h1::write_last(&mut tail, trailers);
            if buffer.append(&tail) {
                tail.clear();
            }
        }
        Ok(Turned::End { tail, rest })
    }
}

/// Makes one chunk of what a buffer holds; nothing of nothing, since that would be the last one.
pub(super) fn frame(buffer: &mut Buffer) {
    if buffer.is_empty() {
        return;
    }
    let line = h1::size_line(buffer.len() as u64);
    // There is room in front and behind of what is read, kept for this.
    let framed = buffer.prepend(line.as_bytes()) && buffer.append(b"\r\n");
    debug_assert!(framed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::buffer::{BUFFER_BYTES, Buffers};
    use std::rc::Rc;

    fn pass(wire: &[u8], piece: usize, send: Send) -> (Vec<u8>, Vec<u8>, u64) {
        let buffers = Rc::new(Buffers::default());
        let (mut chunks, mut sent, mut data) = (Chunks::default(), Vec::new(), 0);
        let mut pieces = wire.chunks(piece);
        while let Some(piece) = pieces.next() {
            let mut buffer = buffers.lease();
            assert!(buffer.append(piece));
            let turned = chunks.turn(&mut buffer, send, &mut data).unwrap();
            sent.extend_from_slice(buffer.filled());
            if let Turned::End { tail, mut rest } = turned {
                sent.extend(tail);
                pieces.for_each(|piece| rest.extend_from_slice(piece));
                return (sent, rest, data);
            }
        }
        panic!("the body has no end: {}", String::from_utf8_lossy(&sent));
    }

    #[test]
    fn a_body_comes_out_as_it_went_in_however_it_is_cut() {
        let wire = b"5;x=y\r\nhello\r\n1\r\n \r\n6\r\nworld!\r\n0\r\nX-Sum: 1\r\n\r\nGET / HTTP/1.1";
        for piece in 1..wire.len() {
            let (raw, rest, data) = pass(wire, piece, Send::Raw);
            assert_eq!((raw.as_slice(), rest.as_slice(), data), (&b"hello world!"[..], &b"GET / HTTP/1.1"[..], 12));
            let (framed, _, _) = pass(wire, piece, Send::Chunked { trailers: true });
            let (again, rest, _) = pass(&framed, 7, Send::Raw);
            assert_eq!((again.as_slice(), rest.len()), (&b"hello world!"[..], 0));
            assert!(framed.ends_with(b"0\r\nX-Sum: 1\r\n\r\n"), "{}", String::from_utf8_lossy(&framed));
            assert!(pass(wire, piece, Send::Chunked { trailers: false }).0.ends_with(b"\r\n0\r\n\r\n"));
        }
    }

    #[test]
    fn a_full_buffer_has_room_for_its_frame() {
        let wire = [b"20000\r\n".as_slice(), &vec![b'x'; 0x20000], b"\r\n0\r\n\r\n"].concat();
        let (framed, _, data) = pass(&wire, BUFFER_BYTES, Send::Chunked { trailers: false });
        assert_eq!(data, 0x20000);
        assert_eq!(pass(&framed, 1000, Send::Raw).0.len(), 0x20000);
    }
}
