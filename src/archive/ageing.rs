//! The time that footage's age is measured by. It goes on where it was whenever the host's clock is set, so that a clock
//! that is wrong — a dead battery, a wrong time server, a typing error — deletes nothing, whatever day it shows.
//!
//! Steps that are seen while skyvis runs are known exactly and taken back. While it did not run nobody knows how much
//! time passed: then ages follow the clock at most [`RATE_MAX`] times as fast as time passes, and never back. So a
//! clock that jumped ahead meanwhile costs [`RATE_MAX`] days of the oldest footage for each day that it stands, and
//! nothing once it is put right. Limits of bytes and of free space hold all the while.
//!
//! Footage that is recorded while the clock shows another time than this bears the clock's time in its name, and this
//! time in the index: it is as old as it is, not as its name says.

use crate::base::Wall;
use std::{
    collections::VecDeque,
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
/// A clock that is off by less makes no footage too old too soon.
const OFF_MICROS_MIN: i64 = 600_000_000;

/// Steps that footage may come late for, since it was held until a fragment was full or the disk had time.
const RECENT_MAX: usize = 16;

/// The furthest time that was reached.
#[derive(Default)]
pub struct Ageing(Mutex<Option<State>>);

/// What is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The furthest time that was reached.
    pub reached: Wall,
    /// The time of ages less the clock's, in microseconds.
    pub shift_micros: i64,
}

/// The clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The host's clock.
    pub wall: Wall,
    /// Monotonic time.
    pub at: Instant,
    /// By how much the host's clock was set since the process began, all steps together.
    pub stepped_micros: i64,
}

struct State {
    reached: Wall,
    shift_micros: i64,
    stepped_micros: i64,
    at: Instant,
    /// Shifts from before the last steps.
    recent: VecDeque<i64>,
    /// What the clock gained while skyvis was off, and nobody knows whether that time passed.
    unseen_micros: i64,
    saved: Option<Saved>,
    told: bool,
}

impl Ageing {
    /// The time to measure ages by, and what to write down, if anything. `saved` is what an earlier process wrote.
    pub fn now(&self, now: Moment, saved: impl FnOnce() -> Option<Saved>) -> (Wall, Option<Saved>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = held.get_or_insert_with(|| State::begin(now, saved()));
        state.go_on(now);
        let behind = state.target(now.wall).micros_since(state.reached);
        if behind > TELL_MICROS && !state.told {
            tracing::warn!(
                clock = %now.wall, ages_as_of = %state.reached,
                "the clock jumped ahead, or skyvis was off for long: footage is not deleted for its age at once"
            );
        }
        state.told = behind > TELL_MICROS;
        let new = Saved { reached: state.reached, shift_micros: state.shift_micros };
        let due = state.saved.is_none_or(|saved| {
            let apart = |a: i64, b: i64| a.saturating_sub(b).saturating_abs() >= SAVE_MICROS;
            apart(new.reached.micros(), saved.reached.micros()) || apart(new.shift_micros, saved.shift_micros)
        });
        (state.reached.min(state.target(now.wall)), due.then_some(new))
    }

    /// It is written down.
    pub fn saved(&self, saved: Saved) {
        if let Some(state) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            state.saved = Some(saved);
        }
    }

    /// When footage was taken by the time of ages, whose name says `start`; None where that is near enough. Known once
    /// [`Ageing::now`] was asked.
    pub fn taken(&self, start: Wall, now: Moment) -> Option<Wall> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = held.as_mut()?;
        state.go_on(now);
        // What is begun now may bear a time from before a step; it was taken a moment ago all the same.
        let present = state.target(now.wall);
        let shifts = state.recent.iter().copied().chain([state.shift_micros]);
        let shift = shifts.min_by_key(|shift| present.micros_since(start.plus_micros(*shift)).saturating_abs())?;
        (shift.abs() >= OFF_MICROS_MIN).then(|| start.plus_micros(shift))
    }
}

impl State {
    fn begin(now: Moment, saved: Option<Saved>) -> Self {
        let Saved { reached, shift_micros } = saved.unwrap_or(Saved { reached: now.wall, shift_micros: 0 });
        let mut state = Self {
            reached,
            shift_micros,
            stepped_micros: now.stepped_micros,
            at: now.at,
            recent: VecDeque::new(),
            unseen_micros: 0,
            saved,
            told: false,
        };
        let back = reached.micros_since(state.target(now.wall));
        state.unseen_micros = back.saturating_neg().max(0);
        // Time does not go back, so the clock did while skyvis was off.
        if back >= OFF_MICROS_MIN {
            state.shift_micros = state.shift_micros.saturating_add(back);
        }
        state
    }

    fn target(&self, wall: Wall) -> Wall {
        wall.plus_micros(self.shift_micros)
    }

    fn go_on(&mut self, now: Moment) {
        let step = now.stepped_micros.saturating_sub(self.stepped_micros);
        self.stepped_micros = now.stepped_micros;
        let passed = now.at.saturating_duration_since(self.at);
        self.at = now.at.max(self.at);
        let unstepped = self.target(now.wall.plus_micros(step.saturating_neg()));
        self.reached = advance(self.reached, passed, unstepped);
        if step != 0 {
            self.recent.push_back(self.shift_micros);
            if self.recent.len() > RECENT_MAX {
                self.recent.pop_front();
            }
        }
        // A clock that jumped ahead while skyvis was off, and is put right now, goes back to where it was.
        let taken_back = self.unseen_micros.min(step.saturating_neg().max(0));
        self.unseen_micros -= taken_back;
        let shift = self.shift_micros.saturating_sub(step).saturating_sub(taken_back);
        self.shift_micros = if shift.abs() < OFF_MICROS_MIN && step != 0 { 0 } else { shift };
    }
}

/// Towards the clock, no faster than allowed, and never back: a clock that was wrong for a moment costs no time.
fn advance(reached: Wall, passed: Duration, wall: Wall) -> Wall {
    reached.plus(passed.saturating_mul(RATE_MAX)).min(wall).max(reached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const DAY_MICROS: i64 = 86_400_000_000;

    fn day(n: i64) -> Wall {
        Wall::from_micros(n * DAY_MICROS)
    }

    fn saved(n: i64) -> Option<Saved> {
        Some(Saved { reached: day(n), shift_micros: 0 })
    }

    /// A clock that shows day `wall` after so many days, having been set by so many.
    fn moment(begun: Instant, wall: i64, days: u32, stepped: i64) -> Moment {
        Moment { wall: day(wall), at: begun + DAY * days, stepped_micros: stepped * DAY_MICROS }
    }

    #[test]
    fn a_first_start_takes_the_clock_and_a_later_one_goes_on_where_it_was() {
        let begun = Instant::now();
        assert_eq!(Ageing::default().now(moment(begun, 100, 0, 0), || None), (day(100), saved(100)));
        let later = Ageing::default();
        assert_eq!(later.now(moment(begun, 160, 0, 0), || saved(100)), (day(100), None));
        assert_eq!(later.now(moment(begun, 161, 1, 0), || None), (day(104), saved(104)));
        later.saved(saved(104).unwrap());
        assert_eq!(later.now(moment(begun, 161, 1, 0), || None), (day(104), None));
        // It had jumped ahead, and is put right: nothing more is lost.
        assert_eq!(later.now(moment(begun, 102, 2, -60), || None).0, day(102));
        assert_eq!(later.now(moment(begun, 109, 9, -60), || None).0, day(109));
    }

    #[test]
    fn a_clock_that_is_set_while_skyvis_runs_makes_nothing_older() {
        for step in [-20_000, -365, -1, 1, 365] {
            let (ageing, begun) = (Ageing::default(), Instant::now());
            assert_eq!(ageing.now(moment(begun, 20_000, 0, 0), || None).0, day(20_000));
            assert_eq!(ageing.taken(day(20_000), moment(begun, 20_000, 0, 0)), None);
            let wrong = moment(begun, 20_001 + step, 1, step);
            assert_eq!(ageing.now(wrong, || None).0, day(20_001));
            assert_eq!(ageing.taken(wrong.wall, wrong), Some(day(20_001)), "it is as old as it is");
            assert_eq!(ageing.taken(day(20_001), wrong), None, "what was begun before the step comes late");
            let right = moment(begun, 20_002, 2, 0);
            assert_eq!(ageing.now(right, || None).0, day(20_002));
            assert_eq!(ageing.taken(right.wall, right), None);
            let late = day(20_002 + step);
            assert_eq!(ageing.taken(late, right), Some(day(20_002)), "and so after the step back");
        }
    }

    #[test]
    fn a_start_without_a_clock_goes_on_where_it_was_and_is_put_right_without_a_loss() {
        let (ageing, begun) = (Ageing::default(), Instant::now());
        let wrong = moment(begun, 0, 0, 0);
        assert_eq!(ageing.now(wrong, || saved(20_000)).0, day(20_000));
        assert_eq!(ageing.taken(day(0), wrong), Some(day(20_000)), "new footage is not the oldest");
        let right = moment(begun, 20_005, 1, 20_004);
        assert_eq!(ageing.now(right, || None).0, day(20_001));
        assert_eq!(ageing.taken(day(20_005), right), Some(day(20_001)));
        // What was written down is gone on with.
        let (_, written) = ageing.now(right, || None);
        let next = Ageing::default();
        assert_eq!(next.now(moment(begun, 20_006, 2, 0), || written).0, day(20_001));
        assert_eq!(next.now(moment(begun, 20_007, 3, 0), || None).0, day(20_003));
    }

    proptest! {
        #[test]
        fn ages_grow_no_faster_than_allowed_and_steps_change_nothing(
            moves in prop::collection::vec((0u64..1_000_000, -2_000_000_000_000_i64..2_000_000_000_000), 1..50),
        ) {
            let (ageing, mut at, mut wall, mut stepped) = (Ageing::default(), Instant::now(), day(20_000), 0);
            let (mut last, _) = ageing.now(Moment { wall, at, stepped_micros: 0 }, || None);
            for (passed, step) in moves {
                let passed = Duration::from_secs(passed);
                at += passed;
                wall = wall.plus(passed).plus_micros(step);
                stepped += step;
                let now = Moment { wall, at, stepped_micros: stepped };
                let (age, _) = ageing.now(now, || None);
                // As exact as what is too small to be taken back.
                prop_assert!(age >= last.plus(passed).plus_micros(-OFF_MICROS_MIN), "{} {}", last, age);
                prop_assert!(age <= last.plus(passed).plus_micros(OFF_MICROS_MIN));
                last = age;
            }
        }
    }
}
