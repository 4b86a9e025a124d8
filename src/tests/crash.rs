//! SIGKILL at random moments: nothing that was written is lost, and the next start needs no help.

use super::harness::{Process, SLOW_SYNCS, Site, assert_consecutive, counters_of_file, decode, files, nvr, until};
use crate::{model::Profile, sim};
use rand::Rng;
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

/// How often the daemon is killed; more by hand: `KILLS=50 ./test crash`.
fn kills() -> u32 {
    std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

const CHANNELS: u32 = 3;
/// A fragment of 500 ms, the frame that is held back, and what was on its way: more than this may not be lost.
const LOST_FRAMES_MAX: u64 = 25;
/// A disk so slow that each of the syncs of a file that is begun, one after the other, outlasts half a fragment.
const SLOW_SYNC_MS: &str = "300";

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_costs_at_most_the_last_fragment_and_the_next_start_needs_no_help() {
    kill_and_look(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_costs_no_more_on_a_disk_whose_syncs_take_long() {
    kill_and_look(&[(SLOW_SYNCS, SLOW_SYNC_MS)]).await;
}

async fn kill_and_look(env: &[(&str, &str)]) {
    let site = Site::new(sim::Options { audio: true, ..nvr(CHANNELS) }).await;
    let (mut worst_lost, mut slowest_start) = (0, Duration::ZERO);
    let mut killed: Option<(Vec<u64>, u64)> = None;
    for round in 0..=kills() {
        let mut process = site.process_with("", env);
        slowest_start = slowest_start.max(await_footage_of(&site, &process, round).await);
        // What was kept is what this start lists of it.
        if let Some((sent, moment)) = killed.take() {
            for (n, sent) in (1..=CHANNELS).zip(sent) {
                let lost = sent.saturating_sub(kept(&site, n, sent).await);
                worst_lost = worst_lost.max(lost);
                let when = format!("round {round}, channel {n}: {lost} frames lost, killed after {moment} ms");
                assert!(lost <= LOST_FRAMES_MAX, "{when}");
            }
        }
        if round == kills() {
            finish(&site, process).await;
            break;
        }
        // Any moment: between two fragments, in a write, in a cut, in a commit.
        let moment = rand::rng().random_range(0..2500);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        let sent = (1..=CHANNELS).map(|n| site.nvr.last_counter(n, Profile::Main)).collect();
        process.kill();
        killed = Some((sent, moment));
    }
    // For people who ask with --nocapture; how fast a machine is decides no test.
    println!("{} kills: {worst_lost} frames lost at worst, slowest start ready after {slowest_start:?}", kills());
    site.stop().await;
}

/// The last picture that is listed of those sent up to `sent`.
async fn kept(site: &Site, channel: u32, sent: u64) -> u64 {
    let of_file = |file: &PathBuf| counters_of_file(file).into_iter().rfind(|counter| *counter <= sent);
    listed(site, channel).await.iter().rev().find_map(of_file).expect("recorded before the kill")
}

/// The files of a channel that are in the index, oldest first.
async fn listed(site: &Site, channel: u32) -> Vec<PathBuf> {
    let found = site.api().json(&format!("/api/v1/segments?stream=nvr/{channel}/main&limit=10000")).await;
    let names: BTreeSet<&str> =
        found["segments"].as_array().unwrap().iter().filter_map(|s| s["path"].as_str()?.rsplit('/').next()).collect();
    let name = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
    let mut all = files(&site.recordings(), &format!("nvr/{channel}/main"));
    all.retain(|file| names.contains(name(file).as_str()));
    all
}

/// Everything that is on the disk is listed, and plays.
async fn finish(site: &Site, mut process: Process) {
    for n in 1..=CHANNELS {
        // A file that is begun just now has no name yet, or is not listed yet.
        until(&format!("all files of channel {n} in the index"), || async {
            let there = files(&site.recordings(), &format!("nvr/{n}/main"));
            (listed(site, n).await == there).then_some(())
        })
        .await;
    }
    assert!(process.terminate().await, "{}", process.log_text());
    for n in 1..=CHANNELS {
        let mut last = None;
        for file in files(&site.recordings(), &format!("nvr/{n}/main")) {
            assert_eq!(file.extension().unwrap(), "mp4", "nothing half-made is left after a clean stop");
            decode(&file);
            let counters = counters_of_file(&file);
            assert_consecutive(&counters, &file.display().to_string());
            assert!(last < counters.first().copied(), "{}: a picture is in two files", file.display());
            last = counters.last().copied();
        }
    }
}

/// Waits until this start of the daemon has written something of every channel; how long it took to be ready.
async fn await_footage_of(site: &Site, process: &Process, round: u32) -> Duration {
    let (api, began) = (site.api(), tokio::time::Instant::now());
    until(&format!("readiness in round {round}: {}", process.log_text()), || async {
        api.try_get("/readyz").await.filter(|(status, _)| *status == 200)
    })
    .await;
    let ready = began.elapsed();
    for n in 1..=CHANNELS {
        let counter = site.nvr.last_counter(n, Profile::Main);
        until(&format!("footage of channel {n} in round {round}"), || async {
            let newest = files(&site.recordings(), &format!("nvr/{n}/main"))
                .into_iter()
                .rfind(|f| f.extension().is_some_and(|e| e == "mp4"))?;
            counters_of_file(&newest).last().filter(|c| **c > counter).copied()
        })
        .await;
    }
    ready
}
