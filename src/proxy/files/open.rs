//! Opens files below a directory. The kernel sees to it that no name, no `..` and no link leads out of it.
//!
//! A link within the directory is followed wherever it stays in the directory; one that leads out is as good as missing.
//! The directory itself may be reached by links, and is looked up anew every second: `current -> releases/7` can be
//! switched while requests come.

use super::place::Place;
use crate::disk::File;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, statat},
    io::Errno,
};
use std::{io, os::fd::BorrowedFd, os::fd::OwnedFd, path::Path};

/// How often a name is looked up whose directories are being renamed.
const TRIES_MAX: u32 = 64;

/// What came of opening a name.
#[derive(Debug)]
pub(super) enum Opened {
    /// A file.
    File(File, Looks),
    Directory,
    /// There is nothing that anybody may have.
    Missing,
    /// It is there and the system does not let us read it.
    Denied,
    /// It would have to be waited for.
    NotInMemory,
    Failed(io::Error),
}

/// What is seen of a file from outside. Another file, or the same one after a change, does not look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looks {
    pub(super) len: u64,
    /// When it was written, in seconds of the Unix epoch.
    pub(super) modified: u64,
    file: (u64, u64),
    written: (i64, u64),
    changed: (i64, u64),
}

impl Looks {
    fn of(stat: &Stat) -> Self {
        let whole = |n: i64| u64::try_from(n).unwrap_or_default();
        Self {
            len: whole(stat.st_size),
            modified: whole(stat.st_mtime),
            file: (stat.st_dev, stat.st_ino),
            written: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// What the file of a name looks like now. Where that led out of the directory, it would not look as what was opened in it.
pub(super) fn look_again(dir: BorrowedFd<'_>, place: &Place) -> Option<Looks> {
    statat(dir, place.name(), AtFlags::empty()).ok().map(|stat| Looks::of(&stat))
}

/// The directory. Blocks.
pub(super) fn directory(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(dir, flags, Mode::empty())?)
}

/// Opens a name below it. `cached`: only what takes no disk; does not block then.
pub(super) fn open(dir: BorrowedFd<'_>, place: &Place, cached: bool) -> Opened {
    // A pipe or a device must not be waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    resolve.set(ResolveFlags::CACHED, cached);
    let name = if place.name().is_empty() { std::ffi::OsStr::new(".") } else { place.name() };
    let mut tries = 0;
    let fd = loop {
        tries += 1;
        match openat2(dir, name, flags, Mode::empty(), resolve) {
            Ok(fd) => break fd,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if cached => return Opened::NotInMemory,
            // A rename somewhere on the way made the kernel unsure; it asks to be asked again.
            Err(Errno::AGAIN) if tries < TRIES_MAX => {}
            Err(
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::NAMETOOLONG
                | Errno::LOOP
                | Errno::XDEV
                | Errno::NXIO
                | Errno::NODEV
                | Errno::INVAL
                | Errno::ILSEQ,
            ) => return Opened::Missing,
            Err(Errno::ACCESS | Errno::PERM) => return Opened::Denied,
            Err(error) => return Opened::Failed(error.into()),
        }
    };
    match rustix::fs::fstat(&fd) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Opened::File(File::opened(fd.into(), name.into()), Looks::of(&stat)),
            FileType::Directory => Opened::Directory,
            _ => Opened::Missing,
        },
        Err(error) => Opened::Failed(error.into()),
    }
}
