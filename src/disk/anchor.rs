//! Operations below one open directory. A path is looked up anew each time, and may lead to the bare directory
//! under a disk that was unmounted meanwhile; an open directory stays the one that it was. All of it blocks.

use super::{Error, Faults, File, Files, Op, Space, files::FILE_MODE};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, CWD, Mode, OFlags},
    io::Errno,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a trial of writing is made to.
const TRIAL_NAME: &str = ".skyvis-trial";
/// What it writes and syncs.
const TRIAL_BYTES: usize = 4096;

/// An open directory, and work below it by relative paths. While it is held its disk cannot be unmounted, but lazily.
#[derive(Debug)]
pub struct Anchor {
    dir: OwnedFd,
    path: PathBuf,
    faults: Faults,
}

impl Files {
    /// Opens a directory to work below it.
    pub fn anchor(&self, path: &Path) -> Result<Anchor, Error> {
        self.faults.pass(Op::OpenDir, path)?;
        let dir = open_dir(CWD, path).map_err(|e| Error::io(Op::OpenDir, path, e))?;
        Ok(Anchor { dir, path: path.to_owned(), faults: self.faults.clone() })
    }
}

impl Anchor {
    /// Where it was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file of at most `max` bytes; `None` where there is none.
    pub fn read(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path.join(name);
        self.faults.pass(Op::Read, &path)?;
        let failed = |e: Errno| Error::io(Op::Read, &path, e);
        let file = match rustix::fs::openat(&self.dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(failed)?,
        };
        let mut bytes = vec![0; max];
        let len = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut bytes)).map_err(failed)?;
        bytes.truncate(len);
        Ok(Some(bytes))
    }

    /// Makes a directory and its missing parents. Answers the directories that got a new entry, which is not durable until
    /// they are synced.
    pub fn create_dir_all(&self, name: &Path, mode: u32) -> Result<Vec<PathBuf>, Error> {
        if name.as_os_str().is_empty() || self.is_dir(name) {
            return Ok(Vec::new());
        }
        let parent = name.parent().unwrap_or(Path::new(""));
        let mut entered = self.create_dir_all(parent, mode)?;
        self.faults.pass(Op::CreateDir, &self.path.join(name))?;
        match rustix::fs::mkdirat(&self.dir, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {}
            // Another thread made it in between; its entry may not be durable yet, so sync all the same.
            Err(Errno::EXIST) if self.is_dir(name) => {}
            Err(e) => return Err(self.refused(Op::CreateDir, name, e)),
        }
        entered.push(parent.to_owned());
        Ok(entered)
    }

    /// Makes a new file to append to; one that exists is an error (`Kind::Conflict`). The entry is not durable until
    /// the directory is synced.
    pub fn create_new(&self, name: &Path) -> Result<File, Error> {
        let path = self.path.join(name);
        self.faults.pass(Op::Create, &path)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, name, flags, Mode::from_raw_mode(FILE_MODE));
        let file = file.map_err(|e| self.refused(Op::Create, name, e))?;
        Ok(File::new(fs::File::from(file), path, self.faults.clone(), 0))
    }

    /// Renames; not durable until the directory is synced. Replaces what is at `to`.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.faults.pass(Op::Rename, &self.path.join(from))?;
        rustix::fs::renameat(&self.dir, from, &self.dir, to).map_err(|e| self.refused(Op::Rename, from, e))
    }

    /// Removes a file; one that is not there is fine.
    pub fn remove_file(&self, name: &Path) -> Result<(), Error> {
        self.faults.pass(Op::Remove, &self.path.join(name))?;
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) | Ok(()) => Ok(()),
            Err(e) => Err(self.io(Op::Remove, name, e)),
        }
    }

    /// Removes a directory that is empty. True where it is gone now, false where it holds something.
    pub fn remove_dir_if_empty(&self, name: &Path) -> Result<bool, Error> {
        self.faults.pass(Op::RemoveDir, &self.path.join(name))?;
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) | Ok(()) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(e) => Err(self.io(Op::RemoveDir, name, e)),
        }
    }

    /// Makes the entries of a directory durable (fsync).
    pub fn sync_dir(&self, name: &Path) -> Result<(), Error> {
        self.faults.pass(Op::SyncDir, &self.path.join(name))?;
        let sync = || match name.as_os_str().is_empty() {
            true => rustix::fs::fsync(&self.dir),
            false => rustix::fs::fsync(open_dir(&self.dir, name)?),
        };
        sync().map_err(|e| self.io(Op::SyncDir, name, e))
    }

    /// The length of a file, or `None` where there is none.
    pub fn len_of(&self, name: &Path) -> Result<Option<u64>, Error> {
        self.faults.pass(Op::Length, &self.path.join(name))?;
        match rustix::fs::statat(&self.dir, name, AtFlags::empty()) {
            Ok(stat) => Ok(Some(u64::try_from(stat.st_size).unwrap_or(0))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.io(Op::Length, name, e)),
        }
    }

    /// Writes, syncs and removes a small file, as evidence that writing works here; `reserve` bytes must fit beside.
    pub fn try_writing(&self, reserve: u64) -> Result<(), Error> {
        let name = Path::new(TRIAL_NAME);
        // One that a crash left.
        self.remove_file(name)?;
        let mut file = self.create_new(name)?;
        let written = file
            .reserve(reserve)
            .and_then(|_| file.append_vectored(&[&[0; TRIAL_BYTES]]))
            .and_then(|()| file.sync_data());
        let removed = self.remove_file(name);
        written.and(removed)
    }

    /// Space of the file system that holds it.
    pub fn free_space(&self) -> Result<Space, Error> {
        if let Some(space) = self.faults.pass_space(&self.path)? {
            return Ok(space);
        }
        let v = rustix::fs::fstatvfs(&self.dir).map_err(|e| Error::io(Op::FreeSpace, &self.path, e))?;
        Ok(Space::of(&v))
    }

    fn is_dir(&self, name: &Path) -> bool {
        let stat = rustix::fs::statat(&self.dir, name, AtFlags::empty());
        stat.is_ok_and(|s| rustix::fs::FileType::from_raw_mode(s.st_mode).is_dir())
    }

    fn io(&self, op: Op, name: &Path, errno: Errno) -> Error {
        Error::io(op, &self.path.join(name), errno)
    }

    /// A new entry was refused: the same answer means "no room" and "no inode".
    fn refused(&self, op: Op, name: &Path, errno: Errno) -> Error {
        let out_of_inodes = || rustix::fs::fstatvfs(&self.dir).is_ok_and(|v| Space::of(&v).is_out_of_inodes());
        match errno {
            Errno::NOSPC if out_of_inodes() => Error::NoInodes { op, path: self.path.join(name) },
            _ => self.io(op, name, errno),
        }
    }
}

fn open_dir(at: impl rustix::fd::AsFd, name: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
