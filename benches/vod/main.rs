//! What playing costs: `cargo bench --bench vod`.
//!
//! Some minutes of footage of 4 Mb/s are laid on the disk and indexed; skyvis sends them as one MP4 through its proxy's
//! listener, nginx sends the same bytes as a file by `sendfile`, both from the page cache, in turns; what was written is
//! put out of the cache before, and read back, since pages that were written in small pieces cost more to send than those
//! that were read. The server has core 0 and its readers have the other one. What counts is bytes for each second of the server's CPU time. Then ranges of time are asked for at
//! random, and it is measured when their first byte comes.
//!
//! `-- --seconds 60` lays less; `-- --smoke` is short and leaves nginx out.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[path = "../measure/http.rs"]
mod http;
#[path = "../measure/process.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod process;

use bytes::Bytes;
use http::{Client, percentile};
use rand::Rng;
use serde_json::json;
use skyvis::{
    archive::layout,
    base::Wall,
    media::fmp4::{
        Origin,
        write::{FragmentTrack, Sample, fragment, init},
    },
    model::{SessionId, StreamFormat, StreamKey, VideoCodec, VideoFormat},
};
use std::{
    error::Error,
    fs,
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

const START_MAX: Duration = Duration::from_secs(60);
const SEGMENT_SECONDS: u64 = 30;
const FRAMES_A_FRAGMENT: u64 = 12;
/// A frame of 4 Mb/s at 25 a second.
const FRAME_BYTES: usize = 20_000;
const PIECE_BYTES: u64 = 2 << 20;
const STREAM: &str = "nvr/1/main";
/// What players show at the proxy's listener.
const TOKEN: &str = "bench";

struct Plan {
    seconds: u64,
    rounds: usize,
    window: Duration,
    firsts: usize,
    nginx: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut plan = Plan { seconds: 420, rounds: 5, window: Duration::from_secs(4), firsts: 500, nginx: true };
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(flag) = given.next() {
        match flag.as_str() {
            "--seconds" => plan.seconds = given.next().ok_or("--seconds needs a value")?.parse()?,
            "--smoke" => {
                plan = Plan { seconds: 60, rounds: 1, window: Duration::from_millis(300), firsts: 10, nginx: false };
            }
            other => return Err(format!("{other} is not known; see the top of benches/vod/main.rs").into()),
        }
    }
    let target = Path::new(env!("CARGO_BIN_EXE_skyvis")).parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let dir = target.join("vod");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let begin = Wall::from_millis(1_790_000_000_000);
    lay(&dir.join("data/recordings"), begin, plan.seconds)?;
    read_back(&dir.join("data/recordings"))?;
    process::stay_on_core(1);
    let result = compare(&dir, begin, &plan);
    fs::remove_dir_all(&dir)?;
    result
}

/// Footage as a recorder writes it, of frames that nobody can look at.
fn lay(recordings: &Path, begin: Wall, seconds: u64) -> Result<(), Box<dyn Error>> {
    let stream: StreamKey = STREAM.parse()?;
    let video = VideoFormat {
        codec: VideoCodec::H264,
        rfc6381: "avc1.4D0029".into(),
        width: 1280,
        height: 720,
        sample_entry: sample_entry(),
    };
    let format = StreamFormat { video, audio: None };
    let frames: Vec<Bytes> = (0..64).map(|n| Bytes::from(vec![n; FRAME_BYTES])).collect();
    for n in 0..seconds / SEGMENT_SECONDS {
        let start = begin.plus(Duration::from_secs(n * SEGMENT_SECONDS));
        let origin = Origin { stream: stream.clone(), start, session: SessionId(1), index: u32::try_from(n)? };
        let path = recordings.join(layout::path(&stream, start, 0));
        fs::create_dir_all(path.parent().ok_or("a path has a parent")?)?;
        let mut file = fs::File::create(&path)?;
        file.write_all(&init(&format, &origin))?;
        let all: Vec<u64> = (0..SEGMENT_SECONDS * 25).collect();
        for (number, part) in (1..).zip(all.chunks(FRAMES_A_FRAGMENT as usize)) {
            let sample = |at: &u64| Sample {
                data: frames[(at % 64) as usize].clone(),
                duration: 3600,
                key: at.is_multiple_of(50),
                offset: 0,
            };
            let track = FragmentTrack { first_ticks: part[0] * 3600, samples: part.iter().map(sample).collect() };
            let made = fragment(number, track, None)?;
            file.write_all(&made.head)?;
            made.body.iter().try_for_each(|bytes| file.write_all(bytes))?;
        }
        file.sync_all()?;
    }
    Ok(())
}

/// Has the cache forget all files below a directory, and read them from the disk.
fn read_back(dir: &Path) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            read_back(&path)?;
            continue;
        }
        let mut file = fs::File::open(&path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        std::io::copy(&mut file, &mut std::io::sink())?;
    }
    Ok(())
}

/// An `avc1` box that holds together.
fn sample_entry() -> Bytes {
    let mut entry = vec![0; 8 + 78];
    let avcc = [1, 0x4d, 0, 0x29, 0xff, 0xe1, 0, 4, 0x67, 0x4d, 0, 0x29, 1, 0, 4, 0x68, 0xee, 0x3c, 0x80];
    entry.extend_from_slice(&(8 + avcc.len() as u32).to_be_bytes());
    entry.extend_from_slice(b"avcC");
    entry.extend_from_slice(&avcc);
    let len = entry.len() as u32;
    entry[..4].copy_from_slice(&len.to_be_bytes());
    entry[4..8].copy_from_slice(b"avc1");
    entry.into()
}

/// A server under test.
struct Server {
    child: Child,
    address: SocketAddr,
    path: String,
    /// Processes whose time counts.
    pids: Vec<u32>,
}

impl Drop for Server {
    fn drop(&mut self) {
        process::end(&mut self.child);
    }
}

fn compare(dir: &Path, begin: Wall, plan: &Plan) -> Result<(), Box<dyn Error>> {
    let skyvis = start_skyvis(dir, begin, plan.seconds)?;
    let whole = Client::connect(skyvis.address)?.get(&skyvis.path, None, true)?;
    if whole.status != 200 || whole.bytes < plan.seconds / SEGMENT_SECONDS * SEGMENT_SECONDS * 490_000 {
        return Err(format!("the footage is not whole: {} with {} bytes", whole.status, whole.bytes).into());
    }
    let mut servers = vec![skyvis];
    if plan.nginx {
        process::need("nginx", "nginx-light")?;
        fs::create_dir_all(dir.join("www"))?;
        fs::write(dir.join("www/video.mp4"), &whole.body)?;
        read_back(&dir.join("www"))?;
        servers.push(start_nginx(dir)?);
    }
    let cases: [(&str, usize, bool); 2] = [("whole", 1, false), ("2 MiB ranges", 4, true)];
    let mut rates = vec![vec![Vec::new(); servers.len()]; cases.len()];
    for _ in 0..plan.rounds {
        for (case, (_, connections, pieces)) in cases.iter().enumerate() {
            for (server, rates) in servers.iter().zip(&mut rates[case]) {
                rates.push(rate(server, *connections, pieces.then_some(whole.bytes), plan.window)?);
            }
        }
    }
    let mut result = json!({ "bench": "vod", "bytes": whole.bytes, "rounds": plan.rounds });
    println!("| case | skyvis GB per CPU-s | nginx sendfile | ratio |\n|---|---|---|---|");
    for ((name, ..), rates) in cases.iter().zip(&rates) {
        let own = process::median(rates[0].clone());
        let (theirs, ratio) = match rates.get(1) {
            None => (f64::NAN, f64::NAN),
            Some(theirs) => {
                let pairs = rates[0].iter().zip(theirs).map(|(own, theirs)| own / theirs);
                (process::median(theirs.clone()), process::median(pairs.collect()))
            }
        };
        println!("| {name} | {own:.2} | {theirs:.2} | {ratio:.2} |");
        result[*name] = json!({ "skyvis_gb_per_cpu_s": own, "nginx_gb_per_cpu_s": theirs, "ratio": ratio });
    }
    for seconds in [10, 120, plan.seconds / SEGMENT_SECONDS * SEGMENT_SECONDS - 30] {
        let (p50, p99) = first_bytes(servers[0].address, begin, plan, seconds)?;
        println!("| first byte of {seconds} s at random | p50 {p50:.1} ms | p99 {p99:.1} ms | |");
        result[format!("first_byte_ms_of_{seconds}_s")] = json!({ "p50": p50, "p99": p99 });
    }
    println!("{result}");
    Ok(())
}

fn start_skyvis(dir: &Path, begin: Wall, seconds: u64) -> Result<Server, Box<dyn Error>> {
    let (address, admin, config) = (http::free_address()?, http::free_address()?, dir.join("skyvis.toml"));
    let data = dir.join("data").display().to_string();
    let text = format!(
        "data_dir = {data:?}\n[admin]\nlisten = \"{admin}\"\n[proxy]\nlisten = [\"{address}\"]\nworkers = 1\n\
         [playback]\ntoken = {TOKEN:?}\n[recording]\nretain_days = 0\nmin_free = \"0B\"\n"
    );
    fs::write(&config, text)?;
    let mut command = process::on_core(0, env!("CARGO_BIN_EXE_skyvis"));
    command.args(["run", "--config"]).arg(&config).stdout(Stdio::null());
    let began = Instant::now();
    let child = command.stderr(fs::File::create(dir.join("skyvis.log"))?).spawn()?;
    let to = begin.plus(Duration::from_secs(seconds));
    let path = asked(begin, to);
    let server = Server { pids: vec![child.id()], child, address, path };
    http::ready(admin, began, START_MAX)?;
    let expected = seconds / SEGMENT_SECONDS;
    loop {
        let answer = Client::connect(admin)?.get(&format!("/api/v1/recordings?stream={STREAM}"), None, true)?;
        let list: serde_json::Value = serde_json::from_slice(&answer.body)?;
        if list["spans"][0]["segments"].as_u64() == Some(expected) {
            return Ok(server);
        }
        if began.elapsed() > START_MAX {
            return Err(format!("the footage was not indexed: {list}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn asked(from: Wall, to: Wall) -> String {
    format!("/media/{STREAM}/vod.mp4?from={from}&to={to}&token={TOKEN}")
}

fn start_nginx(dir: &Path) -> Result<Server, Box<dyn Error>> {
    let address = http::free_address()?;
    let (root, config) = (dir.join("www"), dir.join("nginx.conf"));
    let text = format!(
        "daemon off; master_process off; worker_processes 1; error_log {dir}/nginx.log; pid {dir}/nginx.pid;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
         client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;\n\
         uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;\n\
         server {{ listen {address}; location = /readyz {{ return 200 \"ready\"; }} location / {{ root {root}; }} }} }}\n",
        dir = dir.display(),
        root = root.display()
    );
    fs::write(&config, text)?;
    let mut command = process::on_core(0, "nginx");
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let began = Instant::now();
    let child = command.env("PATH", path).arg("-c").arg(&config).stderr(Stdio::null()).spawn()?;
    let server = Server { pids: vec![child.id()], child, address, path: "/video.mp4".into() };
    http::ready(address, began, START_MAX)?;
    Ok(server)
}

/// Gigabytes for each second of CPU time, over one window.
fn rate(server: &Server, connections: usize, pieces_of: Option<u64>, window: Duration) -> Result<f64, Box<dyn Error>> {
    let run = |window: Duration| {
        thread::scope(|scope| {
            let readers: Vec<_> = (0..connections).map(|_| scope.spawn(|| read(server, pieces_of, window))).collect();
            let sums = readers.into_iter().map(|r| r.join().map_err(|_| "a reader panicked".to_owned())?);
            sums.sum::<Result<u64, String>>()
        })
    };
    run(window / 8)?;
    let before = process::cpu(&server.pids);
    let bytes = run(window)?;
    let used = process::cpu(&server.pids).saturating_sub(before);
    Ok(bytes as f64 * 1e-9 / used.as_secs_f64())
}

fn read(server: &Server, pieces_of: Option<u64>, window: Duration) -> Result<u64, String> {
    let (began, mut bytes, mut rng) = (Instant::now(), 0, rand::rng());
    let mut client = Client::connect(server.address).map_err(|e| e.to_string())?;
    while began.elapsed() < window {
        let range = pieces_of.map(|len| {
            let first = rng.random_range(0..len.saturating_sub(PIECE_BYTES).max(1));
            (first, (first + PIECE_BYTES).min(len) - 1)
        });
        let answer = client.get(&server.path, range, false).map_err(|e| e.to_string())?;
        if !matches!(answer.status, 200 | 206) {
            return Err(format!("{} for {}", answer.status, server.path));
        }
        bytes += answer.bytes;
    }
    Ok(bytes)
}

/// When the first byte of a range of time comes, for ranges that were never asked for.
fn first_bytes(address: SocketAddr, begin: Wall, plan: &Plan, seconds: u64) -> Result<(f64, f64), Box<dyn Error>> {
    let (mut client, mut rng, mut times) = (Client::connect(address)?, rand::rng(), Vec::new());
    let spare = (plan.seconds.saturating_sub(seconds) * 1000).max(1);
    for _ in 0..plan.firsts {
        let from = begin.plus(Duration::from_millis(rng.random_range(0..spare)));
        let to = from.plus(Duration::from_secs(seconds));
        let path = asked(from, to);
        let answer = client.get(&path, Some((0, 65_535)), false)?;
        if answer.status != 206 {
            return Err(format!("{}: {}", path, answer.status).into());
        }
        times.push(answer.first_byte);
    }
    Ok((percentile(&mut times, 0.5), percentile(&mut times, 0.99)))
}
