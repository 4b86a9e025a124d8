//! What lies on the disk: how much, whether every frame is there, and the pages of it that go from the cache.

use skyvis::{media::fmp4, sim::Mark};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The start of a sample holds its mark.
const MARK_BYTES: usize = 160;

/// All files under a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// Bytes that the files under a directory take on the disk.
pub fn disk_bytes(dir: &Path) -> u64 {
    files(dir).iter().filter_map(|path| fs::metadata(path).ok()).map(|m| m.blocks() * 512).sum()
}

/// Takes written pages from the cache, as fast as new ones come, so that the same memory is written again and again:
/// memory that a virtual machine touches for the first time costs more than all else here.
pub fn keep_memory_warm(dir: &Path) {
    let mut seen: BTreeMap<PathBuf, Instant> = BTreeMap::new();
    loop {
        let began = Instant::now();
        for path in files(dir) {
            let fresh = fs::metadata(&path).is_ok_and(|m| m.len() > 0);
            if !fresh || seen.get(&path).is_some_and(|at| at.elapsed() < Duration::from_secs(2)) {
                continue;
            }
            if let Ok(file) = fs::File::open(&path) {
                let _ = rustix::fs::fdatasync(&file);
                let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
            }
            seen.insert(path, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(500).saturating_sub(began.elapsed()));
    }
}

/// Reads every frame's mark, file by file, as files are closed.
#[derive(Default)]
pub struct Checker {
    done: BTreeSet<PathBuf>,
    /// The counter that each stream goes on with.
    next: BTreeMap<u32, u64>,
    pub frames: u64,
    pub files: u64,
    pub media_bytes: u64,
    pub file_bytes: u64,
    /// Frames that a counter says were between two that are there.
    pub missing: u64,
    /// Frames that are there twice, or out of place, or cannot be read.
    pub wrong: u64,
}

impl Checker {
    /// Looks at all files that are closed: those of each directory but the newest, unless the recorder is gone.
    pub fn look(&mut self, recordings: &Path, ended: bool) {
        let mut streams: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for path in files(recordings).into_iter().filter(|path| path.extension().is_some_and(|e| e == "mp4")) {
            // <stream>/YYYY/MM/DD/HH/<file>
            if let Some(stream) = path.ancestors().nth(5) {
                streams.entry(stream.to_owned()).or_default().push(path);
            }
        }
        for mut of_stream in streams.into_values() {
            if !ended {
                of_stream.pop();
            }
            for path in of_stream {
                if self.done.insert(path.clone()) && self.check(&path).is_none() {
                    eprintln!("{} cannot be read", path.display());
                    self.wrong += 1;
                }
            }
        }
    }

    fn check(&mut self, path: &Path) -> Option<()> {
        let file = fs::File::open(path).ok()?;
        let len = file.metadata().ok()?.len();
        let scanned = fmp4::read::scan(len, |at, bytes: &mut [u8]| file.read_exact_at(bytes, at)).ok()?;
        let video = &scanned.table.video;
        let mut sizes = video.sizes.iter();
        for chunk in &video.chunks {
            let mut at = chunk.offset;
            for size in sizes.by_ref().take(chunk.samples as usize) {
                let mut head = [0; MARK_BYTES];
                let len = MARK_BYTES.min(*size as usize);
                file.read_exact_at(&mut head[..len], at).ok()?;
                at += u64::from(*size);
                let Some(mark) = Mark::find(&head[..len]) else {
                    self.wrong += 1;
                    continue;
                };
                let expected = self.next.insert(mark.stream, mark.counter + 1);
                match expected {
                    Some(expected) if mark.counter < expected => self.wrong += 1,
                    Some(expected) => self.missing += mark.counter - expected,
                    None => {}
                }
                self.frames += 1;
            }
        }
        self.files += 1;
        self.file_bytes += len;
        let sum = |sizes: &[u32]| sizes.iter().map(|size| u64::from(*size)).sum::<u64>();
        self.media_bytes += sum(&video.sizes) + sum(&scanned.table.audio.sizes);
        Some(())
    }

    /// How many streams it has seen.
    pub fn streams(&self) -> usize {
        self.next.len()
    }
}
