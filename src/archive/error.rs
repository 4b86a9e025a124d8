//! Why the archive could not do what it was asked, in words for whoever has to act on it.

use crate::{
    base::Kind,
    disk::{self, Trouble},
    store,
};
use std::path::PathBuf;

/// A failure of the archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// The recordings directory is not the one that the index speaks of: most likely its disk is not mounted.
    #[error(
        "{} is not the recordings directory that the index knows: it has no `{}`, yet the index lists {rows} segments; \
         mount its disk and start again, or, if the footage is gone for good, run `skyvis reindex`",
        dir.display(), super::identity::FILE_NAME
    )]
    NotMounted {
        /// The directory.
        dir: PathBuf,
        /// How many segments the index lists.
        rows: u64,
    },
    /// The recordings directory belongs to another index.
    #[error(
        "{} holds the recordings of another index ({found}, not {known}); set recording.dir to the right directory, \
         or run `skyvis reindex` to index what lies there",
        dir.display()
    )]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// The identity that lies there.
        found: String,
        /// The identity that the index knows.
        known: String,
    },
    /// While running: the recordings directory is not there, or is only the place where its disk should be mounted.
    #[error(
        "the recordings directory {} is not mounted: it has no `{}`; mount its disk, recording goes on by itself",
        dir.display(), super::identity::FILE_NAME
    )]
    Away {
        /// The directory.
        dir: PathBuf,
    },
    /// While running: another directory stands in its place.
    #[error(
        "{} is another recordings directory than at the start ({found}, not {known}); mount the right disk, recording \
         goes on by itself", dir.display()
    )]
    Replaced {
        /// The directory.
        dir: PathBuf,
        /// The identity that lies there.
        found: String,
        /// The identity that it should have.
        known: String,
    },
    /// There is no such segment, or none any more.
    #[error("there is no segment {0}")]
    NotFound(String),
    /// A file is not what its name says.
    #[error("{} is not footage that can be indexed: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The archive has stopped.
    #[error("the archive has stopped")]
    Stopped,
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(e) => e.kind(),
            Self::Disk(e) => e.kind(),
            Self::NotMounted { .. } | Self::Foreign { .. } => Kind::Conflict,
            Self::Away { .. } | Self::Replaced { .. } => Kind::Storage,
            Self::NotFound(_) => Kind::NotFound,
            Self::Damaged { .. } => Kind::Storage,
            Self::Stopped => Kind::Stopped,
        }
    }

    /// What it tells about the disk.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Disk(e) => e.trouble(),
            Self::NotMounted { .. } | Self::Away { .. } => Trouble::NotMounted,
            Self::Foreign { .. } | Self::Replaced { .. } => Trouble::WrongDirectory,
            Self::Store(e) if e.kind() == Kind::NoSpace => Trouble::Full,
            Self::Store(_) | Self::NotFound(_) | Self::Damaged { .. } | Self::Stopped => Trouble::Other,
        }
    }
}
