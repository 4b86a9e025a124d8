//! What those cost who watch live: `cargo bench --bench live`.
//!
//! A camera sends 4 Mb/s, which skyvis records. Viewers play it by RTSP from skyvis, and as many from go2rtc, which
//! has the same camera; and as HLS from skyvis, whose playlist and segments are copied for nginx as they come, and as many
//! from nginx; all in turns. The server has core 0, all else the other one. What counts is CPU time beyond that for one viewer
//! alone, for each hour of a viewer, and memory. Then it is measured when the first picture is there, by each way of viewing:
//! for who comes first of all, and for a hundred after that.
//!
//! `-- --viewers 200` says how many; `-- --smoke` is short and leaves go2rtc and nginx out.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[path = "../recording/clip.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod clip;
mod firsts;
mod hls;
#[path = "../measure/http.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod http;
#[path = "../measure/process.rs"]
mod process;
mod rtsp;
mod servers;
#[path = "../recording/source.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod source;

use firsts::Way;
use serde_json::{Value, json};
use servers::{BITS_PER_SECOND, Camera, Pages, Rtsp, start_camera, start_go2rtc, start_nginx, start_skyvis};
use std::{
    error::Error,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Whoever begins fetches more than whoever goes on.
const SETTLE: Duration = Duration::from_secs(3);

struct Plan {
    viewers: usize,
    rounds: usize,
    window: Duration,
    firsts: usize,
    others: bool,
}

/// What a server's viewers cost, round by round.
#[derive(Default)]
struct Costs {
    cpu_per_viewer_hour: Vec<f64>,
    kib_per_viewer: Vec<f64>,
}

/// One who plays, as one of so many, until then; the bytes that came.
type Watch<'a> = &'a (dyn Fn(usize, usize, Instant) -> Result<u64, String> + Sync);

fn main() -> Result<(), Box<dyn Error>> {
    let mut plan = Plan { viewers: 200, rounds: 3, window: Duration::from_secs(8), firsts: 100, others: true };
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(flag) = given.next() {
        match flag.as_str() {
            "--viewers" => plan.viewers = given.next().ok_or("--viewers needs a value")?.parse()?,
            "--smoke" => {
                plan = Plan { viewers: 10, rounds: 1, window: Duration::from_secs(4), firsts: 3, others: false };
            }
            other => return Err(format!("{other} is not known; see the top of benches/live/main.rs").into()),
        }
    }
    let target = Path::new(env!("CARGO_BIN_EXE_skyvis")).parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let dir = target.join("live");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("www/live"))?;
    process::stay_on_core(1);
    let result = compare(&dir, target, &plan);
    if result.is_ok() {
        fs::remove_dir_all(&dir)?;
    }
    result
}

fn compare(dir: &Path, target: &Path, plan: &Plan) -> Result<(), Box<dyn Error>> {
    let camera = start_camera(target)?;
    let (_skyvis, pages, rtsp) = start_skyvis(dir, &camera)?;
    let mut result = json!({ "bench": "live", "viewers": plan.viewers, "rounds": plan.rounds });
    println!("| first picture by | first of all | p50 | p99 |\n|---|---|---|---|");
    for way in Way::ALL {
        let (cold, p50, p99) = way.measure(&pages, &rtsp, plan.firsts)?;
        println!("| {} | {cold:.1} ms | {p50:.1} ms | {p99:.1} ms |", way.name());
        result["first_picture_ms"][way.name()] = json!({ "first_of_all": cold, "p50": p50, "p99": p99 });
    }
    println!("\n| {} viewers of 4 Mb/s | CPU-seconds per viewer-hour | KiB per viewer |\n|---|---|---|", plan.viewers);
    result["rtsp"] = by_rtsp((dir, target), &camera, &rtsp, plan)?;
    result["hls"] = by_hls(dir, &pages, plan)?;
    println!("{result}");
    Ok(())
}

fn by_rtsp((dir, target): (&Path, &Path), camera: &Camera, ours: &Rtsp, plan: &Plan) -> Result<Value, Box<dyn Error>> {
    let theirs = plan.others.then(|| start_go2rtc(dir, target, camera)).transpose()?;
    let servers: Vec<&Rtsp> = [Some(ours), theirs.as_ref().map(|(_, server)| server)].into_iter().flatten().collect();
    let mut costs: Vec<Costs> = servers.iter().map(|_| Costs::default()).collect();
    for _ in 0..plan.rounds {
        for (server, costs) in servers.iter().zip(&mut costs) {
            measure(&server.pids, plan, costs, &|n, of, end| rtsp::watch(server, n, of, end))?;
        }
    }
    Ok(show("rtsp", "go2rtc", &costs))
}

fn by_hls(dir: &Path, ours: &Pages, plan: &Plan) -> Result<Value, Box<dyn Error>> {
    let theirs = plan.others.then(|| start_nginx(dir)).transpose()?;
    let servers: Vec<&Pages> = [Some(ours), theirs.as_ref().map(|(_, server)| server)].into_iter().flatten().collect();
    let mut costs: Vec<Costs> = servers.iter().map(|_| Costs::default()).collect();
    let (stop, ready) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let copying = scope.spawn(|| hls::copy(ours, &dir.join("www"), (&ready, &stop)));
        while !ready.load(Ordering::Relaxed) && !copying.is_finished() {
            thread::sleep(Duration::from_millis(50));
        }
        let measured = (0..plan.rounds).try_for_each(|_| {
            servers.iter().zip(&mut costs).try_for_each(|(server, costs)| {
                measure(&server.pids, plan, costs, &|n, of, end| hls::watch(server, n, of, end))
            })
        });
        stop.store(true, Ordering::Relaxed);
        copying.join().map_err(|_| "the copy panicked".to_owned())??;
        measured
    })?;
    Ok(show("hls", "nginx", &costs))
}

/// What all viewers of one server cost beyond one.
fn measure(pids: &[u32], plan: &Plan, costs: &mut Costs, watch: Watch<'_>) -> Result<(), String> {
    let cost = |viewers: usize| -> Result<(f64, u64, u64), String> {
        thread::scope(|scope| {
            let end = Instant::now() + plan.window + SETTLE;
            let all: Vec<_> = (0..viewers).map(|n| scope.spawn(move || watch(n, viewers, end))).collect();
            thread::sleep(SETTLE);
            let (before, began) = (process::cpu(pids), Instant::now());
            thread::sleep(plan.window);
            let used = process::cpu(pids).saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64();
            let (memory, _) = process::memory(pids);
            let bytes = all.into_iter().map(|v| v.join().map_err(|_| "a viewer panicked".to_owned())?);
            Ok((used, memory, bytes.sum::<Result<u64, String>>()?))
        })
    };
    let (alone, memory_alone, _) = cost(1)?;
    let (used, memory, bytes) = cost(plan.viewers)?;
    let due = BITS_PER_SECOND / 8 * plan.window.as_secs() * plan.viewers as u64;
    if bytes < due / 4 * 3 {
        return Err(format!("the viewers of process {pids:?} were sent {bytes} bytes, of {due}"));
    }
    let others = (plan.viewers - 1).max(1) as f64;
    costs.cpu_per_viewer_hour.push((used - alone) * 3600.0 / others);
    costs.kib_per_viewer.push(memory.saturating_sub(memory_alone) as f64 / 1024.0 / others);
    Ok(())
}

/// A line for each server, and what we take of what they take.
fn show(way: &str, other: &str, costs: &[Costs]) -> Value {
    let mut result = json!({});
    for (name, costs) in ["skyvis", other].iter().zip(costs) {
        let (cpu, kib) =
            (process::median(costs.cpu_per_viewer_hour.clone()), process::median(costs.kib_per_viewer.clone()));
        println!("| {way}, {name} | {cpu:.2} | {kib:.0} |");
        result[*name] = json!({ "cpu_s_per_viewer_hour": cpu, "kib_per_viewer": kib });
    }
    if let [ours, theirs] = costs {
        let ratio = |of: fn(&Costs) -> &Vec<f64>| {
            process::median(of(ours).iter().zip(of(theirs)).map(|(ours, theirs)| ours / theirs).collect())
        };
        let cpu = ratio(|costs| &costs.cpu_per_viewer_hour);
        println!("| {way}, skyvis ÷ {other} | {cpu:.2} | |");
        result["ratio"] = json!({ "cpu": cpu });
    }
    result
}
