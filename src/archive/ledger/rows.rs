//! Where the ledger is kept. Everything here blocks, but for commits.

use crate::{
    archive::Error,
    base::Wall,
    model::{Gap, GapCause, Range, StreamKey},
    store::{self, Batch, Codec, Keyspace, Store},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// As JSON, so that fields can be added later.
const GAPS: Keyspace<Row> = Keyspace::new(0x28, "gaps", Codec::Json);
/// The streams that should be recorded, so that one whose recorder is away when we begin is missed.
const EXPECTED: Keyspace<Expected> = Keyspace::new(0x29, "expected streams", Codec::Json);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Row {
    /// Microseconds; the start is the key.
    end: Option<i64>,
    cause: GapCause,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Expected {}

/// Changes that are not written yet; the last one of each row counts.
#[derive(Clone, Debug, Default)]
pub struct Unsaved {
    gaps: BTreeMap<(StreamKey, Wall), Option<Gap>>,
    expected: BTreeMap<StreamKey, bool>,
}

impl Unsaved {
    pub fn gap(&mut self, stream: &StreamKey, start: Wall, gap: Option<Gap>) {
        self.gaps.insert((stream.clone(), start), gap);
    }

    pub fn expected(&mut self, stream: &StreamKey, expected: bool) {
        self.expected.insert(stream.clone(), expected);
    }

    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty() && self.expected.is_empty()
    }

    /// Puts back what could not be written, below what came since.
    pub fn put_back(&mut self, older: Unsaved) {
        for (key, gap) in older.gaps {
            self.gaps.entry(key).or_insert(gap);
        }
        for (stream, expected) in older.expected {
            self.expected.entry(stream).or_insert(expected);
        }
    }

    /// The rows of a stream that have a moment in common with the range, laid over those that are written.
    pub fn lay_over(&self, stream: &StreamKey, range: Range, rows: &mut BTreeMap<Wall, Gap>) {
        let all = (stream.clone(), Range::ALL.from)..=(stream.clone(), Range::ALL.to);
        for ((_, start), gap) in self.gaps.range(all) {
            match gap.filter(|gap| touches(gap, range)) {
                Some(gap) => rows.insert(*start, gap),
                None => rows.remove(start),
            };
        }
    }

    pub fn batch(&self) -> Result<Batch, Error> {
        let mut batch = Batch::new();
        for ((stream, start), gap) in &self.gaps {
            let key = key(stream, *start);
            batch = match gap {
                Some(gap) => {
                    let row = Row { end: gap.end.map(Wall::micros), cause: gap.cause };
                    batch.put(&GAPS, &key, &row)?
                }
                None => batch.delete(&GAPS, &key),
            };
        }
        for (stream, expected) in &self.expected {
            let key = stream.to_string();
            batch = match expected {
                true => batch.put(&EXPECTED, key.as_bytes(), &Expected {})?,
                false => batch.delete(&EXPECTED, key.as_bytes()),
            };
        }
        Ok(batch)
    }
}

/// Whether a gap has a moment in common with the range.
pub fn touches(gap: &Gap, range: Range) -> bool {
    range.overlaps(gap.start, gap.end.unwrap_or(Range::ALL.to))
}

/// The rows that are written.
#[derive(Clone)]
pub struct Rows(Store);

impl Rows {
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    pub async fn commit(&self, batch: Batch) -> Result<(), Error> {
        self.0.commit(batch).await?;
        Ok(())
    }

    /// Streams that should be recorded.
    pub fn expected(&self) -> Result<BTreeSet<StreamKey>, Error> {
        let mut streams = BTreeSet::new();
        for row in self.0.range(&EXPECTED, ..) {
            streams.extend(stream_of(&row?.0));
        }
        Ok(streams)
    }

    /// Streams that have rows.
    pub fn streams(&self) -> Result<BTreeSet<StreamKey>, Error> {
        let mut streams = BTreeSet::new();
        let mut from = Vec::new();
        // From one stream's rows to the next one's.
        while let Some(found) = self.0.keys(&GAPS, from.clone()..).next() {
            let found = found?;
            let end = found.iter().position(|b| *b == 0).unwrap_or(found.len());
            streams.extend(stream_of(&found[..end]));
            from = found[..end].to_vec();
            from.push(1);
        }
        Ok(streams)
    }

    /// The rows of a stream that have a moment in common with the range. Rows of one stream do not overlap, so only the
    /// last one that begins before the range can reach into it.
    pub fn overlapping(&self, stream: &StreamKey, range: Range) -> Result<BTreeMap<Wall, Gap>, Error> {
        let mut rows = BTreeMap::new();
        let before = self.0.range(&GAPS, prefix(stream)..key(stream, range.from)).next_back();
        let within = self.0.range(&GAPS, key(stream, range.from)..key(stream, range.to));
        for row in before.into_iter().chain(within) {
            let Some((key, row)) = readable(row)? else { continue };
            rows.extend(gap(&key, row).filter(|gap| touches(gap, range)).map(|gap| (gap.start, gap)));
        }
        Ok(rows)
    }

    /// The first and the last row of a stream.
    pub fn ends(&self, stream: &StreamKey) -> Result<Option<(Gap, Gap)>, Error> {
        let mut rows = self.0.prefix(&GAPS, &prefix(stream));
        let first = first_readable(|| rows.next())?;
        let last = first_readable(|| rows.next_back())?;
        Ok(first.map(|first| (first, last.unwrap_or(first))))
    }

    /// All rows of a stream, by start; None for one that cannot be read.
    pub fn all(&self, stream: &StreamKey) -> Result<Vec<(Wall, Option<Gap>)>, Error> {
        let (mut rows, prefix) = (Vec::new(), prefix(stream));
        for key in self.0.keys(&GAPS, prefix.clone()..after(&prefix)) {
            let key = key?;
            let Some(start) = start_of(&key) else { continue };
            let row = match self.0.get(&GAPS, &key) {
                Err(store::Error::Row { .. }) => None,
                // It went meanwhile.
                Ok(None) => continue,
                Ok(Some(row)) => gap(&key, row),
                Err(e) => return Err(e.into()),
            };
            rows.push((start, row));
        }
        Ok(rows)
    }

    /// The rows that ended before `cutoff`, and of the rest the oldest beyond `keep`; so many at most.
    pub fn outdated(&self, stream: &StreamKey, cutoff: Wall, keep: usize, limit: usize) -> Result<Vec<Wall>, Error> {
        let mut found = Vec::new();
        let count = self.0.prefix(&GAPS, &prefix(stream)).count();
        for (n, row) in self.0.prefix(&GAPS, &prefix(stream)).enumerate().take(limit) {
            let Some((key, row)) = readable(row)? else { continue };
            let Some(gap) = gap(&key, row) else { continue };
            let over = count - n > keep;
            if !gap.end.is_some_and(|end| end <= cutoff || over) {
                break;
            }
            found.push(gap.start);
        }
        Ok(found)
    }
}

type Found = Result<(Vec<u8>, Row), store::Error>;

/// A row that cannot be read explains nothing, and must not keep the others from it; `verify` tells it.
fn readable(row: Found) -> Result<Option<(Vec<u8>, Row)>, Error> {
    match row {
        Err(store::Error::Row { .. }) => Ok(None),
        other => Ok(Some(other?)),
    }
}

fn first_readable(mut next: impl FnMut() -> Option<Found>) -> Result<Option<Gap>, Error> {
    while let Some(row) = next() {
        if let Some(gap) = readable(row)?.and_then(|(key, row)| gap(&key, row)) {
            return Ok(Some(gap));
        }
    }
    Ok(None)
}

fn start_of(key: &[u8]) -> Option<Wall> {
    let at = key.len().checked_sub(8)?;
    let start = u64::from_be_bytes(key[at..].try_into().ok()?);
    Some(Wall::from_micros(i64::try_from(start).ok()?))
}

fn gap(key: &[u8], row: Row) -> Option<Gap> {
    let start = start_of(key)?;
    Some(Gap { start, end: row.end.map(Wall::from_micros), cause: row.cause })
}

fn stream_of(text: &[u8]) -> Option<StreamKey> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `<stream>\0<start>`, as the rows of segments have it.
fn key(stream: &StreamKey, start: Wall) -> Vec<u8> {
    let mut key = prefix(stream);
    key.extend_from_slice(&u64::try_from(start.micros()).unwrap_or(0).to_be_bytes());
    key
}

/// The first key that is none of a stream's rows.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut after = prefix.to_vec();
    after.pop();
    after.push(1);
    after
}

fn prefix(stream: &StreamKey) -> Vec<u8> {
    let mut key = stream.to_string().into_bytes();
    key.push(0);
    key
}
