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
        let key = (segment.stream.clone(), segment.start);
        let counted = segment.bytes;
        self.with(|open| open.insert(key, Open { segment, counted, table: Arc::new(table) }));
    }

    /// A complete file was found that the index cannot take yet.
    pub fn hold(&self, segment: Segment, table: Arc<SampleTable>) {
        let key = (segment.stream.clone(), segment.start);
        // Of what a crash left, the index has counted the first fragment at most.
        self.with(|open| open.insert(key, Open { segment, counted: 0, table }));
    }

    /// A file has one more fragment.
    pub fn extend(&self, segment: Segment, video: &TrackSamples, audio: &TrackSamples) {
        self.with(|open| {
            if let Some(entry) = open.get_mut(&(segment.stream.clone(), segment.start)) {
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
        self.with(|open| {
            let entry = open.get_mut(&(segment.stream.clone(), segment.start))?;
            entry.segment = segment;
            Some(entry.table.clone())
        })
    }

    /// The index has it.
    pub fn forget(&self, stream: &StreamKey, start: Wall) {
        self.with(|open| open.remove(&(stream.clone(), start)));
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
        self.with(|open| {
            let mut closed: Vec<_> =
                open.iter().filter(|(_, o)| o.segment.closed).map(|(key, _)| key.clone()).collect();
            if closed.len() <= keep {
                return 0;
            }
            closed.sort_unstable_by_key(|(_, start)| *start);
            let over = closed.len() - keep;
            closed.into_iter().take(over).for_each(|key| drop(open.remove(&key)));
            over
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<(StreamKey, Wall), Open>) -> T) -> T {
        f(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
