//! `reindex`: every row of the index rebuilt from the files, by the daemon while it runs and by this process while it
//! does not.

use super::{
    Out, args,
    care::{data_config, open_store, why_neither},
    daemon::Daemon,
    error::Error,
    save::unless_interrupted,
};
use crate::{
    archive::{self, Archive, Progress, Summary},
    base::{Clock, Metrics, TaskGroup},
    config::{Config, Env},
    disk::Disk,
    events::Events,
    store::Store,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::time::Duration;

/// Files are scanned by so many at once; more would only make a disk seek.
const DISK_THREADS: usize = 4;
/// What was begun at the end is given this long.
pub(super) const STOP: Duration = Duration::from_secs(30);

/// `skyvis reindex`
pub(super) async fn reindex(args: &args::Admin, env: &Env, out: &mut Out) -> Result<(), Error> {
    let summary = match &args.admin {
        Some(_) => by_daemon(args, env).await?,
        None => {
            let config = data_config(&args.file, env)?;
            // A store that was lost is made anew: what is in it comes out of the files.
            match open_store(&config, true) {
                Ok(store) => {
                    unless_interrupted(offline(&config, store), "run it again; it goes on from the files").await?
                }
                Err(refused) => match by_daemon(args, env).await {
                    Err(not_running @ Error::NotRunning { .. }) => return Err(why_neither(Some(refused), not_running)),
                    outcome => outcome?,
                },
            }
        }
    };
    show(&summary, args.json, out);
    Ok(())
}

async fn by_daemon(args: &args::Admin, env: &Env) -> Result<Value, Error> {
    let daemon = Daemon::of(args, env)?.patient();
    unless_interrupted(daemon.post("/api/v1/reindex"), "the daemon goes on with it").await
}

/// The archive of a data directory whose daemon does not run, and its task.
pub(super) fn offline_archive(config: &Config, store: &Store) -> Result<(Archive, TaskGroup), Error> {
    let (disk, group) = (Disk::real(DISK_THREADS), TaskGroup::new());
    // Nobody reads the events of a process that is about to end.
    let deps = archive::Deps {
        store: store.clone(),
        writing: disk.clone(),
        disk,
        clock: Clock::real(),
        events: Events::discard(),
        metrics: Metrics::default(),
    };
    let (archive, task) = archive::build(config.archive(), deps)?;
    group.spawn("archive", task.run(group.stop_token()));
    Ok((archive, group))
}

async fn offline(config: &Config, store: Store) -> Result<Value, Error> {
    let (archive, group) = offline_archive(config, &store)?;
    let bar = bar();
    let outcome = archive.reindex(|at| show_progress(&bar, at)).await;
    bar.finish_and_clear();
    group.stop(STOP).await;
    store.close().await;
    outcome.map(|summary| as_json(&summary)).map_err(Error::from)
}

pub(super) fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{bar:32} {pos} of {len} files  {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn show_progress(bar: &ProgressBar, at: Progress) {
    bar.set_length(at.files);
    bar.set_position(at.files_done);
    bar.set_message(format!("{} of {} streams", at.streams_done, at.streams));
}

fn as_json(summary: &Summary) -> Value {
    json!({
        "segments": summary.segments,
        "mended": summary.mended,
        "dropped": summary.dropped,
        "gaps_mended": summary.gaps_mended,
        "damaged": summary.damaged,
        "damaged_files": summary.damaged_files,
        "foreign": summary.foreign,
    })
}

fn show(summary: &Value, json: bool, out: &mut Out) {
    if json {
        return out.json(summary);
    }
    for (key, what) in [
        ("segments", "files in the index"),
        ("mended", "had no row, or a wrong one"),
        ("dropped", "rows without a file, which went"),
        ("gaps_mended", "rows of gaps that were put right"),
        ("damaged", "files that cannot be understood, left where they are"),
        ("foreign", "entries that are not footage, left alone"),
    ] {
        if let Some(n) = summary[key].as_u64().filter(|n| *n > 0 || key == "segments") {
            out.line(format!("{what}: {n}"));
        }
    }
    for file in summary["damaged_files"].as_array().map_or(&[][..], Vec::as_slice) {
        out.line(format!("  {}", file.as_str().unwrap_or_default()));
    }
}
