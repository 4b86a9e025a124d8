//! SIGKILL at random moments: nothing that was written is lost, and the next start needs no help.

use super::harness::{Process, Site, assert_consecutive, counters_of_file, decode, files, nvr, until};
use crate::{model::Profile, sim};
use rand::Rng;
use std::{collections::BTreeSet, time::Duration};

/// How often the daemon is killed; more by hand: `KILLS=50 ./test crash`.
fn kills() -> u32 {
    std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

const CHANNELS: u32 = 3;
/// A fragment of 500 ms, the frame that is held back, and what was on its way: more than this may not be lost.
const LOST_FRAMES_MAX: u64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_costs_at_most_the_last_fragment_and_the_next_start_needs_no_help() {
    let site = Site::new(sim::Options { audio: true, ..nvr(CHANNELS) }).await;
    let api = site.api();
    let (mut worst_lost, mut slowest_start) = (0, Duration::ZERO);
    for round in 0..kills() {
        let mut process = site.process("");
        slowest_start = slowest_start.max(await_footage_of(&site, &process, round).await);
        // Any moment: between two fragments, in a write, in a cut, in a commit.
        let moment = rand::rng().random_range(0..2500);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        let sent: Vec<u64> = (1..=CHANNELS).map(|n| site.nvr.last_counter(n, Profile::Main)).collect();
        process.kill();
        for (n, sent) in (1..=CHANNELS).zip(sent) {
            let newest = files(&site.recordings(), &format!("nvr/{n}/main"))
                .into_iter()
                .rfind(|f| f.extension().is_some_and(|e| e == "mp4"))
                .expect("recorded before the kill");
            let kept = counters_of_file(&newest).last().copied().expect("no .mp4 is without a whole fragment");
            let lost = sent.saturating_sub(kept);
            worst_lost = worst_lost.max(lost);
            assert!(
                lost <= LOST_FRAMES_MAX,
                "round {round}, channel {n}: {lost} frames lost, killed after {moment} ms"
            );
        }
    }

    // One more start: everything that is on disk is listed, and plays.
    let mut process = site.process("");
    await_footage_of(&site, &process, kills()).await;
    for n in 1..=CHANNELS {
        let key = format!("nvr/{n}/main");
        let listed = api.json(&format!("/api/v1/segments?stream={key}&limit=1000")).await;
        let paths: BTreeSet<String> =
            listed["segments"].as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap().to_owned()).collect();
        for file in files(&site.recordings(), &key) {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(name.ends_with(".tmp") || paths.iter().any(|p| p.ends_with(&name)), "{name} is not in the index");
        }
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
    // For people who ask with --nocapture; how fast a machine is decides no test.
    println!("{} kills: {worst_lost} frames lost at worst, slowest start ready after {slowest_start:?}", kills());
    site.stop().await;
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
