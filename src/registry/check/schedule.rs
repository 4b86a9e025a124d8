//! Whom to look at when, and what follows of what was seen. Pure: `now` and chance are passed in.
//!
//! An instance is looked at by one look at a time, and again a tenth of an interval early at most, by chance, so that
//! those which began together drift apart. One that is new comes at once, behind other new ones. What was known before
//! a start is spread over its interval.

use super::streak::Streak;
use crate::{
    model::Health,
    registry::{
        Aim, GRACE, Who,
        deadlines::Deadlines,
        pace::{Moment, plus},
    },
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// Looks at once: half of the sockets that a process has by default. Ten thousand instances that hang for 2 s each are
/// gone through within 40 s then.
pub(super) const IN_FLIGHT_MAX: usize = 512;
/// From one new instance to the next: a thousand a second. Whoever registers a whole site at once does not get all of
/// its checks at once.
const FIRST_LOOKS_APART: Duration = Duration::from_millis(1);
/// How much earlier than its interval a look may come, as a share of it.
const EARLY_MAX: f64 = 0.1;

/// Who is looked at.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    watched: HashMap<Who, Watched>,
    due: Deadlines<Who>,
    /// Those that a look is under way to, also where it is not to be looked at any more.
    in_flight: HashSet<Who>,
    /// No new instance is looked at for the first time before this.
    first_free: Moment,
    /// It has been told whom to look at at all.
    has_begun: bool,
}

#[derive(Debug)]
struct Watched {
    aim: Arc<Aim>,
    streak: Streak,
    /// What the registry keeps of it.
    told: Option<Health>,
    /// Until then it is not taken out: it was in before the start.
    kept_until: Moment,
    began: Moment,
}

impl Schedule {
    /// These are to be looked at, and no others.
    pub fn follow(&mut self, now: Moment, aims: Vec<Arc<Aim>>, mut random: impl FnMut() -> f64) {
        let names: BTreeSet<&Who> = aims.iter().map(|r| &r.who).collect();
        let gone: Vec<_> = self.watched.keys().filter(|key| !names.contains(key)).cloned().collect();
        for key in gone {
            self.watched.remove(&key);
            self.due.clear(&key);
        }
        for aim in aims {
            match self.watched.get_mut(&aim.who) {
                Some(known) if known.aim.defined == aim.defined => known.aim = aim,
                Some(_) => self.begin(now, aim, None, &mut random),
                None => {
                    let kept_until = (!self.has_begun).then(|| plus(now, GRACE));
                    self.begin(now, aim, kept_until, &mut random);
                }
            }
        }
        self.has_begun = true;
    }

    /// Somebody is new here, or is to be looked at in another way.
    fn begin(&mut self, now: Moment, aim: Arc<Aim>, kept: Option<Moment>, random: &mut impl FnMut() -> f64) {
        let (check, told) = (&aim.check, aim.known);
        let key = aim.who.clone();
        let at = match told {
            // Nothing speaks against what is known; it is looked at again in its own time, and not ever later where
            // somebody keeps changing how.
            Some(_) => {
                let at = plus(now, check.interval.mul_f64(random().clamp(0.0, 1.0)));
                self.due.of(&key).map_or(at, |before| before.min(at))
            }
            None => self.first_place(now),
        };
        let streak = Streak::new(check, told);
        self.watched.insert(key.clone(), Watched { aim, streak, told, kept_until: kept.unwrap_or(0), began: now });
        if !self.in_flight.contains(&key) {
            self.due.set(key, at);
        }
    }

    /// When a new instance is looked at first.
    fn first_place(&mut self, now: Moment) -> Moment {
        let at = now.max(self.first_free);
        self.first_free = plus(at, FIRST_LOOKS_APART);
        at
    }

    /// When to ask for [`Schedule::take`] next; None: not before something else happens.
    pub fn next(&self) -> Option<Moment> {
        self.due.next().filter(|_| self.in_flight.len() < IN_FLIGHT_MAX)
    }

    /// Whether it is to be looked at.
    pub fn is_watched(&self, key: &Who) -> bool {
        self.watched.contains_key(key)
    }

    /// How late the latest is.
    pub fn late(&self, now: Moment) -> Duration {
        Duration::from_micros(self.due.next().map_or(0, |due| now.saturating_sub(due)))
    }

    /// How many looks are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Those to look at now, who waited longest first. Each comes back by [`Schedule::found`].
    pub fn take(&mut self, now: Moment) -> Vec<Arc<Aim>> {
        let mut taken = Vec::new();
        for key in self.due.due(now, IN_FLIGHT_MAX.saturating_sub(self.in_flight.len())) {
            self.due.clear(&key);
            if let Some(watched) = self.watched.get_mut(&key) {
                watched.began = now;
                taken.push(watched.aim.clone());
                self.in_flight.insert(key);
            }
        }
        taken
    }

    /// A look at what was defined so is over. What the registry is to be told, if anything; then it is on its way until
    /// [`Schedule::told`].
    pub fn found(&mut self, now: Moment, key: &Who, defined: u64, health: Health, random: f64) -> Found {
        let Some(watched) = self.watched.get_mut(key).filter(|w| w.aim.defined == defined) else {
            self.outdated(now, key);
            return Found::Outdated;
        };
        let verdict = watched.streak.found(health);
        let in_a_row = watched.streak.in_a_row();
        let falls = verdict == Some(Health::Critical) && watched.told.is_some_and(Health::is_live);
        // A fall that was held back needs another failure: what is seen to be well now is not taken out.
        let is_held = falls && (now < watched.kept_until || health.is_live());
        match verdict.filter(|v| watched.told != Some(*v) && !is_held) {
            Some(health) => Found::News { health, in_a_row },
            None => {
                self.rest(now, key, random);
                Found::AsBefore { in_a_row }
            }
        }
    }

    /// The registry was told, or was not to be had: then the next look tells it again.
    pub fn told(&mut self, now: Moment, key: &Who, defined: u64, health: Option<Health>, random: f64) {
        let Some(watched) = self.watched.get_mut(key).filter(|w| w.aim.defined == defined) else {
            return self.outdated(now, key);
        };
        watched.told = health.or(watched.told);
        self.rest(now, key, random);
    }

    /// What was looked at is not what is to be looked at now: that has waited for its turn.
    fn outdated(&mut self, now: Moment, key: &Who) {
        self.in_flight.remove(key);
        if self.watched.contains_key(key) {
            let at = self.first_place(now);
            self.due.set(key.clone(), at);
        }
    }

    /// Nothing is under way any more: until the next time.
    fn rest(&mut self, now: Moment, key: &Who, random: f64) {
        self.in_flight.remove(key);
        let Some(watched) = self.watched.get(key) else { return };
        let check = &watched.aim.check;
        // Not from when it was due: who was late is not hurried after.
        let pause = check.interval.mul_f64(1.0 - EARLY_MAX * random.clamp(0.0, 1.0));
        self.due.set(key.clone(), plus(watched.began, pause).max(now));
    }
}

/// What a look means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The registry is to be told.
    News {
        /// What.
        health: Health,
        /// Looks in a row that went so.
        in_a_row: u32,
    },
    /// Nothing new.
    AsBefore {
        /// Looks in a row that went so.
        in_a_row: u32,
    },
    /// Nobody wants to know that any more.
    Outdated,
}

#[cfg(test)]
mod tests;
