//! What can go wrong with a file, with the operation and the path, because an errno alone helps nobody at 3 a.m.

use super::Trouble;
use crate::base::Kind;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// What was being done to a path. Faults are injected by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// Opening a directory, to work below it.
    OpenDir,
    /// Making one directory.
    CreateDir,
    /// Making a new file.
    Create,
    /// Opening a file to read.
    OpenRead,
    /// Opening a file to append.
    OpenAppend,
    /// Appending bytes.
    Append,
    /// Reading bytes.
    Read,
    /// Making a file's data and size durable.
    SyncData,
    /// Making a directory's entries durable.
    SyncDir,
    /// Cutting a file.
    Truncate,
    /// Asking for a file's length.
    Length,
    /// Renaming.
    Rename,
    /// Removing a file.
    Remove,
    /// Removing an empty directory.
    RemoveDir,
    /// Listing a directory.
    List,
    /// Asking for the file system's free space.
    FreeSpace,
    /// Taking a file's lock.
    Lock,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::OpenDir => "open directory",
            Op::CreateDir => "create directory",
            Op::Create => "create",
            Op::OpenRead => "open",
            Op::OpenAppend => "open to append",
            Op::Append => "append to",
            Op::Read => "read",
            Op::SyncData => "sync",
            Op::SyncDir => "sync directory",
            Op::Truncate => "truncate",
            Op::Length => "stat",
            Op::Rename => "rename",
            Op::Remove => "remove",
            Op::RemoveDir => "remove directory",
            Op::List => "list",
            Op::FreeSpace => "ask free space of",
            Op::Lock => "lock",
        })
    }
}

/// Why an operation on the disk failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system said no.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried.
        op: Op,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// There is room, but no inode is left for another file.
    #[error("cannot {op} {}: the file system has no inode left for another file", path.display())]
    NoInodes {
        /// What was tried.
        op: Op,
        /// On what.
        path: PathBuf,
    },
    /// A file that is being written has lost its name: somebody removed it.
    #[error("{} was removed while it was being written", .0.display())]
    Vanished(PathBuf),
    /// Nothing was done, or nothing was answered, for so long: the disk hangs.
    #[error("the disk hangs: no answer within {} s", .0.as_secs_f32())]
    Hangs(Duration),
    /// The closure given to the pool panicked; the pool goes on.
    #[error("a disk operation panicked: {0}")]
    Panicked(String),
    /// The pool's threads are gone.
    #[error("the disk pool has stopped")]
    Stopped,
}

impl Error {
    pub(super) fn io(op: Op, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { op, path: path.to_owned(), source: source.into() }
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::NoSpace,
                io::ErrorKind::NotFound => Kind::NotFound,
                io::ErrorKind::AlreadyExists => Kind::Conflict,
                io::ErrorKind::WouldBlock => Kind::Busy,
                _ => Kind::Storage,
            },
            Self::NoInodes { .. } => Kind::NoSpace,
            Self::Vanished(_) => Kind::Storage,
            Self::Hangs(_) => Kind::Busy,
            Self::Panicked(_) => Kind::Internal,
            Self::Stopped => Kind::Stopped,
        }
    }

    /// The operation that failed, where one did.
    pub fn op(&self) -> Option<Op> {
        match self {
            Self::Io { op, .. } | Self::NoInodes { op, .. } => Some(*op),
            _ => None,
        }
    }

    /// What it tells about the disk.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Io { source, .. } => Trouble::of(source),
            Self::NoInodes { .. } => Trouble::Inodes,
            Self::Vanished(_) => Trouble::Vanished,
            Self::Hangs(_) => Trouble::Hangs,
            Self::Panicked(_) | Self::Stopped => Trouble::Other,
        }
    }
}
