//! What is done for the store while the daemon runs: exports that a damaged one is restored from, and an end to the
//! process when it takes no more writes.

use super::{
    Rooms,
    phases::{Phases, run_room},
};
use crate::{base::Clock, disk::Disk, store, upkeep};
use std::{path::PathBuf, time::Duration};
use tokio::sync::mpsc;

/// From one export to the next. What lies between is footage's index, which is rebuilt from the files, and events.
const EXPORT_EVERY: Duration = Duration::from_secs(3600);
/// Exports that are kept: a damaged store may have been exported, too.
const EXPORTS_KEPT: usize = 3;

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
/// is recorded could be found again.
pub(super) fn watch_store(rooms: &Rooms, phases: &Phases, ended: &mpsc::Sender<&'static str>) {
    let (mut health, stop, ended) = (rooms.store.watch_health(), phases.keeping.stop_token(), ended.clone());
    phases.keeping.spawn("store health", async move {
        let failed = |health: &store::Health| health.failed.is_some();
        let Some(Ok(state)) = stop.run_until_cancelled(health.wait_for(failed)).await else { return };
        tracing::error!(why = state.failed, "the store has failed");
        // One report is enough to stop the process.
        let _ = ended.try_send("store");
    });
}
