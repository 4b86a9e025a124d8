//! The logins that one device may still be asked for. Devices lock an account after a few refused logins, and trying
//! on prolongs the lock; so ISAPI and all RTSP sessions of a device share one budget of two.
//!
//! An attempt takes its part before it starts and gives it back when it succeeded, so that not even sixteen streams
//! that start together can have more than [`REFUSALS_MAX`] logins refused.

use crate::model::GapCause;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Refused logins after which nothing is tried any more.
pub(super) const REFUSALS_MAX: u32 = 2;
/// The device's clock and ours count the lock differently; one try too early would begin it anew.
const LOCK_MARGIN: Duration = Duration::from_secs(5);
/// How long an attempt keeps its part without a verdict. A device that is asked for a login answers within
/// milliseconds; one that is silent for longer has not looked at the password, and must not hold up the others.
const RESERVED_FOR: Duration = Duration::from_secs(2);
/// How long a lock lasts where the device does not say: the default of its firmware.
const LOCK_UNKNOWN: Duration = Duration::from_secs(30 * 60);

/// By which door a login goes. A success by one door says nothing of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// HTTP.
    Isapi,
    /// Streams.
    Rtsp,
}

/// No login may be tried now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Locked {
    /// Why.
    pub reason: String,
    /// Until when; None: until somebody changes something.
    pub until: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    refused_isapi: u32,
    refused_rtsp: u32,
    in_flight: Vec<Reserved>,
    attempts: u64,
    /// Polls that wait for their part. They go before streams.
    polls_waiting: u32,
    locked: Option<Locked>,
}

#[derive(Debug)]
struct Reserved {
    attempt: u64,
    share: u32,
    until: Instant,
}

impl State {
    fn refused(&mut self, door: Door) -> &mut u32 {
        match door {
            Door::Isapi => &mut self.refused_isapi,
            Door::Rtsp => &mut self.refused_rtsp,
        }
    }

    fn spent(&self) -> u32 {
        self.refused_isapi + self.refused_rtsp
    }

    /// The lock in force at `now`. One that ran out is forgotten together with what led to it.
    fn lock_at(&mut self, now: Instant) -> Option<Locked> {
        if self.locked.as_ref().and_then(|l| l.until).is_some_and(|until| until <= now) {
            self.locked = None;
            self.refused_isapi = 0;
            self.refused_rtsp = 0;
        }
        self.locked.clone()
    }
}

/// One device's budget, shared by its poll and its streams. Another address, user or password, or a reconnect that
/// somebody asked for, begins with a new one; no other change of the configuration makes a refused password right.
#[derive(Debug, Default)]
pub(super) struct Budget {
    state: Mutex<State>,
    freed: Notify,
}

/// A login that is under way. Dropped without a verdict, it counts as not tried.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    budget: &'a Budget,
    door: Door,
    id: u64,
    /// The attempt may cost only one login: an earlier challenge must not be answered again.
    pub careful: bool,
}

impl Budget {
    /// Waits until a login may be tried that can be refused `cost` times at most.
    pub(super) async fn begin(&self, door: Door, cost: u32) -> Result<Attempt<'_>, Locked> {
        let mut waiting = None;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let wait_until = match self.try_begin(door, cost, Instant::now())? {
                Ok(attempt) => return Ok(attempt),
                Err(until) => until,
            };
            // Streams take one part each and are many; a poll that needs both would never find them free together.
            if door == Door::Isapi && waiting.is_none() {
                waiting = Some(PollWaits::new(self));
            }
            let _ = tokio::time::timeout_at(wait_until, freed).await;
        }
    }

    /// An attempt, or when to look again at the latest.
    fn try_begin(&self, door: Door, cost: u32, now: Instant) -> Result<Result<Attempt<'_>, Instant>, Locked> {
        self.with(|state| {
            if let Some(locked) = state.lock_at(now) {
                return Err(locked);
            }
            let left = REFUSALS_MAX.saturating_sub(state.spent());
            let share = cost.min(left);
            let reserved = state.in_flight.iter().filter(|r| r.until > now);
            let (taken, next) = reserved.fold((0, None), |(taken, next): (u32, Option<Instant>), r| {
                (taken + r.share, Some(next.map_or(r.until, |n| n.min(r.until))))
            });
            let yields = door == Door::Rtsp && state.polls_waiting > 0;
            if share == 0 || taken + share > left || yields {
                return Ok(Err(next.unwrap_or(now + RESERVED_FOR)));
            }
            state.attempts += 1;
            let id = state.attempts;
            state.in_flight.push(Reserved { attempt: id, share, until: now + RESERVED_FOR });
            Ok(Ok(Attempt { budget: self, door, id, careful: share < cost }))
        })
    }

    /// The lock in force, if any.
    pub(super) fn locked(&self, now: Instant) -> Option<Locked> {
        self.with(|state| state.lock_at(now))
    }

    /// What keeps logins from being tried: a lock of the device's, or a password that it refused.
    pub(super) fn cause(&self, now: Instant) -> GapCause {
        match self.locked(now) {
            Some(Locked { until: Some(_), .. }) => GapCause::Locked,
            _ => GapCause::Auth,
        }
    }

    /// The device says that the account is locked; nobody had to try for it.
    pub(super) fn found_locked(&self, unlock_s: Option<u64>, now: Instant) {
        self.with(|state| {
            let ours = state.locked.as_ref().is_some_and(|l| l.until.is_none());
            // A lock that we led to does not end by time: the same password would only lock the account again.
            if !ours {
                state.locked = Some(device_lock(unlock_s, now));
            }
        });
        self.freed.notify_waiters();
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn device_lock(unlock_s: Option<u64>, now: Instant) -> Locked {
    // A device that says "0 s" is about to unlock; a day is longer than any firmware locks.
    let rest = unlock_s.map_or(LOCK_UNKNOWN, |s| Duration::from_secs(s.min(86_400)));
    let reason = match unlock_s {
        Some(s) => format!("the device has locked the account for another {s} s; skyvis waits it out"),
        None => "the device has locked the account; skyvis waits 30 minutes".to_owned(),
    };
    Locked { reason, until: Some(now + rest + LOCK_MARGIN) }
}

impl Attempt<'_> {
    /// The device took the login.
    pub(super) fn accepted(self) {
        let door = self.door;
        self.budget.with(|state| *state.refused(door) = 0);
    }

    /// The device refused the login `times` times.
    pub(super) fn refused(self, times: u32) {
        let (door, budget) = (self.door, self.budget);
        budget.with(|state| {
            *state.refused(door) += times;
            if state.spent() >= REFUSALS_MAX && state.locked.is_none() {
                let what = match door {
                    Door::Isapi => "the device refused the user or password",
                    Door::Rtsp => "the device refused the user or password for its streams",
                };
                let reason = format!(
                    "{what}; no further login is tried, so that it does not lock the account, until the address, user \
                     or password in the configuration changes or a reconnect is asked for"
                );
                state.locked = Some(Locked { reason, until: None });
            }
        });
    }

    /// The device says that the account is locked, after refusing `times` logins of this attempt.
    pub(super) fn found_locked(self, times: u32, unlock_s: Option<u64>, now: Instant) {
        let (door, budget) = (self.door, self.budget);
        budget.with(|state| {
            *state.refused(door) += times;
            // Our own refusals led here: waiting the lock out would only begin it anew.
            let ours = state.spent() >= REFUSALS_MAX;
            let mut locked = device_lock(unlock_s, now);
            if ours {
                locked.until = None;
                locked.reason = "the device refused the user or password and has locked the account; no further login \
                                 is tried until the address, user or password in the configuration changes or a \
                                 reconnect is asked for"
                    .to_owned();
            }
            state.locked = Some(locked);
        });
    }
}

/// A poll that waits for its part.
struct PollWaits<'a>(&'a Budget);

impl<'a> PollWaits<'a> {
    fn new(budget: &'a Budget) -> Self {
        budget.with(|state| state.polls_waiting += 1);
        Self(budget)
    }
}

impl Drop for PollWaits<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.polls_waiting -= 1);
        self.0.freed.notify_waiters();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.budget.with(|state| state.in_flight.retain(|r| r.attempt != self.id));
        self.budget.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An attempt without waiting for it.
    fn begin(budget: &Budget, door: Door, cost: u32) -> Option<Result<Attempt<'_>, Locked>> {
        budget.try_begin(door, cost, Instant::now()).map(Result::ok).transpose()
    }

    #[tokio::test]
    async fn two_refusals_by_any_door_end_it() {
        let budget = Budget::default();
        begin(&budget, Door::Isapi, 1).unwrap().unwrap().refused(1);
        begin(&budget, Door::Rtsp, 1).unwrap().unwrap().refused(1);
        let locked = begin(&budget, Door::Isapi, 1).unwrap().unwrap_err();
        assert!(locked.until.is_none() && locked.reason.contains("streams"), "{locked:?}");
    }

    #[tokio::test]
    async fn sixteen_streams_together_spend_two() {
        let budget = Budget::default();
        let a = begin(&budget, Door::Rtsp, 1).unwrap().unwrap();
        let b = begin(&budget, Door::Rtsp, 1).unwrap().unwrap();
        assert!(begin(&budget, Door::Rtsp, 1).is_none(), "the third waits for the first two");
        a.refused(1);
        assert!(begin(&budget, Door::Rtsp, 1).is_none(), "one is spent, one is under way");
        b.accepted();
        assert!(begin(&budget, Door::Rtsp, 1).unwrap().is_ok(), "a success by this door forgets");
    }

    #[tokio::test]
    async fn a_success_by_isapi_does_not_forgive_rtsp() {
        let budget = Budget::default();
        for _ in 0..2 {
            begin(&budget, Door::Rtsp, 1).unwrap().unwrap().refused(1);
            if let Some(Ok(poll)) = begin(&budget, Door::Isapi, 2) {
                assert!(poll.careful);
                poll.accepted();
            }
        }
        assert!(budget.locked(Instant::now()).is_some());
    }

    #[tokio::test]
    async fn a_lock_that_others_caused_is_waited_out_with_a_margin() {
        let budget = Budget::default();
        let now = Instant::now();
        budget.found_locked(Some(10), now);
        assert!(budget.locked(now + Duration::from_secs(10)).is_some());
        assert!(budget.locked(now + Duration::from_secs(10) + LOCK_MARGIN).is_none());
        begin(&budget, Door::Isapi, 2).unwrap().unwrap().found_locked(2, Some(1800), now);
        assert_eq!(budget.locked(now).unwrap().until, None, "our own refusals led there");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_does_not_hold_up_the_others() {
        let budget = Budget::default();
        let hanging = begin(&budget, Door::Rtsp, 1).unwrap().unwrap();
        assert!(begin(&budget, Door::Isapi, 2).is_none());
        let began = Instant::now();
        budget.begin(Door::Isapi, 2).await.unwrap().accepted();
        assert_eq!(began.elapsed(), RESERVED_FOR);
        hanging.refused(1);
        assert!(begin(&budget, Door::Isapi, 2).unwrap().unwrap().careful, "a late verdict still counts");
    }

    #[tokio::test(start_paused = true)]
    async fn many_streams_that_hang_do_not_keep_the_poll_from_asking() {
        let budget = Budget::default();
        let hang = async || loop {
            let login = budget.begin(Door::Rtsp, 1).await.unwrap();
            tokio::time::sleep(RESERVED_FOR * 5).await;
            drop(login);
        };
        let streams = futures_util::future::join_all((0..64).map(|_| hang()));
        let polls = async {
            for _ in 0..10 {
                let began = Instant::now();
                budget.begin(Door::Isapi, 2).await.unwrap().accepted();
                assert!(began.elapsed() <= RESERVED_FOR, "{:?}", began.elapsed());
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        tokio::select! {
            biased;
            _ = streams => unreachable!("they hang for ever"),
            done = tokio::time::timeout(Duration::from_secs(600), polls) => done.unwrap(),
        }
    }

    #[tokio::test]
    async fn an_attempt_without_a_verdict_costs_nothing() {
        let budget = Budget::default();
        for _ in 0..10 {
            drop(begin(&budget, Door::Rtsp, 1).unwrap().unwrap());
        }
        assert!(begin(&budget, Door::Isapi, 2).unwrap().is_ok());
    }

    proptest! {
        /// With a password that is always wrong, however attempts overlap, two logins are refused at most.
        #[test]
        fn never_more_than_two_logins_are_refused(steps in proptest::collection::vec((0_u8..3, any::<bool>()), 0..40)) {
            let budget = Budget::default();
            let mut open = Vec::new();
            let mut refused = 0;
            for (step, rtsp) in steps {
                let (door, cost) = if rtsp { (Door::Rtsp, 1) } else { (Door::Isapi, 2) };
                match step {
                    0 => open.extend(begin(&budget, door, cost).and_then(Result::ok).map(|a| (a, cost))),
                    1 if !open.is_empty() => {
                        let (attempt, cost) = open.remove(0);
                        let times = if attempt.careful { 1 } else { cost };
                        refused += times;
                        attempt.refused(times);
                    }
                    _ => drop(open.pop()),
                }
                prop_assert!(refused <= REFUSALS_MAX);
            }
        }
    }
}
