//! What can go wrong before the first connection.

use crate::base::Kind;
use std::{io, net::SocketAddr};

/// A failure of this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket could not be opened.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The host has no descriptor for a thread.
    #[error("cannot set up a thread of the proxy: {0}")]
    Thread(io::Error),
    /// The library of TLS gives nothing to work with.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Listen { .. } | Self::Thread(_) | Self::Tls(_) => Kind::Internal,
        }
    }
}
