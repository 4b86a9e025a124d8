//! The proxies under test and the origin behind them. One thread each, all on one core; the origin on the other.

use crate::process;
use std::{
    error::Error,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const START_MAX: Duration = Duration::from_secs(30);
/// Where the origin listens.
const ORIGIN: &str = "127.0.0.1:18998";

/// A proxy under test.
pub struct Server {
    pub name: &'static str,
    /// HTTP/1.1 and HTTP/2 over TLS.
    pub https: SocketAddr,
    /// HTTP/2 in the clear.
    pub clear: SocketAddr,
    /// Processes whose time counts.
    pub pids: Vec<u32>,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        process::end(&mut self.child);
    }
}

/// One for all.
pub fn certificate(dir: &Path) -> Result<(), Box<dyn Error>> {
    let asked = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench.test \
                 -addext subjectAltName=DNS:bench.test -addext basicConstraints=critical,CA:FALSE \
                 -keyout key.pem -out cert.pem";
    let mut command = Command::new("openssl");
    command.args(asked.split_whitespace()).current_dir(dir).stderr(Stdio::null());
    if command.status()?.success() { Ok(()) } else { Err("openssl makes no certificate".into()) }
}

pub fn origin(dir: &Path) -> Result<Server, Box<dyn Error>> {
    let root = dir.join("www");
    fs::create_dir_all(&root)?;
    fs::write(root.join("128"), [b'x'; 128])?;
    let server = format!(
        "open_file_cache max=16; etag off; server {{ listen {ORIGIN} backlog=8192; location / {{ root {}; }} }}",
        root.display()
    );
    let address = ORIGIN.parse()?;
    start_nginx(dir, "origin", 1, (address, address), &server)
}

pub fn nginx(dir: &Path) -> Result<Server, Box<dyn Error>> {
    let (https, clear) = (free_address()?, free_address()?);
    let fields = "proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; \
                  proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; \
                  proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Request-Id $request_id; \
                  proxy_set_header Via \"1.1 bench\"; proxy_set_header Connection \"\";";
    let server = format!(
        "upstream origin {{ server {ORIGIN}; keepalive 64; keepalive_requests 100000000; }}\n\
         server {{ listen {https} ssl http2 backlog=8192; listen {clear} http2 backlog=8192; server_name bench.test;\n\
         ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;\n\
         ssl_session_cache shared:s:10m; ssl_session_tickets on;\n\
         location / {{ proxy_pass http://origin; {fields} }} }}",
        dir = dir.display(),
    );
    start_nginx(dir, "nginx", 0, (https, clear), &server)
}

fn start_nginx(
    dir: &Path,
    name: &'static str,
    core: usize,
    addresses: (SocketAddr, SocketAddr),
    server: &str,
) -> Result<Server, Box<dyn Error>> {
    let dir = dir.join(name);
    fs::create_dir_all(&dir)?;
    let config = dir.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 40000; error_log {dir}/error.log;\n\
         pid {dir}/nginx.pid; events {{ worker_connections 16384; }}\n\
         http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000000; keepalive_time 100h;\n\
         client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;\n\
         uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;\n{server} }}\n",
        dir = dir.display(),
    );
    fs::write(&config, text)?;
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = process::on_core(core, "nginx");
    command.env("PATH", path).arg("-c").arg(&config);
    start(name, command, addresses, &dir)
}

pub fn skyvis(dir: &Path) -> Result<Server, Box<dyn Error>> {
    let (https, clear, admin) = (free_address()?, free_address()?, free_address()?);
    let own = dir.join("skyvis");
    fs::create_dir_all(&own)?;
    let config = own.join("skyvis.toml");
    let path = |path: &Path| path.display().to_string();
    let text = format!(
        "data_dir = {:?}\n[admin]\nlisten = \"{admin}\"\n[proxy]\nlisten = [\"{clear}\"]\nworkers = 1\n\
         [[proxy.tls]]\nlisten = \"{https}\"\ncert = {:?}\nkey = {:?}\n\
         [[proxy.route]]\nname = \"origin\"\npath_prefix = \"/\"\nupstreams = [\"http://{ORIGIN}\"]\n\
         [recording]\nmin_free = \"0B\"\n",
        path(&own.join("data")),
        path(&dir.join("cert.pem")),
        path(&dir.join("key.pem")),
    );
    fs::write(&config, text)?;
    let mut command = process::on_core(0, env!("CARGO_BIN_EXE_skyvis"));
    command.args(["run", "--config"]).arg(&config);
    start("skyvis", command, (https, clear), &own)
}

fn start(
    name: &'static str,
    mut command: Command,
    (https, clear): (SocketAddr, SocketAddr),
    dir: &Path,
) -> Result<Server, Box<dyn Error>> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(dir.join("stderr.log"))?);
    let child = command.spawn()?;
    let server = Server { name, https, clear, pids: vec![child.id()], child };
    let began = Instant::now();
    // The origin speaks in the clear, at the one address that it has.
    let url = format!("{}://{https}/128", if https == clear { "http" } else { "https" });
    while !answers(&url)? {
        if began.elapsed() > START_MAX {
            return Err(format!("{name} does not answer; see {}", dir.display()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

/// Whether a request gets through to the origin and back.
fn answers(url: &str) -> Result<bool, Box<dyn Error>> {
    let mut command = Command::new("curl");
    command.args(["-skf", "--max-time", "5", "-o", "/dev/null", "-H", "Host: bench.test", url]);
    Ok(command.status()?.success())
}

fn free_address() -> Result<SocketAddr, Box<dyn Error>> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
