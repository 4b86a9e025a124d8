//! The index: rows of segments, their sample tables, and what each stream takes. Everything here blocks, and runs on
//! the disk's threads.
//!
//! A row and its table are apart, so that a range of days is read without loading a single table. Keys begin with the
//! stream and go on with the start, so that a range of time is a range of keys.

use super::{Error, ageing::Saved, layout::Name, old::OldTable};
use crate::{
    base::Wall,
    model::{Range, SampleTable, Segment, StreamKey, Sum},
    store::{Batch, Codec, Keyspace, Store},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const SEGMENTS: Keyspace<Segment> = Keyspace::new(0x20, "segments", Codec::Postcard);
const TABLES: Keyspace<SampleTable> = Keyspace::new(0x2e, "sample tables", Codec::Postcard);
/// Tables as they were written before samples had offsets. They are read, and go with their rows.
const TABLES_OLD: Keyspace<OldTable> = Keyspace::new(0x21, "old sample tables", Codec::Postcard);
const MARKS: Keyspace<Mark> = Keyspace::new(0x22, "segment marks", Codec::Postcard);
const USAGE: Keyspace<StreamUsage> = Keyspace::new(0x23, "recording usage", Codec::Postcard);
const IDENTITY: Keyspace<String> = Keyspace::new(0x24, "recordings identity", Codec::Postcard);

/// The time that ages were measured by, and by how much it differs from the clock's, in microseconds.
const AGEING: Keyspace<i64> = Keyspace::new(0x25, "retention time", Codec::Postcard);
/// When a segment was taken by the time of ages, for those whose start says otherwise: the clock was wrong.
const TAKEN: Keyspace<i64> = Keyspace::new(0x26, "times of footage", Codec::Postcard);

/// No segment lasts longer, so one that overlaps a moment began at most so long before it. The recorder ends a file
/// that found no place to be cut after an hour.
pub const SEGMENT_MICROS_MAX: i64 = 2 * 3_600_000_000;

/// What is still to be done for a row. Rows without a mark are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// Its file was being written when the row was.
    Growing,
    /// Its file has no checksum yet.
    Unhashed,
}

/// What the footage of one stream takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamUsage {
    /// Bytes of all its files.
    pub bytes: u64,
    /// How many files.
    pub segments: u64,
    /// Start of the oldest.
    pub oldest: Option<Wall>,
}

/// By stream.
pub type Usage = BTreeMap<StreamKey, StreamUsage>;

/// One change of the index.
#[derive(Clone, Debug)]
pub enum Change {
    /// A row, with its table where that is known; the mark replaces the one it had.
    Put {
        /// The row.
        segment: Segment,
        /// Where its samples lie.
        table: Option<Arc<SampleTable>>,
        /// What is still to be done.
        mark: Option<Mark>,
    },
    /// A checksum, for a row that is still what was summed.
    Summed {
        /// The row as it was.
        segment: Segment,
        /// Of its bytes.
        sum: Sum,
    },
    /// The row goes, its table with it.
    Drop {
        /// The stream.
        stream: StreamKey,
        /// The start.
        start: Wall,
    },
    /// Nothing more is to be done for the row.
    Unmark {
        /// The stream.
        stream: StreamKey,
        /// The start.
        start: Wall,
    },
    /// The clock was wrong when a segment was begun: by the time of ages it was taken then.
    Taken {
        /// The stream.
        stream: StreamKey,
        /// The start.
        start: Wall,
        /// The time of ages.
        taken: Wall,
    },
    /// What a stream takes is summed up anew from its rows.
    Recount(StreamKey),
}

impl Change {
    /// The row that it is about; None where it changes none.
    pub fn row(&self) -> Option<(&StreamKey, Wall)> {
        match self {
            Self::Put { segment, .. } | Self::Summed { segment, .. } => Some((&segment.stream, segment.start)),
            Self::Drop { stream, start } => Some((stream, *start)),
            Self::Taken { .. } | Self::Unmark { .. } | Self::Recount(_) => None,
        }
    }
}

/// The index, for reading and for staging what is to be committed.
#[derive(Clone)]
pub struct Index {
    store: Store,
}

impl Index {
    /// Over the store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// How many rows there are.
    pub fn count(&self) -> u64 {
        self.store.count(&SEGMENTS)
    }

    /// One row.
    pub fn row(&self, stream: &StreamKey, start: Wall) -> Result<Option<Segment>, Error> {
        Ok(self.store.get(&SEGMENTS, &key(stream, start))?)
    }

    /// The sample table of a row.
    pub fn table(&self, stream: &StreamKey, start: Wall) -> Result<Option<SampleTable>, Error> {
        let key = key(stream, start);
        if let Some(table) = self.store.get(&TABLES, &key)? {
            return Ok(Some(table));
        }
        Ok(self.store.get(&TABLES_OLD, &key)?.map(SampleTable::from))
    }

    /// Rows that have a moment in common with the range, by start, so many at most.
    pub fn overlapping(&self, stream: &StreamKey, range: Range, limit: usize) -> Result<Vec<Segment>, Error> {
        let first = key(stream, range.from.plus_micros(-SEGMENT_MICROS_MAX));
        let end = key(stream, range.to);
        let mut found = Vec::new();
        if first >= end {
            return Ok(found);
        }
        for row in self.store.range(&SEGMENTS, first..end) {
            if found.len() >= limit {
                break;
            }
            let (_, segment) = row?;
            if range.overlaps(segment.start, segment.end()) {
                found.push(segment);
            }
        }
        Ok(found)
    }

    /// Rows that start in `[from, to)`.
    pub fn starting(&self, stream: &StreamKey, from: Wall, to: Wall) -> Result<Vec<Segment>, Error> {
        let (first, end) = (key(stream, from), key(stream, to));
        if first >= end {
            return Ok(Vec::new());
        }
        self.store.range(&SEGMENTS, first..end).map(|row| Ok(row?.1)).collect()
    }

    /// The oldest segments of a stream, each with the time that it was taken at, by that time; and whether these are
    /// all.
    pub fn oldest(&self, stream: &StreamKey, limit: usize) -> Result<(Vec<(Wall, Segment)>, bool), Error> {
        // Only where the clock was wrong are there any, and mostly few.
        let mut odd: Vec<(Wall, Vec<u8>)> = Vec::new();
        for row in self.store.prefix(&TAKEN, &stream_prefix(stream)) {
            let (key, taken) = row?;
            odd.push((Wall::from_micros(taken), key));
        }
        let is_odd: BTreeSet<Vec<u8>> = odd.iter().map(|(_, key)| key.clone()).collect();
        let mut found = Vec::with_capacity(limit.min(256));
        for row in self.store.prefix(&SEGMENTS, &stream_prefix(stream)) {
            let (key, segment) = row?;
            if is_odd.contains(&key) {
                continue;
            }
            found.push((segment.start, segment));
            if found.len() > limit {
                break;
            }
        }
        odd.sort_unstable();
        for (taken, key) in odd {
            if let Some(segment) = self.store.get(&SEGMENTS, &key)? {
                found.push((taken, segment));
            }
        }
        found.sort_by_key(|(taken, segment)| (*taken, segment.start));
        let complete = found.len() <= limit;
        found.truncate(limit);
        Ok((found, complete))
    }

    /// The last row of a stream.
    pub fn newest(&self, stream: &StreamKey) -> Result<Option<Segment>, Error> {
        let last = self.store.prefix(&SEGMENTS, &stream_prefix(stream)).next_back().transpose()?;
        Ok(last.map(|(_, segment)| segment))
    }

    /// The last row of a stream that is not of a time to come: a clock that was ahead leaves such.
    pub fn newest_by(&self, stream: &StreamKey, now: Wall) -> Result<Option<Segment>, Error> {
        let mut rows = self.store.range(&SEGMENTS, stream_prefix(stream)..key(stream, now.plus_micros(1)));
        Ok(rows.next_back().transpose()?.map(|(_, segment)| segment))
    }

    /// All rows of a stream.
    pub fn rows(&self, stream: &StreamKey) -> impl Iterator<Item = Result<Segment, Error>> + use<> {
        self.store.prefix(&SEGMENTS, &stream_prefix(stream)).map(|row| Ok(row?.1))
    }

    /// The rows whose files' names begin with the same millisecond.
    pub fn of_millisecond(&self, stream: &StreamKey, start_ms: i64) -> Result<Vec<Segment>, Error> {
        let from = Wall::from_millis(start_ms);
        let rows = self.store.range(&SEGMENTS, key(stream, from)..key(stream, from.plus_micros(1000)));
        rows.map(|row| Ok(row?.1)).collect()
    }

    /// The row of a file.
    pub fn named(&self, stream: &StreamKey, name: Name) -> Result<Option<Segment>, Error> {
        Ok(self.of_millisecond(stream, name.start_ms)?.into_iter().find(|s| s.name_suffix == name.suffix))
    }

    /// Whether a row still waits for its checksum.
    pub fn is_unhashed(&self, stream: &StreamKey, start: Wall) -> Result<bool, Error> {
        Ok(self.store.get(&MARKS, &key(stream, start))? == Some(Mark::Unhashed))
    }

    /// Rows for which something is still to be done.
    pub fn marked(&self, mark: Mark, limit: usize) -> Result<Vec<Segment>, Error> {
        let mut found = Vec::new();
        for row in self.store.range(&MARKS, ..) {
            let (key, of_row) = row?;
            // Between the two reads somebody may have done it: then the mark is gone, and the row says so.
            if of_row == mark
                && let Some(segment) = self.store.get(&SEGMENTS, &key)?
                && self.store.get(&MARKS, &key)? == Some(mark)
            {
                found.push(segment);
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// What all streams take, as of the last commit.
    pub fn usage(&self) -> Result<Usage, Error> {
        let mut usage = Usage::new();
        for row in self.store.range(&USAGE, ..) {
            let (key, of_stream) = row?;
            if let Some(stream) = std::str::from_utf8(&key).ok().and_then(|k| k.parse().ok()) {
                usage.insert(stream, of_stream);
            }
        }
        Ok(usage)
    }

    /// The identity of the recordings directory that the rows speak of.
    pub fn identity(&self) -> Result<Option<String>, Error> {
        Ok(self.store.get(&IDENTITY, b"recordings")?)
    }

    /// Remembers the identity of the recordings directory.
    pub async fn set_identity(&self, identity: &str) -> Result<(), Error> {
        self.store.commit(Batch::new().put(&IDENTITY, b"recordings", &identity.to_owned())?).await?;
        Ok(())
    }

    /// The time that ages were measured by when it was last written down.
    pub fn aged_to(&self) -> Result<Option<Saved>, Error> {
        let Some(reached) = self.store.get(&AGEING, b"reached")? else { return Ok(None) };
        let shift_micros = self.store.get(&AGEING, b"shift")?.unwrap_or(0);
        Ok(Some(Saved { reached: Wall::from_micros(reached), shift_micros }))
    }

    /// Writes down the time that ages are measured by.
    pub async fn set_aged_to(&self, to: Saved) -> Result<(), Error> {
        let batch = Batch::new().put(&AGEING, b"reached", &to.reached.micros())?;
        self.store.commit(batch.put(&AGEING, b"shift", &to.shift_micros)?).await?;
        Ok(())
    }

    /// Makes what was staged durable.
    pub async fn commit(&self, batch: Batch) -> Result<(), Error> {
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Turns changes into a batch and into what each stream takes afterwards. Nothing is written.
    pub fn stage<'a>(
        &self,
        usage: Usage,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Result<(Batch, Usage), Error> {
        let mut staged = Staged { index: self, batch: Batch::new(), rows: BTreeMap::new(), usage, touched: vec![] };
        for change in changes {
            staged.change(change)?;
        }
        staged.finish()
    }
}

/// A batch in the making.
struct Staged<'a> {
    index: &'a Index,
    batch: Batch,
    /// Rows as they will be; None: gone.
    rows: BTreeMap<(StreamKey, Wall), Option<Segment>>,
    usage: Usage,
    touched: Vec<StreamKey>,
}

impl Staged<'_> {
    fn row(&self, stream: &StreamKey, start: Wall) -> Result<Option<Segment>, Error> {
        match self.rows.get(&(stream.clone(), start)) {
            Some(row) => Ok(row.clone()),
            None => self.index.row(stream, start),
        }
    }

    fn change(&mut self, change: &Change) -> Result<(), Error> {
        match change {
            Change::Put { segment, table, mark } => self.put(segment.clone(), table.as_deref(), *mark),
            Change::Summed { segment, sum } => {
                // Two may have read it at once: what the other one found stands, whatever sum was wished for since.
                let unchanged = |row: &Segment| row.closed && (row.bytes, row.sum) == (segment.bytes, segment.sum);
                match self.row(&segment.stream, segment.start)?.filter(unchanged) {
                    Some(row) => self.put(Segment { sum: *sum, ..row }, None, None),
                    None => Ok(()),
                }
            }
            Change::Drop { stream, start } => {
                let old = self.row(stream, *start)?;
                let key = key(stream, *start);
                let batch = std::mem::take(&mut self.batch);
                let batch = batch.delete(&SEGMENTS, &key).delete(&TABLES, &key).delete(&TABLES_OLD, &key);
                self.batch = batch.delete(&MARKS, &key).delete(&TAKEN, &key);
                self.account(stream, *start, old.as_ref(), None);
                Ok(())
            }
            Change::Unmark { stream, start } => {
                self.batch = std::mem::take(&mut self.batch).delete(&MARKS, &key(stream, *start));
                Ok(())
            }
            Change::Taken { stream, start, taken } => {
                self.batch = std::mem::take(&mut self.batch).put(&TAKEN, &key(stream, *start), &taken.micros())?;
                Ok(())
            }
            Change::Recount(stream) => self.recount(stream),
        }
    }

    fn recount(&mut self, stream: &StreamKey) -> Result<(), Error> {
        let mut rows = BTreeMap::new();
        for row in self.index.rows(stream) {
            let row = row?;
            rows.insert(row.start, Some(row.bytes));
        }
        for ((_, start), row) in self.rows.iter().filter(|((s, _), _)| s == stream) {
            rows.insert(*start, row.as_ref().map(|row| row.bytes));
        }
        let bytes: Vec<u64> = rows.into_values().flatten().collect();
        let usage = StreamUsage { bytes: bytes.iter().sum(), segments: bytes.len() as u64, oldest: None };
        self.usage.insert(stream.clone(), usage);
        self.touched.push(stream.clone());
        Ok(())
    }

    fn put(&mut self, segment: Segment, table: Option<&SampleTable>, mark: Option<Mark>) -> Result<(), Error> {
        let key = key(&segment.stream, segment.start);
        let old = self.row(&segment.stream, segment.start)?;
        let mut batch = std::mem::take(&mut self.batch).put(&SEGMENTS, &key, &segment)?;
        if let Some(table) = table {
            batch = batch.put(&TABLES, &key, table)?.delete(&TABLES_OLD, &key);
        }
        self.batch = match mark {
            Some(mark) => batch.put(&MARKS, &key, &mark)?,
            None => batch.delete(&MARKS, &key),
        };
        self.account(&segment.stream.clone(), segment.start, old.as_ref(), Some(segment));
        Ok(())
    }

    fn account(&mut self, stream: &StreamKey, start: Wall, old: Option<&Segment>, new: Option<Segment>) {
        let usage = self.usage.entry(stream.clone()).or_default();
        let bytes = |s: Option<&Segment>| s.map_or(0, |s| s.bytes);
        usage.bytes = (usage.bytes + bytes(new.as_ref())).saturating_sub(bytes(old));
        usage.segments = (usage.segments + u64::from(new.is_some())).saturating_sub(u64::from(old.is_some()));
        self.rows.insert((stream.clone(), start), new);
        self.touched.push(stream.clone());
    }

    fn finish(mut self) -> Result<(Batch, Usage), Error> {
        self.touched.sort_unstable();
        self.touched.dedup();
        for stream in std::mem::take(&mut self.touched) {
            let key = stream.to_string();
            let of_stream = match self.usage.get(&stream) {
                Some(usage) if usage.segments > 0 => StreamUsage { oldest: self.oldest(&stream)?, ..*usage },
                _ => {
                    self.usage.remove(&stream);
                    self.batch = self.batch.delete(&USAGE, key.as_bytes());
                    continue;
                }
            };
            self.batch = self.batch.put(&USAGE, key.as_bytes(), &of_stream)?;
            self.usage.insert(stream, of_stream);
        }
        Ok((self.batch, self.usage))
    }

    /// The oldest row of a stream once the batch is committed.
    fn oldest(&self, stream: &StreamKey) -> Result<Option<Wall>, Error> {
        let staged = |start: Wall| self.rows.get(&(stream.clone(), start));
        let new = self.rows.iter().find(|((s, _), row)| s == stream && row.is_some()).map(|((_, start), _)| *start);
        for row in self.index.rows(stream) {
            let start = row?.start;
            if !matches!(staged(start), Some(None)) {
                return Ok(Some(new.map_or(start, |n| n.min(start))));
            }
        }
        Ok(new)
    }
}

/// `<stream>\0<start>`: a stream's rows lie together, in order of time. Starts before 1970 sort as 1970.
fn key(stream: &StreamKey, start: Wall) -> Vec<u8> {
    let mut key = stream_prefix(stream);
    key.extend_from_slice(&u64::try_from(start.micros()).unwrap_or(0).to_be_bytes());
    key
}

fn stream_prefix(stream: &StreamKey) -> Vec<u8> {
    let mut key = stream.to_string().into_bytes();
    key.push(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::fixture::{Bench, noon, stream},
        base::Clock,
        disk::Faults,
        media::fixture::{Options, clip},
    };

    #[tokio::test]
    async fn a_table_that_the_version_before_wrote_is_read_and_goes_with_its_row() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::start(dir.path(), Faults::new(), Clock::simulated(noon()));
        bench.archive.recover().await.unwrap();
        let cam = stream("cam/1/main");
        let row = bench
            .lay(&cam, &clip(Options { seconds: 2, audio_rate: 0, ..Options::default() }).frames(1, noon()), 0, 25)
            .await;
        let index = bench.archive.index();
        let (at, table) = (key(&cam, row.start), index.table(&cam, row.start).unwrap().unwrap());
        let old = Batch::new().delete(&TABLES, &at).put(&TABLES_OLD, &at, &OldTable::of(table.clone())).unwrap();
        index.commit(old).await.unwrap();
        assert_eq!(index.table(&cam, row.start).unwrap(), Some(table));
        let drop = Change::Drop { stream: cam.clone(), start: row.start };
        let (gone, _) = index.stage(Usage::new(), [&drop]).unwrap();
        index.commit(gone).await.unwrap();
        assert_eq!(index.table(&cam, row.start).unwrap(), None);
    }
}
