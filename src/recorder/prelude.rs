//! The last frames from a key frame on, of a stream that is not wanted yet: so a window begins with a picture that can
//! be decoded. Pure.

use crate::model::{Frame, TrackKind};

/// More than this is not kept; the window then begins with the first key frame in it.
const BYTES_MAX: usize = 16 << 20;
/// The same in frames: 20 s of pictures and sound.
const FRAMES_MAX: usize = 1024;

/// The frames.
#[derive(Debug, Default)]
pub struct Prelude {
    frames: Vec<Frame>,
    bytes: usize,
}

impl Prelude {
    /// One more frame.
    pub fn push(&mut self, frame: Frame) {
        let begins = frame.key && frame.track == TrackKind::Video;
        if begins {
            self.clear();
        } else if self.frames.is_empty() {
            return;
        }
        self.bytes += frame.data.len();
        self.frames.push(frame);
        if self.bytes > BYTES_MAX || self.frames.len() > FRAMES_MAX {
            self.clear();
        }
    }

    /// What is kept; nothing is kept after it.
    pub fn take(&mut self) -> Vec<Frame> {
        self.bytes = 0;
        std::mem::take(&mut self.frames)
    }

    /// What comes next does not follow what is kept.
    pub fn clear(&mut self) {
        self.bytes = 0;
        self.frames.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::fixture::noon,
        media::fixture::{Options, clip},
    };

    #[test]
    fn it_holds_what_the_next_picture_needs_and_never_too_much() {
        let frames = clip(Options::default()).frames(1, noon());
        let mut prelude = Prelude::default();
        for frame in frames.iter().skip(3) {
            prelude.push(frame.clone());
        }
        let last_key = frames.iter().rposition(|f| f.key && f.track == TrackKind::Video).unwrap();
        let kept: Vec<i64> = prelude.take().iter().map(|f| f.ticks).collect();
        assert_eq!(kept, frames[last_key..].iter().map(|f| f.ticks).collect::<Vec<_>>());
        assert!(prelude.take().is_empty());
        prelude.push(frames[last_key].clone());
        for _ in 0..=FRAMES_MAX {
            prelude.push(Frame { key: false, track: TrackKind::Video, ..frames[last_key].clone() });
        }
        assert!(prelude.frames.len() <= FRAMES_MAX);
    }
}
