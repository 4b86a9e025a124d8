//! A whole site in a test: a simulated NVR on loopback, and a daemon made from a TOML text, either within this process
//! or as a process of its own that can be killed.

use crate::{
    app::{self, Daemon},
    base::{TaskGroup, Wall},
    config::{self, Env},
    disk::{Faults, Op},
    media::fmp4,
    model::{StreamKey, frame::VIDEO_TIMESCALE, segment::ticks_to_micros},
    outbound::{Address, Client, Limits},
    sim::{self, Mark},
    tests::heap::Heap,
};
use bytes::Bytes;
use serde_json::Value;
use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

pub(super) const PASSWORD: &str = "Sk7!vis#p@ss";
/// How long a test waits for what must come. Long, since machines that run tests are slow; nothing waits it out.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` finds something; fails naming `what` once patience is over.
pub(super) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not seen within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A simulated NVR and where its daemon keeps things.
pub(super) struct Site {
    pub nvr: sim::Running,
    pub dir: TempDir,
    sim_group: TaskGroup,
}

/// The options of most tests' NVR.
pub(super) fn nvr(channels: u32) -> sim::Options {
    sim::Options {
        kind: sim::DeviceKind::Nvr,
        channels,
        password: crate::base::Secret::new(PASSWORD),
        ..sim::Options::default()
    }
}

impl Site {
    pub(super) async fn new(options: sim::Options) -> Self {
        let sim_group = TaskGroup::new();
        let nvr = sim::Simulator::start(options, &sim_group).await.unwrap();
        Self { nvr, dir: tempfile::tempdir().unwrap(), sim_group }
    }

    /// A config for this site; `more` is added to its end, so it begins with keys of `[recording]`.
    pub(super) fn config(&self, more: &str) -> String {
        format!(
            "data_dir = '{dir}/data'\n[admin]\nlisten = 'unix:{dir}/admin.sock'\n[proxy]\nlisten = []\n\
             [hikvision]\npoll_interval = '1s'\ntimeout = '5s'\n\
             [[device]]\nid = 'nvr'\nkind = 'nvr'\naddress = '{http}'\nrtsp_port = {rtsp}\nuser = 'admin'\n\
             password = '{PASSWORD}'\n[recording]\nmin_free = 0\nsegment = '2s'\n{more}\n",
            dir = self.dir.path().display(),
            http = self.nvr.http_addr,
            rtsp = self.nvr.rtsp_addr.port(),
        )
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    /// Writes the config and starts a daemon in this process.
    pub(super) async fn daemon(&self, more: &str) -> Daemon {
        self.daemon_of(&self.config(more)).await
    }

    /// As [`Site::daemon`], with a text of one's own.
    pub(super) async fn daemon_of(&self, text: &str) -> Daemon {
        fs::write(self.config_file(), text).unwrap();
        let env = Env::new::<&str, &str>([], "test");
        let config = config::load(&self.config_file(), &env).unwrap_or_else(|faults| panic!("{faults}"));
        Daemon::start(config, Some(self.config_file()), env).await.unwrap()
    }

    /// Writes the config and starts a daemon as a process.
    pub(super) fn process(&self, more: &str) -> Process {
        self.process_with(more, &[])
    }

    /// As [`Site::process`], with something more in its environment.
    pub(super) fn process_with(&self, more: &str, env: &[(&str, &str)]) -> Process {
        fs::write(self.config_file(), self.config(more)).unwrap();
        Process::start(&self.config_file(), &self.dir.path().join("log"), env)
    }

    pub(super) fn api(&self) -> Api {
        Api::of(self.dir.path())
    }

    pub(super) fn recordings(&self) -> PathBuf {
        self.dir.path().join("data/recordings")
    }

    /// Fails unless the recorded pictures of a stream, all its files together, are consecutive; how many there are.
    pub(super) fn assert_nothing_is_missing(&self, key: &str) -> usize {
        let all: Vec<u64> = files(&self.recordings(), key).iter().flat_map(|f| counters_of_file(f)).collect();
        assert_consecutive(&all, key);
        all.len()
    }

    pub(super) async fn stop(self) {
        self.sim_group.stop(Duration::from_secs(5)).await;
    }
}

/// The admin endpoint as a client sees it.
#[derive(Clone)]
pub(super) struct Api(Client);

impl Api {
    /// The daemon whose socket lies in this directory.
    pub(super) fn of(dir: &Path) -> Self {
        Self::by(Address::Unix(dir.join("admin.sock")))
    }

    /// The daemon whose endpoint is at a port.
    pub(super) fn at(address: std::net::SocketAddr) -> Self {
        Self::by(Address::Tcp { host: address.ip().to_string(), port: address.port() })
    }

    fn by(address: Address) -> Self {
        let limits = Limits { body_bytes_max: 256 << 20, ..Limits::default() };
        Self(Client::new(address, limits))
    }

    pub(super) async fn try_get(&self, path: &str) -> Option<(u16, Bytes)> {
        self.send("GET", path, &[]).await
    }

    pub(super) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<(u16, Bytes)> {
        let mut request = http::Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.0.request(request.body(Bytes::new()).unwrap()).await.ok()?;
        Some((answer.status().as_u16(), answer.into_body()))
    }

    /// As [`Api::send`], with a body.
    pub(super) async fn put(&self, path: &str, body: impl Into<Bytes>) -> Option<(u16, Bytes)> {
        self.with_body("PUT", path, body).await
    }

    pub(super) async fn with_body(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Option<(u16, Bytes)> {
        let request = http::Request::builder().method(method).uri(path).header("host", "localhost");
        let answer = self.0.request(request.body(body.into()).unwrap()).await.ok()?;
        Some((answer.status().as_u16(), answer.into_body()))
    }

    pub(super) async fn get(&self, path: &str) -> Bytes {
        let (status, body) = self.try_get(path).await.unwrap_or_else(|| panic!("GET {path}: no answer"));
        assert_eq!(status, 200, "GET {path}: {}", String::from_utf8_lossy(&body));
        body
    }

    pub(super) async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path).await).unwrap()
    }

    pub(super) async fn stream(&self, key: &str) -> Value {
        self.json(&format!("/api/v1/streams/{key}")).await
    }

    pub(super) async fn spans(&self, key: &str) -> Vec<Value> {
        self.json(&format!("/api/v1/recordings?stream={key}")).await["spans"].as_array().unwrap().clone()
    }

    /// Waits until a stream has so many seconds of footage.
    pub(super) async fn until_recorded(&self, key: &str, seconds: f64) {
        until(&format!("{seconds} s of {key}"), || async {
            let (status, body) = self.try_get(&format!("/api/v1/segments?stream={key}")).await?;
            let found: Value = serde_json::from_slice(&body).unwrap();
            let segments = found["segments"].as_array().filter(|_| status == 200)?;
            let ms: f64 = segments.iter().filter_map(|s| s["duration_ms"].as_f64()).sum();
            (ms >= seconds * 1000.0).then_some(())
        })
        .await;
    }

    /// Waits until the stream is in this state.
    pub(super) async fn until_state(&self, key: &str, state: &str) {
        until(&format!("{key} {state}"), || async {
            let (status, body) = self.try_get(&format!("/api/v1/streams/{key}")).await?;
            let view: Value = serde_json::from_slice(&body).ok().filter(|_| status == 200)?;
            (view["state"] == state).then_some(())
        })
        .await;
    }
}

/// A daemon in a process of its own.
pub(super) struct Process {
    child: Child,
    pub log: PathBuf,
}

/// Names the config file to a copy of this test program that is to be a daemon.
const BE_A_DAEMON: &str = "BE_A_SKYVIS_DAEMON";
/// Says to it how many milliseconds each sync takes, of a file or of a directory.
pub(super) const SLOW_SYNCS: &str = "SLOW_SYNCS_OF_SKYVIS";
/// Names the file to it in which it is to tell what it has allocated.
pub(super) const TELL_HEAP: &str = "TELL_HEAP_OF_SKYVIS";

impl Process {
    /// Starts this very program again as a daemon.
    pub(super) fn start(config: &Path, log: &Path, env: &[(&str, &str)]) -> Self {
        let log_file = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["tests::harness::this_program_as_a_daemon", "--exact", "--nocapture"])
            .env(BE_A_DAEMON, config)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(log_file.try_clone().unwrap())
            .stderr(log_file)
            .spawn()
            .unwrap();
        Self { child, log: log.to_owned() }
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Kills it as a power supply would, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits: whether it ended well.
    pub(super) async fn terminate(&mut self) -> bool {
        self.signal(rustix::process::Signal::TERM);
        self.ended().await
    }

    /// Waits until it ends by itself: whether it ended well.
    pub(super) async fn ended(&mut self) -> bool {
        let mut status = None;
        while status.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            status = self.child.try_wait().unwrap();
        }
        status.is_some_and(|s| s.success())
    }

    pub(super) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No test by itself: what [`Process`] runs.
#[test]
fn this_program_as_a_daemon() {
    if let Some(config) = std::env::var_os(BE_A_DAEMON) {
        if let Some(file) = std::env::var_os(TELL_HEAP) {
            Heap::keep_telling(file.into());
        }
        if let Some(each) = std::env::var(SLOW_SYNCS).ok().and_then(|ms| ms.parse().ok()).map(Duration::from_millis) {
            let faults = Faults::new();
            [Op::SyncData, Op::SyncDir].into_iter().for_each(|op| faults.slow(op, each));
            faults.of_the_process();
        }
        app::run(Path::new(&config), Env::of_process()).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Holds the command line, each part ended by a unit separator, of a copy of this test program that is to be `skyvis`.
const BE_SKYVIS: &str = "BE_SKYVIS";

/// A program in `dir` that does what `skyvis` does, for rigs that are given its path.
pub(super) fn as_skyvis(dir: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let (path, this) = (dir.join("skyvis"), std::env::current_exe().unwrap());
    let script = format!(
        "#!/bin/sh\n{BE_SKYVIS}=$(printf '%s\\037' \"$@\")\nexport {BE_SKYVIS}\n\
         exec '{}' tests::harness::this_program_as_skyvis --exact --nocapture\n",
        this.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// No test by itself: what [`as_skyvis`] runs.
#[test]
fn this_program_as_skyvis() -> Result<(), String> {
    let Some(line) = std::env::var_os(BE_SKYVIS) else { return Ok(()) };
    let line = line.into_string().unwrap();
    let args = std::iter::once("skyvis").chain(line.split_terminator('\u{1f}')).map(Into::into);
    match crate::cli::run(args, &Env::of_process(), &mut crate::cli::Out::of_process()) {
        0 => Ok(()),
        code => Err(format!("skyvis ends with {code}")),
    }
}

/// All files of a stream, oldest first.
pub(super) fn files(recordings: &Path, key: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![recordings.join(key)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The counters that the simulator put into each picture of a recorded file, in the order of the file.
pub(super) fn counters_of_file(path: &Path) -> Vec<u64> {
    marks_of_file(path).iter().map(|mark| mark.counter).collect()
}

/// The marks of the pictures of a recorded file, in the order of the file.
pub(super) fn marks_of_file(path: &Path) -> Vec<Mark> {
    read_file(path).marks
}

/// What a recorded file says of itself.
pub(super) struct Recorded {
    pub start: Wall,
    pub end: Wall,
    /// What the simulator put into each picture, in the order of the file.
    pub marks: Vec<Mark>,
}

/// Reads a recorded file of the simulator's pictures.
pub(super) fn read_file(path: &Path) -> Recorded {
    let bytes = fs::read(path).unwrap();
    let scanned = fmp4::read::scan(bytes.len() as u64, |offset, buffer: &mut [u8]| {
        let at = offset as usize;
        bytes.get(at..at + buffer.len()).map(|found| buffer.copy_from_slice(found)).ok_or("read beyond the end")
    })
    .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let video = &scanned.table.video;
    let mut sizes = video.sizes.iter();
    let mut marks = Vec::new();
    for chunk in &video.chunks {
        let mut at = usize::try_from(chunk.offset).unwrap();
        for size in sizes.by_ref().take(chunk.samples as usize) {
            let end = at + *size as usize;
            marks.push(Mark::find(&bytes[at..end]).expect("every picture of the simulator is marked"));
            at = end;
        }
    }
    let start = scanned.origin.start;
    Recorded { start, end: start.plus_micros(ticks_to_micros(video.duration_ticks(), VIDEO_TIMESCALE)), marks }
}

/// The counters of any file that ffmpeg can open, by way of ffmpeg.
pub(super) fn counters_by_ffmpeg(path: &Path) -> Vec<u64> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:v", "-c", "copy", "-f", "h264", "-"])
        .output()
        .expect("ffmpeg is installed by ./test");
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    Mark::all_in_annex_b(&out.stdout).iter().map(|m| m.counter).collect()
}

/// Decodes a file with ffmpeg and fails on the slightest complaint; the number of pictures that ffprobe counts.
pub(super) fn decode(path: &Path) -> u64 {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed by ./test");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.is_empty(), "{}: {said}", path.display());
    let out = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-select_streams",
            "v",
            "-show_entries",
            "stream=nb_read_frames",
            "-of",
            "csv=p=0",
        ])
        .arg(path)
        .output()
        .unwrap();
    // A playlist's stream is printed twice: by itself and in its program.
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.split_whitespace()
        .next()
        .and_then(|n| n.trim_end_matches(',').parse().ok())
        .unwrap_or_else(|| panic!("{out:?}"))
}

/// Fails unless the numbers rise by one each time.
pub(super) fn assert_consecutive(numbers: &[u64], what: &str) {
    for pair in numbers.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "{what}: picture {} is followed by {}", pair[0], pair[1]);
    }
}

pub(super) fn key(text: &str) -> StreamKey {
    text.parse().unwrap()
}
