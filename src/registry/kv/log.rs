//! The history of the keys: what each revision changed, as far back as it is kept.

use super::Entry;
use crate::registry::pace::{Moment, micros};
use bytes::Bytes;
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Revisions of keys that are kept for watchers that were away, and for reads of the past: half an hour of five a
/// second. What a live watcher has not seen yet is kept beyond, up to [`HARD_FACTOR`] times as much.
pub(in crate::registry) const REVISIONS_MAX: usize = 10_000;
/// The same in bytes of keys and values.
pub(in crate::registry) const BYTES_MAX: usize = 32 << 20;
/// A watcher that is further behind is told so; its reader is gone or hopeless.
const HARD_FACTOR: usize = 4;
/// What is younger is kept beyond that number too, as far as a watcher's part is: who was away for so long needs not
/// read anew, however busy it was.
const AGE_MIN: Duration = Duration::from_secs(600);
/// How exactly ages are known.
const MARK_EVERY: Duration = Duration::from_secs(30);
/// It is compacted once it is so much too long: not one row for each that comes.
const SLACK: usize = REVISIONS_MAX / 16;

/// What one revision did to keys, in the order of its operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its number.
    pub number: u64,
    /// A key may be there twice: a transaction may delete and put it.
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

/// A row of the store that holds changes of some revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) struct HistoryRow {
    /// Its key.
    pub place: [u8; 12],
    /// The last revision in it.
    pub last: u64,
}

/// What is kept, oldest first.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Log {
    revisions: VecDeque<Arc<Revision>>,
    /// What they lie in.
    rows: VecDeque<HistoryRow>,
    bytes: usize,
    /// The revision that it was compacted to, the oldest that can be asked for; 0: all of them can.
    compacted: u64,
    /// What was the last revision when, the oldest first.
    marks: VecDeque<(Moment, u64)>,
}

impl Log {
    /// What was kept.
    pub fn load(revisions: impl IntoIterator<Item = Arc<Revision>>, rows: Vec<HistoryRow>, compacted: u64) -> Self {
        let mut log = Self { compacted, rows: rows.into(), ..Self::default() };
        revisions.into_iter().filter(|r| r.number >= compacted).for_each(|r| log.push(r));
        log
    }

    /// Adds what happened last.
    pub fn push(&mut self, revision: Arc<Revision>) {
        self.bytes += revision.bytes();
        self.revisions.push_back(revision);
    }

    /// Adds what it lies in.
    pub fn push_row(&mut self, row: HistoryRow) {
        self.rows.push_back(row);
    }

    /// The revision that it was compacted to: how things were then is the oldest that is known; 0: all is.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// All from revision `number` on, the newest last.
    pub fn from(&self, number: u64) -> impl DoubleEndedIterator<Item = &Arc<Revision>> {
        let first = self.revisions.partition_point(|r| r.number < number);
        self.revisions.range(first..)
    }

    /// The rows that hold nothing but what is before revision `number`: what a compaction to there removes.
    pub fn rows_before(&self, number: u64) -> impl Iterator<Item = &HistoryRow> {
        self.rows.iter().take_while(move |row| row.last < number)
    }

    /// Forgets all before revision `number`.
    pub fn compact(&mut self, number: u64) {
        while self.revisions.front().is_some_and(|r| r.number < number) {
            let gone = self.revisions.pop_front();
            self.bytes -= gone.map_or(0, |r| r.bytes());
        }
        while self.rows.front().is_some_and(|row| row.last < number) {
            self.rows.pop_front();
        }
        self.compacted = self.compacted.max(number);
    }

    /// Remembers that `revision` was the last one now, once a [`MARK_EVERY`].
    pub fn mark(&mut self, now: Moment, revision: u64) {
        if self.marks.back().is_none_or(|(last, _)| now.saturating_sub(*last) >= micros(MARK_EVERY)) {
            self.marks.push_back((now, revision));
        }
        // One that is older than the age is kept: what came after it is the first that is younger.
        while self.marks.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= micros(AGE_MIN)) {
            self.marks.pop_front();
        }
    }

    /// The first revision that is younger than [`AGE_MIN`]; what was kept from before a start is older.
    fn young(&self, now: Moment) -> u64 {
        let at = |(at, _): &&(Moment, u64)| now.saturating_sub(*at) >= micros(AGE_MIN);
        let old = self.marks.iter().take_while(at).last().or(self.marks.front());
        old.map_or(u64::MAX, |(_, revision)| revision + 1)
    }

    /// To where it should be compacted, if it is too long: not beyond what the slowest live watcher has seen, nor, for
    /// their number alone, to what is young; unless it is far too long. `unseen` is the first revision that somebody
    /// still waits for.
    pub fn excess(&self, unseen: Option<u64>, now: Moment) -> Option<u64> {
        if self.revisions.len() <= REVISIONS_MAX + SLACK && self.bytes <= BYTES_MAX {
            return None;
        }
        let seen = unseen.unwrap_or(u64::MAX);
        let many = self.cut(REVISIONS_MAX, usize::MAX).min(self.young(now));
        let fat = self.cut(usize::MAX, BYTES_MAX - BYTES_MAX / 16);
        let forced = self.cut(REVISIONS_MAX * HARD_FACTOR, BYTES_MAX * HARD_FACTOR);
        let number = many.max(fat).min(seen).max(forced);
        self.revisions.front().is_some_and(|r| r.number < number).then_some(number)
    }

    /// The first revision that may stay for the rest to fit.
    fn cut(&self, revisions_max: usize, bytes_max: usize) -> u64 {
        // By their number alone it is found without a look at each: this is asked for each commit, of a log that may be
        // long for ten minutes.
        let mut at = self.revisions.len().saturating_sub(revisions_max);
        if self.bytes > bytes_max {
            let mut bytes = self.bytes;
            let fits = |revision: &Arc<Revision>| {
                let all = bytes;
                bytes -= revision.bytes();
                all <= bytes_max
            };
            at = at.max(self.revisions.iter().position(fits).unwrap_or(self.revisions.len()));
        }
        self.revisions.get(at).or(self.revisions.back()).map_or(0, |revision| revision.number)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.revisions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn revision(number: u64, bytes: usize) -> Arc<Revision> {
        let entry =
            Entry { value: vec![0; bytes].into(), created: 1, modified: number, version: 1, lease: 0, side: None };
        let change = Change { key: "k".into(), now: Some(Arc::new(entry)), before: None };
        Arc::new(Revision { number, changes: vec![change] })
    }

    fn log(revisions: impl Iterator<Item = u64>, bytes: usize) -> Log {
        Log::load(revisions.map(|n| revision(n, bytes)), Vec::new(), 0)
    }

    proptest! {
        /// As a look at each from the oldest on finds it.
        #[test]
        fn a_cut_is_where_the_rest_fits(
            sizes in proptest::collection::vec(0usize..50, 0..40),
            revisions_max in 1usize..50,
            bytes_max in prop_oneof![0usize..1_000, Just(usize::MAX)],
        ) {
            let mut long = Log::default();
            for (number, size) in (1..).zip(&sizes) {
                long.push(revision(number, *size));
            }
            let fits = |from: &usize| {
                let rest = long.revisions.iter().skip(*from);
                rest.len() <= revisions_max && rest.map(|r| r.bytes()).sum::<usize>() <= bytes_max
            };
            let at = (0..sizes.len()).find(fits).unwrap_or(sizes.len().saturating_sub(1));
            let expected = if sizes.is_empty() { 0 } else { at as u64 + 1 };
            prop_assert_eq!(long.cut(revisions_max, bytes_max), expected);
        }
    }

    #[test]
    fn it_forgets_in_steps_and_waits_for_watchers_within_bounds() {
        let most = REVISIONS_MAX as u64;
        assert_eq!(log(1..=most + SLACK as u64, 1).excess(None, 0), None);
        let long = log((1..=most + 1_000).map(|n| n * 2), 1);
        assert_eq!(long.excess(None, 0), Some(2_002));
        assert_eq!(long.excess(Some(501), 0), Some(501), "a live watcher has not seen 501 yet");
        assert_eq!(long.excess(Some(1), 0), None);
        let longest = log(1..=4 * most + 7, 1);
        assert_eq!(longest.excess(Some(1), 0), Some(8), "but not for ever");
        let mut fat = log(1..=40, 1 << 20);
        let to = fat.excess(None, 0).expect("too many bytes");
        fat.compact(to);
        assert!((20..32).contains(&fat.len()), "{}", fat.len());
        assert_eq!((fat.compacted(), fat.excess(None, 0)), (to, None));
        assert_eq!(fat.from(0).next().map(|r| r.number), Some(to));
    }

    #[test]
    fn what_is_young_is_kept_beyond_their_number() {
        let most = REVISIONS_MAX as u64;
        let mut long = log(1..=most + 1_000, 1);
        let minutes = |n| micros(Duration::from_secs(60)) * n;
        long.mark(0, 300);
        long.mark(minutes(1), 600);
        long.mark(minutes(12), 10_000);
        assert_eq!(long.excess(None, minutes(5)), Some(601), "the first mark is gone by, and what came next is young");
        long.mark(minutes(30), 10_500);
        assert_eq!(long.excess(None, minutes(30)), Some(1_001), "nothing of it is young");
    }
}
