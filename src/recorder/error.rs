//! Why a file could not be written.

use crate::{
    archive,
    base::Kind,
    disk::{self, Trouble},
    media,
    model::GapCause,
    store,
};

/// A failure of the writer. The file it happened to is closed with what is whole in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// The index failed.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Frames could not be put into a fragment.
    #[error("frames do not fit a fragment: {0}")]
    Media(#[from] media::Error),
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Disk(e) => e.kind(),
            Self::Archive(e) => e.kind(),
            Self::Store(e) => e.kind(),
            Self::Media(_) => Kind::Internal,
        }
    }

    /// What it tells about the disk; None where the frames are to blame.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Disk(e) => Some(e.trouble()),
            Self::Archive(e) => Some(e.trouble()),
            Self::Media(_) | Self::Store(_) => None,
        }
    }

    /// The word for it in a stream's state.
    pub fn reason(&self) -> &'static str {
        self.trouble().map_or("bad_frames", Trouble::reason)
    }

    /// What the ledger says of the time that it costs.
    pub fn cause(&self) -> GapCause {
        match self.trouble() {
            None => GapCause::StreamError,
            Some(Trouble::Full | Trouble::Inodes | Trouble::Quota) => GapCause::DiskFull,
            Some(_) => GapCause::DiskError,
        }
    }
}
