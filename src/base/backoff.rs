//! How long to wait before the next try: exponential, jittered, forgetting after success.

use std::time::Duration;

/// Pure state of one retry loop. The caller brings the randomness, so a test can fix it.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits about `first` after the first failure, doubling up to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0 }
    }

    /// The wait after one more failure. `random` is in `0.0..1.0`; the answer lies in half to all of the nominal
    /// wait, so that a hundred cameras that failed together do not come back together.
    pub fn next(&mut self, random: f64) -> Duration {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let nominal = self.first.saturating_mul(1 << doublings).min(self.most);
        nominal.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }

    /// Success: the next failure waits `first` again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_limit_and_forgets() {
        let mut b = Backoff::new(Duration::from_millis(500), Duration::from_secs(8));
        let waits: Vec<_> = (0..8).map(|_| b.next(1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000]);
        b.reset();
        assert_eq!(b.next(0.0), Duration::from_millis(250));
    }
}
