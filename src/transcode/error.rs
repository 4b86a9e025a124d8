//! Why a stream is not transcoded.

use crate::{base::Kind, media};
use std::path::PathBuf;

/// A failure of ffmpeg, or of the way to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such program.
    #[error("{0} is not installed: install ffmpeg, or set transcode.ffmpeg to where it is")]
    Missing(String),
    /// It is there and does not say that it is ffmpeg.
    #[error("{} does not answer as ffmpeg does: {what}", .path.display())]
    NotFfmpeg {
        /// Which program.
        path: PathBuf,
        /// What it did instead.
        what: String,
    },
    /// It could not be started.
    #[error("ffmpeg could not be started: {0}")]
    Start(String),
    /// As many processes run as may.
    #[error("{0} ffmpeg processes run already, which is transcode.processes; raise it, or transcode fewer streams")]
    Limit(usize),
    /// It ended by itself.
    #[error("ffmpeg ended ({status}){}", last_line(.said))]
    Ended {
        /// How.
        status: String,
        /// The last line that it wrote.
        said: Option<String>,
    },
    /// It takes pictures and gives none.
    #[error("ffmpeg gave no picture for {0} s")]
    Hangs(u64),
    /// What it writes is not what was asked for.
    #[error("ffmpeg's answer cannot be used: {0}")]
    Nonsense(String),
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) | Self::NotFfmpeg { .. } => Kind::NotFound,
            Self::Limit(_) => Kind::Busy,
            Self::Start(_) | Self::Ended { .. } | Self::Hangs(_) | Self::Nonsense(_) => Kind::Peer,
        }
    }

    /// The word for it in a stream's state.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) | Self::NotFfmpeg { .. } => "no_ffmpeg",
            Self::Limit(_) => "ffmpeg_limit",
            Self::Start(_) | Self::Ended { .. } | Self::Hangs(_) | Self::Nonsense(_) => "ffmpeg_failed",
        }
    }
}

impl From<media::Error> for Error {
    fn from(error: media::Error) -> Self {
        Self::Nonsense(error.to_string())
    }
}

fn last_line(said: &Option<String>) -> String {
    said.as_ref().map_or_else(String::new, |line| format!(": {line}"))
}
