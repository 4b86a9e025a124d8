//! What a verb of the handle can answer instead of doing it.

use crate::{base::Kind, model::DeviceId};

/// A request to the room that was not done.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No such device in the config.
    #[error("there is no device `{0}`")]
    UnknownDevice(DeviceId),
    /// Too many requests wait already.
    #[error("cameras are busy with earlier requests; try again")]
    Busy,
    /// The room has stopped.
    #[error("cameras are stopped")]
    Stopped,
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::UnknownDevice(_) => Kind::NotFound,
            Self::Busy => Kind::Busy,
            Self::Stopped => Kind::Stopped,
        }
    }
}
