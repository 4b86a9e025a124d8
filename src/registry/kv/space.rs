//! Keys and values as they are, as they are about to be, and as they were.

use super::{Change, HistoryRow, Keys, Log, Revision};
use crate::registry::Error;
use bytes::Bytes;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map},
    iter::Peekable,
    sync::Arc,
};

/// A value and its history in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// The revision that made the key.
    pub created: u64,
    /// The revision that changed it last.
    pub modified: u64,
    /// How often it was written since it was made, that included.
    pub version: u64,
    /// The lease that it goes with; 0: none.
    pub lease: i64,
    /// What is kept beside it for those who lock keys; whoever else writes it leaves that alone.
    pub side: Option<Arc<Side>>,
}

/// What is kept beside a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// A number of the client's own.
    pub flags: u64,
    /// How often it was locked by somebody new.
    pub locks: u64,
    /// The session that holds it.
    pub session: Option<Arc<str>>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which keys.
    pub keys: Keys,
    /// As of this revision; None: now.
    pub at: Option<u64>,
    /// How many entries at most; None: all. They are counted all the same.
    pub limit: Option<usize>,
}

impl Query {
    /// All of them, now.
    pub fn of(keys: Keys) -> Self {
        Self { keys, at: None, limit: None }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranged {
    /// By key.
    pub entries: Vec<(Bytes, Arc<Entry>)>,
    /// How many there are without the limit.
    pub count: usize,
    /// The revision of the registry at that moment.
    pub revision: u64,
}

/// What a key costs beside its own bytes and its value's, about.
pub(in crate::registry) const fn overhead() -> usize {
    128
}

pub(super) fn cost(key: &[u8], entry: &Entry) -> usize {
    overhead() + key.len() + entry.value.len()
}

/// What is durable.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Space {
    entries: BTreeMap<Bytes, Arc<Entry>>,
    bytes: usize,
    pub log: Log,
}

/// What is staged over it.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Overlay {
    pub entries: BTreeMap<Bytes, Option<Arc<Entry>>>,
    pub revisions: Vec<Arc<Revision>>,
    /// What the revisions lie in, once it is known.
    pub rows: Vec<HistoryRow>,
}

/// Both together, read only.
#[derive(Clone, Copy)]
pub(in crate::registry) struct View<'a> {
    space: &'a Space,
    over: &'a Overlay,
    revision: u64,
    /// What the transaction that reads has changed so far: the next revision, which is not staged yet.
    changes: &'a [Change],
}

impl Space {
    /// What was kept.
    pub fn load(entries: BTreeMap<Bytes, Arc<Entry>>, log: Log) -> Self {
        let bytes = entries.iter().map(|(key, entry)| cost(key, entry)).sum();
        Self { entries, bytes, log }
    }

    /// Entries, and what they cost in memory.
    pub fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    /// What was staged is durable now.
    pub fn take(&mut self, over: Overlay) {
        for (key, entry) in over.entries {
            let before = match entry {
                Some(entry) => {
                    self.bytes += cost(&key, &entry);
                    self.entries.insert(key.clone(), entry)
                }
                None => self.entries.remove(&key),
            };
            self.bytes -= before.map_or(0, |entry| cost(&key, &entry));
        }
        over.revisions.into_iter().for_each(|revision| self.log.push(revision));
        over.rows.into_iter().for_each(|row| self.log.push_row(row));
    }

    /// Reads what is durable.
    pub fn range(&self, query: &Query, revision: u64) -> Result<Ranged, Error> {
        View::of(self, &Overlay::default(), revision).range(query)
    }

    #[cfg(test)]
    pub fn entries(&self) -> &BTreeMap<Bytes, Arc<Entry>> {
        &self.entries
    }
}

impl<'a> View<'a> {
    pub fn of(space: &'a Space, over: &'a Overlay, revision: u64) -> Self {
        Self { space, over, revision, changes: &[] }
    }

    /// The same for a transaction that has changed these.
    pub fn after(self, changes: &'a [Change]) -> Self {
        Self { changes, ..self }
    }

    /// One key.
    pub fn get(&self, key: &[u8]) -> Option<&'a Arc<Entry>> {
        match self.over.entries.get(key) {
            Some(staged) => staged.as_ref(),
            None => self.space.entries.get(key),
        }
    }

    /// What all of it costs in memory.
    pub fn bytes(&self) -> usize {
        let staged = self.over.entries.iter();
        let (more, less) = staged.fold((0, 0), |(more, less), (key, entry)| {
            let before = self.space.entries.get(key).map_or(0, |e| cost(key, e));
            (more + entry.as_ref().map_or(0, |e| cost(key, e)), less + before)
        });
        (self.space.bytes + more).saturating_sub(less)
    }

    /// A run of keys, in order.
    pub fn iter(&self, keys: &Keys) -> impl Iterator<Item = (&'a Bytes, &'a Arc<Entry>)> + use<'a> {
        merged(&self.space.entries, &self.over.entries, keys)
    }

    /// Whether it can be asked how things were then.
    pub fn reaches(&self, at: Option<u64>) -> Result<(), Error> {
        let compacted = self.space.log.compacted();
        match at {
            Some(asked) if asked > self.revision => Err(Error::Future { asked, last: self.revision }),
            Some(asked) if asked < compacted => Err(Error::Compacted { asked, compacted }),
            _ => Ok(()),
        }
    }

    /// What is there, or was.
    pub fn range(&self, query: &Query) -> Result<Ranged, Error> {
        self.reaches(query.at)?;
        match query.at {
            Some(at) if at < self.revision || !self.changes.is_empty() => {
                let was = self.undone(at, &query.keys);
                Ok(self.collect(merged(&self.space.entries, &was, &query.keys), query.limit))
            }
            _ => Ok(self.collect(self.iter(&query.keys), query.limit)),
        }
    }

    fn collect<'e>(&self, found: impl Iterator<Item = (&'e Bytes, &'e Arc<Entry>)>, limit: Option<usize>) -> Ranged {
        let limit = limit.unwrap_or(usize::MAX);
        let revision = self.revision + u64::from(!self.changes.is_empty());
        let mut ranged = Ranged { revision, ..Ranged::default() };
        for (key, entry) in found {
            ranged.count += 1;
            if ranged.count <= limit {
                ranged.entries.push((key.clone(), entry.clone()));
            }
        }
        ranged
    }

    /// What has to lie over the durable ones of these entries to see them as they were at revision `at`.
    fn undone(&self, at: u64, keys: &Keys) -> BTreeMap<Bytes, Option<Arc<Entry>>> {
        let own = |(key, _): &(&Bytes, _)| keys.contains(key);
        let mut was: BTreeMap<_, _> =
            self.over.entries.iter().filter(own).map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let staged = self.over.revisions.iter().rev().take_while(|r| r.number > at);
        let revisions = staged.chain(self.space.log.from(at + 1).rev()).map(|r| &r.changes[..]);
        // Backwards, in a revision too: a transaction may have changed a key twice.
        for change in std::iter::once(self.changes).chain(revisions).flat_map(|changes| changes.iter().rev()) {
            if keys.contains(&change.key) {
                was.insert(change.key.clone(), change.before.clone());
            }
        }
        was
    }
}

/// Entries with what lies over them.
struct Merged<'b, 'o, B: Iterator<Item = (&'b Bytes, &'b Arc<Entry>)>> {
    base: Peekable<B>,
    over: Peekable<btree_map::Range<'o, Bytes, Option<Arc<Entry>>>>,
}

fn merged<'e>(
    base: &'e BTreeMap<Bytes, Arc<Entry>>,
    over: &'e BTreeMap<Bytes, Option<Arc<Entry>>>,
    keys: &Keys,
) -> impl Iterator<Item = (&'e Bytes, &'e Arc<Entry>)> + use<'e> {
    let bounds = keys.bounds();
    let base = bounds.map(|b| base.range::<[u8], _>(b)).into_iter().flatten().peekable();
    // An empty range has nothing staged in it either.
    let over = match bounds {
        Some(bounds) => over.range::<[u8], _>(bounds),
        None => btree_map::Range::default(),
    };
    Merged { base, over: over.peekable() }
}

impl<'e, B: Iterator<Item = (&'e Bytes, &'e Arc<Entry>)>> Iterator for Merged<'e, 'e, B> {
    type Item = (&'e Bytes, &'e Arc<Entry>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.base.peek(), self.over.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((base, _)), Some((over, _))) => base.cmp(over),
            };
            if order == Ordering::Less {
                return self.base.next();
            }
            if order == Ordering::Equal {
                self.base.next();
            }
            if let Some((key, Some(entry))) = self.over.next() {
                return Some((key, entry));
            }
        }
    }
}
