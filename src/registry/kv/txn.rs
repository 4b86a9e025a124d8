//! Transactions: comparisons, and what is done where they hold, and where not. All or nothing, one revision.
//!
//! Every comparison, those of transactions within one among them, is made with what was there before any of it.
//! What is done is done in order, and each operation sees those before it.

use super::{
    Change, Entry, KEY_BYTES_MAX, Keys, Overlay, Query, Ranged, SPACE_BYTES_MAX, Space, VALUE_BYTES_MAX,
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
    /// Whose; it must hold for each of them that is there, and for a key that is not there where none is.
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
    Version(i64),
    /// The revision that made it.
    Created(i64),
    /// The revision that changed it last.
    Modified(i64),
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
        /// Its value; None: the one that it has, which must be there.
        value: Option<Bytes>,
        /// Its lease, 0 for none; None: the one that the key has, which must be there.
        lease: Option<i64>,
        /// Whether the same again is a write.
        when: When,
    },
    /// Deletes keys.
    Delete(Keys),
    /// A transaction within this one.
    Txn(Txn),
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
    /// Whether every comparison of it held, and what came of each operation.
    Txn(bool, Vec<OpAnswer>),
}

/// What a transaction came to.
#[derive(Debug)]
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
    // Both branches, so that a transaction that cannot be is refused whatever is there.
    txn.check(OPS_MAX)?;
    let mut taken = Vec::new();
    {
        let view = View::of(space, over, number - 1);
        txn.decide(&view, &mut taken);
        possible(&view, &operations(txn, &mut taken.iter().copied()), is_lease)?;
    }
    let mut run = Run { space, over, number, changes: Vec::new(), taken: taken.into_iter() };
    let (succeeded, answers) = run.txn(txn)?;
    Ok(Ran { succeeded, answers, changes: run.changes })
}

/// A transaction in the doing.
struct Run<'a> {
    space: &'a Space,
    over: &'a mut Overlay,
    number: u64,
    changes: Vec<Change>,
    /// Which branches are taken, in the order in which they are come to.
    taken: std::vec::IntoIter<bool>,
}

impl Run<'_> {
    fn txn(&mut self, txn: &Txn) -> Result<(bool, Vec<OpAnswer>), Error> {
        let succeeded = self.taken.next().unwrap_or(false);
        let answers = txn.branch(succeeded).iter().map(|op| self.op(op)).collect::<Result<_, _>>()?;
        Ok((succeeded, answers))
    }

    fn op(&mut self, op: &Op) -> Result<OpAnswer, Error> {
        let view = View::of(self.space, self.over, self.number - 1).after(&self.changes);
        Ok(match op {
            Op::Range(query) => OpAnswer::Range(view.range(query)?),
            Op::Put { key, value, lease, when } => {
                let before = view.get(key).cloned();
                let now = written(before.as_ref(), value.as_ref(), *lease, self.number);
                match before {
                    Some(same) if *when == When::Different && (&same.value, same.lease) == (&now.value, now.lease) => {
                        OpAnswer::Put { before: Some(same.clone()), now: same }
                    }
                    before => {
                        let now = Arc::new(now);
                        self.changes.push(Change { key: key.clone(), now: Some(now.clone()), before: before.clone() });
                        self.over.entries.insert(key.clone(), Some(now.clone()));
                        OpAnswer::Put { before, now }
                    }
                }
            }
            Op::Delete(keys) => {
                let gone: Vec<_> = view.iter(keys).map(|(key, entry)| (key.clone(), entry.clone())).collect();
                delete(self.over, &gone, &mut self.changes);
                OpAnswer::Delete(gone)
            }
            Op::Txn(txn) => {
                let (succeeded, answers) = self.txn(txn)?;
                OpAnswer::Txn(succeeded, answers)
            }
        })
    }
}

impl Txn {
    fn branch(&self, succeeded: bool) -> &[Op] {
        if succeeded { &self.success } else { &self.failure }
    }

    /// Which branch is taken, and then those of the transactions in it.
    fn decide(&self, view: &View<'_>, taken: &mut Vec<bool>) {
        let succeeded = self.compares.iter().all(|compare| compare.holds(view));
        taken.push(succeeded);
        for op in self.branch(succeeded) {
            if let Op::Txn(txn) = op {
                txn.decide(view, taken);
            }
        }
    }

    /// What can be said of it without looking at what is there.
    fn check(&self, ops_max: usize) -> Result<(), Error> {
        let most = self.compares.len().max(self.success.len()).max(self.failure.len());
        let Some(left) = ops_max.checked_sub(most) else {
            return Err(Error::Invalid(format!("{most} operations in one transaction, {OPS_MAX} at most")));
        };
        for op in self.success.iter().chain(&self.failure) {
            match op {
                Op::Put { key, .. } if key.is_empty() || key.len() > KEY_BYTES_MAX => {
                    return Err(Error::Invalid(format!("a key has 1 to {KEY_BYTES_MAX} bytes, not {}", key.len())));
                }
                Op::Txn(txn) => txn.check(left)?,
                _ => {}
            }
        }
        let bytes = self.value_bytes();
        match bytes > VALUE_BYTES_MAX {
            true => Err(Error::Invalid(format!("{bytes} bytes to write at once, {VALUE_BYTES_MAX} at most"))),
            false => Ok(()),
        }
    }

    /// The values that it may write, those of the heavier branch.
    pub(in crate::registry) fn value_bytes(&self) -> usize {
        let of = |op: &Op| match op {
            Op::Put { value, .. } => value.as_ref().map_or(0, Bytes::len),
            Op::Txn(txn) => txn.value_bytes(),
            Op::Range(_) | Op::Delete(_) => 0,
        };
        let sum = |ops: &[Op]| ops.iter().map(of).sum::<usize>();
        sum(&self.success).max(sum(&self.failure))
    }
}

/// The operations of the branches that are taken, in order.
fn operations<'t>(txn: &'t Txn, taken: &mut impl Iterator<Item = bool>) -> Vec<&'t Op> {
    let mut all = Vec::new();
    for op in txn.branch(taken.next().unwrap_or(false)) {
        match op {
            Op::Txn(txn) => all.extend(operations(txn, taken)),
            op => all.push(op),
        }
    }
    all
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
        side: before.and_then(|b| b.side.clone()),
    }
}

impl Compare {
    fn holds(&self, view: &View<'_>) -> bool {
        match &self.keys {
            Keys::One(key) => self.holds_for(view.get(key).map(|e| &**e)),
            keys => {
                let mut found = view.iter(keys).peekable();
                match found.peek() {
                    Some(_) => found.all(|(_, entry)| self.holds_for(Some(entry))),
                    None => self.holds_for(None),
                }
            }
        }
    }

    fn holds_for(&self, entry: Option<&Entry>) -> bool {
        let number =
            |of: fn(&Entry) -> u64, n: &i64| entry.map_or(0, |e| i64::try_from(of(e)).unwrap_or(i64::MAX)).cmp(n);
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

/// Whether all of a branch can be done as things are. Nothing behind this may fail.
fn possible(view: &View<'_>, ops: &[&Op], is_lease: impl Fn(i64) -> bool) -> Result<(), Error> {
    let mut more = 0;
    for op in ops {
        match op {
            Op::Put { key, value, lease, .. } => {
                let before = view.get(key);
                if before.is_none() && (value.is_none() || lease.is_none()) {
                    return Err(Error::NoKey(key.clone()));
                }
                if let Some(id) = lease.filter(|id| *id != 0 && !is_lease(*id)) {
                    return Err(Error::NoLease(id));
                }
                let (now, then) = (written(before, value.as_ref(), *lease, 0), before.map_or(0, |b| cost(key, b)));
                more += cost(key, &now).saturating_sub(then);
            }
            Op::Range(_) | Op::Delete(_) | Op::Txn(_) => {}
        }
    }
    for op in ops {
        if let Op::Range(query) = op {
            view.reaches(query.at)?;
        }
    }
    match more > 0 && view.bytes() + more > SPACE_BYTES_MAX {
        true => Err(Error::Full { what: "bytes of keys and values", max: SPACE_BYTES_MAX }),
        false => Ok(()),
    }
}
