//! Operations on paths. All of them block; call them on a pool thread ([`super::Disk::run`]) or offline.

use super::{Error, Faults, File, Op};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Mode of new files: footage and the store are read by the service's group at most.
pub(super) const FILE_MODE: u32 = 0o640;
/// A file that [`Files::read`] takes whole is at most this long; larger ones are read in parts.
const READ_WHOLE_BYTES_MAX: u64 = 16 << 20;

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without the directory. Names that are not UTF-8 are not ours and are left out of listings.
    pub name: String,
    /// True for a directory (links are not followed).
    pub is_dir: bool,
    /// Bytes, for a file.
    pub len: u64,
}

/// Space of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What an unprivileged process may still use.
    pub free_bytes: u64,
    /// How many files it can hold; 0 where it does not say, or has no such limit.
    pub total_inodes: u64,
    /// How many more files it can hold.
    pub free_inodes: u64,
    /// It takes no writes.
    pub read_only: bool,
}

impl Space {
    pub(super) fn of(v: &rustix::fs::StatVfs) -> Self {
        Self {
            total_bytes: v.f_blocks.saturating_mul(v.f_frsize),
            free_bytes: v.f_bavail.saturating_mul(v.f_frsize),
            total_inodes: v.f_files,
            free_inodes: v.f_favail,
            read_only: v.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        }
    }

    /// There is room, but not for another file.
    pub fn is_out_of_inodes(&self) -> bool {
        self.total_inodes > 0 && self.free_inodes == 0
    }
}

/// The file system behind the fault gate. Cheap to clone; every method blocks.
#[derive(Clone, Debug)]
pub struct Files {
    pub(super) faults: Faults,
}

impl Files {
    /// The real file system.
    pub fn real() -> Self {
        Self { faults: Faults::none() }
    }

    /// The real file system behind `faults`.
    pub fn faulty(faults: Faults) -> Self {
        Self { faults }
    }

    /// Makes `path` and its missing parents with `mode`, and makes every new entry durable in its parent.
    pub fn create_dir_all_durable(&self, path: &Path, mode: u32) -> Result<(), Error> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        let parent = parent_of(path);
        self.create_dir_all_durable(parent, mode)?;
        self.faults.pass(Op::CreateDir, path)?;
        match fs::DirBuilder::new().mode(mode).create(path) {
            Ok(()) => {}
            // Another thread made it in between; its entry may not be durable yet, so sync all the same.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(e) => return Err(Error::io(Op::CreateDir, path, e)),
        }
        self.sync_dir(parent)
    }

    /// Makes a new file to append to; one that exists is an error (`Kind::Conflict`). The entry is not durable until
    /// the directory is synced.
    pub fn create_new(&self, path: &Path) -> Result<File, Error> {
        self.faults.pass(Op::Create, path)?;
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path);
        Ok(File::new(file.map_err(|e| Error::io(Op::Create, path, e))?, path.to_owned(), self.faults.clone(), 0))
    }

    /// Opens an existing file to append to (and read).
    pub fn open_append(&self, path: &Path) -> Result<File, Error> {
        self.faults.pass(Op::OpenAppend, path)?;
        let open = || {
            let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
            let len = file.metadata()?.len();
            Ok((file, len))
        };
        let (file, len) = open().map_err(|e: io::Error| Error::io(Op::OpenAppend, path, e))?;
        Ok(File::new(file, path.to_owned(), self.faults.clone(), len))
    }

    /// Opens an existing file to read.
    pub fn open_read(&self, path: &Path) -> Result<File, Error> {
        self.faults.pass(Op::OpenRead, path)?;
        let file = fs::File::open(path).map_err(|e| Error::io(Op::OpenRead, path, e))?;
        Ok(File::new(file, path.to_owned(), self.faults.clone(), 0))
    }

    /// Opens an existing file to read, if that takes no disk. Does not block: None also where an error is to be met by
    /// who may wait.
    pub fn open_read_cached(&self, path: &Path) -> Option<File> {
        self.faults.pass(Op::OpenRead, path).ok()?;
        let (flags, mode) = (OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let opened = rustix::fs::openat2(rustix::fs::CWD, path, flags, mode, ResolveFlags::CACHED).ok()?;
        Some(File::new(opened.into(), path.to_owned(), self.faults.clone(), 0))
    }

    /// Reads a small file whole.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let file = self.open_read(path)?;
        let len = file.len()?;
        if len > READ_WHOLE_BYTES_MAX {
            return Err(Error::io(Op::Read, path, io::ErrorKind::FileTooLarge));
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Puts `bytes` at `path` so that after a crash there is either the old file or the whole new one: written
    /// beside as `<name>.new`, synced, renamed, directory synced.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        self.remove_file(&beside)?;
        let mut file = self.create_new(&beside)?;
        file.append_vectored(&[bytes])?;
        file.sync_data()?;
        self.rename(&beside, path)?;
        self.sync_dir(parent_of(path))
    }

    /// Renames; not durable until the directory (or both directories) is synced. Replaces what is at `to`.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.faults.pass(Op::Rename, from)?;
        fs::rename(from, to).map_err(|e| Error::io(Op::Rename, from, e))
    }

    /// Swaps two entries in one step, so that there is no moment at which either name is missing; not durable until the
    /// directory is synced. `Kind::Storage` where the file system cannot.
    pub fn exchange(&self, one: &Path, other: &Path) -> Result<(), Error> {
        self.faults.pass(Op::Rename, one)?;
        let cwd = rustix::fs::CWD;
        rustix::fs::renameat_with(cwd, one, cwd, other, rustix::fs::RenameFlags::EXCHANGE)
            .map_err(|e| Error::io(Op::Rename, one, e))
    }

    /// Removes a file; one that is not there is fine.
    pub fn remove_file(&self, path: &Path) -> Result<(), Error> {
        self.faults.pass(Op::Remove, path)?;
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(Op::Remove, path, e)),
            _ => Ok(()),
        }
    }

    /// Removes a directory that is empty. True where it is gone now, false where it holds something.
    pub fn remove_dir_if_empty(&self, path: &Path) -> Result<bool, Error> {
        self.faults.pass(Op::RemoveDir, path)?;
        match fs::remove_dir(path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(e) => Err(Error::io(Op::RemoveDir, path, e)),
        }
    }

    /// Makes the entries of a directory durable (fsync).
    pub fn sync_dir(&self, path: &Path) -> Result<(), Error> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        self.faults.pass(Op::SyncDir, path)?;
        fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| Error::io(Op::SyncDir, path, e))
    }

    /// The entries of a directory, sorted by name. Entries that vanish meanwhile are left out.
    pub fn list(&self, path: &Path) -> Result<Vec<Entry>, Error> {
        self.faults.pass(Op::List, path)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(|e| Error::io(Op::List, path, e))? {
            let entry = entry.map_err(|e| Error::io(Op::List, path, e))?;
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io(Op::List, &entry.path(), e)),
            };
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, is_dir: meta.is_dir(), len: if meta.is_dir() { 0 } else { meta.len() } });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The length of a file, or `None` where there is none.
    pub fn len_of(&self, path: &Path) -> Result<Option<u64>, Error> {
        self.faults.pass(Op::Length, path)?;
        match fs::metadata(path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(Op::Length, path, e)),
        }
    }

    /// Space of the file system that holds `path`.
    pub fn free_space(&self, path: &Path) -> Result<Space, Error> {
        if let Some(space) = self.faults.pass_space(path)? {
            return Ok(space);
        }
        let v = rustix::fs::statvfs(path).map_err(|e| Error::io(Op::FreeSpace, path, e))?;
        Ok(Space::of(&v))
    }
}

/// The directory that holds `path`'s entry; `.` for a bare name.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        Some(_) => Path::new("."),
        None => path,
    }
}
