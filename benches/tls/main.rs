//! What TLS and HTTP/2 cost: `cargo bench --bench tls`.
//!
//! skyvis and Debian's nginx stand before one origin with one certificate (P-256), in turns within each round. The proxy has
//! core 0; load (h2load, and a client of our own for handshakes) and origin have the other one. What counts is requests, or
//! handshakes with one request each, for each second of the proxy's CPU time, and its ratio within a round.
//!
//! `-- --rounds N`, `-- --seconds S`, `-- --case https|h2|h2c|full|resumed`; `-- --smoke` is short and takes skyvis alone.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod hands;
#[path = "../measure/process.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod process;
mod servers;

use serde_json::json;
use servers::Server;
use std::{error::Error, fs, path::Path, process::Command, time::Duration};

struct Plan {
    rounds: usize,
    window: Duration,
    case: Option<String>,
    alone: bool,
}

/// Requests by h2load: its name, what h2load is told besides, and whether over TLS.
const LOADS: [(&str, &[&str], bool); 3] = [
    ("https", &["--h1", "-c", "64"], true),
    ("h2", &["-c", "16", "-m", "16"], true),
    ("h2c", &["-c", "16", "-m", "16"], false),
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
            "--smoke" => plan = Plan { rounds: 1, window: Duration::from_secs(1), case: None, alone: true },
            other => return Err(format!("{other} is not known; see the top of benches/tls/main.rs").into()),
        }
    }
    let target = Path::new(env!("CARGO_BIN_EXE_skyvis")).parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let dir = target.join("tls");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    process::stay_on_core(1);
    let result = compare(&dir, &plan);
    fs::remove_dir_all(&dir)?;
    result
}

fn compare(dir: &Path, plan: &Plan) -> Result<(), Box<dyn Error>> {
    process::need("nginx", "nginx-light")?;
    process::need("h2load", "nghttp2-client")?;
    let wanted = |name: &str| plan.case.as_deref().is_none_or(|case| case == name);
    servers::certificate(dir)?;
    let _origin = servers::origin(dir)?;
    let mut all = vec![servers::skyvis(dir)?];
    if !plan.alone {
        all.push(servers::nginx(dir)?);
    }
    println!("| case | proxy | per CPU-s | skyvis ÷ it: median (range) |\n|---|---|---|---|");
    for (name, arguments, tls) in LOADS.into_iter().filter(|(name, ..)| wanted(name)) {
        tell(name, &all, plan, &|server, window| requests(server, arguments, tls, window))?;
    }
    let certificate = dir.join("cert.pem");
    for (name, resumed) in [("full", false), ("resumed", true)].into_iter().filter(|(name, _)| wanted(name)) {
        tell(name, &all, plan, &|server, window| hands::shaken(server.https, &certificate, resumed, window))?;
    }
    Ok(())
}

/// Requests that h2load got answered.
fn requests(server: &Server, arguments: &[&str], tls: bool, window: Duration) -> Result<u64, Box<dyn Error>> {
    let url = match tls {
        true => format!("https://{}/128", server.https),
        false => format!("http://{}/128", server.clear),
    };
    let seconds = format!("{}", window.as_secs_f64().ceil());
    let out =
        Command::new("h2load").args(["-D", &seconds, "--warm-up-time", "0"]).args(arguments).arg(&url).output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = text.lines().find(|l| l.starts_with("requests:")).ok_or("h2load says nothing")?;
    let number = |word: &str| -> Option<u64> {
        line.split(", ").find(|part| part.ends_with(word))?.split(' ').rev().nth(1)?.parse().ok()
    };
    match (number("succeeded"), number("errored")) {
        (Some(done @ 1..), Some(0)) => Ok(done),
        _ => Err(format!("{}: {line}", server.name).into()),
    }
}

/// Runs a case in rounds over all servers, and tells of each.
fn tell(
    case: &str,
    all: &[Server],
    plan: &Plan,
    run: &dyn Fn(&Server, Duration) -> Result<u64, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut rates = vec![Vec::new(); all.len()];
    for _ in 0..plan.rounds {
        for (at, server) in all.iter().enumerate() {
            run(server, Duration::from_secs(1))?;
            let before = process::cpu(&server.pids);
            let done = run(server, plan.window)?;
            let used = process::cpu(&server.pids).saturating_sub(before);
            rates[at].push(done as f64 / used.as_secs_f64());
        }
    }
    for (at, server) in all.iter().enumerate() {
        let mut ratios: Vec<f64> = rates[0].iter().zip(&rates[at]).map(|(own, other)| own / other).collect();
        ratios.sort_by(f64::total_cmp);
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        let (rate, ratio) = (process::median(rates[at].clone()), process::median(ratios));
        println!("| {case} | {} | {rate:.0} | {ratio:.2} ({low:.2}–{high:.2}) |", server.name);
        let told = json!({
            "bench": "tls", "case": case, "proxy": server.name, "per_cpu_s": rate, "ratio": ratio,
            "ratio_low": low, "ratio_high": high,
        });
        println!("{told}");
    }
    Ok(())
}
