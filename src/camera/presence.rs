//! Is a device or channel there? A pure state machine: evidence and the time go in, a [`Presence`] comes out.
//!
//! A refused or locked account outweighs all other evidence, until somebody resets it or its time runs out.

use crate::model::Presence;
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// So many changes between there and gone …
pub(super) const FLAPPING_CHANGES: usize = 4;
/// … within this time are flapping.
pub(super) const FLAPPING_WINDOW: Duration = Duration::from_secs(60);
/// Without a change for this long it is calm again.
pub(super) const CALM_AFTER: Duration = Duration::from_secs(30);
/// Frames this recent prove that a device is there, whatever a poll says.
pub(super) const FRAMES_PROVE: Duration = Duration::from_secs(3);

/// What was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It answered, or its recorder says that it is there.
    Seen,
    /// Frames of it arrived.
    Frames,
    /// It did not answer. That is weak: a stream whose frames arrive proves the contrary.
    Silent(String),
    /// Its recorder says that it is gone. That is strong.
    Gone(String),
    /// The account is refused or locked, until then, or until somebody resets it.
    Locked { reason: String, until: Option<Instant> },
    /// Somebody changed the password or asked for another try.
    Reset,
}

/// The machine. Feed it with [`Tracker::learn`] and let time pass with [`Tracker::tick`]; both say whether what is
/// shown has changed.
#[derive(Clone, Debug)]
pub(super) struct Tracker {
    shown: Presence,
    reason: Option<String>,
    up: Option<bool>,
    locked_until: Option<Option<Instant>>,
    frames_at: Option<Instant>,
    changes: VecDeque<Instant>,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            shown: Presence::Unknown,
            reason: None,
            up: None,
            locked_until: None,
            frames_at: None,
            changes: VecDeque::new(),
        }
    }
}

impl Tracker {
    /// What is shown.
    pub(super) fn presence(&self) -> Presence {
        self.shown
    }

    /// Why, where it is not simply there.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The last evidence says that it is there; also while flapping. A locked one is not to be fetched.
    pub(super) fn is_up(&self) -> bool {
        self.locked_until.is_none() && self.up == Some(true)
    }

    /// Takes one piece of evidence in.
    pub(super) fn learn(&mut self, evidence: Evidence, now: Instant) -> bool {
        let before = (self.shown, self.reason.clone());
        match evidence {
            Evidence::Locked { reason, until } => {
                self.locked_until = Some(until);
                self.reason = Some(reason);
            }
            Evidence::Reset => {
                self.locked_until = None;
                self.up = None;
                self.reason = None;
                self.changes.clear();
            }
            Evidence::Seen => self.set_up(true, None, now),
            Evidence::Frames => {
                self.frames_at = Some(now);
                self.set_up(true, None, now);
            }
            Evidence::Silent(reason) => {
                if self.frames_at.is_none_or(|at| now.saturating_duration_since(at) >= FRAMES_PROVE) {
                    self.set_up(false, Some(reason), now);
                }
            }
            Evidence::Gone(reason) => self.set_up(false, Some(reason), now),
        }
        self.show(now);
        before != (self.shown, self.reason.clone())
    }

    /// Lets time pass: a lock runs out, flapping calms down.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let before = self.shown;
        if let Some(Some(until)) = self.locked_until
            && until <= now
        {
            self.locked_until = None;
            self.up = None;
            self.reason = None;
        }
        self.show(now);
        before != self.shown
    }

    fn set_up(&mut self, up: bool, reason: Option<String>, now: Instant) {
        // While locked only the lock speaks; what is learned besides is not worth keeping.
        if self.locked_until.is_some() {
            return;
        }
        if self.up == Some(!up) {
            self.changes.push_back(now);
            if self.changes.len() > FLAPPING_CHANGES {
                self.changes.pop_front();
            }
        }
        self.up = Some(up);
        self.reason = reason;
    }

    fn show(&mut self, now: Instant) {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        let many = self.changes.len() >= FLAPPING_CHANGES;
        let dense = many && self.changes.front().is_some_and(|at| age(at) <= FLAPPING_WINDOW);
        let calm = self.changes.back().is_none_or(|at| age(at) >= CALM_AFTER);
        let flapping = !calm && (dense || self.shown == Presence::Flapping);
        self.shown = match (self.locked_until, self.up) {
            (Some(_), _) => Presence::Locked,
            (None, None) => Presence::Unknown,
            (None, Some(_)) if flapping => Presence::Flapping,
            (None, Some(true)) => Presence::Online,
            (None, Some(false)) => Presence::Offline,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn silent() -> Evidence {
        Evidence::Silent("no answer".into())
    }

    #[tokio::test]
    async fn frames_outweigh_a_failed_poll_and_not_the_recorders_word() {
        let (mut t, now) = (Tracker::default(), Instant::now());
        t.learn(Evidence::Frames, now);
        assert!(!t.learn(silent(), now + Duration::from_secs(1)));
        assert_eq!(t.presence(), Presence::Online);
        assert!(t.learn(silent(), now + FRAMES_PROVE), "frames stopped");
        assert_eq!((t.presence(), t.reason()), (Presence::Offline, Some("no answer")));
        t.learn(Evidence::Frames, now + Duration::from_secs(9));
        t.learn(Evidence::Gone("netUnreachable".into()), now + Duration::from_secs(9));
        assert!(!t.is_up());
    }

    #[tokio::test]
    async fn a_lock_ends_by_time_or_reset_alone() {
        let (mut t, now) = (Tracker::default(), Instant::now());
        let until = now + Duration::from_secs(100);
        t.learn(Evidence::Locked { reason: "locked".into(), until: Some(until) }, now);
        t.learn(Evidence::Seen, now);
        t.tick(until - Duration::from_millis(1));
        assert_eq!((t.presence(), t.is_up(), t.reason()), (Presence::Locked, false, Some("locked")));
        assert!(t.tick(until));
        assert_eq!(t.presence(), Presence::Unknown);
        t.learn(Evidence::Locked { reason: "refused".into(), until: None }, until);
        t.tick(until + Duration::from_secs(1_000_000));
        assert_eq!(t.presence(), Presence::Locked);
        t.learn(Evidence::Reset, until);
        t.learn(Evidence::Seen, until);
        assert_eq!(t.presence(), Presence::Online);
    }

    #[tokio::test]
    async fn coming_and_going_is_flapping_until_calm() {
        let (mut t, now) = (Tracker::default(), Instant::now());
        let at = |s: u64| now + Duration::from_secs(s);
        for (s, up) in [(0, true), (5, false), (10, true), (15, false)] {
            t.learn(if up { Evidence::Seen } else { silent() }, at(s));
            assert_ne!(t.presence(), Presence::Flapping, "{s}");
        }
        t.learn(Evidence::Seen, at(20));
        assert_eq!((t.presence(), t.is_up()), (Presence::Flapping, true));
        assert!(!t.tick(at(49)));
        assert!(t.tick(at(50)));
        assert_eq!(t.presence(), Presence::Online);
    }

    fn evidence() -> impl Strategy<Value = Evidence> {
        prop_oneof![
            Just(Evidence::Seen),
            Just(Evidence::Frames),
            Just(silent()),
            Just(Evidence::Gone("gone".into())),
            Just(Evidence::Locked { reason: "locked".into(), until: None }),
            Just(Evidence::Reset),
        ]
    }

    proptest! {
        #[test]
        fn locked_is_left_by_reset_only_and_the_rest_is_bounded(
            steps in proptest::collection::vec((evidence(), 0_u64..40), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let (mut t, mut now) = (Tracker::default(), Instant::now());
                let mut changes: Vec<Instant> = Vec::new();
                for (evidence, seconds) in steps {
                    now += Duration::from_secs(seconds);
                    let (was, was_up) = (t.presence(), t.is_up());
                    t.learn(evidence.clone(), now);
                    if was_up != t.is_up() {
                        changes.push(now);
                    }
                    if was == Presence::Locked && evidence != Evidence::Reset {
                        assert_eq!(t.presence(), Presence::Locked);
                        assert!(!t.is_up());
                    }
                    if t.presence() == Presence::Flapping {
                        let recent = changes.iter().filter(|c| now - **c < CALM_AFTER).count();
                        assert!(recent >= 1, "flapping without a recent change");
                    }
                    match t.presence() {
                        Presence::Online => assert!(t.is_up()),
                        Presence::Offline => assert!(!t.is_up() && t.reason().is_some()),
                        _ => {}
                    }
                    assert!(t.changes.len() <= FLAPPING_CHANGES);
                }
            });
        }
    }
}
