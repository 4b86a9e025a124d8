//! Memory that bytes pass through, leased by connections that have some right now and shared by all of a worker.
//!
//! A connection that waits holds none. Before what is read there is room, so that a rewritten head can be laid in front
//! of the body that came with the old one, and both go out in one send.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, ReadBuf};

/// What is read at once at most, in bytes: above 32 KiB reading more at once gains nothing, and a head fits in.
pub(super) const BUFFER_BYTES: usize = 64 << 10;
/// Room in front of it, in bytes: a head may grow by what we add to it.
pub(super) const HEADROOM_BYTES: usize = 2 << 10;
/// Room behind it, in bytes: the end of a chunk, and of a body without trailers.
pub(super) const TAILROOM_BYTES: usize = 16;
const FILL_END: usize = HEADROOM_BYTES + BUFFER_BYTES;
/// Buffers of one worker that are kept for the next who needs one.
const SPARE_MAX: usize = 64;
/// Heads that are kept the same way.
const SPARE_HEADS_MAX: usize = 256;
/// A head's memory that is given back when the head was longer, in bytes.
const SPARE_HEAD_BYTES_MAX: usize = 16 << 10;

/// The memory of one worker.
#[derive(Default)]
pub(super) struct Buffers {
    spare: RefCell<Vec<Box<[u8]>>>,
    heads: RefCell<Vec<Vec<u8>>>,
}

/// A buffer that goes back on drop. What was read and not consumed lies together.
pub(super) struct Buffer {
    of: Rc<Buffers>,
    memory: Box<[u8]>,
    start: usize,
    end: usize,
}

/// A head that is being made; goes back on drop.
pub(super) struct Head {
    of: Rc<Buffers>,
    /// The bytes.
    pub(super) bytes: Vec<u8>,
}

impl Buffers {
    /// An empty buffer.
    pub(super) fn lease(self: &Rc<Self>) -> Buffer {
        let spare = self.spare.borrow_mut().pop();
        let memory = spare.unwrap_or_else(|| vec![0; FILL_END + TAILROOM_BYTES].into_boxed_slice());
        Buffer { of: self.clone(), memory, start: HEADROOM_BYTES, end: HEADROOM_BYTES }
    }

    /// An empty head.
    pub(super) fn head(self: &Rc<Self>) -> Head {
        let bytes = self.heads.borrow_mut().pop().unwrap_or_default();
        Head { of: self.clone(), bytes }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spare = self.of.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(std::mem::take(&mut self.memory));
        }
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        let mut heads = self.of.heads.borrow_mut();
        if heads.len() < SPARE_HEADS_MAX && self.bytes.capacity() <= SPARE_HEAD_BYTES_MAX {
            self.bytes.clear();
            heads.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Buffer {
    /// What was read and is not consumed.
    pub(super) fn filled(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether another read could bring nothing.
    pub(super) fn is_full(&self) -> bool {
        self.end >= FILL_END && self.start <= HEADROOM_BYTES
    }

    /// The first `n` bytes are done with.
    pub(super) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n;
        if self.start == self.end {
            self.clear();
        }
    }

    /// Only the first `n` bytes stay.
    pub(super) fn truncate(&mut self, n: usize) {
        self.end = self.end.min(self.start + n);
    }

    pub(super) fn clear(&mut self) {
        self.start = HEADROOM_BYTES;
        self.end = HEADROOM_BYTES;
    }

    /// Lays `head` in front of what is filled. False where there is not room enough; then nothing has changed.
    pub(super) fn prepend(&mut self, head: &[u8]) -> bool {
        let Some(start) = self.start.checked_sub(head.len()) else { return false };
        self.memory[start..self.start].copy_from_slice(head);
        self.start = start;
        true
    }

    /// Adds bytes behind. False where there is not room enough.
    pub(super) fn append(&mut self, bytes: &[u8]) -> bool {
        if self.end + bytes.len() > self.memory.len() {
            return false;
        }
        self.memory[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
        true
    }

    /// Moves bytes of what is filled forward to `at`; where the next ones go.
    pub(super) fn compact(&mut self, at: usize, from: std::ops::Range<usize>) -> usize {
        let len = from.len();
        self.memory.copy_within(self.start + from.start..self.start + from.end, self.start + at);
        at + len
    }

    /// Reads once behind what is filled; 0 at the end of the stream.
    pub(super) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
    ) -> Poll<io::Result<usize>> {
        if self.end >= FILL_END && self.start > HEADROOM_BYTES {
            self.memory.copy_within(self.start..self.end, HEADROOM_BYTES);
            self.end -= self.start - HEADROOM_BYTES;
            self.start = HEADROOM_BYTES;
        }
        let mut room = ReadBuf::new(&mut self.memory[self.end.min(FILL_END)..FILL_END]);
        std::task::ready!(std::pin::Pin::new(source).poll_read(cx, &mut room))?;
        let got = room.filled().len();
        self.end += got;
        Poll::Ready(Ok(got))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn bytes_come_out_as_they_went_in_and_a_head_goes_in_front() {
        let buffers = Rc::new(Buffers::default());
        let mut buffer = buffers.lease();
        let mut source: &[u8] = &[b"old head, body".as_slice(), &vec![b'x'; 2 * BUFFER_BYTES]].concat();
        assert_eq!(poll_fn(|cx| buffer.poll_fill(cx, &mut source)).await.unwrap(), BUFFER_BYTES);
        assert!(buffer.is_full());
        buffer.consume(10);
        assert!(!buffer.is_full(), "it can be moved together");
        assert!(buffer.prepend(b"a longer new head, "), "there is room");
        assert!(buffer.filled().starts_with(b"a longer new head, body"));
        assert!(!buffer.prepend(&[0; HEADROOM_BYTES]));
        buffer.consume(23);
        assert_eq!(poll_fn(|cx| buffer.poll_fill(cx, &mut source)).await.unwrap(), 14);
        assert_eq!(buffer.len(), BUFFER_BYTES);
        buffer.consume(buffer.len());
        assert!(buffer.append(b"ab") && buffer.filled() == b"ab");
        drop(buffer);
        assert_eq!(buffers.spare.borrow().len(), 1);
        let again = buffers.lease();
        assert!(again.is_empty() && buffers.spare.borrow().is_empty(), "it is the same memory");
    }
}
