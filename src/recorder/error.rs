//! Why a file could not be written.

use crate::{archive, base::Kind, disk, media};
use std::path::PathBuf;

/// A failure of the writer. The file it happened to is closed with what is whole in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// The index failed.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// Frames could not be put into a fragment.
    #[error("frames do not fit a fragment: {0}")]
    Media(#[from] media::Error),
    /// The recordings directory is not there, or is only the place where its disk should be mounted.
    #[error("the recordings directory {} is not mounted; mount its disk", .0.display())]
    NotMounted(PathBuf),
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Disk(e) => e.kind(),
            Self::Archive(e) => e.kind(),
            Self::Media(_) => Kind::Internal,
            Self::NotMounted(_) => Kind::Storage,
        }
    }

    /// The word for it in a stream's state.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotMounted(_) => "not_mounted",
            Self::Media(_) => "bad_frames",
            _ if self.kind() == Kind::NoSpace => "disk_full",
            _ => "disk_error",
        }
    }
}
