//! How soon a large archive answers: `cargo bench --bench listing`.
//!
//! An index of 30 days of 100 cameras (8,640,000 segments of 30 s) is made, a daemon is started over it, and lists of
//! footage are asked for by ranges at random. A second index, of 1,000,000 segments with their sample tables, says how
//! long a start takes. A third one has gaps, which `/gaps` is asked for. Indexes are kept under `target` for the next run.
//!
//! `-- --days 3 --segments 100000` makes smaller ones; `-- --smoke` very small ones; `-- --gaps` measures the third only.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod gaps;
#[path = "../measure/http.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod http;
#[path = "../measure/process.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod process;

use http::{Client, percentile};
use rand::Rng;
use serde_json::{Value, json};
use skyvis::{
    archive::{self, Archive, Config, Limits, MinFree},
    base::{Clock, Metrics, TaskGroup, Wall},
    disk::Disk,
    events::Events,
    model::{Checksum, SampleTable, Segment, SessionId, StreamKey, Sum, TrackSamples, segment::Chunk},
    store::{Options, Store},
};
use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const SEGMENT_SECONDS: u64 = 30;
const SEGMENTS_A_DAY: u64 = 86_400 / SEGMENT_SECONDS;
/// Rows of one commit.
const BATCH: u64 = 4000;
const START_MAX: Duration = Duration::from_secs(120);
/// Lists asked for, of each kind.
const QUERIES: usize = 2000;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut days, mut segments, mut cameras) = (30, 1_000_000, 100);
    let mut only_gaps = false;
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(flag) = given.next() {
        let mut value =
            || given.next().ok_or(format!("{flag} needs a value"))?.parse::<u64>().map_err(|e| e.to_string());
        match flag.as_str() {
            "--days" => days = value()?,
            "--segments" => segments = value()?,
            "--gaps" => only_gaps = true,
            "--smoke" => (days, segments, cameras) = (1, 2_000, 2),
            other => return Err(format!("{other} is not known; see the top of benches/listing/main.rs").into()),
        }
    }
    let target = Path::new(env!("CARGO_BIN_EXE_skyvis")).parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let with_gaps = target.join(format!("gaps-{cameras}-{days}d"));
    let mut result = json!({ "bench": "listing", "cameras": cameras, "days": days });
    if !only_gaps {
        let listed = target.join(format!("listing-{cameras}-{days}d"));
        let started = target.join(format!("ready-{segments}"));
        lay(&listed, cameras, days * SEGMENTS_A_DAY, false)?;
        lay(&started, cameras, segments / cameras, true)?;
        let ready_ms: Vec<f64> = (0..3).map(|_| start(&started).map(|(_, _, took)| took)).collect::<Result<_, _>>()?;
        result = measure(&listed, cameras, days)?;
        result["ready_ms_with_tables"] = json!(process::median(ready_ms));
        result["segments_with_tables"] = json!(segments);
    }
    gaps::lay(&with_gaps, cameras, days)?;
    result["gaps"] = gaps::measure(&with_gaps, cameras, days)?;
    println!("| what | value |\n|---|---|");
    for (name, value) in result.as_object().into_iter().flatten() {
        println!("| {name} | {value} |");
    }
    println!("{result}");
    Ok(())
}

fn stream(n: u64) -> StreamKey {
    format!("nvr/{}/main", n + 1).parse().expect("a stream's key")
}

/// The last moment of all footage: a fixed one, so that an index can be used again.
fn end() -> Wall {
    Wall::from_millis(1_790_000_000_000)
}

fn begin(each: u64) -> Wall {
    end().minus(Duration::from_secs(each * SEGMENT_SECONDS))
}

/// Makes an index, unless an earlier run did.
fn lay(dir: &Path, cameras: u64, each: u64, with_tables: bool) -> Result<(), Box<dyn Error>> {
    let done = dir.join("laid");
    if done.exists() {
        return Ok(());
    }
    let began = Instant::now();
    open(dir, async |archive| {
        for n in 0..cameras {
            lay_stream(archive, &stream(n), each, with_tables).await?;
            eprint!(
                "\rlaying {}: {} of {cameras} cameras, {:.0} s",
                dir.display(),
                n + 1,
                began.elapsed().as_secs_f64()
            );
        }
        eprintln!();
        Ok(())
    })?;
    fs::write(done, format!("{:.0} s", began.elapsed().as_secs_f64()))?;
    Ok(())
}

/// Has somebody lay into a new archive.
fn open(dir: &Path, lay: impl AsyncFnOnce(&Archive) -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let (disk, metrics, clock) = (Disk::real(2), Metrics::default(), Clock::real());
        let store = Store::open(&dir.join("store"), Options::default(), &disk.files(), &metrics)?;
        let config = Config {
            dir: dir.join("recordings"),
            retain_bytes: None,
            defaults: Limits { retain_days: None, min_free: MinFree::Bytes(0), checksum: Checksum::Sha256 },
            devices: BTreeMap::new(),
        };
        let (writing, events) = (disk.clone(), Events::discard());
        let deps = archive::Deps { store: store.clone(), disk, writing, clock, events, metrics };
        let (archive, task) = archive::build(config, deps)?;
        archive.recover().await?;
        let group = TaskGroup::new();
        group.spawn("archive", task.run(group.stop_token()));
        lay(&archive).await?;
        group.stop(Duration::from_secs(60)).await;
        store.close().await;
        Ok(())
    })
}

async fn lay_stream(archive: &Archive, stream: &StreamKey, each: u64, with_tables: bool) -> Result<(), Box<dyn Error>> {
    let table = Arc::new(table());
    let mut rows = Vec::new();
    for n in 0..each {
        let segment = Segment {
            stream: stream.clone(),
            start: begin(each).plus(Duration::from_secs(n * SEGMENT_SECONDS)),
            duration_ticks: SEGMENT_SECONDS * 90_000,
            bytes: 15_500_000,
            frames: 750,
            session: SessionId(7),
            // Once a day something is missing.
            index: u32::try_from(n + n / SEGMENTS_A_DAY)?,
            name_suffix: 0,
            closed: true,
            sum: Sum::Sha256([n as u8; 32]),
        };
        rows.push((segment, with_tables.then(|| table.clone())));
        if rows.len() as u64 == if with_tables { BATCH / 10 } else { BATCH } || n + 1 == each {
            archive.insert(std::mem::take(&mut rows)).await?;
        }
    }
    Ok(())
}

/// As large as the table of 30 s of 25 pictures and 15.6 sounds a second, in fragments of half a second.
fn table() -> SampleTable {
    let mut rng = rand::rng();
    let mut track = |samples: usize, size: std::ops::Range<u32>, duration, keys: usize| TrackSamples {
        first_ticks: 0,
        offsets: Vec::new(),
        sizes: (0..samples).map(|_| rng.random_range(size.clone())).collect(),
        durations: vec![duration; samples],
        keys: (0..samples).step_by(keys).map(|n| n as u32).collect(),
        chunks: (0..60).map(|n| Chunk { offset: 2000 + n * 260_000, samples: samples as u32 / 60 }).collect(),
    };
    SampleTable {
        init_bytes: 1300,
        video_entry: vec![7; 180],
        audio_entry: vec![7; 90],
        width: 1280,
        height: 720,
        audio_timescale: 16_000,
        video: track(750, 9_000..60_000, 3600, 50),
        audio: TrackSamples { keys: Vec::new(), ..track(468, 200..400, 1024, 468) },
    }
}

/// A daemon over an index; it is ended with the answer.
fn start(dir: &Path) -> Result<(Daemon, SocketAddr, f64), Box<dyn Error>> {
    let (address, config) = (http::free_address()?, dir.join("skyvis.toml"));
    let text = format!(
        "data_dir = {:?}\n[admin]\nlisten = \"{address}\"\n[proxy]\nlisten = []\n[recording]\nretain_days = 0\nmin_free = \"0B\"\n",
        dir.display().to_string()
    );
    fs::write(&config, text)?;
    let mut command = process::on_core(0, env!("CARGO_BIN_EXE_skyvis"));
    command.args(["run", "--config"]).arg(&config).stdout(Stdio::null());
    let began = Instant::now();
    let child = command.stderr(fs::File::create(dir.join("skyvis.log"))?).spawn()?;
    let daemon = Daemon(child, dir.to_owned());
    let took = http::ready(address, began, START_MAX)?;
    Ok((daemon, address, took.as_secs_f64() * 1e3))
}

struct Daemon(Child, PathBuf);

impl Drop for Daemon {
    fn drop(&mut self) {
        if !process::end(&mut self.0) {
            eprintln!("the daemon did not end well; see {}", self.1.join("skyvis.log").display());
        }
    }
}

fn measure(dir: &Path, cameras: u64, days: u64) -> Result<Value, Box<dyn Error>> {
    let (daemon, address, ready_ms) = start(dir)?;
    let mut client = Client::connect(address)?;
    // The first list of each camera reads its rows, unless the daemon was quicker.
    let mut first = Vec::new();
    for n in 0..cameras {
        let began = Instant::now();
        client.get(&format!("/api/v1/recordings?stream={}", stream(n)), None, false)?;
        first.push(began.elapsed());
    }
    let (memory, _) = process::memory(&[daemon.0.id()]);
    let each = days * SEGMENTS_A_DAY;
    let mut rng = rand::rng();
    let mut range = |seconds: u64| {
        let spare = (days * 86_400).saturating_sub(seconds).max(1);
        let from = begin(each).plus(Duration::from_millis(rng.random_range(0..spare * 1000)));
        format!("from={from}&to={}", from.plus(Duration::from_secs(seconds)))
    };
    let mut run = |path: &mut dyn FnMut() -> String, queries: usize| -> Result<(f64, f64), Box<dyn Error>> {
        let mut times = Vec::with_capacity(queries);
        for _ in 0..queries {
            let (path, began) = (path(), Instant::now());
            let answer = client.get(&path, None, false)?;
            if answer.status != 200 {
                return Err(format!("{path}: {}", answer.status).into());
            }
            times.push(began.elapsed());
        }
        Ok((percentile(&mut times, 0.5), percentile(&mut times, 0.99)))
    };
    let camera = |rest: String| format!("stream={}&{rest}", stream(rand::rng().random_range(0..cameras)));
    let all_days = days * 86_400 - 3_600;
    let spans = run(&mut || format!("/api/v1/recordings?{}", camera(range(all_days))), QUERIES)?;
    let day = run(&mut || format!("/api/v1/recordings?{}", camera(range(86_400 / 2))), QUERIES)?;
    let segments = run(&mut || format!("/api/v1/segments?{}", camera(range(all_days))), QUERIES)?;
    let everything = run(&mut || format!("/api/v1/recordings?limit=10000&{}", range(all_days)), QUERIES / 10)?;
    let pair = |(p50, p99): (f64, f64)| json!({ "p50_ms": p50, "p99_ms": p99 });
    Ok(json!({
        "bench": "listing", "cameras": cameras, "days": days, "segments": each * cameras, "ready_ms": ready_ms,
        "recordings_of_a_camera_all_days": pair(spans), "recordings_of_a_camera_half_a_day": pair(day),
        "segments_of_a_camera_first_page": pair(segments), "recordings_of_all_cameras_all_days": pair(everything),
        "first_list_of_a_camera": pair((percentile(&mut first, 0.5), percentile(&mut first, 0.99))),
        "rss_mib": memory as f64 / f64::from(1 << 20),
    }))
}
