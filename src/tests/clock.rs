//! The host's clock is set while a daemon records, again and again: nothing is lost, overwritten, deleted early or
//! filed where it was not taken. The daemon is a process of its own whose clock libfaketime moves; the cameras live by
//! the true time.
//!
//! `STEPS=30 ./test clock` sets it more often than CI does; `benches/rig/clock` does so in one command.

use super::{
    harness::{Process, Recorded, Site, assert_consecutive, counters_by_ffmpeg, files, key, nvr, read_file, until},
    host_clock::HostClock,
};
use crate::{
    archive::layout,
    base::{Clock, Wall},
    model::Profile,
    sim::Mark,
};
use rand::seq::IndexedRandom;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const KEY: &str = "nvr/1/main";
const STEPS_DEFAULT: u32 = 8;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// How the clock is set, in milliseconds. The last is too little to be a step.
const STEPS_MS: [i64; 9] = [-HOUR, DAY, -YEAR, YEAR, -30_000, 30_000, -700, 900, 40];
/// A file lies this close to where the clock of its time says.
const NEAR_MICROS: i64 = 600_000;

fn steps() -> u32 {
    std::env::var("STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(STEPS_DEFAULT)
}

fn start(site: &Site, clock: &HostClock, more: &str) -> Process {
    fs::write(site.config_file(), site.config(more)).unwrap();
    let env = clock.env();
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    Process::start(&site.config_file(), &site.dir.path().join("log"), &env)
}

/// One recorded file: what its name says, and its pictures.
struct File {
    path: PathBuf,
    start: Wall,
    end: Wall,
    marks: Vec<Mark>,
}

impl File {
    fn read(path: PathBuf) -> Self {
        let Recorded { start, end, marks } = read_file(&path);
        let named = layout::path(&key(KEY), start, 0);
        let stem = |p: &Path| p.file_stem().unwrap().to_str().unwrap().split('-').next().unwrap().to_owned();
        assert_eq!(stem(&path), stem(&named), "the name says when it was taken");
        Self { path, start, end, marks }
    }

    /// How far the clock was off by which it was filed.
    fn off_micros(&self) -> i64 {
        self.start.micros_since(self.marks[0].wall)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_again_and_again_loses_overwrites_and_deletes_nothing() {
    let site = Site::new(nvr(1)).await;
    // A host without a battery: it is 1970 when recording begins, and NTP comes later.
    let since_1970 = Clock::real().wall().millis();
    let mut clock = HostClock::new(site.dir.path(), -since_1970 + HOUR);
    let mut process = start(&site, &clock, "retain_days = 1");
    let api = site.api();
    api.until_recorded(KEY, 3.0).await;

    let mut offs = vec![clock.off_ms];
    let mut worst = Duration::ZERO;
    for n in 0..steps() {
        let by = *STEPS_MS.choose(&mut rand::rng()).unwrap();
        let off = if n == 0 { 0 } else { clock.off_ms + by };
        // Not before 1970, nor where a calendar ends.
        let off = if (-40 * YEAR..200 * YEAR).contains(&off) { off } else { 0 };
        let began = tokio::time::Instant::now();
        clock.set(off);
        offs.push(off);
        until(&format!("footage by a clock that is {off} ms off: {}", process.log_text()), || async {
            let last: Wall = api.stream(KEY).await["last_frame"].as_str()?.parse().ok()?;
            let now = Clock::real().wall().plus_micros(off * 1000);
            (now.micros_since(last).abs() < NEAR_MICROS).then_some(())
        })
        .await;
        worst = worst.max(began.elapsed());
        // Two files of it.
        let counter = site.nvr.last_counter(1, Profile::Main);
        until("more pictures", || async { (site.nvr.last_counter(1, Profile::Main) > counter + 60).then_some(()) })
            .await;
    }
    play_all(&site, &offs).await;
    // From 1970 on there is a hole, and it has its cause.
    let gaps = api.json("/api/v1/gaps?stream=nvr/1/main").await;
    let of_step = |gap: &serde_json::Value| gap["cause"] == "clock_step";
    assert!(gaps["gaps"].as_array().unwrap().iter().any(of_step), "{gaps}");
    let told = api.json("/api/v1/segments?stream=nvr/1/main").await;
    let metrics = String::from_utf8(api.get("/metrics").await.to_vec()).unwrap();
    let seen = offs.windows(2).filter(|o| (o[1] - o[0]).abs() >= 100).count();
    assert!(metrics.contains(&format!("skyvis_clock_steps_total {seen}\n")), "{seen} steps: {metrics}");
    assert!(process.terminate().await, "{}", process.log_text());
    assert!(!process.log_text().contains("old footage removed"));

    let all: Vec<File> = files(&site.recordings(), KEY).into_iter().map(File::read).collect();
    assert!(told["segments"].as_array().unwrap().len() + 2 >= all.len(), "all of it is listed");
    assert_all_is_there(&all, &offs);
    // For people who ask with --nocapture.
    println!("{} steps, {} files: at worst {worst:?} until footage bore the new time", steps(), all.len());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_ahead_leaves_a_gap_from_the_last_frame_by_the_old_time_to_the_first_by_the_new() {
    let site = Site::new(nvr(1)).await;
    let mut clock = HostClock::new(site.dir.path(), 0);
    let mut process = start(&site, &clock, "");
    let api = site.api();
    api.until_recorded(KEY, 3.0).await;
    let gaps = || async { api.json(&format!("/api/v1/gaps?stream={KEY}")).await };
    assert_eq!(gaps().await["gaps"], serde_json::json!([]));
    clock.set(60_000);
    let told = until("the gap of the step", || async {
        let told = gaps().await;
        // Footage is seen a moment before the row that says why there was none.
        told["gaps"].as_array()?.first().filter(|gap| !gap["end"].is_null() && gap["cause"] != "unknown")?;
        Some(told)
    })
    .await;
    api.until_recorded(KEY, 6.0).await;
    assert_eq!(gaps().await["gaps"], told["gaps"], "one gap, and no more of it");
    let gap = &told["gaps"][0];
    assert_eq!((&gap["cause"], told["gaps"].as_array().unwrap().len()), (&"clock_step".into(), 1), "{told}");
    let at = |value: &serde_json::Value| value.as_str().unwrap().parse::<Wall>().unwrap();
    let (from, to) = (at(&gap["start"]), at(&gap["end"]));
    let seconds = to.micros_since(from) as f64 / 1e6;
    assert!((seconds - 60.0).abs() < 0.6, "{seconds} s of {told}");
    let metrics = String::from_utf8(api.get("/metrics").await.to_vec()).unwrap();
    let line = metrics.lines().find(|l| l.starts_with("skyvis_recording_gap_seconds_total{cause=\"clock_step\"}"));
    let counted: f64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((counted - seconds).abs() < 0.01, "{counted} of {seconds}");
    assert!(process.terminate().await, "{}", process.log_text());
    // From the last picture by the old time to the first by the new; of the pictures themselves none is missing.
    let all: Vec<File> = files(&site.recordings(), KEY).into_iter().map(File::read).collect();
    let next = all.iter().position(|f| f.start.plus_micros(1_000) > to).unwrap();
    assert!((all[next].start.micros_since(to)).abs() < 1_000 && (all[next - 1].end.micros_since(from)).abs() < 1_000);
    let counters: Vec<u64> = all.iter().flat_map(|f| f.marks.iter().map(|m| m.counter)).collect();
    assert_consecutive(&counters, "over the step");
    site.stop().await;
}

/// Every picture once, in a file that lies by the clock of its time, beside the others of the same clock.
fn assert_all_is_there(all: &[File], offs: &[i64]) {
    let mut counters: Vec<u64> = all.iter().flat_map(|f| f.marks.iter().map(|m| m.counter)).collect();
    counters.sort_unstable();
    assert_consecutive(&counters, "all files together");
    let mut by_clock: Vec<(i64, &File)> = Vec::new();
    for file in all {
        let counters: Vec<u64> = file.marks.iter().map(|m| m.counter).collect();
        assert_consecutive(&counters, &file.path.display().to_string());
        let near = |off: &&i64| (file.off_micros() - **off * 1000).abs() < NEAR_MICROS;
        let off = offs.iter().find(near).unwrap_or_else(|| panic!("{}: filed by no clock", file.path.display()));
        by_clock.push((*off, file));
    }
    by_clock.sort_by_key(|(off, file)| (*off, file.marks[0].counter));
    for pair in by_clock.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let (a, b) = (pair[0].1, pair[1].1);
        // Where time was slewed by what is too little for a step, or two clocks lie so near to each other.
        let overlap = a.end.micros_since(b.start);
        assert!(overlap <= NEAR_MICROS, "{} lies {overlap} µs in {}", b.path.display(), a.path.display());
        let follows = b.marks[0].counter == a.marks.last().unwrap().counter + 1;
        let same_session = a.off_micros().abs_diff(b.off_micros()) < 50_000;
        assert!(
            !follows || !same_session || overlap.abs() < 50_000,
            "{} follows {}",
            b.path.display(),
            a.path.display()
        );
    }
}

/// Plays the footage of each clock by its own time.
async fn play_all(site: &Site, offs: &[i64]) {
    let api = site.api();
    let listed = api.json("/api/v1/segments?stream=nvr/1/main").await;
    let listed = listed["segments"].as_array().unwrap();
    let starts: Vec<Wall> = listed.iter().map(|s| s["start"].as_str().unwrap().parse().unwrap()).collect();
    assert!(starts.is_sorted(), "lists are in order of time");
    for off in offs {
        let now = Clock::real().wall().plus_micros(off * 1000);
        let of_clock = |s: &&Wall| s.micros_since(now).abs() < HOUR * 500;
        let Some(from) = starts.iter().find(of_clock) else { panic!("nothing is listed of {off}") };
        let to = from.plus_micros(900_000);
        let mp4 = site.dir.path().join("vod.mp4");
        fs::write(&mp4, api.get(&format!("/media/{KEY}/vod.mp4?from={from}&to={to}")).await).unwrap();
        let counters = counters_by_ffmpeg(&mp4);
        assert!(counters.len() > 10, "{off}: {} pictures from {from} on", counters.len());
    }
}
