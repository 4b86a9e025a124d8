//! An open file, and what of it was in memory a moment ago.

use crate::disk::in_memory;
use std::{
    fs::File,
    ops::{Deref, Range},
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{AtomicU64, Ordering},
};

/// What is looked for, fetched and sent in one go, in bytes: a disk is slow to begin and quick to go on.
pub(super) const STRETCH_BYTES: u64 = 1 << 20;

/// A file that is kept open for a second at most: for so long, what was in memory is taken to be there still. Where it was
/// evicted meanwhile, whoever sends it waits for the disk once.
#[derive(Debug)]
pub(super) struct Kept {
    file: File,
    /// A bit for each of the first stretches that was seen whole.
    seen: AtomicU64,
}

impl Kept {
    pub(super) fn new(file: File) -> Self {
        Self { file, seen: AtomicU64::new(0) }
    }

    /// Whether the range, which lies within one stretch, can be read without waiting for the disk. Does not block.
    pub(super) fn is_in_memory(&self, range: &Range<u64>) -> bool {
        let is_whole = range.start.is_multiple_of(STRETCH_BYTES) && range.end.is_multiple_of(STRETCH_BYTES);
        let stretch = u32::try_from(range.start / STRETCH_BYTES).unwrap_or(u32::MAX);
        let bit = if is_whole { 1_u64.checked_shl(stretch).unwrap_or(0) } else { 0 };
        if self.seen.load(Ordering::Relaxed) & bit != 0 {
            return true;
        }
        let len = range.end - range.start;
        let is_there = in_memory(&self.file, range.start, len) == len;
        if is_there {
            self.seen.fetch_or(bit, Ordering::Relaxed);
        }
        is_there
    }
}

impl Deref for Kept {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl AsFd for Kept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stretches_that_were_seen_whole_are_taken_to_be_there() {
        const LEN: u64 = 66 * STRETCH_BYTES;
        let file = tempfile::tempfile().unwrap();
        file.set_len(LEN + 1).unwrap();
        let kept = Kept::new(file);
        let stretch = |n: u64| n * STRETCH_BYTES..(n + 1) * STRETCH_BYTES;
        let mut room = vec![0; STRETCH_BYTES as usize];
        for n in [0, 3, 63, 64] {
            std::os::unix::fs::FileExt::read_exact_at(&*kept, &mut room, n * STRETCH_BYTES).unwrap();
        }
        assert!(kept.is_in_memory(&(5..STRETCH_BYTES)) && kept.seen.load(Ordering::Relaxed) == 0, "a part of it");
        assert!(kept.is_in_memory(&stretch(3)) && kept.is_in_memory(&stretch(64)));
        assert_eq!(kept.seen.load(Ordering::Relaxed), 1 << 3, "there is no bit for those that are far behind");
        assert!(kept.is_in_memory(&stretch(63)));
        assert_eq!(kept.seen.load(Ordering::Relaxed), 1 << 3 | 1 << 63);
        rustix::fs::fadvise(&*kept, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert!(kept.is_in_memory(&stretch(3)), "it was there a moment ago");
    }
}
