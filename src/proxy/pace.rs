//! How slow a peer may be. Pure.
//!
//! There is so much patience with it. Waiting for it uses that up, bytes that come of it (or that it takes) give it back.
//! So one that moves [`RATE_BYTES_PER_SECOND_MIN`] is waited for as long as it takes, and one that moves less is given up
//! in the end, however it spreads its bytes: a limit from one byte to the next alone could be held off for ever by one
//! byte a minute.

use super::deadline::Deadline;
use std::{cell::Cell, time::Duration};

/// What a peer must move while it is waited for: less than the worst of mobile links.
pub(super) const RATE_BYTES_PER_SECOND_MIN: u64 = 500;

/// One peer's, in one direction.
#[derive(Debug)]
pub(super) struct Pace {
    most_micros: u64,
    left_micros: Cell<u64>,
}

impl Pace {
    /// All of `patience` is there.
    pub(super) fn new(patience: Duration) -> Self {
        let most_micros = micros(patience);
        Self { most_micros, left_micros: Cell::new(most_micros) }
    }

    /// How long it is waited for now.
    pub(super) fn left(&self) -> Duration {
        Duration::from_micros(self.left_micros.get())
    }

    /// It was waited for so long.
    pub(super) fn waited(&self, time: Duration) {
        self.left_micros.set(self.left_micros.get().saturating_sub(micros(time)));
    }

    /// So many bytes moved.
    pub(super) fn moved(&self, bytes: u64) {
        let worth = bytes.saturating_mul(1_000_000) / RATE_BYTES_PER_SECOND_MIN;
        self.left_micros.set(self.left_micros.get().saturating_add(worth).min(self.most_micros));
    }

    /// All patience is there again.
    pub(super) fn forgive(&self) {
        self.left_micros.set(self.most_micros);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How long a peer is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit<'a> {
    /// From one piece to the next, whatever a piece is.
    Each(Duration),
    /// As its pace allows.
    Pace(&'a Pace),
}

impl From<Duration> for Limit<'_> {
    fn from(each: Duration) -> Self {
        Self::Each(each)
    }
}

impl<'a> From<&'a Pace> for Limit<'a> {
    fn from(pace: &'a Pace) -> Self {
        Self::Pace(pace)
    }
}

impl Limit<'_> {
    /// A wait begins; since when, for [`Limit::ends`].
    pub(super) fn begins(self, deadline: &Deadline) -> u64 {
        deadline.set(match self {
            Self::Each(each) => each,
            Self::Pace(pace) => pace.left(),
        });
        deadline.now()
    }

    /// It ended with bytes.
    pub(super) fn ends(self, deadline: &Deadline, since: u64, bytes: usize) {
        if let Self::Pace(pace) = self {
            pace.waited(deadline.passed(since));
            pace.moved(bytes as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Waits for pieces of so many bytes, each so many milliseconds after the one before; how many came before the end.
    fn pieces(pace: &Pace, bytes: u64, millis: u64, most: usize) -> usize {
        let wait = Duration::from_millis(millis);
        let waits = (0..most).take_while(|_| {
            let in_time = wait < pace.left();
            pace.waited(wait);
            pace.moved(bytes);
            in_time
        });
        waits.count()
    }

    #[test]
    fn a_byte_now_and_then_does_not_last_and_a_steady_trickle_does() {
        assert_eq!(pieces(&Pace::new(PATIENCE), 1, 50_000, 1000), 1);
        assert_eq!(pieces(&Pace::new(PATIENCE), 1, 1_000, 1000), 60);
        assert_eq!(pieces(&Pace::new(PATIENCE), 500, 1_000, 100_000), 100_000);
        assert_eq!(pieces(&Pace::new(PATIENCE), 1 << 20, 59_999, 1000), 1000, "a pause is no crime");
        assert_eq!(pieces(&Pace::new(PATIENCE), 1 << 20, 60_000, 1000), 0);
        let pace = Pace::new(PATIENCE);
        pieces(&pace, 1, 1_000, 50);
        pace.forgive();
        assert_eq!(pace.left(), PATIENCE);
    }

    proptest! {
        #[test]
        fn whoever_is_slower_is_given_up_and_whoever_is_not_is_never(bytes in 1u64..5000, millis in 1u64..50_000) {
            let rate = bytes * 1000 / millis;
            let came = pieces(&Pace::new(PATIENCE), bytes, millis, 2_000_000 / millis as usize + 1200);
            if rate >= RATE_BYTES_PER_SECOND_MIN {
                prop_assert_eq!(came, 2_000_000 / millis as usize + 1200);
            } else if rate <= RATE_BYTES_PER_SECOND_MIN / 2 {
                // It earns half of what it uses at most.
                prop_assert!(came as u64 * millis <= 2 * 60_000 + millis, "{came} pieces");
            }
        }
    }
}
