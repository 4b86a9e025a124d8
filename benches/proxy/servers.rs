//! The proxies under test: one thread each, all on one core.

use crate::process;
use std::{
    error::Error,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const START_MAX: Duration = Duration::from_secs(30);

const NGINX_PLAIN: &str = "";
const NGINX_TUNED: &str =
    "proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;";
const NGINX_UNBUFFERED: &str =
    "proxy_buffering off; proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k;";

/// A proxy under test.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    /// Processes whose time counts.
    pub pids: Vec<u32>,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        process::end(&mut self.child);
    }
}

/// Those that are wanted, skyvis first.
pub fn start_all(dir: &Path, origin: SocketAddr, wanted: impl Fn(&str) -> bool) -> Result<Vec<Server>, Box<dyn Error>> {
    let own = std::env::var("SKYVIS").unwrap_or_else(|_| env!("CARGO_BIN_EXE_skyvis").into());
    let mut all = vec![skyvis(dir, "skyvis", &own, origin)?];
    if let Ok(before) = std::env::var("BEFORE") {
        all.push(skyvis(dir, "skyvis before", &before, origin)?);
    }
    for (name, tuning) in [("nginx", NGINX_PLAIN), ("nginx tuned", NGINX_TUNED), ("nginx unbuffered", NGINX_UNBUFFERED)]
    {
        if wanted(name) {
            process::need("nginx", "nginx-light")?;
            all.push(nginx(dir, name, tuning, origin)?);
        }
    }
    for (name, option) in [("haproxy", ""), ("haproxy splice", "option splice-response")] {
        if wanted(name) {
            process::need("haproxy", "haproxy")?;
            all.push(haproxy(dir, name, option, origin)?);
        }
    }
    Ok(all)
}

fn nginx(dir: &Path, name: &'static str, tuning: &str, origin: SocketAddr) -> Result<Server, Box<dyn Error>> {
    let address = free_address()?;
    let fields = "proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; \
                  proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; \
                  proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Request-Id $request_id; \
                  proxy_set_header Via \"1.1 bench\";";
    let server = format!(
        "upstream origin {{ server {origin}; keepalive 64; keepalive_requests 100000000; }}\n\
         server {{ listen {address} backlog=8192; {tuning}\n\
         location = /echo {{ proxy_pass http://origin; {fields} proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}\n\
         location / {{ proxy_pass http://origin; {fields} proxy_set_header Connection \"\"; }} }}"
    );
    start_nginx(dir, name, address, &server)
}

fn start_nginx(dir: &Path, name: &'static str, address: SocketAddr, server: &str) -> Result<Server, Box<dyn Error>> {
    let dir = dir.join(name.replace(' ', "-"));
    fs::create_dir_all(&dir)?;
    let config = dir.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 16384; error_log {dir}/error.log;\n\
         pid {dir}/nginx.pid; events {{ worker_connections 16384; }}\n\
         http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000000;\n\
         client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;\n\
         uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;\n{server} }}\n",
        dir = dir.display(),
    );
    fs::write(&config, text)?;
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = process::on_core(0, "nginx");
    command.env("PATH", path).arg("-c").arg(&config);
    start(name, command, address, &dir)
}

fn haproxy(dir: &Path, name: &'static str, option: &str, origin: SocketAddr) -> Result<Server, Box<dyn Error>> {
    let address = free_address()?;
    let dir = dir.join(name.replace(' ', "-"));
    fs::create_dir_all(&dir)?;
    let config = dir.join("haproxy.cfg");
    let text = format!(
        "global\n  nbthread 1\n  no strict-limits\n  maxconn 12000\n  ulimit-n 16384\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  timeout tunnel 1h\n\
         \x20 http-reuse always\n  option forwardfor\n  {option}\n  unique-id-format %{{+X}}o%ci%cp%fi%fp%Ts%rt%pid\n  unique-id-header X-Request-Id\n\
         frontend f\n  bind {address} backlog 8192\n  http-request set-header X-Forwarded-Proto http\n\
         \x20 http-request set-header X-Real-IP %[src]\n  http-request set-header X-Forwarded-Host %[req.hdr(host)]\n\
         \x20 http-request set-header Via \"1.1 bench\"\n\
         \x20 default_backend origin\nbackend origin\n  server o {origin}\n"
    );
    fs::write(&config, text)?;
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = process::on_core(0, "haproxy");
    command.env("PATH", path).arg("-f").arg(&config);
    start(name, command, address, &dir)
}

fn skyvis(dir: &Path, name: &'static str, program: &str, origin: SocketAddr) -> Result<Server, Box<dyn Error>> {
    let (address, admin) = (free_address()?, free_address()?);
    let dir = dir.join(name.replace(' ', "-"));
    fs::create_dir_all(&dir)?;
    let config = dir.join("skyvis.toml");
    let text = format!(
        "data_dir = {:?}\n[admin]\nlisten = \"{admin}\"\n[proxy]\nlisten = [\"{address}\"]\nworkers = 1\n\
         [[proxy.route]]\nname = \"origin\"\npath_prefix = \"/\"\nupstreams = [\"http://{origin}\"]\n\
         [recording]\nmin_free = \"0B\"\n",
        dir.join("data").display().to_string()
    );
    fs::write(&config, text)?;
    let mut command = process::on_core(0, program);
    command.args(["run", "--config"]).arg(&config);
    start(name, command, address, &dir)
}

fn start(name: &'static str, mut command: Command, address: SocketAddr, dir: &Path) -> Result<Server, Box<dyn Error>> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(dir.join("stderr.log"))?);
    let child = command.spawn()?;
    let server = Server { name, address, pids: vec![child.id()], child };
    let began = Instant::now();
    while !answers(address) {
        if began.elapsed() > START_MAX {
            return Err(format!("{name} does not answer; see {}", dir.display()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

fn answers(address: SocketAddr) -> bool {
    let Ok(mut socket) = TcpStream::connect(address) else { return false };
    let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
    let mut begin = [0; 13];
    socket.write_all(b"GET /128 HTTP/1.1\r\nHost: bench\r\n\r\n").is_ok()
        && socket.read_exact(&mut begin).is_ok()
        && begin == *b"HTTP/1.1 200 "
}

fn free_address() -> Result<SocketAddr, Box<dyn Error>> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
