//! Segments that are being written, in memory: what queries see of them before the index has it.

use crate::base::Wall;
use crate::model::{Range, SampleTable, Segment, StreamKey, TrackSamples};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The growing segments, and those that were closed while the index could not take them.
#[derive(Default)]
pub struct Growing {
    open: Mutex<BTreeMap<(StreamKey, Wall), Open>>,
    /// How often those of a stream have changed. Counted once a change can be seen.
    changes: Mutex<BTreeMap<StreamKey, u64>>,
}

#[derive(Clone)]
struct Open {
    segment: Segment,
    /// Bytes that its row in the index says.
    counted: u64,
    table: Arc<SampleTable>,
}

impl Growing {
    /// A file has its first fragment.
    pub fn open(&self, segment: Segment, table: SampleTable) {
        let (stream, start, counted) = (segment.stream.clone(), segment.start, segment.bytes);
        self.change(&stream, |open| {
            open.insert((stream.clone(), start), Open { segment, counted, table: Arc::new(table) })
        });
    }

    /// A complete file was found that the index cannot take yet.
    pub fn hold(&self, segment: Segment, table: Arc<SampleTable>) {
        let (stream, start) = (segment.stream.clone(), segment.start);
        // Of what a crash left, the index has counted the first fragment at most.
        self.change(&stream, |open| open.insert((stream.clone(), start), Open { segment, counted: 0, table }));
    }

    /// A file has one more fragment.
    pub fn extend(&self, segment: Segment, video: &TrackSamples, audio: &TrackSamples) {
        let stream = segment.stream.clone();
        self.change(&stream, |open| {
            if let Some(entry) = open.get_mut(&(stream.clone(), segment.start)) {
                entry.segment = segment;
                // A copy is made only while a query holds the table as it was.
                let table = Arc::make_mut(&mut entry.table);
                if !video.sizes.is_empty() {
                    table.video.append(video);
                }
                if !audio.sizes.is_empty() {
                    table.audio.append(audio);
                }
            }
        });
    }

    /// A file is complete. It stays visible until [`Growing::forget`].
    pub fn close(&self, segment: Segment) -> Option<Arc<SampleTable>> {
        let stream = segment.stream.clone();
        self.change(&stream, |open| {
            let entry = open.get_mut(&(stream.clone(), segment.start))?;
            entry.segment = segment;
            Some(entry.table.clone())
        })
    }

    /// The index has it.
    pub fn forget(&self, stream: &StreamKey, start: Wall) {
        self.change(stream, |open| open.remove(&(stream.clone(), start)));
    }

    /// The table as it is now.
    pub fn table(&self, stream: &StreamKey, start: Wall) -> Option<Arc<SampleTable>> {
        self.with(|open| open.get(&(stream.clone(), start)).map(|o| o.table.clone()))
    }

    /// The segments of a stream that have a moment in common with the range.
    pub fn overlapping(&self, stream: &StreamKey, range: Range) -> Vec<Segment> {
        self.of(stream).into_iter().filter(|s| range.overlaps(s.start, s.end())).collect()
    }

    /// The segments of a stream.
    pub fn of(&self, stream: &StreamKey) -> Vec<Segment> {
        let bounds = (stream.clone(), Wall::from_micros(i64::MIN))..=(stream.clone(), Wall::from_micros(i64::MAX));
        self.with(|open| open.range(bounds).map(|(_, o)| o.segment.clone()).collect())
    }

    /// All of them.
    pub fn all(&self) -> Vec<Segment> {
        self.with(|open| open.values().map(|o| o.segment.clone()).collect())
    }

    /// Bytes that the files have grown by since their rows were written.
    pub fn uncounted_bytes(&self) -> u64 {
        self.with(|open| open.values().map(|o| o.segment.bytes.saturating_sub(o.counted)).sum())
    }

    /// Those that are complete and still here: the index has not taken them.
    pub fn unsaved(&self) -> Vec<(Segment, Arc<SampleTable>)> {
        let closed = |o: &&Open| o.segment.closed;
        self.with(|open| open.values().filter(closed).map(|o| (o.segment.clone(), o.table.clone())).collect())
    }

    /// Lets go of the oldest of these beyond so many; how many.
    pub fn shed(&self, keep: usize) -> usize {
        let shed: Vec<_> = self.with(|open| {
            let mut closed: Vec<_> =
                open.iter().filter(|(_, o)| o.segment.closed).map(|(key, _)| key.clone()).collect();
            closed.sort_unstable_by_key(|(_, start)| *start);
            closed.truncate(closed.len().saturating_sub(keep));
            closed.iter().for_each(|key| drop(open.remove(key)));
            closed
        });
        shed.iter().for_each(|(stream, _)| self.changed(stream));
        shed.len()
    }

    /// How often the growing segments of a stream have changed. Who reads it, and then the segments, has read them as they
    /// were then or later.
    pub fn changes(&self, stream: &StreamKey) -> u64 {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).get(stream).copied().unwrap_or_default()
    }

    fn change<T>(&self, stream: &StreamKey, f: impl FnOnce(&mut BTreeMap<(StreamKey, Wall), Open>) -> T) -> T {
        let changed = self.with(f);
        self.changed(stream);
        changed
    }

    fn changed(&self, stream: &StreamKey) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        match changes.get_mut(stream) {
            Some(count) => *count += 1,
            None => drop(changes.insert(stream.clone(), 1)),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<(StreamKey, Wall), Open>) -> T) -> T {
        f(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
