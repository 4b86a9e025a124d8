//! The rules for sessions, and for steps that they hold keys by.

use super::{Draft, Due, Effect};
use crate::{
    model::Health,
    registry::{
        Change, Error, Session, Step, Stepped,
        kv::{self, Entry, Law},
        pace::plus,
        session::{PATIENCE, SESSIONS_MAX},
    },
};
use bytes::Bytes;
use std::{collections::BTreeSet, sync::Arc};

impl Draft<'_> {
    /// Runs steps: all of them, or none. Whether the answer holds whatever becomes of this turn.
    pub fn steps(&mut self, steps: &[Step]) -> Result<(Stepped, bool), Error> {
        let number = self.staged.revision + 1;
        let (state, staged, now) = (self.state, &self.staged, self.now);
        let law = Law {
            is_session: |id: &str| match staged.sessions.get(id) {
                Some(session) => session.is_some(),
                None => state.sessions.contains_key(id),
            },
            is_delayed: |key: &[u8]| {
                let fresh = staged.delays.iter().filter(|(delayed, ..)| delayed == key).map(|(.., until)| *until);
                fresh.chain(state.delays.get(key).copied()).any(|until| until > now)
            },
        };
        let stepped = kv::run_steps(&state.space, &staged.over, steps, number, &law)?;
        let mut instances = None;
        let done = match stepped {
            Err(failed) => Err(failed),
            Ok((ran, over)) => {
                if !ran.changes.is_empty() {
                    self.staged.over = over;
                    self.staged.revision = number;
                    instances = self.written(number, ran.changes);
                }
                Ok(ran.answers)
            }
        };
        let settled = self.staged.is_empty();
        Ok((Stepped { done, revision: self.staged.revision, instances }, settled))
    }

    /// Somebody is there who can hold keys. The revision that made it.
    pub fn create_session(&mut self, session: Session) -> Result<u64, Error> {
        if self.state.sessions.len() + self.staged.sessions.len() >= SESSIONS_MAX {
            return Err(Error::Full { what: "sessions", max: SESSIONS_MAX });
        }
        if let Some((_, id)) = session.checks.iter().find(|(owner, id)| self.check_of(owner, id).is_none()) {
            return Err(Error::NoCheck(id.clone()));
        }
        let number = self.revise();
        let session = Session { created: number, ..session };
        self.arm_session(&session, false);
        self.staged.last_session = number;
        self.staged.sessions.insert(session.id.clone(), Some(Arc::new(session)));
        Ok(number)
    }

    /// A session says that it is still there. Nothing is written.
    pub fn renew_session(&mut self, id: &Arc<str>) -> Result<(Arc<Session>, bool), Error> {
        let session = self.session(id).ok_or_else(|| Error::NoSession(id.clone()))?;
        let settled = !self.staged.sessions.contains_key(id);
        self.arm_session(&session, settled);
        Ok((session, settled))
    }

    /// Ends a session: what it holds is free, or gone. Whether there was one.
    pub fn end_session(&mut self, id: &Arc<str>) -> bool {
        let Some(session) = self.session(id) else { return false };
        let number = self.revise();
        let held: Vec<(Bytes, Arc<Entry>)> = self.held_keys(id);
        let until = plus(self.now, session.delay);
        if !session.delay.is_zero() {
            self.staged.delays.extend(held.iter().map(|(key, _)| (key.clone(), self.now, until)));
        }
        let mut changes = Vec::new();
        if session.deletes {
            kv::delete(&mut self.staged.over, &held, &mut changes);
        } else {
            for (key, before) in held {
                let now = Some(Arc::new(kv::freed(&before, number)));
                self.staged.over.entries.insert(key.clone(), now.clone());
                changes.push(Change { key, now, before: Some(before) });
            }
        }
        if !changes.is_empty() {
            self.written(number, changes);
        }
        self.staged.last_session = number;
        self.staged.sessions.insert(id.clone(), None);
        self.effects.push(Effect { what: Due::Session(id.clone()), at: None });
        true
    }

    /// Nobody renewed it.
    pub(super) fn session_ran_out(&mut self, id: &Arc<str>) {
        if !self.end_session(id) {
            // It was ended meanwhile.
            self.effects.push(Effect { what: Due::Session(id.clone()), at: None });
        }
    }

    /// Sessions end with the checks that they stand on.
    pub(super) fn end_ill(&mut self) {
        if self.staged.records.is_empty() && self.staged.nodes.is_empty() {
            return;
        }
        let known = self.state.sessions.values().map(|held| &held.session);
        let staged = self.staged.sessions.values().flatten();
        let is_ill = |session: &&Arc<Session>| {
            session.checks.iter().any(|(owner, id)| {
                self.check_of(owner, id).is_none_or(|named| named.verdict.health == Health::Critical)
            })
        };
        let ill: BTreeSet<Arc<str>> = known.chain(staged).filter(is_ill).map(|session| session.id.clone()).collect();
        for id in ill {
            self.end_session(&id);
        }
    }

    fn held_keys(&self, id: &Arc<str>) -> Vec<(Bytes, Arc<Entry>)> {
        let view = kv::View::of(&self.state.space, &self.staged.over, self.staged.revision);
        let known = self.state.sessions.get(id).into_iter().flat_map(|held| &held.keys);
        let keys: BTreeSet<&Bytes> = known.chain(self.staged.over.entries.keys()).collect();
        let of_it = |key: &Bytes| {
            let entry = view.get(key).filter(|entry| entry.holder() == Some(id))?;
            Some((key.clone(), entry.clone()))
        };
        keys.into_iter().filter_map(of_it).collect()
    }

    fn session(&self, id: &Arc<str>) -> Option<Arc<Session>> {
        match self.staged.sessions.get(id) {
            Some(staged) => staged.clone(),
            None => self.state.sessions.get(id).map(|held| held.session.clone()),
        }
    }

    fn arm_session(&mut self, session: &Session, settled: bool) {
        let Some(ttl) = session.ttl else { return };
        let effect = Effect { what: Due::Session(session.id.clone()), at: Some(plus(self.now, ttl * PATIENCE)) };
        if settled { self.at_once.push(effect) } else { self.effects.push(effect) }
    }
}
