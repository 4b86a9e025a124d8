//! Why the archive could not do what it was asked, in words for whoever has to act on it.

use crate::{base::Kind, disk, store};
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
            Self::NotFound(_) => Kind::NotFound,
            Self::Damaged { .. } => Kind::Storage,
            Self::Stopped => Kind::Stopped,
        }
    }
}
