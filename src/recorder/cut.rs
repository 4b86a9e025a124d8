//! When a file is cut and when what is held is written: the limits, and the questions asked of each frame. Pure.

use super::Settings;
use crate::model::{Frame, frame::VIDEO_TIMESCALE};
use std::time::Duration;

/// A frame that comes so much later than the one before does not follow it: footage is missing between them. The
/// slowest cameras send a picture every 16 s.
pub const FRAME_GAP_TICKS_MAX: i64 = 60 * VIDEO_TIMESCALE as i64;
/// So many bytes are written at once at most, however little time they are.
pub const FRAGMENT_BYTES_MAX: usize = 16 << 20;
/// A file that found no key frame to be cut at ends here, and recording goes on at the next key frame.
pub const SEGMENT_TICKS_MAX: i64 = 3600 * VIDEO_TIMESCALE as i64;
/// The same, in bytes.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// Sounds that wait for the pictures they belong to: 10 s of the shortest frames that cameras send.
pub const AUDIO_FRAMES_MAX: usize = 1024;
/// While there is no picture yet, sounds older than this are let go.
pub const AUDIO_LEAD_SECONDS_MAX: i64 = 2;
/// How long a lone picture lasts.
pub const FRAME_TICKS_DEFAULT: u32 = VIDEO_TIMESCALE / 25;

/// What the settings ask, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A file is cut at the first key frame after so long.
    pub segment_ticks: i64,
    /// So much is held at most.
    pub fragment_ticks: i64,
    /// Whether sound is kept.
    pub audio: bool,
}

impl Rules {
    /// The rules that settings ask for.
    pub fn of(settings: &Settings) -> Self {
        Self {
            segment_ticks: ticks(settings.segment).min(SEGMENT_TICKS_MAX),
            fragment_ticks: ticks(settings.fragment),
            audio: settings.audio,
        }
    }

    /// Whether a new file begins at `frame`, the open one having begun at `zero`.
    pub fn cuts(&self, zero: i64, frame: &Frame) -> bool {
        frame.key && frame.ticks.saturating_sub(zero) >= self.segment_ticks
    }

    /// Whether what is held from `first` on must be written now that `frame`, which follows `previous`, is here: with
    /// it, or with a frame as long as the last, more than a fragment would be held.
    pub fn fragment_is_due(&self, first: i64, previous: i64, frame: i64, bytes: usize) -> bool {
        frame.saturating_sub(first).saturating_add(frame - previous) > self.fragment_ticks || bytes > FRAGMENT_BYTES_MAX
    }
}

/// Whether `next` plays on from a frame at `last`.
pub fn follows(last: i64, next: i64) -> bool {
    (1..=FRAME_GAP_TICKS_MAX).contains(&next.saturating_sub(last))
}

/// Whether an open file has found no place to be cut for too long.
pub fn is_overlong(zero: i64, frame: i64, bytes: u64) -> bool {
    frame.saturating_sub(zero) > SEGMENT_TICKS_MAX || bytes > SEGMENT_BYTES_MAX
}

fn ticks(d: Duration) -> i64 {
    i64::try_from(d.as_micros() * u128::from(VIDEO_TIMESCALE) / 1_000_000).unwrap_or(i64::MAX)
}
