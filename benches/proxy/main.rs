//! What proxying costs: `cargo bench --bench proxy`.
//!
//! skyvis, nginx (as Debian configures it, and tuned) and haproxy (with splice, too) stand before one origin, in turns
//! within each round. The proxy has core 0; load and origin have the other one, so requests per second say little: what
//! counts is requests for each second of the proxy's CPU time, and its ratio within a round. All set the same fields.
//! Then messages of tunnels are counted the same way, and the memory of connections on which nothing is asked.
//!
//! `-- --rounds N`, `-- --seconds S`, `-- --case small|16k|64k|1m|tunnel|idle`; `-- --smoke` is short and takes skyvis alone.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod load;
#[path = "../measure/process.rs"]
#[allow(dead_code, reason = "each bench takes what it needs")]
mod process;
mod servers;

use load::{Load, Measured};
use serde_json::json;
use servers::Server;
use std::{error::Error, fs, path::Path, time::Duration};

/// As many clients at once as nginx keeps connections to the origin.
const CLIENTS: usize = 64;
const IDLE_CONNECTIONS: usize = 5000;

struct Plan {
    rounds: usize,
    window: Duration,
    case: Option<String>,
    alone: bool,
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    path: &'static str,
    bytes: u64,
}

const CASES: [Case; 4] = [
    Case { name: "small", path: "/128", bytes: 128 },
    Case { name: "16k", path: "/16384", bytes: 16 << 10 },
    Case { name: "64k", path: "/65536", bytes: 64 << 10 },
    Case { name: "1m", path: "/1048576", bytes: 1 << 20 },
];

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
            other => return Err(format!("{other} is not known; see the top of benches/proxy/main.rs").into()),
        }
    }
    let target = Path::new(env!("CARGO_BIN_EXE_skyvis")).parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let dir = target.join("proxy");
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
    let _origin = servers::origin(dir)?;
    let echo = load::echo()?;
    let mut all = vec![servers::skyvis(dir, echo)?];
    if !plan.alone {
        process::need("haproxy", "haproxy")?;
        all.push(servers::nginx(dir, "nginx", servers::NGINX_PLAIN, echo)?);
        all.push(servers::nginx(dir, "nginx tuned", servers::NGINX_TUNED, echo)?);
        all.push(servers::nginx(dir, "nginx unbuffered", servers::NGINX_UNBUFFERED, echo)?);
        all.push(servers::haproxy(dir, "haproxy", "", echo)?);
        all.push(servers::haproxy(dir, "haproxy splice", "option splice-response", echo)?);
    }
    let load = Load::new(CLIENTS)?;
    println!("| case | proxy | per CPU-s | skyvis ÷ it: median (range) | p50 ms | p99 ms |\n|---|---|---|---|---|---|");
    for case in CASES.iter().filter(|case| wanted(case.name)) {
        let run = |server: &Server, window| load.requests(server.address, case.path, case.bytes, window);
        tell(case.name, &all, plan, &run)?;
    }
    if wanted("tunnel") {
        let run = |server: &Server, window| load.echoes(server.address, window);
        tell("tunnel", &all, plan, &run)?;
    }
    if wanted("idle") {
        let count = if plan.alone { 200 } else { IDLE_CONNECTIONS };
        for server in &all {
            let before = process::memory(&server.pids).0;
            let held = load.idle(server.address, count)?;
            let after = process::memory(&server.pids).0;
            let each = after.saturating_sub(before) as f64 / count as f64 / 1024.0;
            println!("| idle | {} | {each:.2} KiB a connection | | | |", server.name);
            println!("{}", json!({ "bench": "proxy", "case": "idle", "proxy": server.name, "kib_each": each }));
            drop(held);
        }
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
            "bench": "proxy", "case": case, "proxy": server.name, "per_cpu_s": rate, "ratio": ratio,
            "ratio_low": low, "ratio_high": high, "p50_ms": p50, "p99_ms": p99,
        });
        println!("{told}");
    }
    Ok(())
}
