//! A virtual file's bytes into pipes: slices of files as pages that are in memory already, or are read for it.

use super::{metrics::Meters, plan::Plan};
use crate::{
    disk::{File, Files},
    media::vod::INSERTED,
    serve::Pour,
};
use rustix::io::Errno;
use std::{io, ops::Range, os::fd::BorrowedFd, sync::Arc};

/// What is looked for in memory at once, in bytes.
const LOOK_AHEAD_BYTES: u64 = 256 << 10;

/// What is still to come of a plan.
pub(super) struct Pouring {
    pub(super) plan: Arc<Plan>,
    pub(super) range: Range<u64>,
    pub(super) files: Files,
    pub(super) meters: Meters,
    /// The file that was poured from last.
    pub(super) open: Option<(usize, File)>,
}

/// What came of a try to fill the pipe further.
enum Put {
    Bytes(usize),
    /// There is no room, or the disk would have to be waited for.
    Full,
}

impl Pour for Pouring {
    fn pour(&mut self, pipe: BorrowedFd<'_>) -> io::Result<usize> {
        self.fill(pipe, true)
    }

    fn pour_from_memory(&mut self, pipe: BorrowedFd<'_>) -> io::Result<usize> {
        self.fill(pipe, false)
    }
}

impl Pouring {
    /// Puts pieces into the pipe for as long as there is room, and, where disks are not waited for, as they are in memory.
    fn fill(&mut self, pipe: BorrowedFd<'_>, waits: bool) -> io::Result<usize> {
        let mut poured = 0;
        while !self.range.is_empty() {
            match self.put(pipe, waits)? {
                Put::Full => break,
                // A file that ends before its slice does.
                Put::Bytes(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Put::Bytes(n) => {
                    self.range.start += n as u64;
                    poured += n;
                }
            }
        }
        self.meters.sent_bytes.inc_by(poured as u64);
        Ok(poured)
    }

    /// The next piece, as far as there is room.
    fn put(&mut self, pipe: BorrowedFd<'_>, waits: bool) -> io::Result<Put> {
        let head = self.plan.layout.head_in(&self.range);
        if !head.is_empty() {
            return write(pipe, &head);
        }
        let Some(slice) = self.plan.layout.slices_in(self.range.clone()).next() else { return Ok(Put::Bytes(0)) };
        if slice.source == INSERTED {
            let at = usize::try_from(slice.offset).unwrap_or(usize::MAX);
            let len = usize::try_from(slice.len).unwrap_or(usize::MAX);
            return write(pipe, &self.plan.layout.inserts[at..at.saturating_add(len)]);
        }
        let reused = self.open.take().filter(|(source, _)| *source == slice.source);
        let (source, file) = match reused {
            Some(open) => open,
            None if !waits => return Ok(Put::Full),
            None => (slice.source, self.files.open_read(&self.plan.paths[slice.source]).map_err(told)?),
        };
        // No more is looked for than a pipe takes at once.
        let len = match waits {
            true => slice.len,
            false => file.in_memory(slice.offset, slice.len.min(LOOK_AHEAD_BYTES)).map_err(told)?,
        };
        if len == 0 {
            self.open = Some((source, file));
            return Ok(Put::Full);
        }
        let put = file.splice_at(slice.offset, pipe, len).map_err(told)?;
        self.open = Some((source, file));
        Ok(put.map_or(Put::Full, Put::Bytes))
    }
}

fn told(error: crate::disk::Error) -> io::Error {
    tracing::warn!(%error, "footage could not be read; the response is cut");
    io::Error::other(error)
}

fn write(pipe: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Put> {
    match rustix::io::write(pipe, bytes) {
        Ok(n) => Ok(Put::Bytes(n)),
        Err(Errno::AGAIN) => Ok(Put::Full),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::Metrics, disk::Disk, media::vod};
    use std::io::Read;

    #[test]
    fn what_is_poured_is_what_the_layout_says_to_the_byte() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..3).map(|n| dir.path().join(format!("{n}.mp4"))).collect();
        let bytes: Vec<Vec<u8>> =
            (0..3u32).map(|n| (0..300_000u32).map(|i| (i * 7 + n * 13) as u8).collect()).collect();
        paths.iter().zip(&bytes).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        let slice = |source, offset, len| vod::Slice { source, offset, len };
        let slices = vec![
            slice(0, 5, 200_001),
            slice(INSERTED, 2, 7),
            slice(1, 99_999, 1),
            slice(1, 0, 4_096),
            slice(2, 1, 299_999),
        ];
        let mut layout = vod::Layout::new(b"the head".as_slice().into(), slices.clone(), "t".into());
        layout.inserts = b"0123456789".as_slice().into();
        let of = |s: &vod::Slice| {
            let from = if s.source == INSERTED { &layout.inserts[..] } else { &bytes[s.source][..] };
            from[s.offset as usize..(s.offset + s.len) as usize].to_vec()
        };
        let whole = [b"the head".to_vec(), slices.iter().flat_map(of).collect()].concat();
        let plan = Arc::new(Plan { layout, paths });
        for range in [0..whole.len(), 3..4, 100..whole.len() - 100, 200_008..200_017, whole.len() - 1..whole.len()] {
            let mut pouring = Pouring {
                plan: plan.clone(),
                range: range.start as u64..range.end as u64,
                files: Disk::real(1).files(),
                meters: Meters::new(&Metrics::default()),
                open: None,
            };
            let (out, into) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
            let (mut got, mut out) = (Vec::new(), std::fs::File::from(out));
            while got.len() < range.len() {
                use std::os::fd::AsFd;
                // What was just written is in memory, once its file is open.
                let poured = match pouring.pour_from_memory(into.as_fd()).unwrap() {
                    0 => pouring.pour(into.as_fd()).unwrap(),
                    poured => poured,
                };
                assert!(poured > 0);
                let mut piece = vec![0; poured];
                out.read_exact(&mut piece).unwrap();
                got.extend(piece);
            }
            assert!(got == whole[range.clone()], "{range:?}");
        }
        std::fs::write(&plan.paths[2], b"short").unwrap();
        let range = 0..whole.len() as u64;
        let meters = Meters::new(&Metrics::default());
        let mut cut = Pouring { plan, range, files: Disk::real(1).files(), meters, open: None };
        let (out, into) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let mut out = std::fs::File::from(out);
        use std::os::fd::AsFd;
        let failed = loop {
            match cut.pour(into.as_fd()) {
                Ok(n) => out.read_exact(&mut vec![0; n]).unwrap(),
                Err(error) => break error,
            }
        };
        assert_eq!(failed.kind(), io::ErrorKind::UnexpectedEof);
    }
}
