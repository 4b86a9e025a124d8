//! What can keep a simulator from starting, or a fault from being set.

use crate::base::Kind;
use std::net::SocketAddr;

/// A simulator's failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options contradict themselves or a limit.
    #[error("the simulator cannot be like that: {0}")]
    Options(String),
    /// A port is taken or not allowed.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where it tried to listen.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no such channel.
    #[error("the simulator has no channel {0}")]
    NoChannel(u32),
    /// There is no such device behind it, or it is no gateway.
    #[error("the simulator has no device {0} behind it")]
    NoDevice(u32),
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Options(_) => Kind::Invalid,
            Self::Bind { .. } => Kind::Conflict,
            Self::NoChannel(_) | Self::NoDevice(_) => Kind::NotFound,
        }
    }
}
