//! Transactions: comparisons, and what is done where they hold, and where not. All or nothing, one revision.

use super::{
    Change, Entry, KEY_BYTES_MAX, Keys, Overlay, Query, Ranged, SPACE_BYTES_MAX, Space, VALUE_BYTES_MAX, show,
    space::{View, cost},
};
use crate::registry::Error;
use bytes::Bytes;
use std::sync::Arc;

/// Operations of one branch. That of etcd.
const OPS_MAX: usize = 128;

/// If all of `compares` hold then `success`, else `failure`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must hold.
    pub compares: Vec<Compare>,
    /// What is done then.
    pub success: Vec<Op>,
    /// What is done else.
    pub failure: Vec<Op>,
}

/// A comparison with what is there. A key that is not there has the numbers 0, and no value at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Whose; it must hold for each of them that is there, and of one key also where it is not.
    pub keys: Keys,
    /// What with what.
    pub target: Target,
    /// How they must compare.
    pub is: Comparison,
}

/// What is compared, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// How often it was written.
    Version(u64),
    /// The revision that made it.
    Created(u64),
    /// The revision that changed it last.
    Modified(u64),
    /// Its lease.
    Lease(i64),
    /// Its value.
    Value(Bytes),
}

/// How two things compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same.
    Equal,
    /// They are not.
    NotEqual,
    /// What is there is more.
    Greater,
    /// What is there is less.
    Less,
}

/// When a write of what is there already is a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always: it takes a revision, and watchers hear of it.
    Always,
    /// Only where it changes something.
    Different,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads, also what this transaction has written before.
    Range(Query),
    /// Writes a key.
    Put {
        /// Which.
        key: Bytes,
        /// Its value; None: the one that it has.
        value: Option<Bytes>,
        /// Its lease, 0 for none; None: the one that it has.
        lease: Option<i64>,
        /// Whether the same again is a write.
        when: When,
    },
    /// Deletes keys.
    Delete(Keys),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpAnswer {
    /// What was found.
    Range(Ranged),
    /// What was there before, and is now.
    Put {
        /// Before.
        before: Option<Arc<Entry>>,
        /// Now.
        now: Arc<Entry>,
    },
    /// What is gone.
    Delete(Vec<(Bytes, Arc<Entry>)>),
}

/// What a transaction came to.
pub(in crate::registry) struct Ran {
    pub succeeded: bool,
    pub answers: Vec<OpAnswer>,
    /// Empty where it wrote nothing: then it takes no revision.
    pub changes: Vec<Change>,
}

/// Runs `txn` as revision `number` over what is there, of which `over` takes what it changes. With an error nothing is
/// changed.
pub(in crate::registry) fn run(
    space: &Space,
    over: &mut Overlay,
    txn: &Txn,
    number: u64,
    is_lease: impl Fn(i64) -> bool,
) -> Result<Ran, Error> {
    let view = View::of(space, over, number - 1);
    // Both branches, so that a transaction that cannot be is refused whatever is there.
    check(&txn.success)?;
    check(&txn.failure)?;
    let succeeded = txn.compares.iter().all(|compare| compare.holds(&view));
    let branch = if succeeded { &txn.success } else { &txn.failure };
    possible(&view, branch, is_lease)?;
    let (mut answers, mut changes) = (Vec::with_capacity(branch.len()), Vec::new());
    for op in branch {
        let view = View::of(space, over, number - 1);
        let answer = match op {
            Op::Range(query) => OpAnswer::Range(view.range(query)?),
            Op::Put { key, value, lease, when } => {
                let before = view.get(key).cloned();
                let now = written(before.as_ref(), value.as_ref(), *lease, number);
                match before {
                    Some(same) if *when == When::Different && (&same.value, same.lease) == (&now.value, now.lease) => {
                        OpAnswer::Put { before: Some(same.clone()), now: same }
                    }
                    before => {
                        let now = Arc::new(now);
                        changes.push(Change { key: key.clone(), now: Some(now.clone()), before: before.clone() });
                        over.entries.insert(key.clone(), Some(now.clone()));
                        OpAnswer::Put { before, now }
                    }
                }
            }
            Op::Delete(keys) => {
                let gone: Vec<_> = view.iter(keys).map(|(key, entry)| (key.clone(), entry.clone())).collect();
                delete(over, &gone, &mut changes);
                OpAnswer::Delete(gone)
            }
        };
        answers.push(answer);
    }
    Ok(Ran { succeeded, answers, changes })
}

/// Stages that these are gone.
pub(in crate::registry) fn delete(over: &mut Overlay, gone: &[(Bytes, Arc<Entry>)], changes: &mut Vec<Change>) {
    for (key, before) in gone {
        over.entries.insert(key.clone(), None);
        changes.push(Change { key: key.clone(), now: None, before: Some(before.clone()) });
    }
}

fn written(before: Option<&Arc<Entry>>, value: Option<&Bytes>, lease: Option<i64>, number: u64) -> Entry {
    Entry {
        value: value.or(before.map(|b| &b.value)).cloned().unwrap_or_default(),
        created: before.map_or(number, |b| b.created),
        modified: number,
        version: before.map_or(1, |b| b.version + 1),
        lease: lease.or(before.map(|b| b.lease)).unwrap_or(0),
    }
}

impl Compare {
    fn holds(&self, view: &View<'_>) -> bool {
        match &self.keys {
            Keys::One(key) => self.holds_for(view.get(key).map(|e| &**e)),
            keys => view.iter(keys).all(|(_, entry)| self.holds_for(Some(entry))),
        }
    }

    fn holds_for(&self, entry: Option<&Entry>) -> bool {
        let number = |of: fn(&Entry) -> u64, n: &u64| entry.map_or(0, of).cmp(n);
        let order = match (&self.target, entry) {
            (Target::Version(n), _) => number(|e| e.version, n),
            (Target::Created(n), _) => number(|e| e.created, n),
            (Target::Modified(n), _) => number(|e| e.modified, n),
            (Target::Lease(id), _) => entry.map_or(0, |e| e.lease).cmp(id),
            (Target::Value(value), Some(entry)) => entry.value.cmp(value),
            (Target::Value(_), None) => return false,
        };
        match self.is {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Greater => order.is_gt(),
            Comparison::Less => order.is_lt(),
        }
    }
}

/// What can be said of a branch without looking at what is there.
fn check(ops: &[Op]) -> Result<(), Error> {
    if ops.len() > OPS_MAX {
        return Err(Error::Invalid(format!("{} operations in one transaction, {OPS_MAX} at most", ops.len())));
    }
    let mut bytes = 0;
    for (i, op) in ops.iter().enumerate() {
        let Op::Put { key, value, .. } = op else { continue };
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Error::Invalid(format!("a key has 1 to {KEY_BYTES_MAX} bytes, not {}", key.len())));
        }
        bytes += value.as_ref().map_or(0, Bytes::len);
        let twice = |other: &Op| match other {
            Op::Put { key: other, .. } => other == key,
            Op::Delete(keys) => keys.contains(key),
            Op::Range(_) => false,
        };
        if ops.iter().enumerate().any(|(j, other)| i != j && twice(other)) {
            return Err(Error::Duplicate(key.clone()));
        }
    }
    match bytes > VALUE_BYTES_MAX {
        true => Err(Error::Invalid(format!("{bytes} bytes to write at once, {VALUE_BYTES_MAX} at most"))),
        false => Ok(()),
    }
}

/// Whether all of a branch can be done as things are. Nothing behind this may fail.
fn possible(view: &View<'_>, ops: &[Op], is_lease: impl Fn(i64) -> bool) -> Result<(), Error> {
    let mut more = 0;
    for op in ops {
        match op {
            Op::Range(query) => view.reaches(query.at)?,
            Op::Put { key, value, lease, .. } => {
                let before = view.get(key);
                if before.is_none() && value.is_none() {
                    return Err(Error::Invalid(format!("key `{}` has no value that could be kept", show(key))));
                }
                if let Some(id) = lease.filter(|id| *id != 0 && !is_lease(*id)) {
                    return Err(Error::NoLease(id));
                }
                let (now, then) = (written(before, value.as_ref(), *lease, 0), before.map_or(0, |b| cost(key, b)));
                more += cost(key, &now).saturating_sub(then);
            }
            Op::Delete(_) => {}
        }
    }
    match more > 0 && view.bytes() + more > SPACE_BYTES_MAX {
        true => Err(Error::Full { what: "bytes of keys and values", max: SPACE_BYTES_MAX }),
        false => Ok(()),
    }
}
