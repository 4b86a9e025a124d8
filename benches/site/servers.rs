//! The servers under test, one thread each, all on one core; the origin of bytes on the other.

use crate::process;
use std::{
    error::Error,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const START_MAX: Duration = Duration::from_secs(30);
pub const SMALL: usize = 4 << 10;
pub const LARGE: usize = 10_000_000;

/// A server under test.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    /// Where else it listens.
    second: Option<SocketAddr>,
    /// Processes whose time counts.
    pub pids: Vec<u32>,
    child: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            process::end(child);
        }
    }
}

/// The files that are asked for.
pub fn files(dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let root = dir.join("www");
    fs::create_dir_all(&root)?;
    fs::write(root.join("4k.txt"), vec![b'x'; SMALL])?;
    fs::write(root.join("10m.bin"), vec![b'x'; LARGE])?;
    Ok(root)
}

/// nginx on the other core, as what lies behind a TCP route.
pub fn origin(dir: &Path, root: &Path) -> Result<Server, Box<dyn Error>> {
    start_nginx(dir, "origin", 1, root, "open_file_cache max=64;")
}

pub fn nginx(dir: &Path, name: &'static str, root: &Path, more: &str) -> Result<Server, Box<dyn Error>> {
    start_nginx(dir, name, 0, root, more)
}

fn start_nginx(dir: &Path, name: &'static str, core: usize, root: &Path, more: &str) -> Result<Server, Box<dyn Error>> {
    let address = free_address()?;
    let dir = dir.join(name.replace(' ', "-"));
    fs::create_dir_all(&dir)?;
    let config = dir.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; worker_processes 1; error_log {dir}/error.log; pid {dir}/nginx.pid;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000000; {more}\n\
         client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;\n\
         uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;\n\
         server {{ listen {address} backlog=8192; root {}; }} }}\n",
        root.display(),
        dir = dir.display(),
    );
    fs::write(&config, text)?;
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = process::on_core(core, "nginx");
    command.env("PATH", path).arg("-c").arg(&config);
    start(name, command, address, &dir)
}

pub fn haproxy(dir: &Path, name: &'static str, option: &str, to: SocketAddr) -> Result<Server, Box<dyn Error>> {
    let address = free_address()?;
    let dir = dir.join(name.replace(' ', "-"));
    fs::create_dir_all(&dir)?;
    let config = dir.join("haproxy.cfg");
    let text = format!(
        "global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode tcp\n  {option}\n  timeout connect 5s\n  timeout client 60s\n\
         \x20 timeout server 60s\nfrontend f\n  bind {address} backlog 8192\n  default_backend o\nbackend o\n  server o {to}\n"
    );
    fs::write(&config, text)?;
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = process::on_core(0, "haproxy");
    command.env("PATH", path).arg("-f").arg(&config);
    start(name, command, address, &dir)
}

pub fn skyvis(dir: &Path, root: &Path, to: SocketAddr) -> Result<Server, Box<dyn Error>> {
    let (address, second, admin) = (free_address()?, free_address()?, free_address()?);
    let dir = dir.join("skyvis");
    fs::create_dir_all(&dir)?;
    let config = dir.join("skyvis.toml");
    let text = format!(
        "data_dir = {:?}\n[admin]\nlisten = \"{admin}\"\n[proxy]\nlisten = [\"{address}\"]\nworkers = 1\n\
         [[proxy.route]]\nname = \"files\"\ndir = {:?}\n\
         [[proxy.tcp]]\nlisten = \"{second}\"\nupstreams = [\"{to}\"]\n[recording]\nmin_free = \"0B\"\n",
        dir.join("data").display().to_string(),
        root.display().to_string(),
    );
    fs::write(&config, text)?;
    let mut command = process::on_core(0, env!("CARGO_BIN_EXE_skyvis"));
    command.args(["run", "--config"]).arg(&config);
    let mut server = start("skyvis", command, address, &dir)?;
    server.second = Some(second);
    Ok(server)
}

/// The same process by its TCP route.
pub fn beside(server: &Server) -> Result<Server, Box<dyn Error>> {
    let address = server.second.ok_or("it listens at one address")?;
    Ok(Server { name: server.name, address, second: None, pids: server.pids.clone(), child: None })
}

fn start(name: &'static str, mut command: Command, address: SocketAddr, dir: &Path) -> Result<Server, Box<dyn Error>> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(dir.join("stderr.log"))?);
    let child = command.spawn()?;
    let server = Server { name, address, second: None, pids: vec![child.id()], child: Some(child) };
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
    socket.write_all(b"GET /4k.txt HTTP/1.1\r\nHost: bench\r\n\r\n").is_ok()
        && socket.read_exact(&mut begin).is_ok()
        && begin == *b"HTTP/1.1 200 "
}

fn free_address() -> Result<SocketAddr, Box<dyn Error>> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
