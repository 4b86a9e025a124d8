//! Whom the cases reach: an origin that writes down what it sees, alone or behind a server of Debian that reads what we
//! pass on in its own way.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// Longer than any wait of a test: only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an origin saw on one of its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A whole request.
    Request {
        /// Its first line and fields.
        head: String,
        /// Its body, chunks taken apart.
        body: Vec<u8>,
    },
    /// The begin of a request, and then the end.
    Part(Vec<u8>),
    /// What is no request.
    Garbage(Vec<u8>),
}

/// An origin that answers 200 to everything and keeps what it saw.
#[derive(Clone)]
pub struct RawOrigin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Entry>>>,
}

impl RawOrigin {
    /// One on a port of its own.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&origin.seen);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (Ok(socket), seen) = (socket, Arc::clone(&seen)) else { return };
                thread::spawn(move || {
                    let mut connection = Connection { socket, buffer: Vec::new() };
                    while let Some(entry) = connection.read_one() {
                        let is_request = matches!(entry, Entry::Request { .. });
                        seen.lock().unwrap().push(entry.clone());
                        if !is_request || connection.answer(&entry).is_none() {
                            return;
                        }
                    }
                });
            }
        });
        origin
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it saw since it was last asked.
    pub fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// The next thing on it; `None` at its end. Lenient where that shows more: it splits at whatever ends a head.
    fn read_one(&mut self) -> Option<Entry> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more() {
                return (!self.buffer.is_empty()).then(|| Entry::Part(std::mem::take(&mut self.buffer)));
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let Some(fields) = sound_fields(&head) else { return Some(Entry::Garbage(head)) };
        let mut body = Vec::new();
        let is_whole = match framing(&fields) {
            None => return Some(Entry::Garbage(head)),
            Some(Framing::Length(length)) => self.read_length(length, &mut body),
            Some(Framing::Chunked) => self.read_chunks(&mut body),
        };
        match is_whole {
            Some(true) => Some(Entry::Request { head: head.escape_ascii().to_string(), body }),
            Some(false) => Some(Entry::Part(head)),
            None => Some(Entry::Garbage([head, std::mem::take(&mut self.buffer)].concat())),
        }
    }

    fn read_length(&mut self, length: usize, body: &mut Vec<u8>) -> Option<bool> {
        while self.buffer.len() < length {
            if !self.more() {
                return Some(false);
            }
        }
        body.extend(self.buffer.drain(..length));
        Some(true)
    }

    /// `Some(false)`: it breaks off; `None`: these are no chunks.
    fn read_chunks(&mut self, body: &mut Vec<u8>) -> Option<bool> {
        loop {
            let Some(line) = self.line() else { return Some(false) };
            // Exactly as we write them.
            if line.is_empty() || line.len() > 16 || !line.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?, 16).ok()?;
            if size == 0 {
                break;
            }
            if self.read_length(size, body) == Some(false) {
                return Some(false);
            }
            match self.line() {
                Some(end) if end.is_empty() => {}
                Some(_) => return None,
                None => return Some(false),
            }
        }
        loop {
            match self.line() {
                Some(line) if line.is_empty() => return Some(true),
                Some(line) if line.contains(&b':') => {}
                Some(_) => return None,
                None => return Some(false),
            }
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(line[..at].to_vec());
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(count @ 1..) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                true
            }
            _ => false,
        }
    }

    fn answer(&mut self, entry: &Entry) -> Option<()> {
        let Entry::Request { head, .. } = entry else { return None };
        let text = if head.starts_with("HEAD ") { "" } else { "ok" };
        self.socket.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{text}").as_bytes()).ok()
    }
}

enum Framing {
    Length(usize),
    Chunked,
}

/// The fields of a head in which everything is where it must be; `None` of any other.
fn sound_fields(head: &[u8]) -> Option<Vec<(String, String)>> {
    let text: String = head.iter().copied().map(char::from).collect();
    let without_ends = text.replace("\r\n", "");
    if without_ends.contains(['\r', '\n', '\0']) {
        return None;
    }
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let words: Vec<&str> = lines.next()?.split(' ').collect();
    let [method, target, "HTTP/1.1" | "HTTP/1.0"] = words.as_slice() else { return None };
    if method.is_empty() || !(target.starts_with('/') || *target == "*") {
        return None;
    }
    lines
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            is_name.then(|| (name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect()
}

/// `None`: it can be read in two ways.
fn framing(fields: &[(String, String)]) -> Option<Framing> {
    let all =
        |name: &str| fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    if all("host").len() != 1 {
        return None;
    }
    match (all("content-length").as_slice(), all("transfer-encoding").as_slice()) {
        ([], []) => Some(Framing::Length(0)),
        ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => Some(Framing::Length(length.parse().ok()?)),
        ([], ["chunked"]) => Some(Framing::Chunked),
        _ => None,
    }
}

/// A server of Debian between us and the origin.
pub struct Between {
    /// Its name.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// What is behind it.
    pub origin: RawOrigin,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Drop for Between {
    fn drop(&mut self) {
        // By its own signal it takes its children along.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// One of `nginx`, `haproxy` and `apache2`.
pub fn between(name: &'static str) -> Between {
    let origin = RawOrigin::new();
    let dir = tempfile::tempdir().unwrap();
    // Taken and given back: a server must be told its port.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (text, program, arguments): (String, &str, &[&str]) = match name {
        "nginx" => (nginx(dir.path(), address, origin.address), "/usr/sbin/nginx", &["-c"]),
        "haproxy" => (haproxy(address, origin.address), "/usr/sbin/haproxy", &["-db", "-q", "-f"]),
        "apache2" => (apache(dir.path(), address, origin.address), "/usr/sbin/apache2", &["-DFOREGROUND", "-f"]),
        other => panic!("{other}"),
    };
    let file = dir.path().join("conf");
    fs::write(&file, text).unwrap();
    let log = fs::File::create(dir.path().join("out")).unwrap();
    let child = Command::new(program)
        .args(arguments)
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}; ./test installs it"));
    let mut between = Between { name, address, origin, child, _dir: dir };
    between.wait_until_it_listens(&file);
    between
}

impl Between {
    fn wait_until_it_listens(&mut self, file: &Path) {
        let clock = crate::base::Clock::real();
        let until = clock.now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait().unwrap();
            let log = || fs::read_to_string(file.with_file_name("out")).unwrap_or_default();
            assert!(ended.is_none() && clock.now() < until, "{} does not listen: {}", self.name, log());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn nginx(dir: &Path, listen: SocketAddr, to: SocketAddr) -> String {
    let dir = dir.display();
    let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
    // As lenient as it can be told to be: it is to show what could be read in another way.
    format!(
        "daemon off; {user} worker_processes 1; pid {dir}/pid; error_log {dir}/error.log; events {{ worker_connections 512; }}
http {{
  access_log off; underscores_in_headers on; ignore_invalid_headers off; client_max_body_size 0; large_client_header_buffers 8 64k;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream origin {{ server {to}; keepalive 16; }}
  server {{
    listen {listen}; merge_slashes off;
    location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $http_host; proxy_request_buffering off; }}
  }}
}}
"
    )
}

fn haproxy(listen: SocketAddr, to: SocketAddr) -> String {
    format!(
        "global
  maxconn 512
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  http-reuse always
  option accept-invalid-http-request
frontend outside
  bind {listen}
  default_backend origin
backend origin
  server one {to}
"
    )
}

fn apache(dir: &Path, listen: SocketAddr, to: SocketAddr) -> String {
    let dir = dir.display();
    let modules: String = ["mpm_event", "authz_core", "proxy", "proxy_http"]
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    format!(
        "ServerRoot {dir}\n{modules}PidFile {dir}/pid\nErrorLog {dir}/error.log\nListen {listen}\nServerName localhost
HttpProtocolOptions Unsafe LenientMethods Allow0.9
AllowEncodedSlashes NoDecode\nLimitRequestFieldSize 32768\nLimitRequestLine 32768\nProxyPreserveHost On
ProxyPass / http://{to}/ nocanon\n"
    )
}
