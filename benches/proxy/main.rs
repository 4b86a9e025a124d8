//! What proxying costs: `cargo bench --bench proxy`.
//!
//! skyvis, nginx (as Debian configures it, and tuned) and haproxy (with splice, too) stand before one origin, in turns
//! within each round. The proxy has core 0; load and origin have the other one, so requests per second say little: what
//! counts is requests for each second of the proxy's CPU time, and its ratio within a round. All set the same fields,
//! which is looked at before, and none writes a log. Then messages of tunnels are counted the same way, and the memory
//! of connections on which nothing is asked.
//!
//! `-- --rounds N`, `-- --seconds S`, `-- --case small,16k,64k,1m,tunnel,idle`, `-- --only skyvis,nginx`; `-- --smoke` is
//! short and takes skyvis alone. `SKYVIS=path` measures another build of it, `BEFORE=path` one more in the same rounds:
//! what a change costs or gains.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod host;
mod load;
mod origin;
#[path = "../measure/process.rs"]
mod process;
mod servers;

use load::{Measured, Work};
use origin::Origin;
use serde_json::json;
use servers::Server;
use std::{
    error::Error,
    fs,
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

/// As many clients at once as nginx keeps connections to the origin.
const CLIENTS: usize = 64;
const IDLE_CONNECTIONS: usize = 10_000;
/// Sockets of the clients, and of the origin, which few of them need at once.
const FILES: u64 = 16_384;
/// What every proxy tells the origin, besides what the client said.
const FIELDS: [&str; 7] = [
    "host: bench.example.com",
    "x-forwarded-for: ",
    "x-real-ip: ",
    "x-forwarded-proto: http",
    "x-forwarded-host: bench.example.com",
    "x-request-id: ",
    "via: 1.1 ",
];

struct Plan {
    rounds: usize,
    window: Duration,
    idle: usize,
    cases: Vec<String>,
    only: Vec<String>,
}

const CASES: [(&str, Work); 5] = [
    ("small", Work::Bodies(128)),
    ("16k", Work::Bodies(16 << 10)),
    ("64k", Work::Bodies(64 << 10)),
    ("1m", Work::Bodies(1 << 20)),
    ("tunnel", Work::Echoes),
];

fn main() -> Result<(), Box<dyn Error>> {
    let window = Duration::from_secs(3);
    let mut plan = Plan { rounds: 5, window, idle: IDLE_CONNECTIONS, cases: Vec::new(), only: Vec::new() };
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(flag) = given.next() {
        let mut value = || given.next().ok_or(format!("{flag} needs a value"));
        let list = |text: String| text.split(',').map(str::to_owned).collect();
        match flag.as_str() {
            "--rounds" => plan.rounds = value()?.parse()?,
            "--seconds" => plan.window = Duration::from_secs_f64(value()?.parse()?),
            "--case" => plan.cases = list(value()?),
            "--only" => plan.only = list(value()?),
            "--smoke" => {
                (plan.rounds, plan.window, plan.idle) = (1, Duration::from_millis(300), 200);
                plan.only = vec!["skyvis".into()];
            }
            other => return Err(format!("{other} is not known; see the top of benches/proxy/main.rs").into()),
        }
    }
    host::may_open(FILES);
    let target = Path::new(env!("CARGO_BIN_EXE_skyvis")).parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let dir = target.join("proxy");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    process::stay_on_core(1);
    compare(&dir, &plan)?;
    fs::remove_dir_all(&dir)?;
    Ok(())
}

fn compare(dir: &Path, plan: &Plan) -> Result<(), Box<dyn Error>> {
    let wanted = |name: &str| plan.cases.is_empty() || plan.cases.iter().any(|case| case == name);
    let mut origin = Origin::new()?;
    let address = origin.address;
    let under_test = |name: &str| plan.only.is_empty() || plan.only.iter().any(|only| only == name);
    let all = origin.beside(|| {
        let all = servers::start_all(dir, address, under_test).map_err(|error| error.to_string())?;
        all.iter().try_for_each(check).map_err(|error| error.to_string())?;
        Ok::<_, String>(all)
    })??;
    println!("| case | proxy | per CPU-s | skyvis ÷ it: median (range) | p50 ms | p99 ms | of its core |");
    println!("|---|---|---|---|---|---|---|");
    for (name, work) in CASES.into_iter().filter(|(name, _)| wanted(name)) {
        tell(&mut origin, name, work, &all, plan)?;
    }
    if wanted("idle") {
        for server in &all {
            idle(&mut origin, server, plan.idle)?;
        }
    }
    Ok(())
}

/// That a proxy passes on what it should, and every byte of a body.
fn check(server: &Server) -> Result<(), Box<dyn Error>> {
    let mut socket = TcpStream::connect(server.address)?;
    let (_, head) = load::get(&mut socket, "/head")?;
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    for field in FIELDS {
        if !head.contains(&format!("\n{field}")) {
            return Err(format!("{} does not send {field:?}: {head}", server.name).into());
        }
    }
    for (_, work) in CASES {
        let Work::Bodies(bytes) = work else { continue };
        let (_, body) = load::get(&mut socket, &format!("/{bytes}"))?;
        if body.len() as u64 != bytes || body.iter().any(|b| *b != b'x') {
            return Err(format!("{} changes a body of {bytes} bytes", server.name).into());
        }
    }
    Ok(())
}

/// What one window of one proxy was.
struct Sample {
    measured: Measured,
    /// Requests for each second of its CPU time; and where what the kernel does for that core elsewhere is added.
    rate: f64,
    rate_of_core: f64,
    /// How much of its core it had.
    share: f64,
}

fn sample(origin: &mut Origin, server: &Server, work: Work, window: Duration) -> Result<Sample, Box<dyn Error>> {
    load::run(origin, server.address, CLIENTS, work, window / 8)?;
    let (began, before, before_soft) = (Instant::now(), process::cpu(&server.pids), host::softirqs(0));
    let measured = load::run(origin, server.address, CLIENTS, work, window)?;
    let used = process::cpu(&server.pids).saturating_sub(before).as_secs_f64();
    let soft = host::softirqs(0).saturating_sub(before_soft).as_secs_f64();
    let (done, wall) = (measured.done as f64, began.elapsed().as_secs_f64());
    Ok(Sample { measured, rate: done / used, rate_of_core: done / (used + soft), share: used / wall })
}

/// Runs a case in rounds over all servers, and tells of each.
fn tell(origin: &mut Origin, case: &str, work: Work, all: &[Server], plan: &Plan) -> Result<(), Box<dyn Error>> {
    let mut samples: Vec<Vec<Sample>> = all.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        for (server, samples) in all.iter().zip(&mut samples) {
            let taken = sample(origin, server, work, plan.window);
            samples.push(taken.map_err(|error| format!("{case} through {}: {error}", server.name))?);
        }
    }
    for (server, of_it) in all.iter().zip(&samples) {
        let middle = |take: fn(&Sample) -> f64| process::median(of_it.iter().map(take).collect());
        let against = |take: fn(&Sample) -> f64| {
            let mut ratios: Vec<f64> =
                samples[0].iter().zip(of_it).map(|(own, other)| take(own) / take(other)).collect();
            ratios.sort_by(f64::total_cmp);
            ratios
        };
        let ratios = against(|s| s.rate);
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        let (rate, ratio) = (middle(|s| s.rate), process::median(ratios));
        let of_core = process::median(against(|s| s.rate_of_core));
        let (p50, p99) = (middle(|s| s.measured.p50_ms), middle(|s| s.measured.p99_ms));
        let (name, share) = (server.name, middle(|s| s.share));
        println!(
            "| {case} | {name} | {rate:.0} | {ratio:.2} ({low:.2}–{high:.2}) | {p50:.2} | {p99:.2} | {share:.2} |"
        );
        let told = json!({
            "bench": "proxy", "case": case, "proxy": name, "per_cpu_s": rate, "ratio": ratio, "ratio_low": low,
            "ratio_high": high, "ratio_with_softirqs": of_core, "p50_ms": p50, "p99_ms": p99, "share": share,
        });
        println!("{told}");
    }
    Ok(())
}

/// What connections take on which nothing is asked any more.
fn idle(origin: &mut Origin, server: &Server, count: usize) -> Result<(), Box<dyn Error>> {
    let before = process::memory(&server.pids).0;
    let held = origin.beside(|| load::idle(server.address, count))??;
    let after = process::memory(&server.pids).0;
    let each = after.saturating_sub(before) as f64 / count as f64 / 1024.0;
    println!("| idle | {} | {each:.2} KiB a connection | | | | |", server.name);
    println!("{}", json!({ "bench": "proxy", "case": "idle", "proxy": server.name, "count": count, "kib_each": each }));
    drop(held);
    Ok(())
}
