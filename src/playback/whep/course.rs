//! Where somebody is in what they are sent: times that never go back, and when to begin anew. Pure.

use super::shots::What;
use std::time::Duration;
use tokio::time::Instant;

/// Who asks for a key frame gets the current group of pictures anew, but not so soon after they were sent a key frame: it
/// may still be on its way.
const KEY_FRAME_WAIT: Duration = Duration::from_secs(2);
/// From the last picture that was sent to the one that is sent anew, at 90 kHz.
const STEP_TICKS: u64 = 3_600;

/// The state of one viewer.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Added to times of pictures.
    shift: u64,
    picture: Option<u64>,
    sound: Option<u64>,
    key_sent: Option<Instant>,
}

impl Course {
    /// The time that a shot is sent with; None: it was sent before, and heard.
    pub(super) fn place(&mut self, what: What, ticks: u64, now: Instant) -> Option<u64> {
        match what {
            What::Sound(_) => {
                let is_new = self.sound.is_none_or(|last| last < ticks);
                self.sound = self.sound.max(Some(ticks));
                is_new.then_some(ticks)
            }
            What::Picture { key } => {
                if key {
                    self.key_sent = Some(now);
                    // What was sent of the group before lies behind.
                    if let Some(last) = self.picture.filter(|last| ticks + self.shift <= *last) {
                        self.shift = last + STEP_TICKS - ticks;
                    }
                }
                let at = ticks + self.shift;
                self.picture = self.picture.max(Some(at));
                Some(at)
            }
        }
    }

    /// A key frame is asked for: whether to begin anew with the newest.
    pub(super) fn begins_again(&self, now: Instant) -> bool {
        self.key_sent.is_some_and(|sent| now.saturating_duration_since(sent) >= KEY_FRAME_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::shots::Law, *};
    use proptest::prelude::*;

    #[tokio::test(start_paused = true)]
    async fn who_lost_too_much_is_sent_the_group_anew_and_not_again_at_once() {
        let (mut course, now) = (Course::default(), Instant::now());
        let key = What::Picture { key: true };
        assert!(!course.begins_again(now), "before the first one there is nothing to begin anew with");
        course.place(key, 90_000, now);
        assert!(!course.begins_again(now + KEY_FRAME_WAIT / 2));
        let later = now + KEY_FRAME_WAIT;
        assert!(course.begins_again(later));
        course.place(What::Picture { key: false }, 180_000, later);
        assert_eq!(course.place(key, 90_000, later), Some(183_600));
        assert!(!course.begins_again(later));
    }

    proptest! {
        /// Whatever is sent anew: times of pictures in the order in which they are sent grow, and no sound is heard twice.
        #[test]
        fn times_never_go_back(groups in proptest::collection::vec((1u64..60, 0usize..3), 1..12)) {
            let now = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async { Instant::now() });
            let (mut course, mut begin) = (Course::default(), 0u64);
            let (mut last, mut heard) = (None, None);
            for (pictures, again) in groups {
                for _ in 0..=again {
                    for n in 0..pictures {
                        let ticks = begin + n * 3_600;
                        let at = course.place(What::Picture { key: n == 0 }, ticks, now);
                        prop_assert!(at > last, "{:?} behind {:?}", at, last);
                        last = at;
                        let sound = course.place(What::Sound(Law::Alaw), ticks, now);
                        prop_assert!(sound.is_none() || sound > heard);
                        heard = heard.max(sound);
                    }
                }
                begin += pictures * 3_600;
            }
            prop_assert_eq!(heard, Some(begin - groups_step()));
        }
    }

    const fn groups_step() -> u64 {
        3_600
    }
}
