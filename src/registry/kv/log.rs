//! The history of the keys: what each revision changed, as far back as it is kept.

use super::Entry;
use bytes::Bytes;
use std::{collections::VecDeque, sync::Arc};

/// Revisions of keys that are kept for watchers that were away, and for reads of the past: half an hour of five a
/// second. What a live watcher has not seen yet is kept beyond, up to [`HARD_FACTOR`] times as much.
pub(in crate::registry) const REVISIONS_MAX: usize = 10_000;
/// The same in bytes of keys and values.
pub(in crate::registry) const BYTES_MAX: usize = 32 << 20;
/// A watcher that is further behind is told so; its reader is gone or hopeless.
const HARD_FACTOR: usize = 4;
/// It is compacted once it is so much too long: not one row for each that comes.
const SLACK: usize = REVISIONS_MAX / 16;

/// What one revision did to keys, in the order of its operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its number.
    pub number: u64,
    /// Each key at most once.
    pub changes: Vec<Change>,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub key: Bytes,
    /// What it is; None: it was deleted.
    pub now: Option<Arc<Entry>>,
    /// What it was.
    pub before: Option<Arc<Entry>>,
}

impl Revision {
    fn bytes(&self) -> usize {
        let of = |e: &Option<Arc<Entry>>| e.as_ref().map_or(0, |e| e.value.len());
        self.changes.iter().map(|c| super::overhead() + c.key.len() + of(&c.now) + of(&c.before)).sum()
    }
}

/// What is kept, oldest first.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Log {
    revisions: VecDeque<Arc<Revision>>,
    bytes: usize,
    /// The last revision that is gone; 0: none is.
    compacted: u64,
}

impl Log {
    /// What was kept.
    pub fn load(revisions: impl IntoIterator<Item = Arc<Revision>>, compacted: u64) -> Self {
        let mut log = Self { compacted, ..Self::default() };
        revisions.into_iter().filter(|r| r.number > compacted).for_each(|r| log.push(r));
        log
    }

    /// Adds what happened last.
    pub fn push(&mut self, revision: Arc<Revision>) {
        self.bytes += revision.bytes();
        self.revisions.push_back(revision);
    }

    /// The last revision that is gone.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// All from revision `number` on, the newest last.
    pub fn from(&self, number: u64) -> impl DoubleEndedIterator<Item = &Arc<Revision>> {
        let first = self.revisions.partition_point(|r| r.number < number);
        self.revisions.range(first..)
    }

    /// All up to revision `number`, oldest first: what a compaction to there forgets.
    pub fn up_to(&self, number: u64) -> impl Iterator<Item = &Arc<Revision>> {
        self.revisions.iter().take_while(move |r| r.number <= number)
    }

    /// Forgets all up to revision `number`.
    pub fn compact(&mut self, number: u64) {
        while self.revisions.front().is_some_and(|r| r.number <= number) {
            let gone = self.revisions.pop_front();
            self.bytes -= gone.map_or(0, |r| r.bytes());
        }
        self.compacted = self.compacted.max(number);
    }

    /// Up to where it should be forgotten, if it is too long: not beyond what the slowest live watcher has seen, unless
    /// that one is far behind. `unseen` is the first revision that somebody still waits for.
    pub fn excess(&self, unseen: Option<u64>) -> Option<u64> {
        if self.revisions.len() <= REVISIONS_MAX + SLACK && self.bytes <= BYTES_MAX {
            return None;
        }
        let wanted = self.cut(REVISIONS_MAX, BYTES_MAX - BYTES_MAX / 16);
        let forced = self.cut(REVISIONS_MAX * HARD_FACTOR, BYTES_MAX * HARD_FACTOR);
        let seen = unseen.map_or(u64::MAX, |first| first.saturating_sub(1));
        let number = wanted.min(seen).max(forced);
        (number > self.compacted).then_some(number)
    }

    /// The last revision that must go for the rest to fit.
    fn cut(&self, revisions_max: usize, bytes_max: usize) -> u64 {
        let (mut left, mut bytes, mut number) = (self.revisions.len(), self.bytes, 0);
        for revision in &self.revisions {
            if left <= revisions_max && bytes <= bytes_max {
                break;
            }
            number = revision.number;
            left -= 1;
            bytes -= revision.bytes();
        }
        number
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.revisions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: u64, bytes: usize) -> Arc<Revision> {
        let entry = Entry { value: vec![0; bytes].into(), created: 1, modified: number, version: 1, lease: 0 };
        let change = Change { key: "k".into(), now: Some(Arc::new(entry)), before: None };
        Arc::new(Revision { number, changes: vec![change] })
    }

    fn log(revisions: impl Iterator<Item = u64>, bytes: usize) -> Log {
        Log::load(revisions.map(|n| revision(n, bytes)), 0)
    }

    #[test]
    fn it_forgets_in_steps_and_waits_for_watchers_within_bounds() {
        let most = REVISIONS_MAX as u64;
        assert_eq!(log(1..=most + SLACK as u64, 1).excess(None), None);
        let long = log((1..=most + 1_000).map(|n| n * 2), 1);
        assert_eq!(long.excess(None), Some(2_000));
        assert_eq!(long.excess(Some(501)), Some(500), "a live watcher has not seen 501 yet");
        assert_eq!(long.excess(Some(1)), None);
        let longest = log(1..=4 * most + 7, 1);
        assert_eq!(longest.excess(Some(1)), Some(7), "but not for ever");
        let mut fat = log(1..=40, 1 << 20);
        let to = fat.excess(None).expect("too many bytes");
        fat.compact(to);
        assert!((20..32).contains(&fat.len()), "{}", fat.len());
        assert_eq!((fat.compacted(), fat.excess(None)), (to, None));
        assert_eq!(fat.from(0).next().map(|r| r.number), Some(to + 1));
    }
}
