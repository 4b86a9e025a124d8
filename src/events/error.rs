//! Why events cannot be read.

use crate::{base::Kind, store};

/// A failure of the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("cannot read the log of events: {0}")]
    Store(#[from] store::Error),
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(e) => e.kind(),
        }
    }
}
