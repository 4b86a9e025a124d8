//! What all rings together may hold. One slow disk holds up every stream at once, and each ring's own limit, times
//! hundreds of streams, is more than a host has.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes of frames that wait for slow readers, all streams together: 4 s of 500 streams at 4 Mb/s.
pub const ALL_RINGS_BYTES_MAX: usize = 1 << 30;
/// Most bytes that are kept of all streams together for viewers who may come: the groups of pictures of 64 streams of
/// 4 Mb/s, half of one at a time.
pub const ALL_GROUPS_BYTES_MAX: usize = 32 << 20;

/// What is held, and how much may be. Counts are exact; who drops how much over the limit need not be.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    bytes: AtomicUsize,
    rings: AtomicUsize,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(ALL_RINGS_BYTES_MAX)
    }
}

impl Budget {
    pub(super) fn of(limit: usize) -> Self {
        Self { limit, bytes: AtomicUsize::new(0), rings: AtomicUsize::new(0) }
    }

    pub(super) fn enter(&self) {
        self.rings.fetch_add(1, Ordering::Relaxed);
    }

    /// A ring goes, with what it holds.
    pub(super) fn leave(&self, bytes: usize) {
        self.rings.fetch_sub(1, Ordering::Relaxed);
        self.give(bytes);
    }

    pub(super) fn take(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What one ring may hold now: all that it likes, or its even share once too much is held.
    pub(super) fn allowance(&self) -> usize {
        match self.bytes.load(Ordering::Relaxed) > self.limit {
            true => self.limit / self.rings.load(Ordering::Relaxed).max(1),
            false => usize::MAX,
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}
