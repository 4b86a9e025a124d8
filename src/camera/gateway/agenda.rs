//! What a gateway is asked next, and when. Pure.
//!
//! The list of devices tells presence and comes with every poll. Channels and URLs cost a request each, thousands at a
//! large gateway, and change seldom: they are asked for when there is a reason (a device came, a session was told that
//! there is no such stream) and else in turn, the oldest first, never taking more than half of the gateway's time.

use std::time::Duration;
use tokio::time::Instant;

/// How old a URL may become before it is asked for again.
pub(super) const URL_FRESH_FOR: Duration = Duration::from_secs(180);
/// How old a list of channels may become.
pub(super) const CHANNELS_FRESH_FOR: Duration = Duration::from_secs(300);
/// What is in doubt is asked for at once, and not again before this: a stream fails oftener than its URL changes.
pub(super) const DOUBT_SPACING: Duration = Duration::from_secs(10);
/// First wait after an answer that was none.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Longest such wait.
const RETRY_MOST: Duration = Duration::from_secs(80);
/// Least time between two requests that nobody waits for.
const TURN_SPACING: Duration = Duration::from_millis(20);
/// Most time between them: a gateway that took ten seconds for one answer is not left alone for longer.
const TURN_SPACING_MOST: Duration = Duration::from_secs(2);

/// One thing that is asked for: a device's channels, or a stream's URL.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// When it was last asked for.
    at: Option<Instant>,
    /// Answers in a row that were none.
    failures: u32,
    /// What was answered may no longer be so.
    doubted: bool,
}

/// How soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// A stream waits for it.
    Now,
    /// It is its turn.
    Turn,
}

/// When something is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub urgency: Urgency,
    pub at: Instant,
}

impl Asked {
    /// It was asked for and answered.
    pub(super) fn answered(&mut self, now: Instant) {
        *self = Self { at: Some(now), failures: 0, doubted: false };
    }

    /// It was asked for in vain.
    pub(super) fn failed(&mut self, now: Instant) {
        *self = Self { at: Some(now), failures: self.failures.saturating_add(1), doubted: self.doubted };
    }

    /// What was answered may no longer be so.
    pub(super) fn doubt(&mut self) {
        self.doubted = true;
    }

    /// When it is to be asked for, being worth `fresh_for` once answered. `since`: never before.
    pub(super) fn due(&self, fresh_for: Duration, since: Instant) -> Due {
        match self.at {
            None => Due { urgency: Urgency::Now, at: since },
            Some(at) if self.failures > 0 => {
                let wait = RETRY_FIRST.saturating_mul(1 << (self.failures - 1).min(10)).min(RETRY_MOST);
                Due { urgency: Urgency::Turn, at: at + wait }
            }
            Some(at) if self.doubted => Due { urgency: Urgency::Now, at: at + DOUBT_SPACING },
            Some(at) => Due { urgency: Urgency::Turn, at: at + fresh_for },
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next<K> {
    /// Ask for this.
    Ask(K, Urgency),
    /// Nothing before then; None: nothing at all.
    Wait(Option<Instant>),
}

/// Chooses among all that could be asked for: what is urgent first, then what is overdue longest. `turns_from`: what is
/// not urgent waits until then.
pub(super) fn next<K: Ord + Copy>(
    all: impl IntoIterator<Item = (K, Due)>,
    turns_from: Instant,
    now: Instant,
) -> Next<K> {
    let mut best: Option<(Urgency, Instant, K)> = None;
    let mut soonest: Option<Instant> = None;
    for (key, due) in all {
        let at = if due.urgency == Urgency::Turn { due.at.max(turns_from) } else { due.at };
        if at > now {
            soonest = Some(soonest.map_or(at, |s| s.min(at)));
        } else if best.is_none_or(|b| (due.urgency, due.at, key) < b) {
            best = Some((due.urgency, due.at, key));
        }
    }
    match best {
        Some((urgency, _, key)) => Next::Ask(key, urgency),
        None => Next::Wait(soonest),
    }
}

/// How long the next request that nobody waits for is put off after one that took `cost`.
pub(super) fn turn_pause(cost: Duration) -> Duration {
    cost.clamp(TURN_SPACING, TURN_SPACING_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn start() -> Instant {
        Instant::now()
    }

    #[tokio::test]
    async fn a_stream_that_was_told_404_is_asked_for_at_once_and_not_at_every_try() {
        let now = start().await;
        let mut url = Asked::default();
        assert_eq!(url.due(URL_FRESH_FOR, now), Due { urgency: Urgency::Now, at: now });
        url.answered(now);
        assert_eq!(url.due(URL_FRESH_FOR, now), Due { urgency: Urgency::Turn, at: now + URL_FRESH_FOR });
        url.doubt();
        assert_eq!(url.due(URL_FRESH_FOR, now), Due { urgency: Urgency::Now, at: now + DOUBT_SPACING });
        url.failed(now);
        assert_eq!(url.due(URL_FRESH_FOR, now).at, now + RETRY_FIRST);
        (0..40).for_each(|_| url.failed(now));
        assert_eq!(url.due(URL_FRESH_FOR, now).at, now + RETRY_MOST);
    }

    #[tokio::test]
    async fn what_is_urgent_goes_first_and_waits_for_no_turn() {
        let now = start().await;
        let turn = |s| Due { urgency: Urgency::Turn, at: now - Duration::from_secs(s) };
        let urgent = Due { urgency: Urgency::Now, at: now };
        assert_eq!(next([(1, turn(9)), (2, urgent), (3, turn(10))], now, now), Next::Ask(2, Urgency::Now));
        assert_eq!(next([(1, turn(9)), (3, turn(10))], now, now), Next::Ask(3, Urgency::Turn));
        let later = now + Duration::from_secs(1);
        assert_eq!(next([(1, turn(9))], later, now), Next::Wait(Some(later)));
        assert_eq!(next([(1, turn(9)), (2, urgent)], later, now), Next::Ask(2, Urgency::Now));
        assert_eq!(next::<u8>([], now, now), Next::Wait(None));
    }

    /// Plays a gateway with so many URLs, each request taking `cost`, and says how old the oldest URL became and what
    /// part of the time it was busy.
    async fn play(urls: usize, cost: Duration, length: Duration, doubts: &[(u64, usize)]) -> (Duration, f64, bool) {
        let begin = start().await;
        let mut now = begin;
        let mut turns_from = begin;
        let mut asked = vec![Asked::default(); urls];
        let mut busy = Duration::ZERO;
        let mut oldest = Duration::ZERO;
        let mut doubts =
            doubts.iter().map(|(ms, n)| (begin + Duration::from_millis(*ms), n % urls)).collect::<Vec<_>>();
        doubts.sort_unstable();
        let mut kept = true;
        while now < begin + length {
            while doubts.first().is_some_and(|(at, _)| *at <= now) {
                let (_, n) = doubts.remove(0);
                asked[n].doubt();
            }
            match next(asked.iter().enumerate().map(|(n, a)| (n, a.due(URL_FRESH_FOR, begin))), turns_from, now) {
                Next::Ask(n, _) => {
                    if let Some(at) = asked[n].at {
                        kept &= now - at >= DOUBT_SPACING;
                        oldest = oldest.max(now - at);
                    }
                    now += cost;
                    busy += cost;
                    asked[n].answered(now);
                    turns_from = now + turn_pause(cost);
                }
                Next::Wait(until) => {
                    let until = until.unwrap_or(now + Duration::from_secs(1));
                    now = doubts.first().map_or(until, |(at, _)| until.min(*at)).max(now + Duration::from_millis(1));
                }
            }
        }
        (oldest, busy.as_secs_f64() / length.as_secs_f64(), kept)
    }

    #[tokio::test]
    async fn a_thousand_devices_of_four_channels_stay_fresh_at_a_small_part_of_the_gateways_time() {
        let (oldest, busy, _) = play(4_000, Duration::from_millis(5), Duration::from_secs(600), &[]).await;
        // All were asked for at once in the beginning, and take turns from then on.
        assert!(oldest < Duration::from_secs(300), "{oldest:?}");
        assert!(busy < 0.2, "{busy}");
        let (_, busy, _) = play(4_000, Duration::from_millis(200), Duration::from_secs(3_000), &[]).await;
        assert!(busy < 0.65, "a slow one is left half of its time, after the first round: {busy}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn nothing_starves_and_nothing_is_asked_for_too_often(
            urls in 1usize..60,
            cost_ms in 1u64..200,
            doubts in proptest::collection::vec((0u64..900_000, 0usize..60), 0..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let cost = Duration::from_millis(cost_ms);
                let (oldest, _, kept) = play(urls, cost, Duration::from_secs(900), &doubts).await;
                // Everything else may be asked for once in between, with its pause.
                let slack = (cost + turn_pause(cost)) * u32::try_from(2 * urls + doubts.len() + 1).unwrap();
                assert!(oldest <= URL_FRESH_FOR + slack, "{oldest:?}");
                assert!(kept, "asked for again within {DOUBT_SPACING:?}");
            });
        }
    }
}
