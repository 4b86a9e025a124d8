//! Why the store refused, in words that tell an operator what to do.

use crate::{base::Kind, disk};
use std::path::PathBuf;

/// A failure of the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the store open.
    #[error("the store {} is in use by another process; stop it first (`systemctl stop skyvis`)", dir.display())]
    Locked {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The store cannot be read, or is not what it was when it was last written.
    #[error("the store {} is damaged: {what}; {advice}", dir.display())]
    Damaged {
        /// The store's directory.
        dir: PathBuf,
        /// What was found.
        what: String,
        /// What to do now.
        advice: String,
    },
    /// Made by a version of skyvis that this one does not know.
    #[error("the store {} has schema {found}, this version reads {known}; run the version that wrote it", dir.display())]
    Schema {
        /// The store's directory.
        dir: PathBuf,
        /// The schema found.
        found: String,
        /// The schema that this version reads.
        known: u32,
    },
    /// An earlier write could not be made durable; nothing is written any more until a restart.
    #[error("the store has failed and takes no more writes until a restart: {0}")]
    Failed(String),
    /// The file system has too little room left.
    #[error("no space left for the store: {0}")]
    NoSpace(String),
    /// A row cannot be decoded or does not match its own checksum.
    #[error("a row of keyspace `{keyspace}` cannot be read: {what}")]
    Row {
        /// The keyspace's name.
        keyspace: &'static str,
        /// Why.
        what: String,
    },
    /// A key or value is out of bounds, or a keyspace's prefix is taken by another one.
    #[error("not a valid write: {0}")]
    Invalid(String),
    /// A backup file is not one, or is damaged.
    #[error("{} is not a whole backup: {what}", file.display())]
    BadBackup {
        /// The file.
        file: PathBuf,
        /// Why.
        what: String,
    },
    /// The disk or sled failed.
    #[error("the store failed: {0}")]
    Storage(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Locked { .. } | Self::Schema { .. } => Kind::Conflict,
            Self::NoSpace(_) => Kind::NoSpace,
            Self::Invalid(_) | Self::BadBackup { .. } => Kind::Invalid,
            Self::Closed => Kind::Stopped,
            Self::Damaged { .. } | Self::Failed(_) | Self::Row { .. } | Self::Storage(_) => Kind::Storage,
        }
    }
}

impl From<disk::Error> for Error {
    fn from(e: disk::Error) -> Self {
        match e.kind() {
            Kind::NoSpace => Self::NoSpace(e.to_string()),
            _ => Self::Storage(e.to_string()),
        }
    }
}

impl From<sled::Error> for Error {
    fn from(e: sled::Error) -> Self {
        match &e {
            sled::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => Self::NoSpace(e.to_string()),
            _ => Self::Storage(e.to_string()),
        }
    }
}
