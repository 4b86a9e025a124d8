//! How many logins may still be tried with a password. Pure: what happened and the time go in, a verdict comes out.
//!
//! What is known of devices: each refused login counts. After 7 of them (3 to 20, as somebody set it) the account is
//! locked for 30 minutes (1 to 120). A login that is taken, and the end of a lock, begin the count anew; a try during a
//! lock begins the lock anew. Whether the count is forgotten otherwise, nobody knows, so it is taken to stay for ever.
//!
//! The policy, which cannot lock an account of any such device:
//! 1. While the device locks the account, nothing is tried.
//! 2. A password has [`REFUSALS_MAX`] tries: one fewer than the least count that locks. Then it is known to be wrong,
//!    and is not tried again until another stands in the configuration or somebody asks for it.
//! 3. Save where the device was seen to lock the account since, and the lock has run out: its count begins anew, so one
//!    try is safe, and may find the password put right on the device. The further ones of that kind come at ever longer
//!    intervals, since whoever locks the account again and again has tries of their own to lose.
//! 4. A try whose outcome was never heard, because skyvis was killed, counts as refused. Where none was heard at all, the
//!    password may be right; then one more is had at ever longer intervals.
//! 5. All passwords of one account together have [`TOGETHER_MAX`] tries within [`LOCK_USUAL`]: someone who guesses in
//!    the configuration locks nobody out either.

use super::budget::Door;
use std::time::Duration;
use tokio::time::Instant;

/// Refused logins after which a password is known to be wrong. Devices can be set to lock after three.
pub(super) const REFUSALS_MAX: u32 = 2;
/// Tries of all passwords of an account within [`LOCK_USUAL`]. Devices lock after seven unless they are set otherwise.
const TOGETHER_MAX: u32 = 5;
/// How long a lock lasts unless the device is set otherwise; also how long a try weighs on those of other passwords.
pub(super) const LOCK_USUAL: Duration = Duration::from_secs(30 * 60);
/// Intervals double so often at most: to 16 hours.
const DOUBLINGS_MAX: u32 = 5;
/// Passwords of one account that are remembered; the one longest untried makes room.
const REMEMBERED_MAX: usize = 8;

/// What a password is recognised by, without saying what it is.
pub(super) type Tag = String;

/// What happened with one account.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct History {
    /// Until when the device locks it.
    pub lock: Option<Instant>,
    /// Passwords that were tried and not taken since, the last one last.
    pub tried: Vec<Tried>,
}

/// What happened with one password.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tried {
    pub tag: Tag,
    /// Refused by ISAPI.
    pub isapi: u32,
    /// Refused by RTSP.
    pub rtsp: u32,
    /// Sent, and never heard of again.
    pub unheard: u32,
    /// Forgiven by somebody; they weigh on the account all the same.
    pub forgiven: u32,
    /// Tries that were had beyond the usual ones.
    pub extra: u32,
    /// The device locked the account since the last refusal.
    pub locked_since: bool,
    /// Until when the last try weighs on others, and an extra one must wait.
    pub rest: Instant,
}

/// What may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// So many logins may be refused.
    Free(u32),
    /// None; until then, or until somebody changes something.
    Held(Hold, Option<Instant>),
}

/// Why nothing may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// The device locks the account; not known to be for our doing.
    Locked,
    /// The device locks the account, and the password is known to be wrong.
    LockedAndRefused,
    /// The password is known to be wrong; the door that refused it last.
    Refused(Door),
    /// Tries were made whose outcome is not known.
    Unheard,
    /// Too many passwords were tried.
    Guessing,
}

impl Tried {
    fn new(tag: &Tag, now: Instant) -> Self {
        Self { tag: tag.clone(), isapi: 0, rtsp: 0, unheard: 0, forgiven: 0, extra: 0, locked_since: false, rest: now }
    }

    fn refused(&mut self, door: Door) -> &mut u32 {
        match door {
            Door::Isapi => &mut self.isapi,
            Door::Rtsp => &mut self.rtsp,
        }
    }

    fn spent(&self) -> u32 {
        self.isapi + self.rtsp + self.unheard
    }

    fn rested(&mut self, now: Instant) {
        self.rest = now + LOCK_USUAL * 2_u32.pow(self.extra.min(DOUBLINGS_MAX));
    }
}

impl History {
    /// Whether a login may be tried with that password.
    pub(super) fn judge(&self, tag: &Tag, now: Instant) -> Verdict {
        let tried = self.tried.iter().find(|t| t.tag == *tag);
        if let Some(until) = self.lock.filter(|until| *until > now) {
            let known = tried.is_some_and(|t| t.isapi + t.rtsp >= REFUSALS_MAX);
            return Verdict::Held(if known { Hold::LockedAndRefused } else { Hold::Locked }, Some(until));
        }
        let tries = match tried {
            None => REFUSALS_MAX,
            Some(t) if t.spent() < REFUSALS_MAX => REFUSALS_MAX - t.spent(),
            Some(t) if t.isapi + t.rtsp == 0 && t.rest > now => return Verdict::Held(Hold::Unheard, Some(t.rest)),
            Some(t) if t.isapi + t.rtsp == 0 => 1,
            Some(t) if t.locked_since && t.extra > 0 && t.rest > now => {
                return Verdict::Held(Hold::Refused(last_door(t)), Some(t.rest));
            }
            Some(t) if t.locked_since => 1,
            Some(t) => return Verdict::Held(Hold::Refused(last_door(t)), None),
        };
        let weighing = self.tried.iter().filter(|t| t.rest > now);
        let (together, first) = weighing.fold((0, None::<Instant>), |(sum, first), t| {
            (sum + t.spent() + t.forgiven, Some(first.map_or(t.rest, |f| f.min(t.rest))))
        });
        match TOGETHER_MAX.saturating_sub(together) {
            0 => Verdict::Held(Hold::Guessing, first),
            left => Verdict::Free(tries.min(left)),
        }
    }

    /// Logins were sent, and what became of them is not known.
    pub(super) fn unheard(&mut self, tag: &Tag, logins: u32, now: Instant) {
        self.spend(tag, now, |t| t.unheard += logins);
    }

    /// The device refused so many logins.
    pub(super) fn refused(&mut self, tag: &Tag, door: Door, times: u32, now: Instant) {
        self.spend(tag, now, |t| *t.refused(door) += times);
    }

    fn spend(&mut self, tag: &Tag, now: Instant, spend: impl FnOnce(&mut Tried)) {
        let tried = self.entry(tag, now);
        // Beyond the usual ones: whatever came of it, the next of the kind is farther away.
        if tried.spent() >= REFUSALS_MAX {
            tried.extra += 1;
            tried.locked_since = false;
        }
        spend(tried);
        tried.rested(now);
    }

    /// The device took the login.
    pub(super) fn accepted(&mut self, tag: &Tag, door: Door, now: Instant) {
        self.lock = None;
        self.change(tag, |t| {
            *t.refused(door) = 0;
            t.unheard = 0;
        });
        for other in &mut self.tried {
            // The device's count begins anew.
            other.forgiven = 0;
            other.rest = other.rest.min(now);
        }
        self.tidy();
    }

    /// The device locks the account until then.
    pub(super) fn found_locked(&mut self, until: Instant) {
        self.lock = Some(until);
        for tried in self.tried.iter_mut().filter(|t| t.spent() >= REFUSALS_MAX) {
            tried.locked_since = true;
        }
    }

    /// Somebody asks for another try.
    pub(super) fn forgive(&mut self, tag: &Tag) {
        self.change(tag, |t| {
            t.forgiven += t.spent();
            (t.isapi, t.rtsp, t.unheard, t.extra, t.locked_since) = (0, 0, 0, 0, false);
        });
    }

    /// Until when something in it counts; None: nothing in it would be missed.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.tried.iter().map(|t| t.rest).chain(self.lock).filter(|until| *until > now).max()
    }

    fn entry(&mut self, tag: &Tag, now: Instant) -> &mut Tried {
        match self.tried.iter().position(|t| t.tag == *tag) {
            // The last one tried stands last.
            Some(at) => self.tried[at..].rotate_left(1),
            None => {
                if self.tried.len() == REMEMBERED_MAX {
                    self.tried.remove(0);
                }
                self.tried.push(Tried::new(tag, now));
            }
        }
        let last = self.tried.len() - 1;
        &mut self.tried[last]
    }

    fn change(&mut self, tag: &Tag, change: impl FnOnce(&mut Tried)) {
        if let Some(tried) = self.tried.iter_mut().find(|t| t.tag == *tag) {
            change(tried);
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        self.tried.retain(|t| t.spent() + t.forgiven > 0);
    }
}

fn last_door(tried: &Tried) -> Door {
    if tried.rtsp > 0 { Door::Rtsp } else { Door::Isapi }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn tag(text: &str) -> Tag {
        text.to_owned()
    }

    /// Tries until the policy says no; how many.
    fn exhaust(history: &mut History, tag: &Tag, now: Instant) -> u32 {
        let mut tries = 0;
        while matches!(history.judge(tag, now), Verdict::Free(1..)) {
            history.refused(tag, Door::Isapi, 1, now);
            tries += 1;
        }
        tries
    }

    #[tokio::test]
    async fn a_wrong_password_has_two_tries_and_none_later_unless_a_lock_ran_out() {
        let (mut h, wrong, now) = (History::default(), tag("wrong"), Instant::now());
        assert_eq!(exhaust(&mut h, &wrong, now), 2);
        let year = now + 365 * 24 * 60 * MINUTE;
        assert_eq!(h.judge(&wrong, year), Verdict::Held(Hold::Refused(Door::Isapi), None));
        h.found_locked(now + 30 * MINUTE);
        assert_eq!(h.judge(&wrong, now), Verdict::Held(Hold::LockedAndRefused, Some(now + 30 * MINUTE)));
        let after = now + 31 * MINUTE;
        assert_eq!(exhaust(&mut h, &wrong, after), 1);
        assert_eq!(h.judge(&wrong, year), Verdict::Held(Hold::Refused(Door::Isapi), None));
        h.found_locked(after + 2 * MINUTE);
        let held = h.judge(&wrong, after + 3 * MINUTE);
        assert_eq!(held, Verdict::Held(Hold::Refused(Door::Isapi), Some(after + 60 * MINUTE)), "twice as long");
        assert_eq!(exhaust(&mut h, &wrong, after + 60 * MINUTE), 1);
    }

    #[tokio::test]
    async fn going_back_to_a_password_that_is_known_to_be_wrong_gives_no_further_tries() {
        let (mut h, now) = (History::default(), Instant::now());
        let tries: u32 = ["a", "b", "a", "b", "a"].iter().map(|p| exhaust(&mut h, &tag(p), now)).sum();
        assert_eq!(tries, 4);
        assert_eq!(exhaust(&mut h, &tag("c"), now), 1, "the third password of an operator is tried too");
        let held = h.judge(&tag("d"), now);
        assert_eq!(held, Verdict::Held(Hold::Guessing, Some(now + LOCK_USUAL)));
        assert_eq!(h.judge(&tag("d"), now + LOCK_USUAL), Verdict::Free(2));
        h.accepted(&tag("d"), Door::Isapi, now);
        assert_eq!(h.judge(&tag("e"), now), Verdict::Free(2), "the device counts anew");
        assert!(
            matches!(h.judge(&tag("a"), now), Verdict::Held(Hold::Refused(_), None)),
            "and `a` is as wrong as before"
        );
    }

    #[tokio::test]
    async fn tries_that_nobody_heard_of_are_spent_and_forgotten_ever_more_slowly() {
        let (mut h, p, now) = (History::default(), tag("perhaps"), Instant::now());
        h.unheard(&p, 1, now);
        h.unheard(&p, 1, now);
        assert_eq!(h.judge(&p, now), Verdict::Held(Hold::Unheard, Some(now + LOCK_USUAL)));
        let later = now + LOCK_USUAL;
        assert_eq!(h.judge(&p, later), Verdict::Free(1));
        h.unheard(&p, 1, later);
        assert_eq!(h.judge(&p, later), Verdict::Held(Hold::Unheard, Some(later + 2 * LOCK_USUAL)));
        h.accepted(&p, Door::Rtsp, later);
        assert_eq!(h, History::default());
    }

    #[tokio::test]
    async fn forgiving_again_and_again_is_bounded() {
        let (mut h, wrong, now) = (History::default(), tag("wrong"), Instant::now());
        let mut tries = 0;
        for _ in 0..10 {
            tries += exhaust(&mut h, &wrong, now);
            h.forgive(&wrong);
        }
        assert_eq!(tries, TOGETHER_MAX);
        assert_eq!(h.rests_until(now), Some(now + LOCK_USUAL));
        assert_eq!(h.rests_until(now + LOCK_USUAL), None);
    }

    /// What may happen to a device and to us.
    #[derive(Clone, Debug)]
    enum Step {
        /// We try if we may.
        Try(Door),
        /// Others lock the account, and we see it.
        OthersLock,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let door = prop_oneof![Just(Door::Isapi), Just(Door::Rtsp)];
        prop_oneof![
            4 => door.prop_map(Step::Try),
            1 => Just(Step::OthersLock),
            2 => (0_u64..100).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// A device that locks after three, the least that can be set, and never forgets by time alone: a wrong password
        /// of ours never locks it, and never touches a lock.
        #[test]
        fn no_account_is_locked_by_us(steps in proptest::collection::vec(step(), 1..120)) {
            let (mut h, wrong) = (History::default(), tag("wrong"));
            let mut now = Instant::now();
            let (mut count, mut locked_until) = (0_u32, now);
            for step in steps {
                match step {
                    Step::Wait(minutes) => now += MINUTE * u32::try_from(minutes).unwrap(),
                    Step::OthersLock => {
                        (count, locked_until) = (0, now + 30 * MINUTE);
                        h.found_locked(locked_until);
                    }
                    Step::Try(door) => {
                        let Verdict::Free(tries) = h.judge(&wrong, now) else { continue };
                        prop_assert!(tries > 0 && now >= locked_until, "a try during a lock");
                        count += 1;
                        prop_assert!(count < 3, "we locked it");
                        h.refused(&wrong, door, 1, now);
                    }
                }
            }
        }

        /// Killed at the worst moment each time: two tries, and then ever fewer.
        #[test]
        fn kills_in_a_loop_spend_two_and_then_ever_fewer(minutes in proptest::collection::vec(0_u64..30, 1..200)) {
            let (mut h, p) = (History::default(), tag("p"));
            let began = Instant::now();
            let (mut now, mut tries) = (began, 0_u32);
            for wait in minutes {
                if let Verdict::Free(_) = h.judge(&p, now) {
                    h.unheard(&p, 1, now);
                    tries += 1;
                }
                now += MINUTE * u32::try_from(wait).unwrap();
                let rests = (now - began).as_secs() / LOCK_USUAL.as_secs() + 1;
                prop_assert!(tries <= REFUSALS_MAX + rests.ilog2() + 1, "{tries} tries in {rests} rests");
            }
        }
    }
}
