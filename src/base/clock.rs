//! Where time comes from. Code asks a [`Clock`], never the system, so that a test can set wall time and step it.

use crate::base::Wall;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Wall time and monotonic time. Cheap to clone.
///
/// Monotonic time is tokio's, so `tokio::time::pause` governs it in tests.
#[derive(Clone, Debug)]
pub struct Clock(Source);

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

impl Clock {
    /// The host's clock.
    pub fn real() -> Self {
        Self(Source::Real)
    }

    /// A clock that starts at `origin` and follows tokio's (pausable) time. Call inside a runtime.
    pub fn simulated(origin: Wall) -> Self {
        Self(Source::Simulated { origin, since: Instant::now(), stepped_micros: Arc::new(AtomicI64::new(0)) })
    }

    /// Steps the simulated wall clock, as an NTP correction would. Nothing happens on a real one.
    pub fn step_micros(&self, micros: i64) {
        if let Source::Simulated { stepped_micros, .. } = &self.0 {
            stepped_micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Now, in UTC. May step.
    pub fn wall(&self) -> Wall {
        match &self.0 {
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
