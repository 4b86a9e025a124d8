//! What can go wrong with a request's body or a listener.

use crate::base::Kind;
use std::{io, time::Duration};

/// A failure of this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is longer than this route takes.
    #[error("the body is longer than {limit_bytes} bytes")]
    BodyTooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {0:?}")]
    BodyTooSlow(Duration),
    /// The client went away or broke the framing.
    #[error("the body broke off: {0}")]
    BodyBroken(String),
    /// A socket could not be opened.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// What was asked for.
        address: String,
        /// Why not.
        error: io::Error,
    },
    /// Another process answers on the unix socket.
    #[error("cannot listen on {path}: another process is listening there")]
    SocketInUse {
        /// The socket's path.
        path: String,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::BodyTooLong { .. } | Self::BodyTooSlow(_) => Kind::Invalid,
            Self::BodyBroken(_) => Kind::Peer,
            Self::Listen { .. } => Kind::Internal,
            Self::SocketInUse { .. } => Kind::Conflict,
        }
    }

    /// The status that a handler answers a body's failure with.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::BodyTooLong { .. } => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow(_) => http::StatusCode::REQUEST_TIMEOUT,
            _ => http::StatusCode::BAD_REQUEST,
        }
    }
}
