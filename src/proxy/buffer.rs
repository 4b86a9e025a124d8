//! Memory that bytes pass through, leased by connections that have some right now and shared by all of a worker.
//!
//! A connection that waits holds none; what it must keep meanwhile is packed into as much memory as it takes. Before what
//! is read there is room, so that a rewritten head can be laid in front of the body that came with the old one, and both
//! go out in one send.

use crate::base::metrics::Gauge;
use std::{
    cell::{Cell, RefCell},
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
/// All of a buffer, in bytes.
const WHOLE_BYTES: usize = HEADROOM_BYTES + BUFFER_BYTES + TAILROOM_BYTES;
/// Buffers of one worker in use from which on others are smaller: those of peers that take nothing pile up, and must
/// not take all memory. Some 34 MB.
const LARGE_MAX: usize = 512;
/// What those read at once, in bytes. They grow where that is not enough.
const SMALL_BYTES: usize = 8 << 10;
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
    in_use: Cell<usize>,
    /// What buffers take, in use or kept, of all workers.
    bytes: Gauge,
}

/// A buffer that goes back on drop. What was read and not consumed lies together.
pub(super) struct Buffer {
    of: Rc<Buffers>,
    memory: Box<[u8]>,
    start: usize,
    end: usize,
    /// It has no room for anything but what is in it.
    packed: bool,
}

/// A head that is being made; goes back on drop.
pub(super) struct Head {
    of: Rc<Buffers>,
    /// The bytes.
    pub(super) bytes: Vec<u8>,
}

impl Buffers {
    /// None yet. `bytes` shows what they take.
    pub(super) fn new(bytes: Gauge) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// An empty buffer.
    pub(super) fn lease(self: &Rc<Self>) -> Buffer {
        let crowded = self.in_use.get() >= LARGE_MAX;
        let len = if crowded { HEADROOM_BYTES + SMALL_BYTES + TAILROOM_BYTES } else { WHOLE_BYTES };
        let memory = self.take(len);
        Buffer { of: self.clone(), memory, start: HEADROOM_BYTES, end: HEADROOM_BYTES, packed: false }
    }

    /// A buffer that holds a copy of these bytes, [`BUFFER_BYTES`] at most.
    pub(super) fn holding(self: &Rc<Self>, bytes: &[u8]) -> Buffer {
        let mut buffer = self.lease();
        if bytes.len() > SMALL_BYTES && buffer.memory.len() < WHOLE_BYTES {
            buffer.grow();
        }
        let fits = buffer.append(bytes);
        debug_assert!(fits);
        buffer
    }

    fn take(&self, len: usize) -> Box<[u8]> {
        self.in_use.set(self.in_use.get() + 1);
        if let Some(spare) = self.spare.borrow_mut().pop() {
            return spare;
        }
        self.bytes.inc_by(i64::try_from(len).unwrap_or(i64::MAX));
        vec![0; len].into_boxed_slice()
    }

    fn give_back(&self, memory: Box<[u8]>) {
        self.in_use.set(self.in_use.get() - 1);
        let mut spare = self.spare.borrow_mut();
        if memory.len() == WHOLE_BYTES && spare.len() < SPARE_MAX {
            spare.push(memory);
        } else {
            self.bytes.dec_by(i64::try_from(memory.len()).unwrap_or(i64::MAX));
        }
    }

    /// An empty head.
    pub(super) fn head(self: &Rc<Self>) -> Head {
        let bytes = self.heads.borrow_mut().pop().unwrap_or_default();
        Head { of: self.clone(), bytes }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if self.packed {
            self.of.bytes.dec_by(i64::try_from(memory.len()).unwrap_or(i64::MAX));
        } else {
            self.of.give_back(memory);
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
        self.memory.len() >= WHOLE_BYTES && self.end >= self.fill_end() && self.start <= HEADROOM_BYTES
    }

    fn fill_end(&self) -> usize {
        if self.packed { self.end } else { self.memory.len() - TAILROOM_BYTES }
    }

    /// For a wait: what is filled is kept in no more memory than it takes.
    pub(super) fn pack(&mut self) {
        if self.packed || 2 * self.len() > self.memory.len() {
            return;
        }
        let kept: Box<[u8]> = self.filled().into();
        self.of.bytes.inc_by(i64::try_from(kept.len()).unwrap_or(i64::MAX));
        (self.start, self.end, self.packed) = (0, kept.len(), true);
        let memory = std::mem::replace(&mut self.memory, kept);
        self.of.give_back(memory);
    }

    /// After it: there is room again, in front and behind.
    pub(super) fn unpack(&mut self) {
        if self.packed {
            self.grow();
        }
    }

    /// Moves what is filled to a whole buffer.
    fn grow(&mut self) {
        let mut whole = Self {
            of: self.of.clone(),
            memory: self.of.take(WHOLE_BYTES),
            start: HEADROOM_BYTES,
            end: HEADROOM_BYTES,
            packed: false,
        };
        let fits = whole.append(self.filled());
        debug_assert!(fits);
        *self = whole;
    }

    /// The first `n` bytes are done with.
    pub(super) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n;
        if self.start == self.end && !self.packed {
            self.clear();
        }
    }

    /// Only the first `n` bytes stay.
    pub(super) fn truncate(&mut self, n: usize) {
        self.end = self.end.min(self.start + n);
    }

    pub(super) fn clear(&mut self) {
        self.unpack();
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

    /// Has `n` bytes filled behind what is there, as far as there is room: how many were.
    pub(super) fn fill_with(&mut self, n: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let to = (self.end + n).min(self.memory.len());
        let got = fill(&mut self.memory[self.end..to]).min(n);
        self.end += got;
        got
    }

    /// Reads once behind what is filled, `most` bytes at most; 0 at the end of the stream.
    pub(super) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        self.unpack();
        if self.end >= self.fill_end() && self.start <= HEADROOM_BYTES && self.memory.len() < WHOLE_BYTES {
            self.grow();
        }
        if self.end >= self.fill_end() && self.start > HEADROOM_BYTES {
            self.memory.copy_within(self.start..self.end, HEADROOM_BYTES);
            self.end -= self.start - HEADROOM_BYTES;
            self.start = HEADROOM_BYTES;
        }
        let fill_end = self.fill_end();
        let from = self.end.min(fill_end);
        let mut room = ReadBuf::new(&mut self.memory[from..fill_end.min(from.saturating_add(most))]);
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
        assert_eq!(poll_fn(|cx| buffer.poll_fill(cx, &mut source, usize::MAX)).await.unwrap(), BUFFER_BYTES);
        assert!(buffer.is_full());
        buffer.consume(10);
        assert!(!buffer.is_full(), "it can be moved together");
        assert!(buffer.prepend(b"a longer new head, "), "there is room");
        assert!(buffer.filled().starts_with(b"a longer new head, body"));
        assert!(!buffer.prepend(&[0; HEADROOM_BYTES]));
        buffer.consume(23);
        assert_eq!(poll_fn(|cx| buffer.poll_fill(cx, &mut source, usize::MAX)).await.unwrap(), 14);
        assert_eq!(buffer.len(), BUFFER_BYTES);
        buffer.consume(buffer.len());
        assert!(buffer.append(b"ab") && buffer.filled() == b"ab");
        drop(buffer);
        assert_eq!(buffers.spare.borrow().len(), 1);
        let again = buffers.lease();
        assert!(again.is_empty() && buffers.spare.borrow().is_empty(), "it is the same memory");
    }

    #[tokio::test]
    async fn what_is_kept_for_a_wait_takes_its_own_size_and_goes_on_as_if_nothing_had_been() {
        let bytes = Gauge::default();
        let buffers = Rc::new(Buffers::new(bytes.clone()));
        let mut buffer = buffers.lease();
        assert!(buffer.append(b"GET / HT"));
        let whole = bytes.get();
        buffer.pack();
        buffer.pack();
        assert_eq!((bytes.get() - whole, buffers.in_use.get(), buffer.filled()), (8, 0, &b"GET / HT"[..]));
        assert!(!buffer.prepend(b"x") && !buffer.append(b"x") && !buffer.is_full());
        buffer.consume(4);
        let mut source: &[u8] = &vec![b'y'; 2 * BUFFER_BYTES];
        assert_eq!(poll_fn(|cx| buffer.poll_fill(cx, &mut source, usize::MAX)).await.unwrap(), BUFFER_BYTES - 4);
        assert!(buffer.filled().starts_with(b"/ HTy") && buffer.is_full() && buffer.prepend(b"x"));
        buffer.pack();
        assert_eq!(buffer.len(), BUFFER_BYTES + 1, "one that is nearly full stays as it is");
        drop(buffer);
        assert_eq!((bytes.get(), buffers.in_use.get()), (whole, 0), "nothing is left but a spare one");
        let mut packed = buffers.lease();
        packed.append(b"ab");
        packed.pack();
        packed.consume(2);
        assert!(packed.is_empty());
        packed.clear();
        assert!(packed.append(b"c"));
    }

    #[tokio::test]
    async fn in_a_crowd_buffers_are_small_and_grow_where_they_must() {
        let bytes = Gauge::default();
        let buffers = Rc::new(Buffers::new(bytes.clone()));
        let mut crowd: Vec<Buffer> = (0..LARGE_MAX + 1000).map(|_| buffers.lease()).collect();
        let most = LARGE_MAX * WHOLE_BYTES + 1000 * (HEADROOM_BYTES + SMALL_BYTES + TAILROOM_BYTES);
        assert_eq!(bytes.get(), most as i64);
        drop(buffers.holding(&[b'x'; BUFFER_BYTES]));
        assert_eq!(buffers.holding(&[b'x'; SMALL_BYTES]).len(), SMALL_BYTES);
        let small = crowd.last_mut().unwrap();
        let mut source: &[u8] = &vec![b'y'; 2 * BUFFER_BYTES];
        assert_eq!(poll_fn(|cx| small.poll_fill(cx, &mut source, usize::MAX)).await.unwrap(), SMALL_BYTES);
        assert!(!small.is_full());
        assert_eq!(
            poll_fn(|cx| small.poll_fill(cx, &mut source, usize::MAX)).await.unwrap(),
            BUFFER_BYTES - SMALL_BYTES
        );
        assert!(small.is_full() && small.len() == BUFFER_BYTES);
        crowd.clear();
        assert_eq!((bytes.get() as usize, buffers.in_use.get()), (SPARE_MAX * WHOLE_BYTES, 0));
    }
}
