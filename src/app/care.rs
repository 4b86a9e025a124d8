//! What is done for the store while the daemon runs: exports that a damaged one is restored from, and an end to the
//! process when it takes no more writes.

use super::{
    Rooms,
    alive::Alive,
    phases::{Phases, run_room},
};
use crate::{
    base::{
        Clock,
        metrics::{Counter, GaugeF64},
    },
    disk::Disk,
    store, upkeep,
};
use serde_json::json;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// From one export to the next. What lies between is footage's index, which is rebuilt from the files, and events.
const EXPORT_EVERY: Duration = Duration::from_secs(3600);
/// How often it is tried whether the directory of a store that failed takes writes, and how long that may take.
const STORE_TRIAL_EVERY: Duration = Duration::from_secs(2);
const STORE_TRIAL_MAX: Duration = Duration::from_secs(5);
/// Exports that are kept: a damaged store may have been exported, too.
const EXPORTS_KEPT: usize = 3;

/// How often the clock is looked at. Whoever reads it meanwhile sees a step just as well; this is for who does not.
const CLOCK_EVERY: Duration = Duration::from_millis(250);

/// Tells of it where the host's clock is set: as an event, in the log and in the metrics.
pub(super) fn watch_clock(rooms: &Rooms, phases: &Phases) {
    let (clock, events, stop) = (rooms.clock.clone(), rooms.events.clone(), phases.keeping.stop_token());
    let steps: Counter =
        rooms.metrics.register("clock_steps", "Times that the host's clock was set", Counter::default());
    let last = rooms.metrics.register(
        "clock_last_step_seconds",
        "By how much the host's clock was set the last time; below 0 where it was set back",
        GaugeF64::default(),
    );
    phases.keeping.spawn("clock watch", async move {
        let mut told = clock.last_step().unwrap_or_default();
        while stop.run_until_cancelled(clock.sleep(CLOCK_EVERY)).await.is_some() {
            clock.read();
            let Some(step) = clock.last_step().filter(|step| step.number > told.number) else { continue };
            let seconds = (step.total_micros - told.total_micros) as f64 / 1e6;
            steps.inc_by(step.number - told.number);
            last.set(seconds);
            told = step;
            tracing::warn!(now = %step.to, seconds, "the host's clock was set");
            events.emit("clock.step", "", json!({ "seconds": seconds, "now": step.to }));
        }
    });
}

/// Exports the store now and every hour.
pub(super) fn export_store(rooms: &Rooms, phases: &Phases, exports: PathBuf, ended: &mpsc::Sender<&'static str>) {
    let (store, disk, clock): (_, Disk, Clock) = (rooms.store.clone(), rooms.disk.clone(), rooms.clock.clone());
    // The handle would poke it or ask how it went; nobody does either.
    let (_, task) = upkeep::build("store export", EXPORT_EVERY, clock.clone());
    let run = task.run(phases.keeping.stop_token(), move || {
        let (store, exports, now) = (store.clone(), exports.clone(), clock.wall());
        let disk = disk.clone();
        async move {
            let written = disk.run(move |_| store.export(&exports, now, EXPORTS_KEPT)).await;
            let written = written.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
            tracing::debug!(?written, "store exported");
            Ok::<(), String>(())
        }
    });
    run_room(&phases.keeping, "store export", ended, run);
}

/// Ends the process once the store has failed: only a restart recovers what was answered, and until then nothing that
/// is recorded could be found again. While its directory takes no writes a restart could not open it either, so the
/// rest runs on: live pictures, playback, footage on another disk.
pub(super) fn watch_store(rooms: &Rooms, alive: Arc<Alive>, phases: &Phases, ended: &mpsc::Sender<&'static str>) {
    let (mut health, stop, ended) = (rooms.store.watch_health(), phases.keeping.stop_token(), ended.clone());
    let clock = rooms.clock.clone();
    phases.keeping.spawn("store health", async move {
        let failed = |health: &store::Health| health.failed.is_some();
        let Some(Ok(why)) =
            stop.run_until_cancelled(health.wait_for(failed)).await.map(|h| h.map(|h| h.failed.clone()))
        else {
            return;
        };
        tracing::error!(why, "the store has failed");
        let mut told = false;
        while !alive.store_is_writable(STORE_TRIAL_MAX).await {
            if !std::mem::replace(&mut told, true) {
                tracing::error!(
                    "the disk of the database takes no writes; once it does, the process ends to be started again"
                );
            }
            if stop.run_until_cancelled(clock.sleep(STORE_TRIAL_EVERY)).await.is_none() {
                return;
            }
        }
        // One report is enough to stop the process.
        let _ = ended.try_send("store");
    });
}

/// The footage is older than the database: the one that it was recorded with is gone. Recording goes on and the index is
/// rebuilt from the files, but what else was in it comes back from an export only, which is kept for that.
pub(super) async fn tell_lost_store(disk: &Disk, exports: PathBuf) {
    let kept = disk.run(move |files| store::keep_newest_export(&exports, files)).await;
    match kept.map_err(|e| e.to_string()).and_then(|kept| kept.map_err(|e| e.to_string())) {
        Ok(Some(export)) => tracing::warn!(
            export = %export.display(),
            "the database was lost, or the footage comes from elsewhere: a new one is made and its index rebuilt from \
             the files; to get back what else was in it, stop skyvis and run `skyvis restore {}`", export.display()
        ),
        other => tracing::warn!(
            failure = other.err(),
            "the database was lost, or the footage comes from elsewhere: a new one is made and its index rebuilt from \
             the files; to get back what else was in it, stop skyvis and run `skyvis restore FILE` with a backup"
        ),
    }
}
