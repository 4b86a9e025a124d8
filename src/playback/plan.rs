//! From a range of time to a plan: rows, then tables, then the layout.

use super::{Error, cache::Cache, footage::Footage, metrics::Meters, seen::SeenFiles};
use crate::{
    base::{Clock, Wall},
    disk::Disk,
    media::{
        self,
        vod::{self, FOOTAGE_TICKS_MAX, Layout, Source},
    },
    model::{Range, Segment, StreamKey, frame::VIDEO_TIMESCALE},
};
use futures_util::{StreamExt, stream};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::Arc,
};
use tokio::sync::Semaphore;

/// The most files that one range is planned from.
const SEGMENTS_MAX: usize = 20_000;
/// Plans made at the same time; others wait, and mostly find what they wait for in the cache.
const PLANS_AT_ONCE_MAX: usize = 2;
/// Tables that are fetched at the same time.
const TABLES_AT_ONCE_MAX: usize = 8;
/// A growing segment that reaches so far beyond a range gets nothing more that lies in it, sound included.
const SETTLED_MICROS: i64 = 2_000_000;
/// How far back is looked for the footage before an empty range.
const LOOK_BACK_MICROS: [i64; 2] = [3_600_000_000, 86_400_000_000];

/// A virtual file and where its slices lie.
pub(super) struct Plan {
    pub(super) layout: Layout,
    /// The file of each source.
    pub(super) paths: Vec<PathBuf>,
    /// Where these were found in memory.
    pub(super) seen: SeenFiles,
}

impl Plan {
    pub(super) fn new(layout: Layout, paths: Vec<PathBuf>) -> Self {
        Self { layout, paths, seen: SeenFiles::default() }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.layout.memory_bytes()
            + self.paths.iter().map(|p| p.as_os_str().len() + size_of::<PathBuf>()).sum::<usize>()
    }
}

/// Makes plans, and remembers them.
pub(super) struct Planner {
    pub(super) footage: Arc<dyn Footage>,
    pub(super) disk: Disk,
    pub(super) clock: Clock,
    pub(super) meters: Meters,
    cache: Cache,
    turns: Semaphore,
}

impl Planner {
    pub(super) fn new(footage: Arc<dyn Footage>, disk: Disk, clock: Clock, meters: Meters) -> Self {
        Self { footage, disk, clock, meters, cache: Cache::default(), turns: Semaphore::new(PLANS_AT_ONCE_MAX) }
    }

    /// `range` as one MP4, where it is planned already and nothing of the stream has changed since. Does not wait.
    pub(super) fn mp4_at_hand(&self, stream: &StreamKey, range: Range) -> Option<Arc<Plan>> {
        self.cache.at_hand(stream, range, self.footage.version(stream))
    }

    /// `range` as one MP4.
    pub(super) async fn mp4(&self, stream: &StreamKey, range: Range) -> Result<Arc<Plan>, Error> {
        let version = self.footage.version(stream);
        let segments = self.segments(stream, range).await?;
        let range = whole_pictures(&segments, range)?;
        let made_of = (fingerprint(&segments, range), version);
        if let Some(plan) = self.cache.get(stream, range, made_of) {
            return Ok(plan);
        }
        // The semaphore is never closed; without a turn we would only plan earlier.
        let _turn = self.turns.acquire().await.ok();
        if let Some(plan) = self.cache.get(stream, range, made_of) {
            return Ok(plan);
        }
        let begun = self.clock.now();
        let sources = self.sources(segments).await?;
        let paths = sources.iter().map(|s| self.footage.path(&s.segment)).collect();
        // A day has millions of samples: no work for a thread that others wait for.
        let planned = self.disk.run(move |_| vod::plan_mp4(&sources, range)).await?;
        let layout = match planned {
            Err(media::Error::NoFrames) => return Err(self.no_footage(stream, range).await?),
            planned => planned?,
        };
        self.meters.plan_seconds.observe(begun.elapsed().as_secs_f64());
        let plan = Arc::new(Plan::new(layout, paths));
        self.cache.put(stream, range, made_of, &plan);
        Ok(plan)
    }

    /// The segments in a range; an error where there are none or too many.
    pub(super) async fn segments(&self, stream: &StreamKey, range: Range) -> Result<Vec<Segment>, Error> {
        let mut segments = self.footage.segments(stream, range, SEGMENTS_MAX).await?;
        segments.sort_by_key(|s| (s.start, s.name_suffix));
        if segments.is_empty() {
            return Err(self.no_footage(stream, range).await?);
        }
        let inside = |s: &Segment| {
            let (from, to) = (s.start.max(range.from), s.end().min(range.to));
            u64::try_from(to.micros_since(from)).unwrap_or(0)
        };
        let micros: u64 = segments.iter().map(inside).sum();
        let micros_max = FOOTAGE_TICKS_MAX / u64::from(VIDEO_TIMESCALE) * 1_000_000;
        if segments.len() >= SEGMENTS_MAX || micros > micros_max {
            let hours = micros_max / 3_600_000_000;
            return Err(Error::TooLong(format!(
                "at most {hours} hours of footage in {SEGMENTS_MAX} files go into one answer"
            )));
        }
        Ok(segments)
    }

    /// Adds the tables, several at a time. What retention removed meanwhile is left out, and so is a file that somebody
    /// removed or cut short: it would end the answer in the middle, with all footage after it.
    pub(super) async fn sources(&self, segments: Vec<Segment>) -> Result<Vec<Source>, Error> {
        let segments = self.whole(segments).await?;
        let mut sources = Vec::with_capacity(segments.len());
        let load = |segment: Segment| async move {
            let table = self.footage.table(&segment).await;
            table.map(|table| Source { segment, table })
        };
        let mut loads = stream::iter(segments).map(load).buffered(TABLES_AT_ONCE_MAX);
        while let Some(loaded) = loads.next().await {
            match loaded {
                Err(Error::Gone) => {}
                source => sources.push(source?),
            }
        }
        Ok(sources)
    }

    /// The segments whose files hold what their rows say.
    async fn whole(&self, mut segments: Vec<Segment>) -> Result<Vec<Segment>, Error> {
        let paths: Vec<PathBuf> = segments.iter().map(|s| self.footage.path(s)).collect();
        let lens = self.disk.run(move |files| paths.iter().map(|p| files.len_of(p)).collect::<Result<Vec<_>, _>>());
        let mut lens = lens.await??.into_iter();
        segments.retain(|segment| {
            let whole = lens.next().flatten().is_some_and(|len| len >= segment.bytes);
            if !whole {
                let (stream, start) = (&segment.stream, segment.start);
                tracing::warn!(%stream, %start, "a file is gone or too short and is not played; `skyvis reindex` settles it");
            }
            whole
        });
        Ok(segments)
    }

    /// The segment that begins just then.
    pub(super) async fn source_at(&self, stream: &StreamKey, start: Wall) -> Result<Source, Error> {
        let segment = self.footage.segment(stream, start).await?.ok_or(Error::Gone)?;
        let table = self.footage.table(&segment).await?;
        Ok(Source { segment, table })
    }

    /// Says where there is footage instead.
    pub(super) async fn no_footage(&self, stream: &StreamKey, range: Range) -> Result<Error, Error> {
        let after = self.footage.segments(stream, Range { from: range.to, to: Range::ALL.to }, 1).await?;
        let after = after.first().map(|s| s.start);
        let mut before = None;
        for micros in LOOK_BACK_MICROS {
            let back = Range { from: range.from.plus_micros(-micros), to: range.from };
            before = self.footage.segments(stream, back, SEGMENTS_MAX).await?.last().map(Segment::end);
            if before.is_some() {
                break;
            }
        }
        let any =
            before.is_some() || after.is_some() || !self.footage.segments(stream, Range::ALL, 1).await?.is_empty();
        let stream = stream.clone();
        Ok(if any { Error::NoFootage { stream, range, before, after } } else { Error::NoSuchStream(stream) })
    }
}

/// A picture stands from when it was taken: a range that begins within one begins with it.
fn whole_pictures(segments: &[Segment], range: Range) -> Result<Range, Error> {
    let pictures = segments.iter().filter(|s| s.is_picture()).count();
    match segments.first() {
        Some(first) if pictures == segments.len() => Ok(Range { from: first.start.min(range.from), ..range }),
        Some(first) if pictures > 0 => {
            let other = segments.iter().find(|s| s.is_picture() != first.is_picture());
            Err(Error::Mixed(other.map_or(first.start, |s| s.start)))
        }
        _ => Ok(range),
    }
}

/// Names what a plan of `range` is made from. A segment that grows changes it only as long as it may still get
/// frames of the range.
fn fingerprint(segments: &[Segment], range: Range) -> u64 {
    let mut hash = DefaultHasher::new();
    for segment in segments {
        (segment.start, segment.name_suffix, segment.session, segment.index).hash(&mut hash);
        let settled = segment.end().micros_since(range.to) >= SETTLED_MICROS;
        (!settled).then_some((segment.bytes, segment.duration_ticks)).hash(&mut hash);
    }
    hash.finish()
}
