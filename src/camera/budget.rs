//! The logins that one account of a device may still be asked for. Devices lock an account after a few refused ones, and
//! trying on prolongs the lock; so ISAPI and all RTSP sessions share one budget. `lockout` says how many there are.
//!
//! An attempt takes its part before it starts and gives it back when it succeeded, so that not even sixteen streams
//! that start together can have more logins refused than there are. Until a password was taken in this run of the process,
//! an attempt's part is made durable before the login is sent.

use super::{
    lockout::{History, Hold, LOCK_USUAL, Tag, Verdict},
    records::{Records, Row},
};
use crate::{base::Wall, model::GapCause, store};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// The device's clock and ours count the lock differently; one try too early would begin it anew.
const LOCK_MARGIN: Duration = Duration::from_secs(5);
/// Two readings of one lock's end that differ by less are one: devices tell whole seconds.
const LOCK_JITTER: Duration = Duration::from_secs(3);
/// A day is longer than any firmware locks.
const LOCK_SECONDS_MAX: u64 = 86_400;
/// How long an attempt keeps its part without a verdict. A device that is asked for a login answers within
/// milliseconds; one that is silent for longer has not looked at the password, and must not hold up the others.
const RESERVED_FOR: Duration = Duration::from_secs(2);
/// After a refusal, how long streams wait until somebody has looked whether the account is locked.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long streams wait for a device to prove itself again. A poll has ended by then, well or not.
const PROOF_WAIT_MAX: Duration = Duration::from_secs(30);
/// How soon a login that could not be written down is thought of again.
const STORE_WAIT: Duration = Duration::from_secs(5);

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
    /// The same for people.
    pub until_wall: Option<Wall>,
}

/// One account, whoever logs in by it.
pub(super) struct Account {
    name: String,
    records: Records,
    state: Mutex<State>,
    freed: Notify,
    /// What was written last; held while something is written, so that rows go in order.
    written: tokio::sync::Mutex<Option<Row>>,
}

#[derive(Default)]
struct State {
    history: History,
    /// The password that each door took last in this run of the process.
    proven: [Option<Tag>; 2],
    in_flight: Vec<Reserved>,
    attempts: u64,
    /// Polls that wait for their part. They go before streams.
    polls_waiting: u32,
    /// Something was refused: whether the account is locked is to be looked up before streams try on, at the latest then.
    look_by: Option<Instant>,
    /// This device tells everybody whether the account is locked.
    tells: bool,
    /// The end of a lock as it was first told.
    shown: Option<(Instant, Wall)>,
}

struct Reserved {
    attempt: u64,
    tag: Tag,
    share: u32,
    until: Instant,
    /// Its door has not taken the password yet.
    new: bool,
    /// No door has, so that it counts as spent if nothing is heard of it again.
    at_risk: bool,
}

impl Account {
    pub(super) fn new(name: String, history: History, written: Option<Row>, records: Records) -> Self {
        let state = Mutex::new(State { history, ..State::default() });
        Self { name, records, state, freed: Notify::new(), written: tokio::sync::Mutex::new(written) }
    }

    /// Until when something of it counts, if it does.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.with(|state| state.history.rests_until(now))
    }

    /// Forgets it, also in the store.
    pub(super) async fn erase(&self) -> Result<(), store::Error> {
        self.records.write(&self.name, &History::default(), &mut *self.written.lock().await).await
    }

    /// Makes durable what is spent, with what is under way.
    async fn write(&self) -> Result<(), store::Error> {
        let mut written = self.written.lock().await;
        let history = self.with(|state| {
            let mut history = state.history.clone();
            for login in state.in_flight.iter().filter(|r| r.at_risk) {
                history.unheard(&login.tag, login.share, Instant::now());
            }
            history
        });
        self.records.write(&self.name, &history, &mut written).await
    }

    /// [`Account::write`] where nothing waits for it: a store that fails ends the process by itself.
    async fn note(&self) {
        if let Err(error) = self.write().await {
            tracing::error!(%error, account = self.name, "what was spent of the account cannot be kept");
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn locked(&self, tag: &Tag, now: Instant) -> Option<Locked> {
        self.with(|state| match state.history.judge(tag, now) {
            Verdict::Free(_) => None,
            Verdict::Held(hold, until) => {
                let until_wall = until.map(|until| state.wall_of(until, now, self.records.clock.wall()));
                Some(Locked { reason: words(hold, until_wall), until, until_wall })
            }
        })
    }
}

impl State {
    fn proven(&mut self, door: Door) -> &mut Option<Tag> {
        match door {
            Door::Isapi => &mut self.proven[0],
            Door::Rtsp => &mut self.proven[1],
        }
    }

    /// The wall time of a moment; the same for the same, however the clocks run.
    fn wall_of(&mut self, until: Instant, now: Instant, wall: Wall) -> Wall {
        match self.shown {
            Some((shown, at)) if shown == until => at,
            _ => {
                let at = wall.plus(until.saturating_duration_since(now));
                self.shown = Some((until, at));
                at
            }
        }
    }

    fn found_locked(&mut self, unlock_s: Option<u64>, now: Instant) {
        // A device that says "0 s" is about to unlock.
        let rest = unlock_s.map_or(LOCK_USUAL, |s| Duration::from_secs(s.min(LOCK_SECONDS_MAX)));
        let until = now + rest + LOCK_MARGIN;
        let near = |known: &Instant| known.max(&until).duration_since(*known.min(&until)) < LOCK_JITTER;
        self.history.found_locked(self.history.lock.filter(near).unwrap_or(until));
        self.look_by = None;
    }
}

/// What people are told.
fn words(hold: Hold, until: Option<Wall>) -> String {
    let at = until.map_or_else(String::new, |wall| format!("{:.0}", wall.to_timestamp()));
    match hold {
        Hold::Locked => format!("the device has locked the account until {at}; skyvis waits it out"),
        Hold::LockedAndRefused => format!(
            "the device refused the user or password and has locked the account until {at}; skyvis waits it out, and \
             tries a password that was refused once more"
        ),
        Hold::Refused(door) => {
            let what = match door {
                Door::Isapi => "the device refused the user or password",
                Door::Rtsp => "the device refused the user or password for its streams",
            };
            let next = if at.is_empty() { String::new() } else { format!(" (or until {at})") };
            format!(
                "{what}; no further login is tried, so that it does not lock the account, until the address, user or \
                 password in the configuration changes or a reconnect is asked for{next}"
            )
        }
        Hold::Unheard => format!(
            "skyvis was ended before the device answered its logins; so that it does not lock the account, the next is \
             tried at {at}"
        ),
        Hold::Guessing => format!(
            "several passwords of this account were refused; so that the device does not lock it, the next login is \
             tried at {at}"
        ),
    }
}

/// One device's part of its account's budget: that of its password.
#[derive(Clone)]
pub(super) struct Budget {
    account: Arc<Account>,
    tag: Tag,
    /// The device proves by a certificate who it is, when it is asked over HTTPS.
    proves: bool,
}

/// A login that is under way. Dropped without a verdict, it may have been refused.
pub(super) struct Attempt<'a> {
    budget: &'a Budget,
    door: Door,
    id: u64,
    at_risk: bool,
    /// The attempt may cost only one login: an earlier challenge must not be answered again.
    pub careful: bool,
}

impl Budget {
    pub(super) fn new(account: Arc<Account>, tag: Tag, proves: bool) -> Self {
        Self { account, tag, proves }
    }

    /// A session was lost: something else may answer there now. Where the device can prove itself, that is waited for
    /// before a login is sent over RTSP, which has no proof of its own.
    pub(super) fn lost(&self) {
        if self.proves {
            let by = Instant::now() + PROOF_WAIT_MAX;
            self.account.with(|state| state.look_by = Some(by));
        }
    }

    /// Waits until a login may be tried that can be refused `cost` times at most.
    pub(super) async fn begin(&self, door: Door, cost: u32) -> Result<Attempt<'_>, Locked> {
        let mut waiting = None;
        loop {
            let freed = self.account.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let wait_until = match self.try_begin(door, cost, Instant::now())? {
                Ok(attempt) => return attempt.recorded().await,
                Err(until) => until,
            };
            // Streams take one part each and are many; a poll that needs both would never find them free together.
            if door == Door::Isapi && waiting.is_none() {
                waiting = Some(PollWaits::new(&self.account));
            }
            let _ = tokio::time::timeout_at(wait_until, freed).await;
        }
    }

    /// An attempt, or when to look again at the latest.
    fn try_begin(&self, door: Door, cost: u32, now: Instant) -> Result<Result<Attempt<'_>, Instant>, Locked> {
        if let Some(locked) = self.locked(now) {
            return Err(locked);
        }
        self.account.with(|state| {
            let Verdict::Free(left) = state.history.judge(&self.tag, now) else { return Ok(Err(now)) };
            let new = state.proven(door).as_ref() != Some(&self.tag);
            let at_risk = state.proven.iter().flatten().all(|tag| *tag != self.tag);
            // What may be wrong costs one login a time, so that one that nobody heard of is one.
            let share = if new { 1 } else { cost.min(left) };
            // A door that took the password does not wait for what hangs at the other; one that did not, does.
            let counts = |r: &&Reserved| r.until > now || (new && r.new);
            let (taken, next) = state.in_flight.iter().filter(counts).fold((0, None), |(taken, next), r| {
                (taken + r.share, Some(next.map_or(r.until, |n: Instant| n.min(r.until))))
            });
            let yields = door == Door::Rtsp && (state.polls_waiting > 0 || state.look_by.is_some_and(|by| by > now));
            if taken + share > left || yields {
                return Ok(Err(next.filter(|n| *n > now).unwrap_or(now + RESERVED_FOR)));
            }
            state.attempts += 1;
            let (id, tag) = (state.attempts, self.tag.clone());
            state.in_flight.push(Reserved { attempt: id, tag, share, until: now + RESERVED_FOR, new, at_risk });
            Ok(Ok(Attempt { budget: self, door, id, at_risk, careful: share < cost }))
        })
    }

    /// The lock in force, if any.
    pub(super) fn locked(&self, now: Instant) -> Option<Locked> {
        self.account.locked(&self.tag, now)
    }

    /// What keeps logins from being tried: a lock of the device's, or a password that it refused.
    pub(super) fn cause(&self, now: Instant) -> GapCause {
        match self.locked(now) {
            Some(Locked { until: Some(_), .. }) => GapCause::Locked,
            _ => GapCause::Auth,
        }
    }

    /// Something was refused, and nobody has looked since whether the account is locked.
    pub(super) fn wants_look(&self) -> bool {
        self.account.with(|state| state.look_by.is_some())
    }

    /// Somebody looked and saw nobody. Streams of a device that cannot prove itself need not wait for another look.
    pub(super) fn unseen(&self) {
        if !self.proves {
            self.account.with(|state| state.look_by = None);
            self.account.freed.notify_waiters();
        }
    }

    /// Somebody looked without logging in: what the device said, where it said something. `None` in it: not locked.
    pub(super) async fn looked(&self, said: Option<Result<(), Option<u64>>>, now: Instant) {
        let changed = self.account.with(|state| {
            state.look_by = None;
            let before = state.history.clone();
            match said {
                Some(Err(unlock_s)) => {
                    state.tells = true;
                    state.found_locked(unlock_s, now);
                }
                // Firmware that tells nobody but its users says "unlocked" to everybody else; only one that was heard
                // to tell a lock is believed that there is none any more.
                Some(Ok(())) if state.tells => state.history.lock = None,
                Some(Ok(())) | None => {}
            }
            state.history != before
        });
        self.account.freed.notify_waiters();
        if changed {
            self.account.note().await;
        }
    }

    /// A login is under way of which it would have to be taken that it was refused, if it were given up now.
    pub(super) fn awaits_verdict(&self) -> bool {
        self.account.with(|state| state.in_flight.iter().any(|r| r.at_risk))
    }

    /// Somebody asks for another try.
    pub(super) async fn forgive(&self) {
        self.account.with(|state| state.history.forgive(&self.tag));
        self.account.freed.notify_waiters();
        self.account.note().await;
    }
}

impl std::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("door", &self.door).field("careful", &self.careful).finish_non_exhaustive()
    }
}

impl<'a> Attempt<'a> {
    /// Makes its part durable before anything is sent.
    async fn recorded(self) -> Result<Attempt<'a>, Locked> {
        if self.at_risk
            && let Err(error) = self.budget.account.write().await
        {
            tracing::error!(%error, account = self.budget.account.name, "no login is sent that cannot be written down");
            let until = Some(Instant::now() + STORE_WAIT);
            self.settle(|_| {});
            let reason = "no login is sent while what is spent of the account cannot be kept".to_owned();
            return Err(Locked { reason, until, until_wall: None });
        }
        Ok(self)
    }

    /// The device took the login.
    pub(super) async fn accepted(self) {
        let (account, tag, door) = (&self.budget.account, self.budget.tag.clone(), self.door);
        // Over RTSP anybody can take a login; only that it is not locked is known then.
        let seen = door == Door::Isapi || !self.budget.proves;
        self.settle(|state| {
            if seen {
                state.look_by = None;
            }
            state.history.accepted(&tag, door, Instant::now());
            *state.proven(door) = Some(tag);
        });
        account.note().await;
    }

    /// Nothing was said about the login: it was not sent, or nobody answered.
    pub(super) async fn unanswered(self) {
        let (account, at_risk) = (&self.budget.account, self.at_risk);
        self.settle(|_| {});
        if at_risk {
            account.note().await;
        }
    }

    /// The device refused the login `times` times.
    pub(super) async fn refused(self, times: u32) {
        let account = &self.budget.account;
        self.count(times, |state, now| state.look_by = Some(now + LOOK_WAIT_MAX));
        account.note().await;
    }

    /// The device says that the account is locked, after refusing `times` logins of this attempt.
    pub(super) async fn found_locked(self, times: u32, unlock_s: Option<u64>, now: Instant) {
        let account = &self.budget.account;
        self.count(times, |state, _| state.found_locked(unlock_s, now));
        account.note().await;
    }

    fn count(self, times: u32, then: impl FnOnce(&mut State, Instant)) {
        let (tag, door) = (self.budget.tag.clone(), self.door);
        tracing::warn!(account = self.budget.account.name, ?door, times, "login refused");
        self.settle(|state| {
            let now = Instant::now();
            if times > 0 {
                state.history.refused(&tag, door, times, now);
                *state.proven(door) = None;
            }
            then(state, now);
        });
    }

    /// Gives its part back and notes the verdict, in one go.
    fn settle(mut self, verdict: impl FnOnce(&mut State)) {
        self.at_risk = false;
        let id = self.id;
        self.budget.account.with(|state| {
            state.in_flight.retain(|r| r.attempt != id);
            verdict(state);
        });
    }
}

/// A poll that waits for its part.
struct PollWaits<'a>(&'a Account);

impl<'a> PollWaits<'a> {
    fn new(account: &'a Account) -> Self {
        account.with(|state| state.polls_waiting += 1);
        Self(account)
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
        let (account, tag) = (&self.budget.account, &self.budget.tag);
        account.with(|state| {
            let mine = state.in_flight.iter().position(|r| r.attempt == self.id);
            let share = mine.map_or(0, |at| state.in_flight.remove(at).share);
            // Ended in the middle of it: the device may have refused it meanwhile.
            if self.at_risk && share > 0 {
                state.history.unheard(tag, share, Instant::now());
            }
        });
        account.freed.notify_waiters();
    }
}

#[cfg(test)]
pub(super) mod tests;
