//! What recording costs: `cargo bench --bench recording`.
//!
//! The same streams of 4 Mb/s are recorded by skyvis, by one `ffmpeg -c copy -f segment` for each stream, and by the
//! floor, a program that only reads and writes. The load runs on core 1, the program under test on core 0. Programs
//! take turns, round by round, each for a short window in warm memory; ratios are of neighbours in a round, and what is
//! told is their median. Anything else can be off by more than two here.
//!
//! `-- --only "floor,skyvis sync=segment checksum=none"` takes these programs alone;
//! `-- --streams 500` takes another number of streams; `-- --endure 600` records that long instead, and reads every
//! frame's mark from the files, so that "no frame is lost" is exact; `-- --smoke` does so for some seconds.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod clip;
mod floor;
mod footage;
#[path = "../measure/process.rs"]
mod process;
mod programs;
mod source;

use clip::Clip;
use footage::Checker;
use programs::{Load, Program, Running};
use serde_json::{Value, json};
use skyvis::{base::TaskGroup, sim};
use source::Source;
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

/// How long streams may take to begin.
const START_MAX: Duration = Duration::from_secs(90);
/// Left out of each window: sessions begin, first files are made.
const SETTLE: Duration = Duration::from_secs(6);

struct Args {
    streams: u32,
    rounds: usize,
    window: Duration,
    bits_per_second: u64,
    endure: Option<Duration>,
    only: Vec<Program>,
    /// Where is written.
    dir: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, address, streams, dir] = given.as_slice()
        && flag == "--floor"
    {
        return floor::run(address.parse()?, streams.parse()?, Path::new(dir));
    }
    let args = parse(&given)?;
    process::need("ffmpeg", "ffmpeg")?;
    process::stay_on_core(1);
    fs::create_dir_all(&args.dir)?;
    let clip = Clip::get(&args.dir, args.bits_per_second)?;
    let media_rate = clip.bytes_per_second();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let group = TaskGroup::new();
    let options = sim::Options {
        kind: sim::DeviceKind::Nvr,
        channels: args.streams,
        session_timeout: Duration::from_secs(60),
        ..sim::Options::default()
    };
    let nvr = runtime.block_on(async { sim::Simulator::start(options, &group).await })?;
    let source = Source::start(clip, args.streams)?;
    let load = Load { isapi: nvr.http_addr, rtsp: source.address, streams: args.streams };
    match args.endure {
        Some(time) => endure(&args, load, &source, time),
        None => compare(&args, load, &source, media_rate),
    }
}

fn parse(given: &[String]) -> Result<Args, Box<dyn Error>> {
    let target = Path::new(env!("CARGO_BIN_EXE_skyvis")).parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let mut args = Args {
        streams: 100,
        rounds: 5,
        window: Duration::from_secs(15),
        bits_per_second: 4_000_000,
        endure: None,
        only: vec![
            Program::Floor,
            Program::Unsummed,
            Program::Crc,
            Program::Segment,
            Program::Default,
            Program::Ffmpeg,
        ],
        dir: target.join("recording"),
    };
    let mut rest = given.iter();
    while let Some(flag) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{flag} needs a value"));
        match flag.as_str() {
            "--smoke" => {
                (args.streams, args.bits_per_second, args.endure) = (50, 500_000, Some(Duration::from_secs(8)))
            }
            "--streams" => args.streams = value()?.parse()?,
            "--rounds" => args.rounds = value()?.parse()?,
            "--window" => args.window = Duration::from_secs(value()?.parse()?),
            "--endure" => args.endure = Some(Duration::from_secs(value()?.parse()?)),
            "--dir" => args.dir = value()?.into(),
            "--only" => {
                let wanted: Vec<&str> = value()?.split(',').collect();
                args.only.retain(|p| wanted.contains(&p.name()));
            }
            other => return Err(format!("{other} is not known; see the top of benches/recording/main.rs").into()),
        }
    }
    Ok(args)
}

/// What one program used in one window.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// CPU-seconds for each hour of each stream.
    cpu: f64,
    /// MiB for each stream.
    rss: f64,
    pss: f64,
    /// Bytes on the disk for each byte of media; NaN for who writes no media files.
    disk: f64,
}

fn compare(args: &Args, load: Load, source: &Source, media_rate: f64) -> Result<(), Box<dyn Error>> {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); args.only.len()];
    for round in 0..args.rounds {
        for (n, program) in args.only.iter().enumerate() {
            let sample = measure(args, load, source, *program)?;
            eprintln!("round {} of {}: {:34} {sample:.3?}", round + 1, args.rounds, program.name());
            samples[n].push(sample);
        }
    }
    let floor = args.only.iter().position(|p| *p == Program::Floor);
    let ffmpeg = args.only.iter().position(|p| *p == Program::Ffmpeg);
    let mut rows = Vec::new();
    println!("\n{} streams of {:.2} Mb/s, medians of {} rounds", load.streams, media_rate * 8e-6, args.rounds);
    println!("| program | CPU-s per stream-hour | x floor | x ffmpeg | RSS MiB per stream | PSS | disk/media |");
    println!("|---|---|---|---|---|---|---|");
    for (program, of_program) in args.only.iter().zip(&samples) {
        let median = |field: fn(&Sample) -> f64| process::median(of_program.iter().map(field).collect());
        let ratio = |other: Option<usize>| {
            let pairs = of_program.iter().zip(other.map_or(&[][..], |n| &samples[n]));
            process::median(pairs.map(|(own, others)| own.cpu / others.cpu).collect())
        };
        let (cpu, rss, pss, disk) = (median(|s| s.cpu), median(|s| s.rss), median(|s| s.pss), median(|s| s.disk));
        let (of_floor, of_ffmpeg) = (ratio(floor), ratio(ffmpeg));
        let name = program.name();
        println!("| {name} | {cpu:.2} | {of_floor:.2} | {of_ffmpeg:.3} | {rss:.2} | {pss:.2} | {disk:.4} |");
        rows.push(json!({
            "program": name, "cpu_s_per_stream_hour": cpu, "of_floor": of_floor, "of_ffmpeg": of_ffmpeg,
            "rss_mib_per_stream": rss, "pss_mib_per_stream": pss, "disk_per_media": disk,
        }));
    }
    println!("{}", json!({ "bench": "recording", "streams": load.streams, "rounds": args.rounds, "programs": rows }));
    Ok(())
}

fn measure(args: &Args, load: Load, source: &Source, program: Program) -> Result<Sample, Box<dyn Error>> {
    let dir = args.dir.join("run");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let running = program.start(load, &dir, "")?;
    wait_for_streams(source, &running, load.streams)?;
    let dropper = dir.clone();
    thread::spawn(move || footage::keep_memory_warm(&dropper));
    thread::sleep(SETTLE);
    let (pids, began, before) = (running.pids(), Instant::now(), source.counts().frames.load(Ordering::Relaxed));
    let cpu = process::cpu(&pids);
    thread::sleep(args.window);
    let cpu = process::cpu(&pids).saturating_sub(cpu);
    let (hours, frames) =
        (began.elapsed().as_secs_f64() / 3600.0, source.counts().frames.load(Ordering::Relaxed) - before);
    let (rss, pss) = process::memory(&pids);
    let streams = f64::from(load.streams);
    let fps = frames as f64 / hours / 3600.0 / streams;
    if fps < 24.5 {
        eprintln!("the load fell behind: {fps:.1} frames a second instead of 25");
    }
    if !running.end() && program.is_ours() {
        return Err(format!("skyvis did not end well; see {}", dir.join("skyvis.log").display()).into());
    }
    while source.playing() > 0 {
        thread::sleep(Duration::from_millis(50));
    }
    let disk = match program {
        ours if ours.is_ours() => {
            let mut checker = Checker::default();
            let recordings = dir.join("data/recordings");
            checker.look(&recordings, true);
            if checker.missing + checker.wrong > 0 {
                eprintln!("{} frames are missing, {} are wrong", checker.missing, checker.wrong);
            }
            footage::disk_bytes(&recordings) as f64 / checker.media_bytes as f64
        }
        _ => f64::NAN,
    };
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20) / streams;
    Ok(Sample { cpu: cpu.as_secs_f64() / hours / streams, rss: mib(rss), pss: mib(pss), disk })
}

/// Records for long, and reads every frame that was recorded.
fn endure(args: &Args, load: Load, source: &Source, time: Duration) -> Result<(), Box<dyn Error>> {
    let dir = args.dir.join("run");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let recordings = dir.join("data/recordings");
    let running = Program::Default.start(load, &dir, "retain_bytes = \"24GiB\"")?;
    wait_for_streams(source, &running, load.streams)?;
    let (pids, began) = (running.pids(), Instant::now());
    let (cpu, mut rss_max, mut checker) = (process::cpu(&pids), 0, Checker::default());
    while began.elapsed() < time {
        thread::sleep(Duration::from_secs(5).min(time.saturating_sub(began.elapsed())));
        rss_max = rss_max.max(process::memory(&pids).0);
        checker.look(&recordings, false);
    }
    let hours = began.elapsed().as_secs_f64() / 3600.0;
    let cpu = process::cpu(&pids).saturating_sub(cpu).as_secs_f64() / hours / f64::from(load.streams);
    let well = running.end();
    checker.look(&recordings, true);
    let counts = source.counts();
    let [sent, dropped, late] = [&counts.frames, &counts.dropped, &counts.late].map(|c| c.load(Ordering::Relaxed));
    let disk = checker.file_bytes as f64 / checker.media_bytes as f64;
    // What was sent after a session had been told to end is nobody's loss: a stream's last frames, less than a second.
    let unrecorded = sent - checker.frames;
    let result: Value = json!({
        "bench": "recording-endurance", "streams": load.streams, "seconds": began.elapsed().as_secs(), "ended_well": well,
        "frames_sent": sent, "frames_recorded": checker.frames, "frames_missing": checker.missing,
        "frames_wrong": checker.wrong, "frames_after_the_end": unrecorded, "frames_dropped_by_load": dropped,
        "frames_late_by_load": late, "segments": checker.files, "media_gib": checker.media_bytes as f64 / f64::from(1 << 30),
        "file_per_media": disk, "cpu_s_per_stream_hour": cpu,
        "rss_mib_per_stream": rss_max as f64 / f64::from(1 << 20) / f64::from(load.streams),
    });
    println!("| what | value |\n|---|---|");
    for (name, value) in result.as_object().into_iter().flatten() {
        println!("| {name} | {value} |");
    }
    println!("{result}");
    let _ = fs::remove_dir_all(&dir);
    let complete = checker.streams() == load.streams as usize && unrecorded < u64::from(load.streams) * 25;
    if checker.missing + checker.wrong > 0 || dropped > 0 || !well || !complete || disk > 1.02 {
        return Err("frames were lost, or files are too large, or the end was not in order".into());
    }
    Ok(())
}

fn wait_for_streams(source: &Source, running: &Running, streams: u32) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    while source.playing() < streams as usize {
        if began.elapsed() > START_MAX {
            let playing = source.playing();
            return Err(
                format!("only {playing} of {streams} streams began, by {} processes", running.children.len()).into()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
