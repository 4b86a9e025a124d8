//! The registry's own time: monotonic, less the time in which nobody could renew anything, because the disk or this
//! process hung. Pure but for the clock that it is given.

use crate::base::Clock;
use std::time::Duration;
use tokio::time::Instant;

/// Microseconds of the registry's own time.
pub(super) type Moment = u64;

/// A turn that comes so much later than it was wanted was held up; less is scheduling.
const STALL_MIN: Duration = Duration::from_secs(1);

/// Tells the registry's time.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    clock: Clock,
    began: Instant,
    stalled: Duration,
}

impl Pace {
    /// It begins at 0.
    pub fn new(clock: Clock) -> Self {
        let began = clock.now();
        Self { clock, began, stalled: Duration::ZERO }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        micros((self.clock.now() - self.began).saturating_sub(self.stalled))
    }

    /// Whoever waited from `since` on was held up: that time does not count, if it is long.
    pub fn held_up_since(&mut self, since: Moment) -> Option<Duration> {
        let held = Duration::from_micros(self.now().saturating_sub(since));
        (held >= STALL_MIN).then(|| {
            self.stalled += held;
            held
        })
    }

    /// Waits until then; for ever where there is nothing to wait for.
    pub async fn until(&self, at: Option<Moment>) {
        match at {
            Some(at) => self.clock.sleep(Duration::from_micros(at.saturating_sub(self.now()))).await,
            None => std::future::pending().await,
        }
    }
}

/// A length of time.
pub(super) fn micros(d: Duration) -> Moment {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

/// `at + d`, without going over the end of time.
pub(super) fn plus(at: Moment, d: Duration) -> Moment {
    at.saturating_add(micros(d))
}
