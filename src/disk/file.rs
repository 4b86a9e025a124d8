//! One open file: append by vectored writes, sync, cut, positioned reads. All of it blocks.

use super::{Error, Faults, Op};
use std::{
    fs, io,
    os::{fd::BorrowedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Slices that one `pwritev` takes (`IOV_MAX` on Linux).
const SLICES_PER_WRITE_MAX: usize = 1024;

/// From one look at what is in memory to the next, in bytes: no more than a read ahead brings at once.
const LOOK_BYTES: u64 = 64 << 10;

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

    /// How many of `len` bytes from `offset` on are in memory, as [`in_memory`] tells. Does not block; where it cannot be
    /// told, none are.
    pub fn in_memory(&self, offset: u64, len: u64) -> Result<u64, Error> {
        self.faults.pass(Op::Read, &self.path)?;
        Ok(in_memory(&self.inner, offset, len))
    }

    /// Moves up to `len` bytes from `offset` into a pipe without copying them: how many, 0 at the end; None where the
    /// pipe is full, which is not waited for. Blocks for what is not in memory.
    pub fn splice_at(&self, offset: u64, pipe: BorrowedFd<'_>, len: u64) -> Result<Option<usize>, Error> {
        self.faults.pass(Op::Read, &self.path)?;
        let (mut at, len) = (offset, usize::try_from(len).unwrap_or(usize::MAX));
        let flags = rustix::pipe::SpliceFlags::NONBLOCK;
        loop {
            match rustix::pipe::splice(&self.inner, Some(&mut at), pipe, None, len, flags) {
                Ok(n) => return Ok(Some(n)),
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(Error::io(Op::Read, &self.path, e)),
            }
        }
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

/// How many of `len` bytes of a file from `offset` on are in memory, as looks at some of them tell. What lies between two
/// of them came and goes with them, but for what was evicted just there: whoever reads it then waits for the disk once.
/// Does not block.
pub fn in_memory(file: &fs::File, offset: u64, len: u64) -> u64 {
    let is_there = |at: u64| {
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        rustix::io::preadv2(file, &mut [io::IoSliceMut::new(&mut [0])], at, flags) == Ok(1)
    };
    let Some(last) = len.checked_sub(1).map(|len| offset + len) else { return 0 };
    let (mut at, mut there) = (offset, offset);
    while is_there(at) {
        if at == last {
            return len;
        }
        there = at;
        at = (at + LOOK_BYTES).min(last);
    }
    there - offset
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
