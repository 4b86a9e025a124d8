//! One open file: append by vectored writes, sync, cut, positioned reads. All of it blocks.

use super::{Error, Faults, Op};
use std::{
    fs, io,
    num::NonZeroU64,
    os::{fd::BorrowedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Slices that one `pwritev` takes (`IOV_MAX` on Linux).
const SLICES_PER_WRITE_MAX: usize = 1024;

/// An open file that knows its path, so that its errors can name it. Every method blocks.
#[derive(Debug)]
pub struct File {
    inner: Arc<fs::File>,
    path: PathBuf,
    faults: Faults,
    /// Where the next append goes: the end after the last whole append.
    end: u64,
}

impl File {
    pub(super) fn new(inner: fs::File, path: PathBuf, faults: Faults, end: u64) -> Self {
        Self { inner: Arc::new(inner), path, faults, end }
    }

    /// A file that somebody opened to read it, under a name by which its errors tell it.
    pub fn opened(inner: fs::File, path: PathBuf) -> Self {
        Self::new(inner, path, Faults::none(), 0)
    }

    /// The same open file, to be made durable by another thread while this one appends.
    pub fn syncer(&self) -> Syncer {
        Syncer { inner: self.inner.clone(), path: self.path.clone(), faults: self.faults.clone() }
    }

    /// Where it is, or was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells the file that it was renamed, for its later errors.
    pub fn renamed(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Where the next append goes: the bytes appended whole so far, or the length at open.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Appends all slices, or answers an error. After an error the file may hold a part of them beyond [`File::end`]:
    /// the caller cuts it with `truncate(end)`. Blocks.
    pub fn append_vectored(&mut self, slices: &[&[u8]]) -> Result<(), Error> {
        let allowed = self.faults.pass(Op::Append, &self.path)?;
        let mut left = allowed.unwrap_or(usize::MAX);
        let mut offset = self.end;
        let mut rest = slices;
        let mut skip = 0; // bytes of rest[0] that are written already
        loop {
            while rest.first().is_some_and(|s| s.len() <= skip) {
                skip -= rest[0].len();
                rest = &rest[1..];
            }
            if rest.is_empty() {
                break;
            }
            let vector = window(rest, skip, left);
            if vector.is_empty() {
                return Err(Error::io(Op::Append, &self.path, io::ErrorKind::StorageFull));
            }
            let written = match rustix::io::pwritev(&self.inner, &vector, offset) {
                Ok(0) => return Err(Error::io(Op::Append, &self.path, io::ErrorKind::WriteZero)),
                Ok(n) => n,
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => return Err(Error::io(Op::Append, &self.path, e)),
            };
            offset += written as u64;
            skip += written;
            left -= written.min(left);
        }
        self.end = offset;
        Ok(())
    }

    /// As [`Syncer::sync_data`]. Blocks.
    pub fn sync_data(&self) -> Result<(), Error> {
        sync_data(&self.inner, &self.path, &self.faults)
    }

    /// Cuts (or extends with zeroes) to `len`; the next append goes there. Not durable until synced. Blocks.
    pub fn truncate(&mut self, len: u64) -> Result<(), Error> {
        self.faults.pass(Op::Truncate, &self.path)?;
        self.inner.set_len(len).map_err(|e| Error::io(Op::Truncate, &self.path, e))?;
        self.end = len;
        Ok(())
    }

    /// The file's length now. Blocks.
    pub fn len(&self) -> Result<u64, Error> {
        self.faults.pass(Op::Length, &self.path)?;
        Ok(self.inner.metadata().map_err(|e| Error::io(Op::Length, &self.path, e))?.len())
    }

    /// True where the file holds nothing. Blocks.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `offset`; a file that ends before is an error (`UnexpectedEof`). Blocks.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.faults.pass(Op::Read, &self.path)?;
        self.inner.read_exact_at(buffer, offset).map_err(|e| Error::io(Op::Read, &self.path, e))
    }

    /// Reads up to `buffer.len()` bytes from `offset`; 0 at the end. Blocks.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        self.faults.pass(Op::Read, &self.path)?;
        loop {
            match self.inner.read_at(buffer, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|e| Error::io(Op::Read, &self.path, e)),
            }
        }
    }

    /// Takes room for `bytes` without writing or growing. False where the file system cannot. Blocks.
    pub fn reserve(&self, bytes: u64) -> Result<bool, Error> {
        self.faults.pass(Op::Append, &self.path)?;
        match rustix::fs::fallocate(&self.inner, rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(e) => Err(Error::io(Op::Append, &self.path, e)),
        }
    }

    /// Reads what is in memory already: how much of the buffer, from its begin. Does not block; what is missing, and
    /// every error, is left to a read that may wait.
    pub fn read_cached_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        self.faults.pass(Op::Read, &self.path)?;
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        Ok(rustix::io::preadv2(&self.inner, &mut [io::IoSliceMut::new(buffer)], offset, flags).unwrap_or(0))
    }

    /// Sends from `at` on, `len` bytes at most, to a socket without copying them, and moves `at`: how many; 0 at the end.
    /// Blocks for what is not in memory, and not for the socket (`WouldBlock`).
    pub(super) fn send_to(&self, socket: BorrowedFd<'_>, at: &mut u64, len: u64) -> io::Result<usize> {
        self.faults.pass(Op::Read, &self.path).map_err(io::Error::other)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        loop {
            match rustix::fs::sendfile(socket, &self.inner, Some(at), len) {
                Err(rustix::io::Errno::INTR) => {}
                sent => return Ok(sent?),
            }
        }
    }

    /// Tells the kernel that a part will be wanted.
    pub(super) fn will_need(&self, offset: u64, len: NonZeroU64) {
        // Advice that is not heard costs time and nothing else.
        let _ = rustix::fs::fadvise(&self.inner, offset, Some(len), rustix::fs::Advice::WillNeed);
    }

    /// Overwrites `bytes` at `offset`, not durable until synced. Blocks.
    pub fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.faults.pass(Op::Append, &self.path)?;
        self.inner.write_all_at(bytes, offset).map_err(|e| Error::io(Op::Append, &self.path, e))
    }

    /// Takes the file's lock for as long as it is open, without waiting; `Kind::Busy` where another holds it.
    pub fn try_lock(&self) -> Result<(), Error> {
        self.faults.pass(Op::Lock, &self.path)?;
        rustix::fs::flock(&self.inner, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|e| Error::io(Op::Lock, &self.path, e))
    }
}

/// What makes an open file durable. Every method blocks.
#[derive(Clone, Debug)]
pub struct Syncer {
    inner: Arc<fs::File>,
    path: PathBuf,
    faults: Faults,
}

impl Syncer {
    /// Tells it that the file was renamed, for its later errors.
    pub fn renamed(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Makes data and length durable (fdatasync): all that was appended before. Never retry it on this file: after a
    /// failure the kernel has forgotten what was not written, and a second call would succeed over the loss. Blocks.
    pub fn sync_data(&self) -> Result<(), Error> {
        sync_data(&self.inner, &self.path, &self.faults)
    }

    /// Fails where the file has lost its name: what is written to it goes nowhere. Blocks.
    pub fn check_named(&self) -> Result<(), Error> {
        self.faults.pass(Op::Length, &self.path)?;
        let stat = rustix::fs::fstat(&self.inner).map_err(|e| Error::io(Op::Length, &self.path, e))?;
        if stat.st_nlink == 0 { Err(Error::Vanished(self.path.clone())) } else { Ok(()) }
    }
}

fn sync_data(file: &fs::File, path: &Path, faults: &Faults) -> Result<(), Error> {
    faults.pass(Op::SyncData, path)?;
    rustix::fs::fdatasync(file).map_err(|e| Error::io(Op::SyncData, path, e))
}

/// The next slices for one write: at most `SLICES_PER_WRITE_MAX` of them and `left` bytes.
fn window<'a>(rest: &[&'a [u8]], skip: usize, left: usize) -> Vec<io::IoSlice<'a>> {
    let mut room = left;
    let mut vector = Vec::with_capacity(rest.len().min(SLICES_PER_WRITE_MAX));
    for (i, slice) in rest.iter().enumerate() {
        let slice = if i == 0 { &slice[skip..] } else { slice };
        let slice = &slice[..slice.len().min(room)];
        if vector.len() == SLICES_PER_WRITE_MAX || room == 0 {
            break;
        }
        room -= slice.len();
        if !slice.is_empty() {
            vector.push(io::IoSlice::new(slice));
        }
    }
    vector
}
