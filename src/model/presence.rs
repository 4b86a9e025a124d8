//! The states that a device and a stream are seen in.

use serde::{Deserialize, Serialize};

/// Is the device (or channel) there?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Not asked yet.
    Unknown,
    /// It answers, and says so.
    Online,
    /// It comes and goes: several changes within a short time.
    Flapping,
    /// It does not answer, or its recorder says that it is gone.
    Offline,
    /// The account is locked or the password refused; skyvis does not try again until something changed.
    Locked,
}

/// What a stream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    /// A session is being set up; no frame yet.
    Connecting,
    /// Frames arrive.
    Running,
    /// The last attempt failed; waiting before the next.
    Backoff,
    /// Asked not to run; `reason` says by whom.
    Paused,
    /// The device or channel is offline.
    Offline,
    /// The account is locked or refused.
    Locked,
    /// No longer supervised.
    Stopped,
}

impl Presence {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Online => "online",
            Self::Flapping => "flapping",
            Self::Offline => "offline",
            Self::Locked => "locked",
        }
    }
}

impl StreamState {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Paused => "paused",
            Self::Offline => "offline",
            Self::Locked => "locked",
            Self::Stopped => "stopped",
        }
    }
}
