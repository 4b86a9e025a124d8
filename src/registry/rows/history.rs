//! What revisions did to keys. Several small changes share a row: a row each would be half of what a busy disk is asked for.

use super::keys::EntryRow;
use crate::{
    registry::{
        Change, Entry, Error, Revision,
        kv::{HistoryRow, Log},
    },
    store::{self, Batch, Codec, Keyspace, Store},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// By the revision of its first change, then by that one's number within it.
const HISTORY: Keyspace<Row> = Keyspace::new(0x53, "history of keys", Codec::Postcard);
/// What is longer than this has a row of its own: beyond, the store cuts rows into several.
const SHARED_BYTES_MAX: usize = 3 << 10;
/// What a change takes beside its key and values, about.
const CHANGE_BYTES: usize = 48;

/// A new shape is a new variant behind these: old rows stay readable.
#[derive(Serialize, Deserialize)]
enum Row {
    One(ChangeRow),
    /// In order, each with its revision.
    Several(Vec<(u64, ChangeRow)>),
}

#[derive(Serialize, Deserialize)]
struct ChangeRow {
    key: Bytes,
    now: Option<EntryRow>,
    before: Option<EntryRow>,
}

impl ChangeRow {
    fn of(change: &Change) -> Self {
        let row = |entry: &Option<Arc<Entry>>| entry.as_ref().map(|e| EntryRow::of(e));
        Self { key: change.key.clone(), now: row(&change.now), before: row(&change.before) }
    }

    fn change(self) -> Change {
        let entry = |row: Option<EntryRow>| row.map(|r| Arc::new(r.entry()));
        Change { key: self.key, now: entry(self.now), before: entry(self.before) }
    }
}

/// Adds what revisions changed, and tells the rows that this makes.
pub(super) fn put(mut batch: Batch, revisions: &[Arc<Revision>]) -> Result<(Batch, Vec<HistoryRow>), store::Error> {
    let mut rows = Vec::new();
    let mut shared: Vec<(u64, ChangeRow)> = Vec::new();
    let (mut first, mut bytes) = ([0; 12], 0);
    for revision in revisions {
        for (i, change) in revision.changes.iter().enumerate() {
            let of = |entry: &Option<Arc<Entry>>| entry.as_ref().map_or(0, |e| e.value.len() + CHANGE_BYTES);
            let takes = CHANGE_BYTES + change.key.len() + of(&change.now) + of(&change.before);
            if bytes + takes > SHARED_BYTES_MAX && !shared.is_empty() {
                batch = end(batch, first, &mut shared, &mut rows)?;
                bytes = 0;
            }
            if shared.is_empty() {
                first = place(revision.number, i);
            }
            bytes += takes;
            shared.push((revision.number, ChangeRow::of(change)));
        }
    }
    if !shared.is_empty() {
        batch = end(batch, first, &mut shared, &mut rows)?;
    }
    Ok((batch, rows))
}

fn end(
    batch: Batch,
    place: [u8; 12],
    shared: &mut Vec<(u64, ChangeRow)>,
    rows: &mut Vec<HistoryRow>,
) -> Result<Batch, store::Error> {
    let last = shared.last().map_or(0, |(number, _)| *number);
    rows.push(HistoryRow { place, last });
    batch.put(&HISTORY, &place, &Row::Several(std::mem::take(shared)))
}

/// Removes rows.
pub(super) fn delete<'a>(batch: Batch, rows: impl Iterator<Item = &'a HistoryRow>) -> Batch {
    rows.fold(batch, |batch, row| batch.delete(&HISTORY, &row.place))
}

/// All that is kept. Blocks.
pub(super) fn load(store: &Store, compacted: u64) -> Result<Log, Error> {
    let mut revisions: Vec<Revision> = Vec::new();
    let mut rows = Vec::new();
    for row in store.range(&HISTORY, ..) {
        let (place, row) = row?;
        // Only this room writes here, and no other length.
        let Ok(place) = <[u8; 12]>::try_from(place) else { continue };
        let number = u64::from_be_bytes(place[..8].try_into().expect("8 of 12 bytes"));
        let changes = match row {
            Row::One(change) => vec![(number, change)],
            Row::Several(changes) => changes,
        };
        rows.push(HistoryRow { place, last: changes.last().map_or(number, |(number, _)| *number) });
        for (number, change) in changes {
            match revisions.last_mut().filter(|r| r.number == number) {
                Some(revision) => revision.changes.push(change.change()),
                None => revisions.push(Revision { number, changes: vec![change.change()] }),
            }
        }
    }
    Ok(Log::load(revisions.into_iter().map(Arc::new), rows, compacted))
}

fn place(number: u64, index: usize) -> [u8; 12] {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&number.to_be_bytes());
    place[8..].copy_from_slice(&u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes());
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change() -> impl Strategy<Value = (usize, Option<usize>)> {
        (0usize..30, proptest::option::of(prop_oneof![0usize..200, Just(SHARED_BYTES_MAX)]))
    }

    proptest! {
        // Each case opens a store, which costs syncs.
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Whatever is kept comes back in order, and a compaction leaves no row that nobody asks for.
        #[test]
        fn what_is_kept_is_read_and_what_is_forgotten_leaves_no_row(
            turns in proptest::collection::vec(
                proptest::collection::vec(proptest::collection::vec(change(), 1..4), 1..20), 1..5),
            compacted in 0u64..60,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let files = crate::disk::Files::real();
            let metrics = crate::base::Metrics::default();
            let store = Store::open(&dir.path().join("s"), Default::default(), &files, &metrics).unwrap();
            let (mut number, mut all, mut log) = (0, Vec::new(), Log::default());
            for turn in &turns {
                let mut revisions = Vec::new();
                for sizes in turn {
                    number += 1;
                    let entry = |bytes: usize| {
                        let value = vec![7; bytes].into();
                        Arc::new(Entry { value, created: 1, modified: number, version: 1, lease: 0, side: None })
                    };
                    let changes = sizes.iter().map(|(key, value)| {
                        Change { key: vec![b'k'; *key].into(), now: value.map(entry), before: None }
                    });
                    revisions.push(Arc::new(Revision { number, changes: changes.collect() }));
                }
                let (batch, rows) = put(Batch::new(), &revisions).unwrap();
                store.commit_blocking(batch).unwrap();
                rows.into_iter().for_each(|row| log.push_row(row));
                revisions.iter().for_each(|revision| log.push(revision.clone()));
                all.extend(revisions);
            }
            let read = load(&store, 0).unwrap();
            prop_assert_eq!(read.from(0).cloned().collect::<Vec<_>>(), all.clone());
            prop_assert_eq!(read.rows_before(u64::MAX).collect::<Vec<_>>(), log.rows_before(u64::MAX).collect::<Vec<_>>());
            store.commit_blocking(delete(Batch::new(), log.rows_before(compacted))).unwrap();
            log.compact(compacted);
            let read = load(&store, compacted).unwrap();
            all.retain(|revision| revision.number >= compacted);
            prop_assert_eq!(read.from(0).cloned().collect::<Vec<_>>(), all);
            prop_assert_eq!(store.count(&HISTORY), log.rows_before(u64::MAX).count() as u64);
            prop_assert!(log.rows_before(u64::MAX).all(|row| row.last >= compacted));
        }
    }

    #[test]
    fn a_row_of_one_change_as_it_was_written_before_is_read() {
        // Variant, length of the key, key, a value: shape, its length, bytes, four numbers; no value before.
        let bytes = [0, 1, b'k', 1, 0, 2, b'v', b'w', 3, 4, 5, 0, 0];
        let row: Row = postcard::from_bytes(&bytes).unwrap();
        let Row::One(row) = row else { panic!("another shape") };
        let entry = Entry { value: "vw".into(), created: 3, modified: 4, version: 5, lease: 0, side: None };
        assert_eq!(row.change(), Change { key: "k".into(), now: Some(Arc::new(entry)), before: None });
    }
}
