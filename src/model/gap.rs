//! Time in which a stream should have been recorded and was not, and why.

use crate::base::Wall;
use serde::{Deserialize, Serialize};

/// Why nothing was recorded. The words are those of the API, of metrics and of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The recorder says that it has lost the camera.
    Offline,
    /// The device does not answer, or takes no connection.
    Unreachable,
    /// The device refuses the user or the password.
    Auth,
    /// The device has locked the account.
    Locked,
    /// The device answers, and what it sends cannot be recorded: a session that broke, an error, a hole in the stream.
    StreamError,
    /// The disk is full.
    DiskFull,
    /// The disk failed, or is not mounted.
    DiskError,
    /// Outside the hours of the schedule.
    Schedule,
    /// Somebody asked for a pause.
    Paused,
    /// Skyvis was stopped, or began the stream anew for a changed configuration.
    Restart,
    /// Skyvis ended without a stop: a crash, or a cut of power.
    Crash,
    /// The disk or this host was too slow: frames were left out.
    Overload,
    /// The host's clock was set to another time.
    ClockStep,
    /// A session is being set up; nothing has failed.
    Connecting,
    /// The stream was not to be recorded at all: not configured, switched off, or gone from its device. Never shown.
    Removed,
    /// Nothing is known of it: the ledger of that time is lost, or footage was removed by hand.
    Unknown,
    /// The session lived, and the camera sent no picture. The one cause that may lie within a file: what follows needs
    /// the pictures before it.
    Silence,
}

/// One interval of one stream without footage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// End of the last recorded frame.
    pub start: Wall,
    /// Start of the next recorded frame; None while the gap lasts.
    pub end: Option<Wall>,
    /// Why.
    pub cause: GapCause,
}

impl GapCause {
    /// Every cause.
    pub const ALL: [GapCause; 17] = [
        Self::Offline,
        Self::Unreachable,
        Self::Auth,
        Self::Locked,
        Self::StreamError,
        Self::DiskFull,
        Self::DiskError,
        Self::Schedule,
        Self::Paused,
        Self::Restart,
        Self::Crash,
        Self::Overload,
        Self::ClockStep,
        Self::Connecting,
        Self::Removed,
        Self::Unknown,
        Self::Silence,
    ];

    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Unreachable => "unreachable",
            Self::Auth => "auth",
            Self::Locked => "locked",
            Self::StreamError => "stream_error",
            Self::DiskFull => "disk_full",
            Self::DiskError => "disk_error",
            Self::Schedule => "schedule",
            Self::Paused => "paused",
            Self::Restart => "restart",
            Self::Crash => "crash",
            Self::Overload => "overload",
            Self::ClockStep => "clock_step",
            Self::Connecting => "connecting",
            Self::Removed => "removed",
            Self::Unknown => "unknown",
            Self::Silence => "silence",
        }
    }

    /// Whether footage was wanted at that time. Where it was not, nothing is missing.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Schedule | Self::Paused | Self::Removed)
    }

    /// Whether it says only that nothing comes. What is learnt soon after explains the gap from its begin.
    pub const fn is_symptom(self) -> bool {
        matches!(self, Self::StreamError | Self::Unreachable | Self::Connecting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_rows_and_in_the_api_are_the_same() {
        for cause in GapCause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
        }
    }
}
