//! A file that is sent: what of it was in memory a moment ago, and the way from there to a socket.

use super::{Error, File};
use std::{
    io,
    num::NonZeroU64,
    ops::{Deref, Range},
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// From one look at what is in memory to the next, in bytes: no more than a read ahead brings at once.
const LOOK_BYTES: u64 = 64 << 10;
/// Looks that are remembered of a file, from its begin on: those at 64 MiB.
const LOOKS_MAX: usize = 1024;
const LOOKS_A_WORD: usize = u64::BITS as usize;

/// Where a file was found in memory. It is kept for a second or so, not longer: for so long, what was there is taken to be
/// there still, since every look costs a call. Where it was evicted meanwhile, whoever sends it waits for the disk once.
#[derive(Debug)]
pub struct Seen([AtomicU64; LOOKS_MAX / LOOKS_A_WORD]);

impl Default for Seen {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; LOOKS_MAX / LOOKS_A_WORD])
    }
}

impl Seen {
    /// The word and the bit in it that stand for a look; None where it is too far behind to be remembered.
    fn place(&self, look: u64) -> Option<(&AtomicU64, u64)> {
        let look = usize::try_from(look).ok()?;
        Some((self.0.get(look / LOOKS_A_WORD)?, 1 << (look % LOOKS_A_WORD)))
    }

    fn has(&self, look: u64) -> bool {
        self.place(look).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    fn remember(&self, look: u64) {
        if let Some((word, bit)) = self.place(look) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

/// An open file that is sent to clients.
#[derive(Debug)]
pub struct Kept {
    file: File,
    seen: Arc<Seen>,
}

impl Kept {
    /// With what was seen of it before, if anything was.
    pub fn new(file: File, seen: Arc<Seen>) -> Self {
        Self { file, seen }
    }

    /// How many of `len` bytes from `offset` on can be had without waiting for the disk, as looks at some of them tell.
    /// What lies between two of them came and goes with them, but for what was evicted just there: whoever reads it then
    /// waits for the disk once. Does not block; where it cannot be told, none are.
    pub fn in_memory(&self, offset: u64, len: u64) -> u64 {
        let end = offset.saturating_add(len);
        let (mut at, mut there) = (offset, offset);
        while at < end {
            let look = at / LOOK_BYTES;
            let next = (look + 1) * LOOK_BYTES;
            if !self.seen.has(look) {
                if !self.is_there(at) || (next >= end && !self.is_there(end - 1)) {
                    return there - offset;
                }
                if at == look * LOOK_BYTES {
                    self.seen.remember(look);
                }
            }
            (there, at) = (at, next);
        }
        len
    }

    fn is_there(&self, at: u64) -> bool {
        self.file.read_cached_at(at, &mut [0]).is_ok_and(|got| got == 1)
    }

    /// Sends from `at` on, `len` bytes at most, to a socket without copying them, and moves `at`: how many; 0 at the end.
    /// Blocks for what is not in memory, and not for the socket (`WouldBlock`).
    pub fn send_to(&self, socket: BorrowedFd<'_>, at: &mut u64, len: u64) -> io::Result<usize> {
        self.file.send_to(socket, at, len)
    }

    /// Brings a part into memory, and tells the kernel that what follows is wanted next. Blocks.
    pub fn fetch(&self, part: Range<u64>, following: u64) -> Result<(), Error> {
        let len = usize::try_from(part.end - part.start).unwrap_or_default();
        self.file.read_exact_at(part.start, &mut vec![0; len])?;
        if let Some(following) = NonZeroU64::new(following) {
            self.file.will_need(part.end, following);
        }
        Ok(())
    }
}

impl Deref for Kept {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Files;
    use rustix::fs::{Advice, fadvise};
    use std::{fs, num::NonZeroU64};

    const PAGE: u64 = 4096;

    #[test]
    fn no_more_is_said_to_be_in_memory_than_is_there() {
        const LEN: u64 = 300 * PAGE + 17;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, vec![7; LEN as usize]).unwrap();
        let file = fs::File::open(&path).unwrap();
        file.sync_all().unwrap();
        // Each looks anew.
        let sure = |from, len| Kept::new(Files::real().open_read(&path).unwrap(), Arc::default()).in_memory(from, len);
        let is_there = |at: u64| {
            let flags = rustix::io::ReadWriteFlags::NOWAIT;
            rustix::io::preadv2(&file, &mut [std::io::IoSliceMut::new(&mut [0])], at, flags) == Ok(1)
        };
        assert_eq!(sure(0, LEN), LEN, "it was just written");
        assert_eq!((sure(5, 1), sure(5, 0)), (1, 0));
        assert_eq!((sure(LEN, 1), sure(LEN - 1, 2)), (0, 0), "there is nothing behind the end");
        for evicted in [250..280, 100..130, 0..300] {
            let len = NonZeroU64::new((evicted.end - evicted.start) * PAGE);
            fadvise(&file, evicted.start * PAGE, len, Advice::DontNeed).unwrap();
            let pages = |from: usize| (from..300).map(|page| is_there(page as u64 * PAGE)).collect::<Vec<_>>();
            for from in (0..300).step_by(7) {
                // A look has the kernel read ahead, so there may be more after it than before.
                let before = pages(from);
                let sure = sure(from as u64 * PAGE, LEN - from as u64 * PAGE);
                let after = pages(from);
                // A hole of less than that may lie between two looks.
                let hole = after.windows(16).position(|run| !run.contains(&true)).map(|at| at as u64 * PAGE);
                assert!(hole.is_none_or(|hole| sure <= hole), "{evicted:?}: {sure} from page {from}, but {hole:?}");
                assert!(
                    before.contains(&false) || sure == LEN - from as u64 * PAGE,
                    "{evicted:?}: only {sure} from {from}"
                );
            }
        }
    }

    #[test]
    fn only_what_was_looked_at_is_taken_to_be_there_a_moment_later() {
        const LEN: u64 = (LOOKS_MAX as u64 + 2) * LOOK_BYTES;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = fs::File::create(&path).unwrap();
        file.set_len(LEN).unwrap();
        let seen = Arc::new(Seen::default());
        let kept = || Kept::new(Files::real().open_read(&path).unwrap(), seen.clone());
        let bits = || seen.0.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum::<u32>();
        kept().fetch(0..LEN, 0).unwrap();
        assert_eq!(kept().in_memory(LOOK_BYTES + 5, 7), 7);
        assert_eq!(bits(), 0, "the look was not where others will look");
        assert_eq!(kept().in_memory(LOOK_BYTES + 5, 2 * LOOK_BYTES), 2 * LOOK_BYTES);
        assert!(seen.has(2) && seen.has(3) && bits() == 2);
        assert_eq!(kept().in_memory(0, LEN), LEN);
        assert_eq!(bits(), LOOKS_MAX as u32, "there is no bit for what lies far behind");
        // Whoever looks now finds nothing.
        file.set_len(0).unwrap();
        assert_eq!(kept().in_memory(3 * LOOK_BYTES, 9 * LOOK_BYTES - 1), 9 * LOOK_BYTES - 1, "it was there");
        assert_eq!(kept().in_memory(LEN - LOOK_BYTES, LOOK_BYTES), 0, "this has to be looked for");
    }
}
