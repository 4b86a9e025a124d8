//! What ffmpeg was given and has not answered yet: it gives answers their times back, and a process that dies is begun
//! anew with it. Pure.

use crate::model::{Frame, TrackKind};
use std::collections::VecDeque;

/// Pictures that are kept: beyond them a process that dies costs what was in it.
const FRAMES_MAX: usize = 1024;
/// Their bytes: 8 s of 16 Mb/s.
const BYTES_MAX: usize = 16 << 20;
/// Sounds that wait for the picture that they belong to: 16 s of the shortest frames that cameras send.
const SOUNDS_MAX: usize = 1024;

/// Pictures under way, from the key frame at or before the oldest that is not answered.
#[derive(Debug, Default)]
pub struct Flight {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The beginning had to be let go: what is here cannot be decoded from its start.
    cut: bool,
    sounds: VecDeque<Frame>,
    /// When the last picture that was answered is shown.
    answered: Option<i64>,
}

impl Flight {
    /// A picture was given, or a sound came by.
    pub fn give(&mut self, frame: Frame) {
        if frame.track == TrackKind::Audio {
            self.sounds.push_back(frame);
            if self.sounds.len() > SOUNDS_MAX {
                self.sounds.pop_front();
            }
            return;
        }
        self.bytes += frame.data.len();
        self.frames.push_back(frame);
        while self.frames.len() > FRAMES_MAX || self.bytes > BYTES_MAX {
            self.cut = true;
            self.drop_first();
        }
    }

    /// A picture is answered with these ticks: the one it was made of. None where it was answered before, or never
    /// given.
    pub fn answer(&mut self, ticks: i64, tolerance_ticks: i64) -> Option<Frame> {
        if self.answered.is_some_and(|last| ticks <= last + tolerance_ticks) {
            return None;
        }
        let at = self.frames.iter().position(|f| (shown(f) - ticks).abs() <= tolerance_ticks)?;
        let found = self.frames[at].clone();
        self.answered = Some(shown(&found));
        // Nothing before the key frame that this one is decoded from is needed again.
        if let Some(key) = (0..=at).rev().find(|n| self.frames[*n].key) {
            (0..key).for_each(|_| self.drop_first());
            self.cut = false;
        }
        Some(found)
    }

    /// The sounds up to the last picture that was answered.
    pub fn sounds(&mut self) -> Vec<Frame> {
        let Some(upto) = self.answered.and_then(|t| self.frames.iter().find(|f| shown(f) == t)).map(|f| f.wall) else {
            return Vec::new();
        };
        let count = self.sounds.partition_point(|s| s.wall <= upto);
        self.sounds.drain(..count).collect()
    }

    /// All sounds that are left: no picture comes any more.
    pub fn rest_of_sounds(&mut self) -> Vec<Frame> {
        self.sounds.drain(..).collect()
    }

    /// What to give to a process that is begun anew; empty where it cannot be decoded from its start.
    pub fn again(&self) -> Vec<Frame> {
        let whole = !self.cut && self.frames.front().is_some_and(|f| f.key);
        if whole { self.frames.iter().cloned().collect() } else { Vec::new() }
    }

    /// Pictures that were never answered, from the first key frame among them.
    pub fn unanswered(&mut self) -> Vec<Frame> {
        let answered = self.answered;
        let rest = self.frames.drain(..).filter(|f| answered.is_none_or(|last| shown(f) > last));
        rest.skip_while(|f| !f.key).collect()
    }

    /// Ticks of the last picture that was answered.
    pub fn answered(&self) -> Option<i64> {
        self.answered
    }

    /// Pictures that were given and not answered.
    pub fn waiting(&self) -> usize {
        self.frames.iter().rev().take_while(|f| self.answered.is_none_or(|last| shown(f) > last)).count()
    }

    fn drop_first(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.data.len();
        }
    }
}

/// When a picture is shown: ffmpeg answers in this order, whatever order it was given in.
fn shown(frame: &Frame) -> i64 {
    frame.ticks + i64::from(frame.offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Wall,
        media::fixture::{Options, clip},
    };

    fn given(count: usize) -> (Flight, Vec<Frame>) {
        let clip = clip(Options { audio_rate: 0, ..Options::default() });
        let frames = clip.frames(1, Wall::from_millis(1_000_000));
        let mut flight = Flight::default();
        frames.iter().take(count).for_each(|f| flight.give(f.clone()));
        (flight, frames)
    }

    #[test]
    fn answers_get_the_time_of_what_they_were_made_of_once() {
        let (mut flight, frames) = given(30);
        let found = flight.answer(frames[3].ticks + 5, 10).unwrap();
        assert_eq!((found.wall, found.ticks), (frames[3].wall, frames[3].ticks));
        assert!(flight.answer(frames[3].ticks, 10).is_none(), "it was answered");
        assert!(flight.answer(frames[4].ticks + 1000, 10).is_none(), "nothing was given for this time");
        assert_eq!(flight.waiting(), 26);
    }

    #[test]
    fn what_is_kept_begins_with_the_key_frame_of_the_last_answer() {
        let (mut flight, frames) = given(60);
        flight.answer(frames[40].ticks, 10).unwrap();
        let again = flight.again();
        assert_eq!((again[0].ticks, again.len()), (frames[25].ticks, 35), "a group of 25");
        assert!(again[0].key);
        let rest = flight.unanswered();
        assert_eq!((rest[0].ticks, rest.len()), (frames[50].ticks, 10));
    }

    #[test]
    fn it_is_bounded_and_says_when_it_cannot_begin_anew() {
        let (_, frames) = given(0);
        let mut flight = Flight::default();
        for n in 0..FRAMES_MAX as i64 + 10 {
            flight.give(Frame { ticks: n * 3600, key: n == 0, ..frames[0].clone() });
        }
        assert_eq!(flight.waiting(), FRAMES_MAX);
        assert!(flight.again().is_empty());
    }
}
