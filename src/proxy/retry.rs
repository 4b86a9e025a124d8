//! When a request may be tried again. Pure.
//!
//! A request that was sent may have been done. So only what cannot have been, or may be done twice, is sent again, and
//! never so often that trying again becomes the load.

/// How an attempt failed, before any byte of an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing listens there: nothing was sent.
    Refused,
    /// No connection within the limit: nothing was sent.
    Silent,
    /// It has as many connections as it may.
    Full,
    /// This host has not what a connection takes.
    Exhausted,
    /// A kept connection had been closed before it was used, or while the request was on its way.
    Stale,
    /// The upstream says that it has not looked at it.
    Unprocessed,
    /// A new connection broke.
    Broken,
    /// No answer within the limit.
    Slow,
    /// What came is no answer.
    Unsound,
}

/// What was asked for, as far as repeating goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Doing it twice is as good as once (RFC 9110, 9.2.2).
    pub(super) idempotent: bool,
    /// All of it is still at hand.
    pub(super) replayable: bool,
    /// Further attempts that the route allows.
    pub(super) retries: u32,
}

/// What was tried so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried {
    /// Attempts after the first one that reached an instance, or may have.
    pub(super) again: u32,
    /// Attempts that waited for a connection in vain.
    pub(super) silent: u32,
    /// Attempts without a connection with instances that were known to be out, since there was no other.
    pub(super) hopeless: u32,
    /// Kept connections that turned out to be closed.
    pub(super) stale: u32,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// On a new connection to the same instance.
    Fresh,
    /// With another instance.
    Other,
    /// Tell the client.
    GiveUp,
}

/// Instances that a request waits for in vain. It is time that this costs, the client's.
const SILENT_MAX: u32 = 3;
/// Instances that are tried for one request though they are known to be out. Any number of others is tried where nothing
/// listens: it costs no work of anybody, each is known to be out from then on, so that the next request does not try it,
/// and a request that a live one could have served is worth it.
const HOPELESS_MAX: u32 = 8;

/// Decides. `budget` is asked only where a retry is load to an instance.
pub(super) fn verdict(failure: Failure, asked: Asked, tried: Tried, budget: impl FnOnce() -> bool) -> Verdict {
    if !asked.replayable || (asked.retries == 0 && !matches!(failure, Failure::Stale | Failure::Unprocessed)) {
        return Verdict::GiveUp;
    }
    match failure {
        Failure::Exhausted | Failure::Unsound => Verdict::GiveUp,
        Failure::Refused | Failure::Silent | Failure::Full
            if tried.hopeless < HOPELESS_MAX && tried.silent < SILENT_MAX =>
        {
            Verdict::Other
        }
        Failure::Refused | Failure::Silent | Failure::Full => Verdict::GiveUp,
        Failure::Unprocessed if tried.stale == 0 => Verdict::Fresh,
        Failure::Unprocessed => Verdict::GiveUp,
        Failure::Stale if asked.idempotent && tried.stale == 0 => Verdict::Fresh,
        _ if asked.idempotent && tried.again < asked.retries && budget() => Verdict::Other,
        _ => Verdict::GiveUp,
    }
}

/// Attempts that may be made beyond the first ones: a fifth of the requests, and a few in any case.
#[derive(Debug)]
pub(super) struct Budget {
    /// In units of [`REQUEST_SHARE`]`⁻¹`.
    saved: u32,
}

/// Requests that pay for one retry.
const REQUEST_SHARE: u32 = 5;
/// What is there in any case, and what can be saved at most, in retries.
const SAVED_MIN: u32 = 10;
const SAVED_MAX: u32 = 1000;

impl Default for Budget {
    fn default() -> Self {
        Self { saved: SAVED_MIN * REQUEST_SHARE }
    }
}

impl Budget {
    /// A request was taken.
    pub(super) fn request(&mut self) {
        self.saved = (self.saved + 1).min(SAVED_MAX * REQUEST_SHARE);
    }

    /// A second went by: a few retries are there again, so that a rare request may be tried twice as well.
    pub(super) fn second(&mut self) {
        self.saved = self.saved.max(SAVED_MIN * REQUEST_SHARE);
    }

    /// Takes one retry, where there is one.
    pub(super) fn take(&mut self) -> bool {
        let left = self.saved.checked_sub(REQUEST_SHARE);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GET: Asked = Asked { idempotent: true, replayable: true, retries: 1 };
    const POST: Asked = Asked { idempotent: false, ..GET };

    #[test]
    fn what_may_have_been_done_is_done_again_only_where_that_changes_nothing() {
        let none = Tried::default();
        let say = |failure, asked, tried| verdict(failure, asked, tried, || true);
        for failure in [Failure::Refused, Failure::Silent, Failure::Full] {
            assert_eq!(say(failure, POST, none), Verdict::Other, "{failure:?}");
            assert_eq!(say(failure, Asked { retries: 0, ..GET }, none), Verdict::GiveUp);
            assert_eq!(say(failure, GET, Tried { hopeless: HOPELESS_MAX, ..none }), Verdict::GiveUp);
            assert_eq!(say(failure, GET, Tried { silent: SILENT_MAX, ..none }), Verdict::GiveUp);
            assert_eq!(verdict(failure, POST, none, || unreachable!()), Verdict::Other, "no load, no budget");
        }
        assert_eq!(say(Failure::Exhausted, GET, none), Verdict::GiveUp, "every other one would meet the same");
        assert_eq!(say(Failure::Stale, GET, none), Verdict::Fresh);
        assert_eq!(say(Failure::Unprocessed, POST, none), Verdict::Fresh);
        assert_eq!(say(Failure::Unprocessed, POST, Tried { stale: 1, ..none }), Verdict::GiveUp);
        assert_eq!(say(Failure::Stale, Asked { retries: 0, ..GET }, none), Verdict::Fresh);
        for failure in [Failure::Stale, Failure::Broken, Failure::Slow] {
            assert_eq!(say(failure, POST, none), Verdict::GiveUp, "{failure:?}");
            assert_eq!(say(failure, Asked { replayable: false, ..GET }, none), Verdict::GiveUp, "{failure:?}");
        }
        assert_eq!(say(Failure::Broken, GET, none), Verdict::Other);
        assert_eq!(say(Failure::Broken, GET, Tried { again: 1, ..none }), Verdict::GiveUp);
        assert_eq!(verdict(Failure::Broken, GET, none, || false), Verdict::GiveUp);
    }

    proptest! {
        #[test]
        fn retries_stay_within_a_fifth_of_the_requests_and_a_few(asks in prop::collection::vec(any::<bool>(), 0..4000)) {
            let (mut budget, mut requests, mut retries) = (Budget::default(), 0, 0);
            for wants in asks {
                if wants {
                    retries += u32::from(budget.take());
                } else {
                    budget.request();
                    requests += 1;
                }
            }
            prop_assert!(retries <= SAVED_MIN + requests / REQUEST_SHARE + 1);
        }
    }
}
