//! Sound on its way to the pictures that it is sent with. Pure.

use crate::{
    media::fmp4::write::{FragmentTrack, Sample},
    model::{Frame, StreamFormat, frame::VIDEO_TIMESCALE},
};
use std::{collections::VecDeque, sync::Arc};

/// Sound that waits for its pictures: two seconds of the smallest packets.
const SOUNDS_MAX: usize = 512;

/// What waits.
#[derive(Default)]
pub(super) struct Sounds(VecDeque<Frame>);

impl Sounds {
    /// Takes in what came.
    pub(super) fn push(&mut self, frame: Frame) {
        if frame.format.audio.is_none() {
            return;
        }
        if self.0.len() == SOUNDS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(frame);
    }

    /// All that came, in times of what is shown: `base` of them, at 90 kHz, had passed when the run's first picture was
    /// taken, at `zero`. What lies before that is left out.
    pub(super) fn take(&mut self, format: &StreamFormat, zero: i64, base: u64) -> Option<FragmentTrack> {
        let (rate, frame_ticks) = format.audio.as_ref().map(|audio| (audio.sample_rate, audio.frame_ticks))?;
        let scale = |ticks: i128| ticks * i128::from(rate) / i128::from(VIDEO_TIMESCALE);
        let zero = scale(i128::from(zero)) - scale(i128::from(base));
        let at = |frame: &Frame| u64::try_from(i128::from(frame.ticks) - zero).ok();
        let first_seen = scale(i128::from(base));
        let (zero_at, mut track) = (u64::try_from(first_seen).unwrap_or(0), FragmentTrack::default());
        let frames: Vec<Frame> = self.0.drain(..).collect();
        for (n, frame) in frames.iter().enumerate() {
            let Some(ticks) = at(frame).filter(|ticks| *ticks >= zero_at) else { continue };
            let next = frames.get(n + 1).and_then(at).filter(|next| *next > ticks);
            let duration = next.map_or(frame_ticks, |next| u32::try_from(next - ticks).unwrap_or(frame_ticks));
            if track.samples.is_empty() {
                track.first_ticks = ticks;
            }
            track.samples.push(Sample { data: frame.data.clone(), duration, offset: 0, key: true });
        }
        (!track.samples.is_empty()).then_some(track)
    }
}

/// Whether frames of both formats are decoded alike.
pub(super) fn is_alike(a: &Arc<StreamFormat>, b: &Arc<StreamFormat>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}
