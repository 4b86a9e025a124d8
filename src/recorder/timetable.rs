//! When pictures are due in image mode. Pure.

use crate::model::StreamKey;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};
use tokio::time::Instant;

/// Channels of a device are spread over the period, and over so long where that is longer: nobody waits an hour for
/// the first picture.
const SPREAD_MAX: Duration = Duration::from_secs(30);
/// The golden ratio: multiples of it fall far from each other, however many there are.
const SPREAD_STEP: f64 = 0.618_033_988_749_895;
/// A picture that comes so late stands no longer than until the next is due.
const LATE_MAX: Duration = Duration::from_secs(1);

/// A grid of moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timetable {
    first: Instant,
    period: Duration,
}

impl Timetable {
    /// From `now` on, a picture each `period`, not in the same moment as other channels of the device.
    pub fn new(stream: &StreamKey, period: Duration, now: Instant) -> Self {
        let mut hash = DefaultHasher::new();
        stream.device.as_str().hash(&mut hash);
        let of_device = (hash.finish() % 1024) as f64 / 1024.0;
        let place = f64::from(stream.channel * 2 + stream.profile.number()) * SPREAD_STEP + of_device;
        Self { first: now + period.min(SPREAD_MAX).mul_f64(place.fract()), period }
    }

    /// The first moment later than `after`. However late something was, the grid stays.
    pub fn next(&self, after: Instant) -> Instant {
        if after < self.first {
            return self.first;
        }
        let passed = after.duration_since(self.first).as_nanos() / self.period.as_nanos().max(1) + 1;
        self.first + self.period.saturating_mul(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    /// How long a picture stands that was due then and came so late.
    pub fn lasts(&self, late: Duration) -> Duration {
        if late <= LATE_MAX { self.period } else { self.period.saturating_sub(late).max(LATE_MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(channel: u32) -> StreamKey {
        format!("nvr1/{channel}/main").parse().unwrap()
    }

    #[test]
    fn the_period_is_kept_exact_over_an_hour_whatever_comes_late() {
        let (now, period) = (Instant::now(), Duration::from_secs(30));
        let table = Timetable::new(&key(3), period, now);
        let mut due = table.next(now);
        assert!(due >= now && due < now + period);
        let first = due;
        for n in 1..=120u32 {
            // Each picture takes another time to come, up to a third of the period.
            let came = due + Duration::from_millis(u64::from(n * 7919 % 10_000));
            due = table.next(came);
            assert_eq!(due, first + period * n, "the {n}th");
        }
        assert_eq!(due - first, Duration::from_secs(3600));
        // A host that slept goes on with the grid, and does not make up for what was missed.
        assert_eq!(table.next(due + Duration::from_secs(100)), due + period * 4);
    }

    #[test]
    fn channels_are_spread_over_the_period() {
        let (now, period) = (Instant::now(), Duration::from_secs(16));
        let mut dues: Vec<_> = (1..=64).map(|n| Timetable::new(&key(n), period, now).next(now)).collect();
        dues.sort();
        for at in 0..16u32 {
            let second = now + Duration::from_secs(1) * at..now + Duration::from_secs(1) * (at + 1);
            let here = dues.iter().filter(|d| second.contains(d)).count();
            assert!((2..=6).contains(&here), "{here} of 64 in second {at} of 16");
        }
        assert!(dues.windows(2).all(|w| w[1] - w[0] >= Duration::from_millis(50)), "no two at once");
    }

    #[test]
    fn a_late_picture_stands_until_the_next_is_due() {
        let table = Timetable::new(&key(1), Duration::from_secs(30), Instant::now());
        assert_eq!(table.lasts(Duration::from_millis(300)), Duration::from_secs(30));
        assert_eq!(table.lasts(Duration::from_secs(20)), Duration::from_secs(10));
        assert_eq!(table.lasts(Duration::from_secs(300)), LATE_MAX);
    }
}
