//! Steps: each with a condition that is looked at when its turn comes, all of them done or none. What Consul calls a
//! transaction, and each of its writes alone.

use super::{
    Change, Entry, KEY_BYTES_MAX, Keys, OpAnswer, Overlay, Query, SPACE_BYTES_MAX, Side, Space, VALUE_BYTES_MAX,
    space::View,
    txn::{Ran, delete},
};
use crate::registry::Error;
use bytes::Bytes;
use std::sync::Arc;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Only if; None: in any case.
    pub guard: Option<Guard>,
    /// Which key the condition is about, and what is done with, where it is one.
    pub key: Bytes,
    /// What is done.
    pub act: Act,
}

/// What must hold for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It was changed last by this revision; 0: it is not there.
    Modified(u64),
    /// It is there.
    Present,
    /// It is not.
    Absent,
    /// This session holds it.
    HeldBy(Arc<str>),
    /// Nobody else holds it than this session.
    FreeFor(Arc<str>),
    /// Never.
    Never,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Only looked at.
    Look,
    /// Looks at keys.
    Range(Keys),
    /// Written, with the client's number beside it.
    Put(Bytes, u64),
    /// The same, and this session holds it from now on.
    Lock(Bytes, u64, Arc<str>),
    /// The same, and nobody holds it from now on.
    Unlock(Bytes, u64),
    /// Deleted.
    Delete,
    /// Deletes keys.
    DeleteAll(Keys),
}

/// What there is beside keys.
pub(in crate::registry) struct Law<S, D> {
    /// Whether there is such a session.
    pub is_session: S,
    /// Whether nobody may hold a key yet.
    pub is_delayed: D,
}

/// What came of steps: what they did with what is staged after them, or which of them could not be done.
pub(in crate::registry) type Stepped = Result<(Ran, Overlay), Vec<usize>>;

impl Entry {
    /// The session that holds it.
    pub fn holder(&self) -> Option<&Arc<str>> {
        self.side.as_ref()?.session.as_ref()
    }
}

/// Runs steps as revision `number` over what is there.
pub(in crate::registry) fn run_steps(
    space: &Space,
    over: &Overlay,
    steps: &[Step],
    number: u64,
    law: &Law<impl Fn(&str) -> bool, impl Fn(&[u8]) -> bool>,
) -> Result<Stepped, Error> {
    let mut after = over.clone();
    let (mut changes, mut answers, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (i, step) in steps.iter().enumerate() {
        step.check()?;
        if let Act::Lock(_, _, session) = &step.act
            && !(law.is_session)(session)
        {
            return Err(Error::NoSession(session.clone()));
        }
        let entry = View::of(space, &after, number - 1).get(&step.key).cloned();
        let is_free = || !(law.is_delayed)(&step.key);
        if step.guard.as_ref().is_some_and(|guard| !guard.holds(entry.as_deref(), is_free)) {
            failed.push(i);
            continue;
        }
        answers.push(step.done(space, &mut after, &mut changes, entry, number)?);
    }
    if !failed.is_empty() {
        return Ok(Err(failed));
    }
    let bytes = |over: &Overlay| View::of(space, over, number).bytes();
    let now = bytes(&after);
    if now > SPACE_BYTES_MAX && now > bytes(over) {
        return Err(Error::Full { what: "bytes of keys and values", max: SPACE_BYTES_MAX });
    }
    Ok(Ok((Ran { succeeded: true, answers, changes }, after)))
}

impl Guard {
    fn holds(&self, entry: Option<&Entry>, is_free: impl Fn() -> bool) -> bool {
        match self {
            Self::Modified(number) => entry.map_or(0, |e| e.modified) == *number,
            Self::Present => entry.is_some(),
            Self::Absent => entry.is_none(),
            Self::HeldBy(session) => entry.and_then(Entry::holder) == Some(session),
            Self::FreeFor(session) => match entry.and_then(Entry::holder) {
                Some(holder) => holder == session,
                None => is_free(),
            },
            Self::Never => false,
        }
    }
}

impl Step {
    fn check(&self) -> Result<(), Error> {
        let value = match &self.act {
            Act::Put(value, _) | Act::Lock(value, ..) | Act::Unlock(value, _) => value,
            _ => return Ok(()),
        };
        if self.key.is_empty() || self.key.len() > KEY_BYTES_MAX {
            return Err(Error::Invalid(format!("a key has 1 to {KEY_BYTES_MAX} bytes, not {}", self.key.len())));
        }
        match value.len() > VALUE_BYTES_MAX {
            true => Err(Error::Invalid(format!("{} bytes in a value, {VALUE_BYTES_MAX} at most", value.len()))),
            false => Ok(()),
        }
    }

    fn done(
        &self,
        space: &Space,
        over: &mut Overlay,
        changes: &mut Vec<Change>,
        entry: Option<Arc<Entry>>,
        number: u64,
    ) -> Result<OpAnswer, Error> {
        let range = |keys: &Keys| {
            let view = View::of(space, over, number - 1).after(changes);
            view.range(&Query::of(keys.clone())).map(OpAnswer::Range)
        };
        let (value, flags, lock) = match &self.act {
            Act::Look => return range(&Keys::One(self.key.clone())),
            Act::Range(keys) => return range(keys),
            Act::Delete => return Ok(gone(space, over, changes, &Keys::One(self.key.clone()), number)),
            Act::DeleteAll(keys) => return Ok(gone(space, over, changes, keys, number)),
            Act::Put(value, flags) => (value, *flags, None),
            Act::Lock(value, flags, session) => (value, *flags, Some(Some(session.clone()))),
            Act::Unlock(value, flags) => (value, *flags, Some(None)),
        };
        let now = Arc::new(written(entry.as_deref(), value, flags, lock, number));
        match entry {
            Some(same) if (&same.value, &same.side) == (&now.value, &now.side) => {
                Ok(OpAnswer::Put { before: Some(same.clone()), now: same })
            }
            before => {
                changes.push(Change { key: self.key.clone(), now: Some(now.clone()), before: before.clone() });
                over.entries.insert(self.key.clone(), Some(now.clone()));
                Ok(OpAnswer::Put { before, now })
            }
        }
    }
}

fn gone(space: &Space, over: &mut Overlay, changes: &mut Vec<Change>, keys: &Keys, number: u64) -> OpAnswer {
    let view = View::of(space, over, number - 1);
    let gone: Vec<_> = view.iter(keys).map(|(key, entry)| (key.clone(), entry.clone())).collect();
    delete(over, &gone, changes);
    OpAnswer::Delete(gone)
}

/// `lock`: who holds it from now on, where that is said.
fn written(before: Option<&Entry>, value: &Bytes, flags: u64, lock: Option<Option<Arc<str>>>, number: u64) -> Entry {
    let known = before.and_then(|b| b.side.as_deref()).cloned().unwrap_or_default();
    let session = lock.unwrap_or_else(|| known.session.clone());
    let is_new = session.is_some() && session != known.session;
    let side = Side { flags, locks: known.locks + u64::from(is_new), session };
    Entry {
        value: value.clone(),
        created: before.map_or(number, |b| b.created),
        modified: number,
        version: before.map_or(1, |b| b.version + 1),
        lease: before.map_or(0, |b| b.lease),
        side: (side != Side::default()).then(|| Arc::new(side)),
    }
}

/// The same key, held by nobody.
pub(in crate::registry) fn freed(entry: &Entry, number: u64) -> Entry {
    let side = entry.side.as_deref().cloned().unwrap_or_default();
    let side = Side { session: None, ..side };
    Entry { modified: number, version: entry.version + 1, side: Some(Arc::new(side)), ..entry.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(key: &'static str, guard: Option<Guard>, act: Act) -> Step {
        Step { guard, key: key.into(), act }
    }

    fn run(over: &Overlay, number: u64, steps: &[Step]) -> Result<Stepped, Error> {
        let law = Law { is_session: |id: &str| id != "lost", is_delayed: |key: &[u8]| key == b"delayed" };
        run_steps(&Space::default(), over, steps, number, &law)
    }

    fn after(over: &Overlay, number: u64, steps: &[Step]) -> Overlay {
        run(over, number, steps).unwrap().unwrap().1
    }

    fn failed(over: &Overlay, steps: &[Step]) -> Vec<usize> {
        run(over, 9, steps).unwrap().unwrap_err()
    }

    #[test]
    fn each_step_sees_those_before_it_and_one_that_fails_undoes_all() {
        let none = Overlay::default();
        let put = |key| step(key, Some(Guard::Absent), Act::Put("v".into(), 7));
        let made = after(&none, 2, &[put("a"), step("a", Some(Guard::Modified(2)), Act::Delete), put("a")]);
        let a = made.entries[&b"a"[..]].clone().unwrap();
        assert_eq!((a.modified, a.version, a.side.as_ref().unwrap().flags), (2, 1, 7));
        assert_eq!(failed(&made, &[put("b"), put("a"), put("c"), step("c", Some(Guard::Never), Act::Look)]), [1, 3]);
        let same = run(&made, 3, &[step("a", None, Act::Put("v".into(), 7))]).unwrap().unwrap();
        assert!(same.0.changes.is_empty(), "the same again is no write");
        let over = after(&made, 3, &[step("a", None, Act::DeleteAll(Keys::all()))]);
        assert_eq!(over.entries[&b"a"[..]], None);
    }

    #[test]
    fn one_session_holds_a_key_at_a_time() {
        let (one, two): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
        let lock =
            |key, who: &Arc<str>| step(key, Some(Guard::FreeFor(who.clone())), Act::Lock("v".into(), 0, who.clone()));
        let unlock = |who: &Arc<str>| step("k", Some(Guard::HeldBy(who.clone())), Act::Unlock("v".into(), 0));
        let held = after(&Overlay::default(), 2, &[lock("k", &one)]);
        let side = |over: &Overlay| over.entries[&b"k"[..]].as_ref().unwrap().side.clone().unwrap();
        assert_eq!((side(&held).locks, side(&held).session.clone()), (1, Some(one.clone())));
        assert!(run(&held, 3, &[lock("k", &one)]).unwrap().unwrap().0.changes.is_empty());
        assert_eq!(failed(&held, &[lock("k", &two)]), [0]);
        assert_eq!(failed(&held, &[unlock(&two)]), [0]);
        assert_eq!(failed(&held, &[lock("delayed", &two)]), [0]);
        let free = after(&held, 3, &[unlock(&one)]);
        assert_eq!((side(&free).locks, side(&free).session.clone()), (1, None));
        let again = after(&free, 4, &[lock("k", &two), step("k", None, Act::Put("w".into(), 5))]);
        assert_eq!((side(&again).locks, side(&again).flags, side(&again).session.clone()), (2, 5, Some(two)));
        assert!(matches!(run(&free, 4, &[lock("k", &"lost".into())]), Err(Error::NoSession(_))));
        let freed = freed(again.entries[&b"k"[..]].as_ref().unwrap(), 5);
        assert_eq!((freed.modified, freed.holder(), freed.side.as_ref().unwrap().locks), (5, None, 2));
    }
}
