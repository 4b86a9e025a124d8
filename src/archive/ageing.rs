//! The time that footage's age is measured by: the wall clock, but never running more than a few times as fast as real
//! time.
//!
//! A clock that jumped ahead — a dead battery, a wrong time server, a typing error — would make all footage too old at
//! once. Here it costs [`RATE_MAX`] days of the oldest footage for each day that it stands, and nothing once it is put
//! right. After a time without power, ages catch up just as fast; limits of bytes and of free space hold all the while.

use crate::base::Wall;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Ages grow at most so many times as fast as time passes.
const RATE_MAX: u32 = 4;
/// The time is written down whenever it is so far from what was written last.
const SAVE_MICROS: i64 = 600_000_000;
/// So far behind the wall clock is told.
const TELL_MICROS: i64 = 86_400_000_000;

/// The furthest time that was reached.
#[derive(Default)]
pub struct Ageing(Mutex<Option<State>>);

#[derive(Clone, Copy)]
struct State {
    reached: Wall,
    at: Instant,
    saved: Option<Wall>,
    told: bool,
}

impl Ageing {
    /// The time to measure ages by, and what to write down, if anything. `saved` is what an earlier process wrote.
    pub fn now(&self, wall: Wall, at: Instant, saved: impl FnOnce() -> Option<Wall>) -> (Wall, Option<Wall>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = held.get_or_insert_with(|| {
            let saved = saved();
            State { reached: saved.unwrap_or(wall), at, saved, told: false }
        });
        state.reached = advance(state.reached, at.saturating_duration_since(state.at), wall);
        state.at = at;
        let behind = wall.micros_since(state.reached);
        if behind > TELL_MICROS && !state.told {
            tracing::warn!(
                clock = %wall, ages_as_of = %state.reached,
                "the clock jumped ahead, or skyvis was off for long: footage is not deleted for its age at once"
            );
        }
        state.told = behind > TELL_MICROS;
        let due = state.saved.is_none_or(|saved| state.reached.micros_since(saved) >= SAVE_MICROS);
        (state.reached.min(wall), due.then_some(state.reached))
    }

    /// It is written down.
    pub fn saved(&self, reached: Wall) {
        if let Some(state) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            state.saved = Some(reached);
        }
    }
}

/// Towards the wall clock, no faster than allowed, and never back: a clock that was wrong for a moment costs no time.
fn advance(reached: Wall, passed: Duration, wall: Wall) -> Wall {
    reached.plus(passed.saturating_mul(RATE_MAX)).min(wall).max(reached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn day(n: u32) -> Wall {
        Wall::default().plus(DAY * n)
    }

    #[test]
    fn a_first_start_takes_the_clock_and_a_later_one_goes_on_where_it_was() {
        let begun = Instant::now();
        assert_eq!(Ageing::default().now(day(100), begun, || None), (day(100), Some(day(100))));
        let later = Ageing::default();
        assert_eq!(later.now(day(160), begun, || Some(day(100))), (day(100), None));
        assert_eq!(later.now(day(160), begun + DAY, || None), (day(104), Some(day(104))));
        later.saved(day(104));
        assert_eq!(later.now(day(160), begun + DAY, || None), (day(104), None));
    }

    #[test]
    fn a_clock_that_is_put_right_is_followed_at_once_and_a_moment_in_the_past_costs_nothing() {
        let (ageing, begun) = (Ageing::default(), Instant::now());
        let now = |wall, days| ageing.now(wall, begun + DAY * days, || None).0;
        assert_eq!(now(day(100), 0), day(100));
        assert_eq!(now(day(1000), 1), day(104));
        assert_eq!(now(day(102), 2), day(102));
        assert_eq!(now(day(1), 3), day(1));
        assert_eq!(now(day(104), 4), day(104));
        assert_eq!(now(day(105), 5), day(105));
    }

    proptest! {
        #[test]
        fn ages_never_outrun_the_clock_nor_the_rate(steps in prop::collection::vec((0u64..1_000_000, any::<u32>()), 1..50)) {
            let (ageing, mut at) = (Ageing::default(), Instant::now());
            let start = day(20_000);
            let (mut most, _) = ageing.now(start, at, || None);
            for (passed, wall) in steps {
                let (passed, wall) = (Duration::from_secs(passed), Wall::from_millis(i64::from(wall) * 1000));
                at += passed;
                let (now, _) = ageing.now(wall, at, || None);
                prop_assert!(now <= wall);
                prop_assert!(now <= most.plus(passed * RATE_MAX));
                most = most.plus(passed * RATE_MAX);
            }
        }
    }
}
