//! What this program has allocated and not given back, beside which resident memory can be judged: what grows in one and
//! not in the other is what an allocator keeps or a file maps, and no leak.
//!
//! The allocator is the one that the program ships with, and counts.

use mimalloc::MiMalloc;
use std::{
    alloc::{GlobalAlloc, Layout},
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sizes are counted by powers of two: the last is of 2^47 bytes and more.
const CLASSES: usize = 48;
/// How often a process tells what it has.
const TOLD_EVERY: Duration = Duration::from_millis(500);

static BLOCKS: [AtomicI64; CLASSES] = [const { AtomicI64::new(0) }; CLASSES];
static BYTES: AtomicI64 = AtomicI64::new(0);

struct Counting;

fn count(size: usize, blocks: i64) {
    let class = (usize::BITS - size.leading_zeros()) as usize;
    BLOCKS[class.min(CLASSES - 1)].fetch_add(blocks, Relaxed);
    BYTES.fetch_add(blocks * size as i64, Relaxed);
}

// Safety: all is done by the allocator within, with the arguments that came; counting allocates nothing.
#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as above.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: as above.
        unsafe { MiMalloc.realloc(at, layout, size) }
    }
}

/// What a process has allocated and not given back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heap {
    /// Whose.
    pub process: u32,
    pub bytes: u64,
    /// How many blocks of at most so many bytes each there are.
    pub blocks: Vec<(u64, i64)>,
}

impl Heap {
    /// Of this process.
    pub(super) fn now() -> Self {
        let blocks = BLOCKS.iter().enumerate().map(|(class, n)| ((1 << class) - 1, n.load(Relaxed)));
        let bytes = u64::try_from(BYTES.load(Relaxed)).unwrap_or_default();
        Self { process: std::process::id(), bytes, blocks: blocks.filter(|(_, n)| *n != 0).collect() }
    }

    /// What another process has told last.
    pub(super) fn told(at: &Path) -> Option<Self> {
        let text = fs::read_to_string(at).ok()?;
        let mut lines = text.lines();
        let process = lines.next()?.parse().ok()?;
        let bytes = lines.next()?.parse().ok()?;
        let pair = |line: &str| line.split_once(' ').and_then(|(size, n)| Some((size.parse().ok()?, n.parse().ok()?)));
        Some(Self { process, bytes, blocks: lines.filter_map(pair).collect() })
    }

    /// Has this process tell what it has, in a file, again and again until it ends.
    pub(super) fn keep_telling(at: PathBuf) {
        std::thread::spawn(move || {
            loop {
                let heap = Self::now();
                let blocks: String = heap.blocks.iter().map(|(size, n)| format!("{size} {n}\n")).collect();
                let new = at.with_extension("new");
                // The directory may be gone by the time that the process ends.
                let text = format!("{}\n{}\n{blocks}", heap.process, heap.bytes);
                let _ = fs::write(&new, text).and_then(|()| fs::rename(&new, &at));
                std::thread::sleep(TOLD_EVERY);
            }
        });
    }
}

#[test]
fn what_is_taken_is_counted_until_it_is_given_back() {
    const BIG: usize = 300 << 20;
    let class = (BIG as u64).next_power_of_two() - 1;
    let big = || Heap::now().blocks.iter().find(|(size, _)| *size == class).map_or(0, |(_, n)| *n);
    let before = big();
    let mut taken = Vec::<u8>::with_capacity(BIG);
    taken.push(1);
    assert_eq!(big(), before + 1);
    assert!(Heap::now().bytes > BIG as u64);
    drop(taken);
    assert_eq!(big(), before);
}
