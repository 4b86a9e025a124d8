//! The handle: what recorder, playback and admin say to the archive.

use super::{
    Config, Error,
    ageing::Ageing,
    growing::Growing,
    health,
    hours::Hours,
    identity::{self, Doubt},
    index::{Change, Index, Mark, Usage},
    latest::Latest,
    layout::{self, Name},
    ledger::{Ledger, Unsaved},
    recover::{self, Recovered},
    reindex::{self, Progress, Summary},
    sweep,
    tables::Tables,
    verify::{self, Report, Thorough, VerifyProgress},
};
use crate::{
    base::{Clock, Kind, Wall, metrics::Gauge},
    disk::{Disk, Space},
    events::Events,
    model::{Gap, Range, SampleTable, Segment, Span, StreamKey, TrackSamples},
    store,
    upkeep::Upkeep,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

/// Starts that are tried, each a microsecond later, before a name is given up.
const STARTS_TRIED_MAX: i64 = 1000;

/// Complete segments that are held in memory while the index takes none, at 10 to 20 KiB each: hours of a few streams.
/// Those beyond are found again by a rebuild once the index takes rows.
const UNSAVED_MAX: usize = 4096;
/// A read of the index that takes longer is given up: the database's disk hangs.
const READ_MAX: Duration = Duration::from_secs(10);

/// Changes of a stream's rows, and of what grows.
pub type Version = (u64, u64);

/// Changes to commit, and whom to tell.
pub(super) struct Command {
    pub changes: Vec<Change>,
    pub done: oneshot::Sender<Result<(), store::Error>>,
}

/// Whether the index agrees with the directory yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// `recover` has not run, or has failed: nothing is deleted.
    Closed,
    /// The index speaks of this directory.
    Open {
        /// A rebuild is wanted.
        wants_reindex: bool,
    },
}

/// The archive. Cheap to clone.
#[derive(Clone)]
pub struct Archive(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub index: Index,
    pub growing: Growing,
    pub ledger: Ledger,
    pub hours: Hours,
    pub latest: Latest,
    pub ageing: Ageing,
    pub tables: Tables,
    pub disk: Disk,
    pub clock: Clock,
    pub events: Events,
    pub config: watch::Sender<Arc<Config>>,
    /// Fixed: a change of it needs a restart.
    pub dir: PathBuf,
    pub commands: mpsc::Sender<Command>,
    pub usage: watch::Sender<Arc<Usage>>,
    pub space: watch::Sender<Option<Space>>,
    pub phase: watch::Sender<Phase>,
    pub retention: Upkeep,
    /// One permit, for the sweep that runs.
    pub sweeping: Semaphore,
    pub repair: Upkeep,
    pub free: Gauge,
    pub free_inodes: Gauge,
    pub health: health::Watch,
    /// The threads that footage is written on, to see whether they get on.
    pub writing: Disk,
    /// Threads that read the index: they do not wait for footage's disk.
    pub reading: Disk,
}

impl Archive {
    /// Puts in order what a crash left. Call it once at start, before anything is recorded; the task need not run yet.
    /// Fails where the directory is not the one that the index speaks of.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        let settled = identity::establish(self.dir(), self.index(), self.disk(), Doubt::Refuse).await?;
        self.0.health.settle(settled.identity);
        let index = self.index().clone();
        let saved = self.disk().run(move |_| index.aged_to()).await??;
        // A host without a battery begins in 1970: what was recorded last is then not of the future.
        let reached = sweep::age_from(self, saved).await;
        let (mut recovered, changes) =
            recover::recover(self.dir(), self.index(), self.disk(), self.clock().wall().max(reached)).await?;
        // What was not found is gone only where the disk was there all the while.
        self.confirm().await?;
        recovered.adopted = settled.adopted;
        // Nothing else writes yet, so this does not wait for the task.
        match self.commit_now(changes.clone()).await {
            Err(error) if error.kind() == Kind::NoSpace => {
                tracing::warn!(%error, changes = changes.len(), "the index takes what was recovered once there is room");
                self.hold(changes);
            }
            other => other?,
        }
        self.0.ledger.restore(self.index(), self.disk()).await?;
        self.0.phase.send_replace(Phase::Open { wants_reindex: recovered.wants_reindex });
        self.0.retention.poke();
        self.0.repair.poke();
        tracing::info!(?recovered, "archive is open");
        Ok(recovered)
    }

    /// Fails unless the recordings directory is there and the right one.
    pub(super) async fn confirm(&self) -> Result<(), Error> {
        let archive = self.clone();
        self.disk().run(move |files| archive.enter(files).map(drop)).await?
    }

    /// Lists what the index cannot take yet; the task tries again. What goes from the index is found again by the next
    /// start.
    fn hold(&self, changes: Vec<Change>) {
        for change in changes {
            if let Change::Put { segment, table: Some(table), .. } = change {
                self.growing().hold(segment, table);
            }
        }
    }

    /// Rebuilds every row from the files alone, taking the directory as it is for the right one. The task must run.
    pub async fn reindex(&self, progress: impl FnMut(Progress)) -> Result<Summary, Error> {
        let settled = identity::establish(self.dir(), self.index(), self.disk(), Doubt::Adopt).await?;
        self.0.health.settle(settled.identity);
        let summary = reindex::reindex(self, progress).await?;
        self.0.tables.clear();
        self.0.repair.poke();
        Ok(summary)
    }

    /// Compares rows and files both ways; changes nothing. It may run beside recording.
    pub async fn verify(&self, thorough: Thorough, progress: impl FnMut(VerifyProgress)) -> Result<Report, Error> {
        verify::verify(self, thorough, progress).await
    }

    /// Computes the checksums that are still missing; the task does so in the background. Answers how many it made.
    pub async fn hash_pending(&self) -> Result<u64, Error> {
        super::repair::hash_pending(self, || false).await
    }

    /// A start and a suffix that no segment of the stream has: the given start, or one a few microseconds later.
    pub async fn free_name(&self, stream: &StreamKey, start: Wall) -> Result<(Wall, u32), Error> {
        let start = layout::nameable(start);
        if self.0.latest.is_before(stream, start) {
            return Ok((start, 0));
        }
        let (archive, stream, growing) = (self.clone(), stream.clone(), self.growing().of(stream));
        let find = move || -> Result<(Wall, u32), Error> {
            let index = archive.index();
            archive.0.latest.learn(&stream, index.newest(&stream)?.map(|row| row.start));
            let mut same_ms = index.of_millisecond(&stream, start.millis())?;
            same_ms.extend(growing.into_iter().filter(|s| s.start.millis() == start.millis()));
            let taken = |start: Wall| same_ms.iter().any(|s| s.start == start);
            let mut free = (0..STARTS_TRIED_MAX).map(|n| start.plus_micros(n)).filter(|s| s.millis() == start.millis());
            let start = free.find(|s| !taken(*s)).ok_or_else(|| Error::NotFound(format!("name for {start}")))?;
            let suffix = (0..=layout::SUFFIX_MAX).find(|n| same_ms.iter().all(|s| s.name_suffix != *n));
            Ok((start, suffix.unwrap_or(layout::SUFFIX_MAX)))
        };
        self.reading().run_within(READ_MAX, move |_| find()).await?
    }

    /// Lists closed segments that somebody laid into the directory, as they are given: nothing is looked at. For who
    /// makes archives, not for who records.
    pub async fn insert(&self, segments: Vec<(Segment, Option<Arc<SampleTable>>)>) -> Result<(), Error> {
        let put = |(segment, table)| Change::Put { segment, table, mark: None };
        self.apply_changes(segments.into_iter().map(put).collect()).await
    }

    /// Rows of gaps that somebody lays, as they are given. For who makes archives, not for who records.
    pub async fn insert_gaps(&self, stream: &StreamKey, gaps: &[Gap]) -> Result<(), Error> {
        let mut rows = Unsaved::default();
        gaps.iter().for_each(|gap| rows.gap(stream, gap.start, Some(*gap)));
        self.ledger().rows().commit(rows.batch()?).await
    }

    /// A file has its first fragment, and both are durable: it is listed from now on, and has a row once this answers.
    pub async fn opened(&self, segment: Segment, table: SampleTable) -> Result<(), Error> {
        let mut changes = vec![Change::Put { segment: segment.clone(), table: None, mark: Some(Mark::Growing) }];
        if let Some(taken) = self.0.ageing.taken(segment.start, sweep::moment(self.clock())) {
            changes.push(Change::Taken { stream: segment.stream.clone(), start: segment.start, taken });
        }
        self.ledger().begun(&segment);
        self.0.latest.begins(&segment.stream, segment.start);
        self.growing().open(segment, table);
        self.apply_changes(changes).await
    }

    /// A file is there whole, and durable: listed from now on, and in the index once this answers. Where the index cannot
    /// take it, it stays listed, and the task tries again.
    pub async fn added(&self, segment: Segment, table: SampleTable) -> Result<(), Error> {
        let table = Arc::new(table);
        self.ledger().begun(&segment);
        self.0.latest.begins(&segment.stream, segment.start);
        self.growing().hold(segment.clone(), table.clone());
        self.save_closed(segment, table, None).await
    }

    /// A file has one more fragment: `segment` as it is now, and the samples that were added.
    pub fn extended(&self, segment: Segment, video: &TrackSamples, audio: &TrackSamples) {
        self.ledger().extended(&segment);
        self.growing().extend(segment, video, audio);
    }

    /// A file is complete; `whole` where it holds exactly what is listed, so that what it has no checksum for is not to be
    /// summed. Where the index cannot take it, it stays listed, and the task tries again.
    pub async fn closed(&self, segment: Segment, whole: bool) -> Result<(), Error> {
        let segment = Segment { closed: true, ..segment };
        let Some(table) = self.growing().close(segment.clone()) else {
            return Err(Error::NotFound(format!("{} of {}", segment.start, segment.stream)));
        };
        let mark = mark_of(&segment).filter(|_| !whole);
        self.save_closed(segment, table, mark).await
    }

    /// Closes what grows of a stream, as far as it is listed: its writer is gone.
    pub async fn close_left_open(&self, stream: &StreamKey) -> Result<(), Error> {
        for segment in self.growing().of(stream).into_iter().filter(|s| !s.closed) {
            self.closed(segment, false).await?;
        }
        Ok(())
    }

    /// The file of a growing segment was taken away: nothing of it is left to list.
    pub async fn vanished(&self, segment: &Segment) -> Result<(), Error> {
        self.growing().forget(&segment.stream, segment.start);
        self.apply_changes(vec![Change::Drop { stream: segment.stream.clone(), start: segment.start }]).await
    }

    pub(super) async fn save_closed(
        &self,
        segment: Segment,
        table: Arc<SampleTable>,
        mark: Option<Mark>,
    ) -> Result<(), Error> {
        let (stream, start) = (segment.stream.clone(), segment.start);
        let saved = self.apply_changes(vec![Change::Put { segment, table: Some(table.clone()), mark }]).await;
        if saved.is_err() && self.growing().shed(UNSAVED_MAX) > 0 {
            // Their files say all that their rows would.
            self.0.phase.send_replace(Phase::Open { wants_reindex: true });
        }
        saved?;
        self.0.tables.put(&stream, start, table);
        self.growing().forget(&stream, start);
        Ok(())
    }

    /// A last try to commit what the index could not take, at a stop. The files say it all to the next start, too.
    pub(super) async fn save_held(&self) {
        let put = |(segment, table): (Segment, Arc<SampleTable>)| {
            let mark = mark_of(&segment);
            Change::Put { segment, table: Some(table), mark }
        };
        let held: Vec<Change> = self.growing().unsaved().into_iter().map(put).collect();
        let segments = held.len();
        if let Err(error) = self.commit_now(held).await {
            tracing::warn!(%error, segments, "the index did not take all segments; the next start finds their files");
        }
    }

    /// As of which changes the segments of a stream are listed. Does not wait. Who reads it, and the segments after it, has
    /// them as they are for as long as it stays the same.
    pub fn version(&self, stream: &StreamKey) -> Version {
        (self.0.hours.changes(stream), self.growing().changes(stream))
    }

    /// The segments that have a moment in common with the range, growing ones among them, by start; the first `limit`.
    pub async fn segments(&self, stream: &StreamKey, range: Range, limit: usize) -> Result<Vec<Segment>, Error> {
        // Memory first: what is closed in between is then in the index for certain.
        let growing = self.growing().overlapping(stream, range);
        let (index, of) = (self.index().clone(), stream.clone());
        let mut rows = self.reading().run_within(READ_MAX, move |_| index.overlapping(&of, range, limit)).await??;
        rows.retain(|row| growing.iter().all(|g| g.start != row.start));
        rows.extend(growing);
        rows.sort_by_key(|s| s.start);
        rows.truncate(limit);
        Ok(rows)
    }

    /// The segments that have a moment in common with the range, growing ones among them, joined where they follow one
    /// another.
    pub async fn spans(&self, stream: &StreamKey, range: Range) -> Result<Vec<Span>, Error> {
        Ok(self.spans_of(std::slice::from_ref(stream), range).await?.pop().unwrap_or_default())
    }

    /// The same of each of some streams. Long ranges are put together from what is remembered of whole hours, which takes
    /// less than to wake a disk thread: one looks at all of them.
    pub async fn spans_of(&self, streams: &[StreamKey], range: Range) -> Result<Vec<Vec<Span>>, Error> {
        // Memory first, as for `segments`.
        let of: Vec<_> = streams.iter().map(|stream| (stream.clone(), self.growing().of(stream))).collect();
        let archive = self.clone();
        let read = move |(stream, growing): (StreamKey, Vec<Segment>)| {
            let runs = archive.0.hours.runs(archive.index(), &stream, range, &growing)?;
            Ok(runs.into_iter().map(Span::from).collect())
        };
        self.reading().run(move |_| of.into_iter().map(read).collect()).await?
    }

    /// One segment by its start, growing or not.
    pub async fn segment(&self, stream: &StreamKey, start: Wall) -> Result<Option<Segment>, Error> {
        if let Some(found) = self.growing().of(stream).into_iter().find(|s| s.start == start) {
            return Ok(Some(found));
        }
        let (index, of) = (self.index().clone(), stream.clone());
        self.reading().run_within(READ_MAX, move |_| index.row(&of, start)).await?
    }

    /// Where a segment's samples lie. Of a growing one it may hold more samples than `segment` counts.
    pub async fn table(&self, segment: &Segment) -> Result<Arc<SampleTable>, Error> {
        let (stream, start) = (&segment.stream, segment.start);
        if let Some(table) = self.growing().table(stream, start).or_else(|| self.0.tables.get(stream, start)) {
            return Ok(table);
        }
        let (index, of) = (self.index().clone(), stream.clone());
        let table = self.reading().run_within(READ_MAX, move |_| index.table(&of, start)).await??;
        let table = Arc::new(table.ok_or_else(|| Error::NotFound(format!("{start} of {stream}")))?);
        self.0.tables.put(stream, start, table.clone());
        Ok(table)
    }

    /// Where a segment's file lies.
    pub fn path(&self, segment: &Segment) -> PathBuf {
        self.path_of(&segment.stream, segment.start, segment.name_suffix)
    }

    /// Where the file of a segment with this name would lie.
    pub fn path_of(&self, stream: &StreamKey, start: Wall, suffix: u32) -> PathBuf {
        super::scan::path_of(self.dir(), stream, Name { start_ms: layout::nameable(start).millis(), suffix })
    }

    /// The streams that have footage.
    pub fn streams(&self) -> Vec<StreamKey> {
        self.0.usage.borrow().keys().cloned().collect()
    }

    /// What the footage of each stream takes, growing files with what they had when they were begun.
    pub fn usage(&self) -> Usage {
        self.0.usage.borrow().as_ref().clone()
    }

    /// Bytes of all footage now, what growing files have so far included.
    pub fn footage_bytes(&self) -> u64 {
        let indexed: u64 = self.0.usage.borrow().values().map(|of_stream| of_stream.bytes).sum();
        indexed + self.growing().uncounted_bytes()
    }

    /// Space of the recordings' file system, as of the last look at it; None before the first, or where it does not say.
    pub fn space(&self) -> Option<Space> {
        *self.0.space.borrow()
    }

    /// Whether less was free at the last look than is to be kept free. False where that cannot be said, or nothing is
    /// to be deleted.
    pub(super) fn is_short_of_space(&self) -> bool {
        let config = self.config();
        let short = |space: Space| space.free_bytes < config.min_free_bytes(space.total_bytes);
        self.phase() != Phase::Closed && self.space().is_some_and(short)
    }

    /// The recordings directory.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Other limits, from now on. The directory is not changed.
    pub fn apply(&self, config: Config) {
        self.0.config.send_replace(Arc::new(config));
        self.0.ledger.age_anew();
        self.0.retention.poke();
    }

    /// The disk is full, or a limit may be broken: retention runs at once.
    pub fn poke_retention(&self) {
        self.0.retention.poke();
    }

    /// The reconcilers, for the console: retention, and the repair of rows.
    pub fn upkeep(&self) -> [Upkeep; 2] {
        [self.0.retention.clone(), self.0.repair.clone()]
    }

    /// Removes now what the limits say; the task does so by itself.
    pub async fn sweep(&self) -> Result<sweep::Swept, Error> {
        sweep::sweep(self).await
    }

    /// Commits changes, together with those of others. Answers once they are durable.
    pub(super) async fn apply_changes(&self, changes: Vec<Change>) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        self.0.commands.send(Command { changes, done }).await.map_err(|_| Error::Stopped)?;
        Ok(answer.await.map_err(|_| Error::Stopped)??)
    }

    /// Commits changes and publishes what each stream takes. Only one at a time: the task, or `recover` before it.
    pub(super) async fn commit_now(&self, changes: Vec<Change>) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let (index, before) = (self.index().clone(), self.usage());
        let rows: Vec<_> = changes.iter().filter_map(Change::row).map(|(s, start)| (s.clone(), start)).collect();
        rows.iter().for_each(|(stream, start)| self.0.latest.begins(stream, *start));
        let (batch, usage) = self.reading().run(move |_| index.stage(before, &changes)).await??;
        let committed = self.index().commit(batch).await;
        // Also after a failure, which does not say that nothing was written.
        rows.iter().for_each(|(stream, start)| self.0.hours.changed(stream, *start));
        committed?;
        self.0.usage.send_replace(Arc::new(usage));
        Ok(())
    }

    pub(super) fn publish_space(&self, space: Option<Space>) {
        self.0.free.set(sweep::free_bytes(space));
        self.0.free_inodes.set(space.map_or(0, |s| i64::try_from(s.free_inodes).unwrap_or(i64::MAX)));
        self.0.space.send_replace(space);
    }

    pub(super) fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    pub(super) fn index(&self) -> &Index {
        &self.0.index
    }

    /// What should have been recorded and was not.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    pub(super) fn growing(&self) -> &Growing {
        &self.0.growing
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.0.disk
    }

    pub(super) fn reading(&self) -> &Disk {
        &self.0.reading
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(super) fn events(&self) -> &Events {
        &self.0.events
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.0.config.borrow().clone()
    }
}

/// What is to be done for a closed row: a file that was not summed up may also be one whose last write failed.
pub(super) fn mark_of(segment: &Segment) -> Option<Mark> {
    segment.sum.is_none().then_some(Mark::Unhashed)
}
