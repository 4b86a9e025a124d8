//! What a site's everyday costs: `cargo bench --bench site`.
//!
//! Files of 4 KiB and 10 MB, by skyvis and by nginx as Debian has it (sendfile, and with an open file cache), in turns
//! within each round; then bytes through a TCP route, by skyvis and by haproxy (with splice, too). The server has core 0,
//! load and origin the other one: what counts is what is done for each second of the server's CPU time, and its ratio
//! within a round.
//!
//! `-- --rounds N`, `-- --seconds S`, `-- --case 4k|10m|tcp`; `-- --smoke` is short and takes skyvis alone.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[expect(dead_code, reason = "each bench takes what it needs")]
mod load;
#[path = "../measure/process.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod process;
mod servers;

use load::{Load, Measured};
use serde_json::json;
use servers::{LARGE, SMALL, Server};
use std::{error::Error, fs, path::Path, time::Duration};

/// Clients at once: of small files many, of large ones a few.
const CLIENTS: usize = 64;
const CLIENTS_LARGE: usize = 8;

struct Plan {
    rounds: usize,
    window: Duration,
    case: Option<String>,
    alone: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut plan = Plan { rounds: 5, window: Duration::from_secs(3), case: None, alone: false };
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(flag) = given.next() {
        let mut value = || given.next().ok_or(format!("{flag} needs a value"));
        match flag.as_str() {
            "--rounds" => plan.rounds = value()?.parse()?,
            "--seconds" => plan.window = Duration::from_secs_f64(value()?.parse()?),
            "--case" => plan.case = Some(value()?),
            "--smoke" => plan = Plan { rounds: 1, window: Duration::from_millis(300), case: None, alone: true },
            other => return Err(format!("{other} is not known; see the top of benches/site/main.rs").into()),
        }
    }
    let target = Path::new(env!("CARGO_BIN_EXE_skyvis")).parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let dir = target.join("site");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    process::stay_on_core(1);
    let result = compare(&dir, &plan);
    fs::remove_dir_all(&dir)?;
    result
}

fn compare(dir: &Path, plan: &Plan) -> Result<(), Box<dyn Error>> {
    process::need("nginx", "nginx-light")?;
    let wanted = |name: &str| plan.case.as_deref().is_none_or(|case| case == name);
    let root = servers::files(dir)?;
    let origin = servers::origin(dir, &root)?;
    let mut files = vec![servers::skyvis(dir, &root, origin.address)?];
    let mut tcp = vec![servers::beside(&files[0])?];
    if !plan.alone {
        process::need("haproxy", "haproxy")?;
        files.push(servers::nginx(dir, "nginx", &root, "")?);
        files.push(servers::nginx(dir, "nginx cache", &root, "open_file_cache max=64 inactive=60s;")?);
        tcp.push(servers::haproxy(dir, "haproxy", "", origin.address)?);
        tcp.push(servers::haproxy(dir, "haproxy splice", "option splice-auto", origin.address)?);
    }
    println!(
        "| case | server | per CPU-s | skyvis ÷ it: median (range) | p50 ms | p99 ms |\n|---|---|---|---|---|---|"
    );
    if wanted("4k") {
        let load = Load::new(CLIENTS)?;
        tell("4k", &files, plan, &|to, window| load.requests(to.address, "/4k.txt", SMALL as u64, window))?;
    }
    let load = Load::new(CLIENTS_LARGE)?;
    if wanted("10m") {
        tell("10m", &files, plan, &|to, window| load.requests(to.address, "/10m.bin", LARGE as u64, window))?;
    }
    if wanted("tcp") {
        tell("tcp", &tcp, plan, &|to, window| load.requests(to.address, "/10m.bin", LARGE as u64, window))?;
    }
    Ok(())
}

/// Runs a case in rounds over all servers, and tells of each.
fn tell(
    case: &str,
    all: &[Server],
    plan: &Plan,
    run: &dyn Fn(&Server, Duration) -> Result<Measured, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut rates = vec![Vec::new(); all.len()];
    let mut times = vec![(Vec::new(), Vec::new()); all.len()];
    for _ in 0..plan.rounds {
        for (at, server) in all.iter().enumerate() {
            run(server, plan.window / 8)?;
            let before = process::cpu(&server.pids);
            let measured = run(server, plan.window)?;
            let used = process::cpu(&server.pids).saturating_sub(before);
            rates[at].push(measured.done as f64 / used.as_secs_f64());
            times[at].0.push(measured.p50_ms);
            times[at].1.push(measured.p99_ms);
        }
    }
    for (at, server) in all.iter().enumerate() {
        let mut ratios: Vec<f64> = rates[0].iter().zip(&rates[at]).map(|(own, other)| own / other).collect();
        ratios.sort_by(f64::total_cmp);
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        let (rate, ratio) = (process::median(rates[at].clone()), process::median(ratios));
        let (p50, p99) = (process::median(times[at].0.clone()), process::median(times[at].1.clone()));
        println!("| {case} | {} | {rate:.0} | {ratio:.2} ({low:.2}–{high:.2}) | {p50:.2} | {p99:.2} |", server.name);
        let told = json!({
            "bench": "site", "case": case, "server": server.name, "per_cpu_s": rate, "ratio": ratio,
            "ratio_low": low, "ratio_high": high, "p50_ms": p50, "p99_ms": p99,
        });
        println!("{told}");
    }
    Ok(())
}
