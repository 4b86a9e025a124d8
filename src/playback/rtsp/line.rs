//! One line of time through sessions with a camera that follow one another: ticks begin anew with each, and what receivers
//! see must not jump back. Pure.

use super::press::micros_of;
use crate::{
    base::Wall,
    model::{Frame, SessionId, TrackKind},
};

/// The least between the last picture of one session and the first of the next.
const STEP_MICROS_MIN: i64 = 40_000;
/// The most: a camera whose clock was set, or that was gone for long.
const STEP_MICROS_MAX: i64 = 86_400_000_000;

/// Where frames lie.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::playback) struct Line {
    session: Option<SessionId>,
    /// Where the session's ticks begin.
    zero_micros: i64,
    /// The furthest place by now, and its time.
    last: Option<(i64, Wall)>,
}

impl Line {
    /// When a frame is shown, in ticks of its track on the line.
    pub(in crate::playback) fn place(&mut self, frame: &Frame) -> i64 {
        let rate = frame.format.timescale(frame.track);
        let at = micros_of(frame.ticks, rate);
        if self.session != Some(frame.session) {
            let begin = self.last.map_or(0, |(micros, wall)| {
                micros + frame.wall.micros_since(wall).clamp(STEP_MICROS_MIN, STEP_MICROS_MAX)
            });
            (self.session, self.zero_micros) = (Some(frame.session), begin - at);
        }
        let here = self.zero_micros + at;
        if frame.track == TrackKind::Video && self.last.is_none_or(|(last, _)| last < here) {
            self.last = Some((here, frame.wall));
        }
        let zero = i128::from(self.zero_micros) * i128::from(rate) / 1_000_000;
        i64::try_from(zero).unwrap_or(0) + frame.ticks + i64::from(frame.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AudioFormat, StreamFormat, VideoCodec, frame::VideoFormat};
    use bytes::Bytes;
    use std::sync::Arc;

    fn frame(session: u64, track: TrackKind, ticks: i64, wall: i64) -> Frame {
        let video = VideoFormat {
            codec: VideoCodec::H264,
            rfc6381: String::new(),
            width: 1,
            height: 1,
            sample_entry: Bytes::new(),
        };
        let audio =
            AudioFormat { rfc6381: String::new(), sample_rate: 8000, frame_ticks: 160, sample_entry: Bytes::new() };
        Frame {
            session: SessionId(session),
            track,
            ticks,
            offset: 0,
            wall: Wall::from_micros(wall),
            key: true,
            data: Bytes::new(),
            format: Arc::new(StreamFormat { video, audio: Some(audio) }),
        }
    }

    #[test]
    fn a_session_goes_on_where_the_one_before_was_by_the_clock_and_both_tracks_lie_alike() {
        let mut line = Line::default();
        let mut place = |session, track, ticks, wall| line.place(&frame(session, track, ticks, wall));
        assert_eq!(place(1, TrackKind::Video, 90_000, 5_000_000), 0);
        assert_eq!(place(1, TrackKind::Audio, 8_000, 5_000_000), 0);
        assert_eq!(place(1, TrackKind::Video, 180_000, 6_000_000), 90_000);
        // Three seconds later by the clock.
        assert_eq!(place(2, TrackKind::Video, 450_000, 9_000_000), 360_000);
        assert_eq!(place(2, TrackKind::Audio, 48_000, 10_000_000), 40_000);
        // A clock that was set back makes no time go back.
        assert_eq!(place(3, TrackKind::Video, 0, 1_000_000), 363_600);
    }
}
