//! The task: the one writer of the index, and the reconcilers beside it.

use super::{
    Config, Error,
    ageing::Ageing,
    growing::Growing,
    handle::{Archive, Command, Phase, Shared},
    health,
    hours::Hours,
    index::{Index, Usage},
    latest::Latest,
    ledger::{Ledger, Rows},
    repair, sweep,
    tables::Tables,
};
use crate::{
    base::{Clock, Metrics, metrics::Gauge},
    disk::Disk,
    events::Events,
    store::{self, Store},
    upkeep::{self, UpkeepTask},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Commands that wait or are committed together: two for each of a few hundred streams.
const COMMANDS_MAX: usize = 512;
/// Threads that read the index, for listings, players and commits.
const READING_THREADS: usize = 2;
/// How often limits are looked at.
const RETENTION_EVERY: Duration = Duration::from_secs(10);
/// How often the disk is looked at in between: a small one is full before the next look at all limits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for what is to be put right.
const REPAIR_EVERY: Duration = Duration::from_secs(15);

/// What the archive stands on.
pub struct Deps {
    /// Where the index is.
    pub store: Store,
    /// Where the files are.
    pub disk: Disk,
    /// The threads that footage is written on; the same as `disk` where nothing is recorded.
    pub writing: Disk,
    /// Time.
    pub clock: Clock,
    /// Where deletions are reported.
    pub events: Events,
    /// Where sizes are shown.
    pub metrics: Metrics,
}

/// The only one that writes the index, once the archive is recovered.
pub struct ArchiveTask {
    archive: Archive,
    commands: mpsc::Receiver<Command>,
    retention: UpkeepTask,
    repair: UpkeepTask,
    stored: Gauge,
    segments: Gauge,
}

/// Makes the archive and its task. Blocks for a few reads of the store; nothing is read from the recordings yet.
pub fn build(config: Config, deps: Deps) -> Result<(Archive, ArchiveTask), Error> {
    let Deps { store, disk, writing, clock, events, metrics } = deps;
    let ledger = Ledger::new(Rows::new(store.clone()), clock.clone(), events.clone(), &metrics);
    let index = Index::new(store);
    let usage = watch::Sender::new(Arc::new(index.usage()?));
    let (commands, queue) = mpsc::channel(COMMANDS_MAX);
    let (retention, retention_task) = upkeep::build("retention", RETENTION_EVERY, clock.clone());
    let (repair, repair_task) = upkeep::build("archive repair", REPAIR_EVERY, clock.clone());
    let gauge = |name, help| metrics.register(name, help, Gauge::default());
    let archive = Archive(Arc::new(Shared {
        index,
        growing: Growing::default(),
        ledger,
        hours: Hours::default(),
        latest: Latest::default(),
        ageing: Ageing::default(),
        tables: Tables::default(),
        health: health::Watch::new(&disk, &clock, &events, &metrics),
        writing,
        reading: disk.beside(READING_THREADS),
        disk,
        clock,
        events,
        dir: config.dir.clone(),
        config: watch::Sender::new(Arc::new(config)),
        commands,
        usage,
        space: watch::Sender::new(None),
        phase: watch::Sender::new(Phase::Closed),
        retention,
        sweeping: Semaphore::new(1),
        repair,
        free: gauge("disk_free_bytes", "Free bytes of the recordings' file system"),
        free_inodes: gauge("disk_free_inodes", "Files that the recordings' file system can still take"),
    }));
    let task = ArchiveTask {
        archive: archive.clone(),
        commands: queue,
        retention: retention_task,
        repair: repair_task,
        stored: gauge("recording_stored_bytes", "Bytes of all indexed footage"),
        segments: gauge("recording_stored_segments", "Indexed segments"),
    };
    Ok((archive, task))
}

impl ArchiveTask {
    /// Commits, sweeps and repairs until stopped; what was sent before the stop is committed. Stop the recorder first.
    pub async fn run(self, stop: CancellationToken) {
        let Self { archive, mut commands, retention, repair, stored, segments } = self;
        show(&archive.usage(), &stored, &segments);
        let (sweeper, repairer) = (archive.clone(), archive.clone());
        let token = stop.clone();
        let sweeps = retention.run(stop.clone(), move || {
            let archive = sweeper.clone();
            async move {
                match archive.phase() {
                    Phase::Closed => Ok(()),
                    Phase::Open { .. } => sweep::sweep(&archive).await.map(|_| ()),
                }
            }
        });
        let repairs = repair.run(stop.clone(), move || {
            let (archive, stop) = (repairer.clone(), token.clone());
            async move { repair::repair(&archive, &stop).await }
        });
        let space = watch_disk(archive.clone(), stop.clone());
        let mended = repair_when_mended(archive.clone(), stop.clone());
        let ledger = archive.ledger().clone();
        let ledger = ledger.run(stop.clone());
        let mut writer = Writer { archive, stored, segments };
        // The writer goes on until the reconcilers, which wait for it, are done.
        let reconcilers = async {
            tokio::join!(sweeps, repairs, space, mended, ledger);
        };
        tokio::pin!(reconcilers);
        let mut reconciling = true;
        let mut batch = Vec::new();
        loop {
            let taken = tokio::select! {
                biased;
                () = &mut reconcilers, if reconciling => {
                    reconciling = false;
                    // What was sent before is still received; then `recv_many` answers 0.
                    commands.close();
                    continue;
                }
                taken = commands.recv_many(&mut batch, COMMANDS_MAX) => taken,
            };
            if taken == 0 {
                writer.archive.save_held().await;
                return;
            }
            writer.write(std::mem::take(&mut batch)).await;
        }
    }
}

/// Tells how the disk is, and has retention run as soon as less is free than is wanted.
async fn watch_disk(archive: Archive, stop: CancellationToken) {
    let mut had_room = true;
    while stop.run_until_cancelled(archive.clock().sleep(LOOK_EVERY)).await.is_some() {
        if archive.phase() == Phase::Closed {
            continue;
        }
        archive.look_at_health().await;
        if archive.is_short_of_space() {
            archive.poke_retention();
        }
        let has_room = archive.has_room();
        if has_room && !had_room {
            // What the index could not take, it may take now.
            archive.0.repair.poke();
        }
        had_room = has_room;
    }
}

/// Has rows put right after each trouble of the disk, also one that came and went between two looks: files may have lost
/// what was not durable.
async fn repair_when_mended(archive: Archive, stop: CancellationToken) {
    let mut health = archive.health();
    while let Some(Ok(())) = stop.run_until_cancelled(health.changed()).await {
        if health.borrow_and_update().trouble.is_none() {
            archive.0.repair.poke();
        }
    }
}

/// Commits changes and publishes what each stream takes.
struct Writer {
    archive: Archive,
    stored: Gauge,
    segments: Gauge,
}

impl Writer {
    async fn write(&mut self, batch: Vec<Command>) {
        let (changes, done): (Vec<_>, Vec<_>) = batch.into_iter().map(|c| (c.changes, c.done)).unzip();
        let changes = changes.into_iter().flatten().collect();
        let answer = match self.archive.commit_now(changes).await {
            Ok(()) => {
                show(&self.archive.usage(), &self.stored, &self.segments);
                Ok(())
            }
            Err(Error::Store(e)) => Err(e),
            Err(e) => Err(store::Error::Storage(e.to_string())),
        };
        for done in done {
            // Whoever asked may have gone away.
            let _ = done.send(answer.clone());
        }
    }
}

fn show(usage: &Usage, stored: &Gauge, segments: &Gauge) {
    let clamp = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    stored.set(clamp(usage.values().map(|u| u.bytes).sum()));
    segments.set(clamp(usage.values().map(|u| u.segments).sum()));
}
