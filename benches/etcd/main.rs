//! Our etcd front beside a real etcd: `cargo bench --bench etcd`.
//!
//! On one disk, in turn and several times over: durable puts by one client and by 64 (a connection each), reads, the time
//! until ten thousand watches of one prefix have heard of a put, and what a hundred thousand keys take of memory; then ours
//! by theirs, the median of the rounds with the least and the most. Around it, what the disk itself takes for a durable
//! write of 4 KiB.
//!
//! `-- --smoke` does a little of each. Needs `etcd` (Debian: etcd-server), which is installed where it is missing.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[path = "../measure/durable.rs"]
mod durable;
mod line;
#[path = "../measure/process.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod process;
mod wire;

use durable::{floor, show};
use futures_util::future::join_all;
use line::Line;
use std::{
    error::Error,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use wire::Peer;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CLIENTS: usize = 64;
/// Streams of watches, and watches on each.
const STREAMS: usize = 100;
const WATCHES: usize = 100;
/// As long as the values that sites write for their services.
const VALUE: &str = "{\"ip\":\"10.0.0.1\",\"port\":8080,\"weight\":1}";

/// How much of each.
#[derive(Clone, Copy)]
struct Amount {
    puts: usize,
    puts_at_once: usize,
    keys: usize,
    heard: usize,
    rounds: usize,
}

/// A server under measurement.
struct Server {
    name: &'static str,
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        process::end(&mut self.child);
    }
}

fn main() -> Result<()> {
    process::need("etcd", "etcd-server")?;
    let smoke = std::env::args().any(|arg| arg == "--smoke");
    let amount = match smoke {
        true => Amount { puts: 50, puts_at_once: 640, keys: 1_000, heard: 2, rounds: 1 },
        false => Amount { puts: 3_000, puts_at_once: 60_000, keys: 100_000, heard: 20, rounds: 5 },
    };
    let dir = Path::new(env!("CARGO_BIN_EXE_skyvis")).parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let dir = dir.join("etcd-bench");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    println!("| what | a second | p50 | p99 |\n|---|---|---|---|");
    floor(&dir, amount.puts)?;
    // One thread for all clients: on two cores each more would take from the server under measurement.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ratios: [Vec<f64>; 4] = Default::default();
    for _ in 0..amount.rounds {
        let measure = |start: fn(&Path) -> Result<Server>| {
            let server = start(&dir)?;
            let rates = runtime.block_on(all(&server, amount));
            drop(server);
            fs::remove_dir_all(&dir)?;
            fs::create_dir_all(&dir)?;
            rates
        };
        let (ours, theirs) = (measure(skyvis)?, measure(etcd)?);
        for (ratios, (ours, theirs)) in ratios.iter_mut().zip(ours.into_iter().zip(theirs)) {
            ratios.push(ours / theirs);
        }
    }
    floor(&dir, amount.puts)?;
    println!("\n| ours by theirs | median | least | most |\n|---|---|---|---|");
    for (what, mut ratios) in WHAT.into_iter().zip(ratios) {
        ratios.sort_by(f64::total_cmp);
        let (median, last) = (ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
        println!("| {what} | {median:.2} | {:.2} | {last:.2} |", ratios[0]);
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Free ports, all of them different.
fn free_ports<const N: usize>() -> Result<[SocketAddr; N]> {
    let listeners: Vec<_> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    let ports: Vec<_> = listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>()?;
    ports.try_into().map_err(|_| "a port is missing".into())
}

fn skyvis(dir: &Path) -> Result<Server> {
    let (dir, [address]) = (dir.join("skyvis"), free_ports()?);
    fs::create_dir_all(&dir)?;
    let text = format!(
        "data_dir = '{dir}/data'\n[admin]\nlisten = 'unix:{dir}/admin.sock'\n[proxy]\nlisten = []\n\
         [registry]\netcd_listen = '{address}'\n",
        dir = dir.display()
    );
    let config = dir.join("config.toml");
    fs::write(&config, text)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyvis"));
    command.args(["run", "--config"]).arg(&config).stdin(Stdio::null()).stderr(fs::File::create(dir.join("log"))?);
    Ok(Server { name: "skyvis", child: command.spawn()?, address })
}

fn etcd(dir: &Path) -> Result<Server> {
    let [address, peer] = free_ports()?;
    let (at, beside) = (format!("http://{address}"), format!("http://{peer}"));
    let child = Command::new("etcd")
        .args(["--name", "bench", "--data-dir"])
        .arg(dir.join("etcd"))
        .args(["--listen-client-urls", &at, "--advertise-client-urls", &at])
        .args(["--listen-peer-urls", &beside, "--initial-advertise-peer-urls", &beside])
        .args(["--initial-cluster", &format!("bench={beside}"), "--logger", "zap", "--log-level", "error"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Server { name: "etcd", child, address })
}

/// What is compared.
const WHAT: [&str; 4] = ["put, 1 client", "get, 1 client", "put, 64 clients", "put of new keys, 64 clients"];

/// How many a second of [`WHAT`].
async fn all(server: &Server, amount: Amount) -> Result<[f64; 4]> {
    let name = server.name;
    let began = Instant::now();
    loop {
        if let Ok(peer) = Peer::connect(server.address).await
            && peer.get("health").await.is_ok()
        {
            break;
        }
        if began.elapsed() > Duration::from_secs(30) {
            return Err(format!("{name} does not serve").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rss =
        |when: &str| println!("| {name}: memory {when} | {} MiB | | |", process::memory(&[server.child.id()]).0 >> 20);
    rss("fresh");
    let put = |i| wire::put(&format!("one/{}", i % 500), VALUE);
    let [put_one, get_one, put_many, put_new] = WHAT.map(|what| format!("{name}: {what}"));
    let put_one = one(&put_one, server, wire::PUT, amount.puts, put).await?;
    let get = |i| wire::range(&format!("one/{}", i % 500));
    let get_one = one(&get_one, server, wire::RANGE, amount.puts, get).await?;
    let many = |c, i| format!("many/{c}/{}", i % 100);
    let put_many = at_once(&put_many, server, amount.puts_at_once, many).await?;
    let put_new = at_once(&put_new, server, amount.keys, |c, i| format!("keys/{c}/{i}")).await?;
    rss(&format!("with {} keys", amount.keys));
    watches(server, amount.heard).await?;
    rss(&format!("with {} watches beside", STREAMS * WATCHES));
    Ok([put_one, get_one, put_many, put_new])
}

/// A client that asks again and again. How often a second.
async fn one(what: &str, server: &Server, path: &str, n: usize, message: impl Fn(usize) -> Vec<u8>) -> Result<f64> {
    let mut line = Line::connect(server.address, path).await?;
    // The first call carries what only the first one does.
    line.call(&message(0)).await?;
    let (began, mut times) = (Instant::now(), Vec::new());
    for i in 0..n {
        let at = Instant::now();
        line.call(&message(i)).await?;
        times.push(at.elapsed());
    }
    let took = began.elapsed();
    show(what, took, times);
    Ok(n as f64 / took.as_secs_f64())
}

/// Each client waits for its answer before it goes on. How often a second all together.
async fn at_once(what: &str, server: &Server, n: usize, key: fn(usize, usize) -> String) -> Result<f64> {
    let lines = join_all((0..CLIENTS).map(|_| Line::connect(server.address, wire::PUT))).await;
    let lines: Vec<Line> = lines.into_iter().collect::<Result<_>>()?;
    let began = Instant::now();
    let client = |(c, mut line): (usize, Line)| async move {
        let mut times = Vec::new();
        for i in 0..n / CLIENTS {
            let at = Instant::now();
            line.call(&wire::put(&key(c, i), VALUE)).await.map_err(|e| e.to_string())?;
            times.push(at.elapsed());
        }
        Ok::<_, String>(times)
    };
    let clients: Vec<_> = lines.into_iter().enumerate().map(client).map(tokio::spawn).collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await??);
    }
    let (took, n) = (began.elapsed(), all.len());
    show(what, took, all);
    Ok(n as f64 / took.as_secs_f64())
}

/// From the put to the last of all watches.
async fn watches(server: &Server, rounds: usize) -> Result<()> {
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(Peer::connect(server.address).await?.watch("w/", "w0", WATCHES).await?);
    }
    let writer = Peer::connect(server.address).await?;
    let (began, mut times) = (Instant::now(), Vec::new());
    for i in 0..rounds {
        let at = Instant::now();
        let hearing = join_all(streams.iter_mut().map(|stream| stream.take_events(WATCHES)));
        let key = format!("w/{i}");
        let (heard, written) = tokio::join!(hearing, writer.put(&key, VALUE));
        written?;
        heard.into_iter().collect::<Result<Vec<()>>>()?;
        times.push(at.elapsed());
    }
    show(&format!("{}: put until {} watches heard", server.name, STREAMS * WATCHES), began.elapsed(), times);
    Ok(())
}
