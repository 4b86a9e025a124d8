//! Why the daemon could not start, or could not take a new config. Each says what to do.

use crate::{base::Kind, config::Faults};
use std::path::PathBuf;

/// What stands between a config and a running daemon.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file has faults; all of them are told.
    #[error("{0}")]
    Config(#[from] Faults),
    /// Log lines have nowhere to go.
    #[error(transparent)]
    Telemetry(#[from] super::telemetry::Error),
    /// The data directory cannot be used.
    #[error("data_dir {path}: {error}; make it a directory that the user of skyvis may write to", path = .path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The disk pool failed.
    #[error(transparent)]
    Disk(#[from] crate::disk::Error),
    /// The database cannot be opened or written.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The log of events cannot be opened.
    #[error(transparent)]
    Events(#[from] crate::events::Error),
    /// The footage cannot be reached.
    #[error(transparent)]
    Archive(#[from] crate::archive::Error),
    /// Services and keys cannot be read or written.
    #[error(transparent)]
    Registry(#[from] crate::registry::Error),
    /// An address cannot be bound.
    #[error(transparent)]
    Serve(#[from] crate::serve::Error),
    /// The proxy cannot listen.
    #[error(transparent)]
    Proxy(#[from] crate::proxy::Error),
    /// WebRTC cannot be served.
    #[error("webrtc: {0}")]
    Whep(#[from] crate::playback::whep::Error),
    /// Cameras could not be told.
    #[error(transparent)]
    Camera(#[from] crate::camera::Error),
    /// Changed keys that a running daemon cannot follow.
    #[error("not reloaded: {} can only change with a restart; the config before stays in force", .0.join(", "))]
    NeedsRestart(Vec<String>),
    /// The runtime could not be made.
    #[error("threads could not be started: {0}")]
    Runtime(std::io::Error),
    /// The simulated device could not be started.
    #[error(transparent)]
    Sim(#[from] crate::sim::Error),
    /// The demo's own directory cannot be used.
    #[error("{path}: {error}", path = .path.display())]
    DemoDir {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The task of a room ended while the daemon ran: a bug.
    #[error("{0} ended by itself; the process stops in order and is to be started again")]
    RoomEnded(&'static str),
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Config(_) | Self::Telemetry(_) => Kind::Invalid,
            Self::NeedsRestart(_) => Kind::Conflict,
            Self::DataDir { .. } | Self::DemoDir { .. } => Kind::Storage,
            Self::Disk(e) => e.kind(),
            Self::Store(e) => e.kind(),
            Self::Events(e) => e.kind(),
            Self::Archive(e) => e.kind(),
            Self::Registry(e) => e.kind(),
            Self::Serve(e) => e.kind(),
            Self::Proxy(e) => e.kind(),
            Self::Camera(e) => e.kind(),
            Self::Whep(e) => e.kind(),
            Self::Sim(e) => e.kind(),
            Self::Runtime(_) | Self::RoomEnded(_) => Kind::Internal,
        }
    }

    /// What the process ends with: 78 for a config that is wrong, 1 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Telemetry(super::telemetry::Error::Filter { .. }) => 78,
            _ => 1,
        }
    }
}
