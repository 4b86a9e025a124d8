//! How often pictures come, and where they did not. Pure.
//!
//! A network that stalls loses nothing over TCP: what comes late has its own time. But a camera may send nothing for
//! some seconds, with its session and its sequence numbers whole; then only the step from one picture to the next says
//! so. What step is usual changes: by night, by a setting, and some cameras send pictures in pairs. So it is held
//! against the second largest of those before it: one silence does not hide the next.

use crate::model::SessionId;
use std::collections::VecDeque;

/// Steps that say what is usual.
const STEPS: usize = 16;
/// A step this many times as long as a usual one is a silence, if it is long enough to be missed.
const TIMES_USUAL: i64 = 3;

/// Times of one stream's pictures.
#[derive(Debug, Default)]
pub struct Cadence {
    last: Option<(SessionId, i64)>,
    steps: VecDeque<i64>,
}

/// From one picture to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is missing between the two, in ticks: the step but for the time that a picture usually lasts.
    pub hole: i64,
    /// Whether it is long for these pictures, whatever is said of it.
    pub is_long: bool,
}

impl Cadence {
    /// One more picture: the step to it; None for the first of a session.
    pub fn step(&mut self, session: SessionId, ticks: i64) -> Option<Step> {
        let last = self.last.replace((session, ticks));
        let Some((_, last)) = last.filter(|last| last.0 == session) else {
            self.steps.clear();
            return None;
        };
        let step = ticks.saturating_sub(last);
        let usual = self.usual();
        self.steps.truncate(STEPS - 1);
        self.steps.push_front(step);
        let is_long = usual.is_some_and(|usual| step > usual.saturating_mul(TIMES_USUAL));
        Some(Step { hole: step.saturating_sub(usual.unwrap_or(0)), is_long })
    }

    /// What comes next follows nothing.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The second largest step; the only one.
    fn usual(&self) -> Option<i64> {
        let mut largest = [None; 2];
        for step in self.steps.iter().copied() {
            match largest[0] {
                Some(most) if step <= most => largest[1] = largest[1].max(Some(step)),
                _ => largest = [Some(step), largest[0]],
            }
        }
        largest[1].or(largest[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(1);

    /// Where long steps lie, of pictures at these times in hundredths of a second.
    fn long(times: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let mut cadence = Cadence::default();
        times.into_iter().filter(|t| cadence.step(SESSION, t * 900).is_some_and(|s| s.is_long)).collect()
    }

    #[test]
    fn a_silence_is_a_step_that_is_long_for_these_pictures() {
        let with = |from: i64, to: i64| (0..400).map(|n| n * 4).filter(move |t| !(from..to).contains(t));
        assert_eq!(long(with(0, 0)), [0; 0]);
        assert_eq!(long(with(400, 520)), [520]);
        assert_eq!(long(with(400, 520).filter(|t| !(560..700).contains(t))), [520, 700], "one does not hide the next");
        let mut cadence = Cadence::default();
        for n in 0..4 {
            cadence.step(SESSION, n * 3600);
        }
        assert_eq!(cadence.step(SESSION, 180_000), Some(Step { hole: 180_000 - 4 * 3600, is_long: true }));
    }

    #[test]
    fn a_slower_camera_is_not_silent_for_long() {
        // Twenty-five a second by day, one by night.
        let by_night = long((0..100).map(|n| n * 4).chain((5..60).map(|n| n * 100)));
        assert_eq!(by_night, [500, 600], "until it is known");
        let in_pairs = long((0..50).flat_map(|n| [n * 100, n * 100 + 4]));
        assert_eq!(in_pairs, [100, 200], "until it is known");
    }

    #[test]
    fn sessions_have_nothing_to_do_with_each_other() {
        let mut cadence = Cadence::default();
        assert_eq!(cadence.step(SessionId(1), 0), None);
        assert_eq!(cadence.step(SessionId(1), 3600), Some(Step { hole: 3600, is_long: false }), "nothing is usual yet");
        assert_eq!(cadence.step(SessionId(1), 7200), Some(Step { hole: 0, is_long: false }));
        assert_eq!(cadence.step(SessionId(2), 900_000), None);
    }
}
