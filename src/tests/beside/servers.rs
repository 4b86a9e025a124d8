//! Both servers, what they serve, and a client that reads answers.

use super::{
    asks::{APIS, Ask},
    origin::Services,
};
use crate::{
    base::{Clock, Metrics, TaskGroup},
    config::{self, Env},
    disk::Disk,
    model::Catalog,
    outbound::system_lookup,
    proxy::{self, Listeners},
};
use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// Longer than any wait of a test: only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(60);
/// When all files were written, in seconds of the Unix epoch: in January 2026.
const WRITTEN: u64 = 0x695d_7800;

/// The app and the documents.
pub(super) struct Files(tempfile::TempDir);

impl Files {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let large: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        for (name, bytes) in [
            ("app/index.html", b"<!doctype html><title>app</title>".as_slice()),
            ("app/assets/app.js", b"console.log('app')"),
            ("app/assets/style.css", b"body { color: red }"),
            ("app/assets/logo.png", b"\x89PNG not really"),
            ("app/assets/data.json", b"{\"a\": 1}"),
            ("app/assets/large.bin", &large),
            ("app/assets/empty.txt", b""),
            ("app/assets/no-ending", b"what is it"),
            ("app/a b.txt", b"with a space"),
            ("app/.git/config", b"hidden"),
            ("manual/index.html", b"<h1>documents</h1>"),
            ("manual/guide.html", b"<h1>guide</h1>"),
            ("manual/.htaccess", b"hidden"),
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            let when: SystemTime = UNIX_EPOCH + Duration::from_secs(WRITTEN);
            fs::File::options().write(true).open(&path).unwrap().set_modified(when).unwrap();
        }
        Self(dir)
    }

    fn dir(&self) -> std::path::Display<'_> {
        self.0.path().display()
    }
}

fn nginx_conf(own: &Path, listen: SocketAddr, files: &Files, services: &Services) -> String {
    let (own, files) = (own.display(), files.dir());
    let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
    let mut locations = String::new();
    for (api, address) in APIS.iter().zip(&services.addresses) {
        let limit = if *api == "draft" { "client_max_body_size 20m;" } else { "" };
        writeln!(
            locations,
            "location /api/{api} {{ {limit} proxy_pass http://{address}; add_header Access-Control-Allow-Origin *;
               add_header Access-Control-Allow-Headers *; add_header Access-Control-Allow-Methods *; }}"
        )
        .unwrap();
    }
    let (gone, notification) = (services.gone, services.addresses[5]);
    format!(
        "daemon off; {user} worker_processes 1; pid {own}/pid; error_log {own}/error.log;
events {{ worker_connections 512; }}
http {{
  include /etc/nginx/mime.types; default_type application/octet-stream; access_log off; sendfile on;
  client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/f; uwsgi_temp_path {own}/u;
  scgi_temp_path {own}/s;
  server {{
    listen {listen}; server_name site.example;
    location / {{ root {files}/app; index index.html; try_files $uri /index.html; }}
    location /docs {{ alias {files}/manual; index index.html; }}
    {locations}
    location /api/gone {{ proxy_pass http://{gone}; }}
    location /ws {{
      proxy_pass http://{notification}; proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; proxy_set_header Host $host;
      proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"
    )
}

/// The same as our file.
pub(super) fn toml(files: &Files, services: &Services) -> String {
    let files = files.dir();
    let mut text = format!(
        "[proxy]\nlisten = [\"127.0.0.1:0\"]\n
[[proxy.route]]\nname = \"app\"\ndir = \"{files}/app\"\nspa = true\n
[[proxy.route]]\nname = \"docs\"\npath_prefix = \"/docs\"\nstrip_prefix = \"/docs\"\ndir = \"{files}/manual\"\n"
    );
    for (api, address) in APIS.iter().zip(&services.addresses) {
        let limit = if *api == "draft" { "body_max = \"20MiB\"\n" } else { "" };
        write!(
            text,
            "\n[[proxy.route]]\nname = \"{api}\"\npath_prefix = \"/api/{api}\"\nupstreams = [\"http://{address}\"]\n{limit}\
             cors = {{ origins = [\"*\"] }}\n"
        )
        .unwrap();
    }
    let (gone, notification) = (services.gone, services.addresses[5]);
    write!(
        text,
        "\n[[proxy.route]]\nname = \"gone\"\npath_prefix = \"/api/gone\"\nupstreams = [\"http://{gone}\"]\n
[[proxy.route]]\nname = \"ws\"\npath_prefix = \"/ws\"\nupstreams = [\"http://{notification}\"]\n"
    )
    .unwrap();
    text
}

/// Debian's nginx.
pub(super) struct Nginx {
    pub(super) address: SocketAddr,
    child: Child,
    own: tempfile::TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // By its own signal it takes its children along.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Nginx {
    pub(super) fn start(files: &Files, services: &Services) -> Self {
        let own = tempfile::tempdir().unwrap();
        // Taken and given back: it must be told its port.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = own.path().join("nginx.conf");
        fs::write(&file, nginx_conf(own.path(), address, files, services)).unwrap();
        let log = fs::File::create(own.path().join("out")).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|e| panic!("nginx: {e}; ./test installs it"));
        let mut nginx = Self { address, child, own };
        let clock = Clock::real();
        let until = clock.now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let log = || fs::read_to_string(nginx.own.path().join("out")).unwrap_or_default();
            let ended = nginx.child.try_wait().unwrap();
            assert!(ended.is_none() && clock.now() < until, "nginx does not listen: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
        nginx
    }

    pub(super) fn ask(&self, ask: &Ask) -> Answer {
        self::ask(self.address, ask)
    }

    /// Its configuration as our importer has it, on another port.
    pub(super) fn imported(&self) -> String {
        let imported = config::nginx::import(&self.own.path().join("nginx.conf")).unwrap();
        assert!(imported.toml.contains(&self.address.to_string()), "{}", imported.toml);
        imported.toml.replace(&format!("\"{}\"", self.address), "\"127.0.0.1:0\"")
    }
}

/// Our proxy.
pub(super) struct Gateway {
    pub(super) address: SocketAddr,
    group: TaskGroup,
    keeping: TaskGroup,
    runtime: tokio::runtime::Runtime,
    _catalog: watch::Sender<Arc<Catalog>>,
}

impl Gateway {
    pub(super) fn start(toml: &str) -> Self {
        let env = Env::new::<String, String>([], "host");
        let config = config::parse(toml, Path::new("/c.toml"), &env).unwrap_or_else(|f| panic!("{f}\n{toml}")).proxy();
        let config = proxy::Config { workers: 1, ..config };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inside = runtime.enter();
        let (group, keeping) = (TaskGroup::new(), TaskGroup::new());
        let (catalog, follow) = watch::channel(Arc::default());
        let deps = proxy::Deps {
            clock: Clock::real(),
            metrics: Metrics::default(),
            handlers: keeping.here(),
            disk: Disk::real(2),
            catalog: follow,
            lookup: system_lookup(),
            built_in: Vec::new(),
            listeners: Listeners::bind(&config, Vec::new()).unwrap(),
        };
        let (proxy, tasks) = proxy::build(&config, deps).unwrap();
        keeping.spawn("sync", tasks.routes.run(keeping.stop_token()));
        let address = proxy.addresses()[0];
        group.spawn("plane", tasks.plane.run(group.stop_token()));
        drop(inside);
        Self { address, group, keeping, runtime, _catalog: catalog }
    }

    pub(super) fn ask(&self, ask: &Ask) -> Answer {
        self::ask(self.address, ask)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.runtime.block_on(async {
            self.group.stop(PATIENCE).await;
            self.keeping.stop(PATIENCE).await;
        });
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// All values of a field, in order.
    pub(super) fn field(&self, name: &str) -> String {
        let fields = self.head.lines().skip(1).filter_map(|l| l.split_once(": "));
        let values: Vec<&str> = fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect();
        values.join(", ")
    }

    /// The body; of a long one its length and sum.
    pub(super) fn text(&self) -> String {
        match self.body.len() {
            ..=400 => String::from_utf8_lossy(&self.body).into_owned(),
            len => format!("{len} bytes, {}", self.body.iter().map(|b| u64::from(*b)).sum::<u64>()),
        }
    }
}

pub(super) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub(super) fn ask(address: SocketAddr, ask: &Ask) -> Answer {
    let mut socket = connect(address);
    let fields: String = ask.fields.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    let framing = match (ask.chunked, ask.body) {
        (true, _) => "Transfer-Encoding: chunked\r\n".to_owned(),
        (false, 0) => String::new(),
        (false, n) => format!("Content-Length: {n}\r\n"),
    };
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n{fields}{framing}\r\n",
        ask.method, ask.path
    );
    let body = vec![b'z'; ask.body];
    let framed = match ask.chunked {
        true => [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat(),
        false => body,
    };
    // Whoever is refused early need not be able to send the rest.
    let mut writer = socket.try_clone().unwrap();
    let writing = thread::spawn(move || drop(writer.write_all(&[head.as_bytes(), &framed].concat())));
    let mut buffer = Vec::new();
    let answer = answer(&mut socket, &mut buffer, ask.method == "HEAD");
    let _ = socket.shutdown(std::net::Shutdown::Both);
    writing.join().unwrap();
    answer.unwrap_or_else(|| {
        panic!("no answer of {address} to {} {}: {}", ask.method, ask.label(), buffer.escape_ascii())
    })
}

fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>, is_head: bool) -> Option<Answer> {
    let end = fill_until(socket, buffer, |b| b.windows(4).position(|w| w == b"\r\n\r\n"))? + 4;
    let head = String::from_utf8_lossy(&buffer.drain(..end).collect::<Vec<_>>()).into_owned();
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    let mut answer = Answer { status, head, body: Vec::new() };
    let len = answer.field("content-length").parse::<usize>().ok();
    if is_head || status == 101 || matches!(status, 204 | 304) {
        return Some(answer);
    }
    answer.body = if answer.field("transfer-encoding") == "chunked" {
        chunks(socket, buffer)?
    } else if let Some(len) = len {
        fill_until(socket, buffer, |b| (b.len() >= len).then_some(0))?;
        buffer.drain(..len).collect()
    } else {
        while more(socket, buffer) {}
        std::mem::take(buffer)
    };
    if answer.field("transfer-encoding") == "chunked" {
        // How a body of unknown length is framed is between two hops.
        answer.head = answer.head.replace("Transfer-Encoding: chunked\r\n", "");
    }
    Some(answer)
}

/// Asks for an upgrade and says something: what came of it.
pub(super) fn upgrade(socket: &mut TcpStream, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: site.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    let mut buffer = Vec::new();
    let got = answer(socket, &mut buffer, false).unwrap();
    socket.write_all(b"hello").unwrap();
    fill_until(socket, &mut buffer, |b| (b.len() >= 5).then_some(0)).unwrap();
    let said = String::from_utf8(buffer).unwrap();
    format!("{} {} {said} {}", got.status, got.field("upgrade"), got.field("x-told"))
}

fn more(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 65536];
    match socket.read(&mut bytes) {
        Ok(n @ 1..) => {
            buffer.extend_from_slice(&bytes[..n]);
            true
        }
        _ => false,
    }
}

/// Reads on until there is what is looked for. None: it ended before.
pub(super) fn fill_until(
    socket: &mut TcpStream,
    buffer: &mut Vec<u8>,
    look: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    loop {
        if let Some(found) = look(buffer) {
            return Some(found);
        }
        more(socket, buffer).then_some(())?;
    }
}

/// A chunked body.
pub(super) fn chunks(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = fill_until(socket, buffer, |b| b.windows(2).position(|w| w == b"\r\n"))?;
        let line: Vec<u8> = buffer.drain(..end + 2).collect();
        let size = usize::from_str_radix(std::str::from_utf8(&line[..end]).ok()?, 16).ok()?;
        fill_until(socket, buffer, |b| (b.len() >= size + 2).then_some(0))?;
        body.extend(buffer.drain(..size));
        buffer.drain(..2);
        if size == 0 {
            return Some(body);
        }
    }
}
