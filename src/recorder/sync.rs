//! When what was written is forced to the disk. Pure.

use super::Sync;
use std::time::Duration;

/// A disk that needs so many times less than the interval for one sync keeps up; one that needs longer is asked less
/// often, so that it is not busy with syncs alone.
const COST_FACTOR: u32 = 2;

/// The policy, and what the last sync cost.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    policy: Sync,
    last_cost: Duration,
}

impl Pace {
    /// Nothing is known of the disk yet.
    pub fn new(policy: Sync) -> Self {
        Self { policy, last_cost: Duration::ZERO }
    }

    /// Another policy, on the same disk.
    pub fn set_policy(&mut self, policy: Sync) {
        self.policy = policy;
    }

    /// A sync took so long.
    pub fn took(&mut self, cost: Duration) {
        self.last_cost = cost;
    }

    /// Whether what was written `since_last` ago or later is to be synced now.
    pub fn is_due(&self, since_last: Duration) -> bool {
        self.interval().is_some_and(|interval| since_last >= interval)
    }

    /// How far apart syncs are; None where there are none within a file.
    pub fn interval(&self) -> Option<Duration> {
        match self.policy {
            // Asked for with each write, it comes with each write, however long that takes.
            Sync::Every(Duration::ZERO) => Some(Duration::ZERO),
            Sync::Every(interval) => Some(interval.max(self.last_cost * COST_FACTOR)),
            Sync::Segment | Sync::Off => None,
        }
    }

    /// Whether syncs are further apart than was asked, because the disk cannot keep up.
    pub fn is_stretched(&self) -> bool {
        matches!(self.policy, Sync::Every(asked) if self.interval().is_some_and(|i| i > asked))
    }

    /// Whether a file's begin and end are made durable.
    pub fn is_durable(&self) -> bool {
        self.policy != Sync::Off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_is_asked_less_often_and_it_shows() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new(Sync::Every(ms(500)));
        assert!(pace.is_due(ms(500)) && !pace.is_due(ms(499)) && !pace.is_stretched());
        pace.took(ms(200));
        assert!(pace.is_due(ms(500)) && !pace.is_stretched());
        pace.took(ms(400));
        assert!(!pace.is_due(ms(799)) && pace.is_due(ms(800)) && pace.is_stretched());
        pace.took(ms(1));
        assert!(!pace.is_stretched(), "it recovers");
        pace.set_policy(Sync::Segment);
        assert!(!pace.is_due(ms(999_999)) && pace.is_durable());
        pace.set_policy(Sync::Off);
        assert!(!pace.is_durable());
    }
}
