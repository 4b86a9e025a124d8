//! When a certificate is to be ordered. Pure.

use crate::proxy::tls::Validity;
use std::time::Duration;

/// Of a certificate's life, the part at which it is renewed: a third is left then to mend whatever hinders that.
const RENEW_AT: f64 = 2.0 / 3.0;
/// The same for one that lives for days: half.
const RENEW_SHORT_AT: f64 = 0.5;
/// What lives no longer is short-lived, in seconds.
const SHORT_SECONDS: i64 = 10 * 86_400;
/// Spread over this part of the life, so that a thousand hosts that were set up together do not come together.
const JITTER: f64 = 0.05;
/// Between two tries that failed: the first, and the most. Authorities allow five failures an hour.
pub(super) const RETRY_FIRST: Duration = Duration::from_secs(60);
pub(super) const RETRY_MOST: Duration = Duration::from_secs(86_400);

/// Seconds since 1970 from which on it is to be renewed. `random`: 0 to 1, the same for one certificate each time.
pub(super) fn renew_at(validity: Validity, random: f64) -> i64 {
    let life = validity.not_after.saturating_sub(validity.not_before).max(0);
    let part = if life <= SHORT_SECONDS { RENEW_SHORT_AT } else { RENEW_AT };
    let after = life as f64 * (part - JITTER * random.clamp(0.0, 1.0));
    validity.not_before.saturating_add(after.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_third_of_a_long_life_is_left_and_half_of_a_short_one() {
        let of = |days: i64| Validity { not_before: 0, not_after: days * DAY };
        assert_eq!(renew_at(of(90), 0.0), 60 * DAY);
        assert_eq!(renew_at(of(90), 1.0), 55 * DAY + DAY / 2);
        assert_eq!(renew_at(of(6), 0.0), 3 * DAY);
        assert_eq!(renew_at(Validity { not_before: 5, not_after: 3 }, 0.5), 5);
    }

    proptest! {
        #[test]
        fn it_is_within_the_life_and_before_its_last_third(
            not_before in -DAY..4_000_000_000i64, life in 0..40_000_000i64, random in 0.0..1.0f64
        ) {
            let validity = Validity { not_before, not_after: not_before + life };
            let at = renew_at(validity, random);
            prop_assert!(at >= not_before && at <= not_before + life * 2 / 3 + 1);
        }
    }
}
