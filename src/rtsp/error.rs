//! What a peer can send that is not RTSP.

use crate::base::Kind;

/// A fault in what a peer sent. The connection cannot be understood any further.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not a message at all.
    #[error("not an RTSP message: {0}")]
    Malformed(&'static str),
    /// More than is ever needed.
    #[error("RTSP message too large: {0}")]
    TooLarge(&'static str),
}

impl Error {
    /// Always the peer's fault.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}
