//! Where time comes from. Code asks a [`Clock`], never the system, so that a test can set wall time and step it.
//!
//! A host's wall clock is set now and then: by NTP after a start without a battery, by an operator, by a time server
//! that is wrong. Monotonic time is not. So each reading compares the two, and what comes between them at once is a
//! *step*, seen here and nowhere else. What comes slowly, as NTP slews, is followed and is no step.

use crate::base::Wall;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// The wall clock moved this far against monotonic time from one reading to the next: it was stepped. NTP slews by less
/// than this between two readings, and steps from 128 ms on.
pub const STEP_MICROS_MIN: i64 = 100_000;
/// Between the two halves of a reading that is believed: a thread that was held up there has seen no step.
const READING_MICROS_MAX: i64 = 5_000;
/// Readings that are tried before one is believed that took longer.
const READINGS_MAX: u32 = 8;

/// Wall time and monotonic time. Cheap to clone.
///
/// Monotonic time is tokio's, so `tokio::time::pause` governs it in tests.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    began: Instant,
    watched: Arc<Mutex<Watched>>,
}

#[derive(Clone, Debug)]
enum Source {
    Real,
    /// Wall time = this origin plus monotonic time passed, plus what a test stepped it by.
    Simulated {
        origin: Wall,
        since: Instant,
        stepped_micros: Arc<AtomicI64>,
    },
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// UTC by the host's clock.
    pub wall: Wall,
    /// Microseconds of monotonic time since the clock was made.
    pub mono_micros: i64,
    /// How often the wall clock was stepped so far.
    pub steps: u64,
}

/// The wall clock was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Which one it is, from 1.
    pub number: u64,
    /// By how much; negative where it was set back.
    pub micros: i64,
    /// What the clock showed after it.
    pub to: Wall,
    /// All steps of this process together.
    pub total_micros: i64,
}

#[derive(Debug, Default)]
struct Watched {
    /// Wall time less monotonic time, as of the last reading.
    offset_micros: Option<i64>,
    last: Option<Step>,
}

impl Clock {
    /// The host's clock.
    pub fn real() -> Self {
        Self::new(Source::Real)
    }

    /// A clock that starts at `origin` and follows tokio's (pausable) time. Call inside a runtime.
    pub fn simulated(origin: Wall) -> Self {
        Self::new(Source::Simulated { origin, since: Instant::now(), stepped_micros: Arc::new(AtomicI64::new(0)) })
    }

    fn new(source: Source) -> Self {
        let clock = Self { source, began: Instant::now(), watched: Arc::default() };
        // What the first step is measured against.
        clock.read();
        clock
    }

    /// Steps the simulated wall clock, as an NTP correction would. Nothing happens on a real one.
    pub fn step_micros(&self, micros: i64) {
        if let Source::Simulated { stepped_micros, .. } = &self.source {
            stepped_micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Now, in UTC. May step.
    pub fn wall(&self) -> Wall {
        match &self.source {
            Source::Real => real_wall(),
            Source::Simulated { origin, since, stepped_micros } => {
                origin.plus(since.elapsed()).plus_micros(stepped_micros.load(Ordering::Relaxed))
            }
        }
    }

    /// Now, for measuring how long something takes. Never steps.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Both clocks now, and whether the one was stepped against the other.
    pub fn read(&self) -> Reading {
        // The clocks are read under the lock: of two readings the later one is the later one.
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reading = self.pair();
        let mut moved = watched.offset_micros.map_or(0, |before| reading.1 - reading.0 - before);
        for _ in 0..READINGS_MAX {
            if moved.abs() < STEP_MICROS_MIN {
                break;
            }
            reading = self.pair();
            moved = watched.offset_micros.map_or(0, |before| reading.1 - reading.0 - before);
            if self.mono_micros() - reading.0 <= READING_MICROS_MAX {
                break;
            }
        }
        let (mono_micros, wall) = (reading.0, Wall::from_micros(reading.1));
        watched.offset_micros = Some(reading.1 - mono_micros);
        if moved.abs() >= STEP_MICROS_MIN {
            let (number, total) = watched.last.map_or((0, 0), |last| (last.number, last.total_micros));
            let total_micros = total.saturating_add(moved);
            watched.last = Some(Step { number: number + 1, micros: moved, to: wall, total_micros });
        }
        Reading { wall, mono_micros, steps: watched.last.map_or(0, |last| last.number) }
    }

    /// The last step that was seen by anybody who [read](Clock::read) this clock.
    pub fn last_step(&self) -> Option<Step> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// Monotonic, wall.
    fn pair(&self) -> (i64, i64) {
        (self.mono_micros(), self.wall().micros())
    }

    fn mono_micros(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Ends after `d` of monotonic time.
    pub async fn sleep(&self, d: Duration) {
        tokio::time::sleep(d).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the host's wall clock")]
fn real_wall() -> Wall {
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(d) => Wall::default().plus(d),
        Err(before) => Wall::default().minus(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_is_seen_once_with_its_size_and_a_slew_is_none() {
        let clock = Clock::simulated(Wall::from_millis(1_800_000_000_000));
        assert_eq!((clock.read().steps, clock.last_step()), (0, None));
        clock.step_micros(-3_600_000_000);
        let there = clock.clone();
        let after = there.read();
        assert_eq!((after.steps, clock.read().steps, there.read().steps), (1, 1, 1));
        let step = clock.last_step().unwrap();
        assert_eq!((step.micros, step.total_micros, step.to), (-3_600_000_000, -3_600_000_000, after.wall));
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(100)).await;
            clock.step_micros(STEP_MICROS_MIN / 2);
            assert_eq!(clock.read().steps, 1);
        }
        clock.step_micros(86_400_000_000);
        clock.read();
        let step = clock.last_step().unwrap();
        assert_eq!((step.number, step.total_micros), (2, 82_800_000_000));
    }

    #[test]
    fn readers_that_are_held_up_see_no_step() {
        let clock = Clock::real();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        clock.read();
                    }
                });
            }
        });
        assert_eq!(clock.last_step(), None);
    }
}
