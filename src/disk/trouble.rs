//! What ails a disk, as one word for programs and one sentence for whoever is to mend it.

use std::io;

/// What ails a disk or a directory on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trouble {
    /// No block is left.
    Full,
    /// Blocks are left, but no inode for another file.
    Inodes,
    /// The quota of the user, group or project is used up.
    Quota,
    /// The file system takes no writes.
    ReadOnly,
    /// The medium fails.
    Io,
    /// The device or the share is gone.
    Gone,
    /// We may not.
    Denied,
    /// This process, or the host, has no file descriptor left.
    Descriptors,
    /// A path is longer than the file system takes.
    NameTooLong,
    /// The directory is not there, or is only the place where its disk should be mounted.
    NotMounted,
    /// Another directory stands in its place.
    WrongDirectory,
    /// Operations do not come back.
    Hangs,
    /// A file was taken away while it was being written.
    Vanished,
    /// Anything else.
    Other,
}

impl Trouble {
    /// All of them, for metrics.
    pub const ALL: [Self; 14] = [
        Self::Full,
        Self::Inodes,
        Self::Quota,
        Self::ReadOnly,
        Self::Io,
        Self::Gone,
        Self::Denied,
        Self::Descriptors,
        Self::NameTooLong,
        Self::NotMounted,
        Self::WrongDirectory,
        Self::Hangs,
        Self::Vanished,
        Self::Other,
    ];

    /// The word for it in a stream's state, `disk_full` and the like.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Full => "disk_full",
            Self::Inodes => "disk_inodes",
            Self::Quota => "disk_quota",
            Self::ReadOnly => "disk_read_only",
            Self::Io | Self::Other => "disk_error",
            Self::Gone => "disk_gone",
            Self::Denied => "disk_denied",
            Self::Descriptors => "descriptors",
            Self::NameTooLong => "name_too_long",
            Self::NotMounted => "not_mounted",
            Self::WrongDirectory => "wrong_directory",
            Self::Hangs => "disk_hangs",
            Self::Vanished => "file_vanished",
        }
    }

    /// The kind of the event that tells of it, `disk.full` and the like.
    pub fn event(self) -> &'static str {
        match self {
            Self::Full => "disk.full",
            Self::Inodes => "disk.inodes",
            Self::Quota => "disk.quota",
            Self::ReadOnly => "disk.read_only",
            Self::Io | Self::Other | Self::Vanished => "disk.error",
            Self::Gone => "disk.gone",
            Self::Denied => "disk.denied",
            Self::Descriptors => "disk.descriptors",
            Self::NameTooLong => "disk.name_too_long",
            Self::NotMounted => "disk.not_mounted",
            Self::WrongDirectory => "disk.wrong_directory",
            Self::Hangs => "disk.hangs",
        }
    }

    /// What to do about it. Recording goes on by itself once it is done.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Full => "make room, or set recording.min_free or retain_bytes so that the oldest footage goes",
            Self::Inodes => {
                "remove small files, or make the file system anew with more inodes: longer segments need fewer"
            }
            Self::Quota => "raise the quota of the user that skyvis runs as, or set recording.retain_bytes below it",
            Self::ReadOnly => "look into the kernel log for why, check the file system, then mount it writable again",
            Self::Io => "look into the kernel log; the medium is failing, replace it and keep what can still be read",
            Self::Gone => "bring the device or share back and mount it again",
            Self::Denied => "give the directory back to the user that skyvis runs as, mode 0750",
            Self::Descriptors => "raise LimitNOFILE of the unit, or fs.file-max of the host",
            Self::NameTooLong => "give recording.dir a shorter path",
            Self::NotMounted => "mount the disk of the recordings; if it is gone for good, `skyvis reindex`",
            Self::WrongDirectory => {
                "mount the right disk, or set recording.dir; to take over what lies there, `skyvis reindex`"
            }
            Self::Hangs => {
                "look at the device, cable, controller or file server; nothing is lost that was acknowledged"
            }
            Self::Vanished => "find out what removes files of recording.dir while they are written",
            Self::Other => "the error says more",
        }
    }

    /// What an error of the system tells about the disk.
    pub(super) fn of(error: &io::Error) -> Self {
        use rustix::io::Errno;
        match error.kind() {
            io::ErrorKind::StorageFull => return Self::Full,
            io::ErrorKind::QuotaExceeded => return Self::Quota,
            io::ErrorKind::ReadOnlyFilesystem => return Self::ReadOnly,
            io::ErrorKind::PermissionDenied => return Self::Denied,
            _ => {}
        }
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::IO | Errno::UCLEAN | Errno::BADMSG) => Self::Io,
            Some(Errno::NODEV | Errno::NXIO | Errno::STALE | Errno::NOTCONN | Errno::SHUTDOWN | Errno::HOSTDOWN) => {
                Self::Gone
            }
            Some(Errno::MFILE | Errno::NFILE) => Self::Descriptors,
            Some(Errno::NAMETOOLONG) => Self::NameTooLong,
            _ => Self::Other,
        }
    }
}
