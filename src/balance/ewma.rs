//! How long answers took of late: a mean that forgets, and that jumps up at once (peak EWMA).

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What an instance is thought to take before it has answered: a new one is tried soon, and not by everybody at once.
const INITIAL_MICROS: u32 = 30_000;
/// What was seen counts 1/e after this.
const DECAY: Duration = Duration::from_secs(10);

/// The mean in microseconds (upper half) and the millisecond of the last answer (lower half, wraps after 49 days, which
/// then counts as just now).
#[derive(Debug)]
pub(super) struct Ewma(AtomicU64);

impl Default for Ewma {
    fn default() -> Self {
        Self(AtomicU64::new(pack(INITIAL_MICROS, 0)))
    }
}

impl Ewma {
    /// The mean as of now: what was not confirmed fades, so that a slow instance is tried again some time.
    pub(super) fn micros(&self, now_micros: u64) -> f64 {
        let (mean, at_ms) = unpack(self.0.load(Relaxed));
        f64::from(mean) * faded(at_ms, now_micros)
    }

    /// Takes in one answer.
    pub(super) fn observe(&self, micros: u64, now_micros: u64) {
        let sample = u32::try_from(micros).unwrap_or(u32::MAX);
        let next = |packed| {
            let (mean, at_ms) = unpack(packed);
            let share = faded(at_ms, now_micros);
            let mean = match sample >= mean {
                true => sample,
                // Between the two, hence a u32.
                false => (f64::from(mean) * share + f64::from(sample) * (1.0 - share)).round() as u32,
            };
            Some(pack(mean, millis(now_micros)))
        };
        // Cannot fail: `next` always has an answer.
        let _ = self.0.fetch_update(Relaxed, Relaxed, next);
    }
}

const fn pack(mean_micros: u32, at_ms: u32) -> u64 {
    ((mean_micros as u64) << 32) | at_ms as u64
}

const fn unpack(packed: u64) -> (u32, u32) {
    ((packed >> 32) as u32, packed as u32)
}

/// The low bits.
const fn millis(now_micros: u64) -> u32 {
    (now_micros / 1000) as u32
}

/// What is left of a mean of then.
fn faded(at_ms: u32, now_micros: u64) -> f64 {
    // Threads read the clock on their own: "then" may be a little ahead of "now".
    let passed_ms = millis(now_micros).wrapping_sub(at_ms);
    let passed_ms = if passed_ms > u32::MAX / 2 { 0 } else { passed_ms };
    (-f64::from(passed_ms) / 1000.0 / DECAY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_jumps_up_at_once_and_comes_down_slowly() {
        let ewma = Ewma::default();
        ewma.observe(500_000, 1_000_000);
        assert_eq!(ewma.micros(1_000_000).round() as u64, 500_000);
        ewma.observe(1_000, 1_000_000);
        assert_eq!(ewma.micros(1_000_000).round() as u64, 500_000, "no time has passed");
        ewma.observe(1_000, 11_000_000);
        let after = ewma.micros(11_000_000);
        assert!((184_000.0..186_000.0).contains(&after), "1/e of it: {after}");
        assert!(ewma.micros(31_000_000) < after / 7.0, "fades by itself");
        assert_eq!(ewma.micros(10_999_000), after, "a clock that is behind changes nothing");
    }
}
