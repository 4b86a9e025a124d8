//! What stands behind the proxies. It answers from memory, on the thread of the clients: so it costs little beside them,
//! and no turn of the scheduler comes in between.
//!
//! `/<number>` is a body of so many bytes, `/echo` a tunnel that sends back what comes, `/head` the request's own head.
//! A small body goes out in one call with its head; a larger one by `sendfile`, as a web server sends a file.

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, Event, EventData, EventFlags},
    },
    fs::{MemfdFlags, memfd_create, sendfile},
};
use std::{
    error::Error,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

/// Above, a body is sent as a file is.
const IN_ONE_CALL_BYTES_MAX: usize = 16 << 10;
/// The largest body that may be asked for.
const BODY_BYTES_MAX: usize = 1 << 20;
const HEAD_BYTES_MAX: usize = 16 << 10;
const LISTENER: u64 = u64::MAX;
const GRANT: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Answers whenever it is given a [`Origin::turn`].
pub struct Origin {
    pub address: SocketAddr,
    pub epoll: OwnedFd,
    events: Vec<Event>,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// A body of the greatest length, and the same as a file.
    body: Vec<u8>,
    file: OwnedFd,
    input: Vec<u8>,
}

struct Connection {
    socket: TcpStream,
    /// The begin of a head that came in pieces.
    kept: Vec<u8>,
    /// What could not be sent at once: bytes, then so many of the file from there on.
    waiting: Vec<u8>,
    from_file: std::ops::Range<u64>,
    is_tunnel: bool,
}

impl Origin {
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        rustix::net::listen(&listener, 4096)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let body = vec![b'x'; BODY_BYTES_MAX];
        let mut file = std::fs::File::from(memfd_create("body", MemfdFlags::CLOEXEC)?);
        file.write_all(&body)?;
        let (events, input) = (Vec::with_capacity(256), vec![0; 64 << 10]);
        let (connections, free, file) = (Vec::new(), Vec::new(), file.into());
        Ok(Self { address, epoll, events, listener, connections, free, body, file, input })
    }

    /// Answers what is there, or comes within `wait`.
    pub fn turn(&mut self, wait: Duration) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => self.accept()?,
                at => self.serve(at as usize),
            }
        }
        self.events = events;
        Ok(())
    }

    /// Answers while something else is done on another thread, which waits for answers.
    pub fn beside<T: Send>(&mut self, work: impl FnOnce() -> T + Send) -> Result<T, Box<dyn Error>> {
        std::thread::scope(|scope| {
            let working = scope.spawn(work);
            while !working.is_finished() {
                self.turn(Duration::from_millis(1))?;
            }
            Ok(working.join().map_err(|_| "it panicked")?)
        })
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            epoll::add(&self.epoll, &socket, EventData::new_u64(at as u64), EventFlags::IN)?;
            let connection =
                Connection { socket, kept: Vec::new(), waiting: Vec::new(), from_file: 0..0, is_tunnel: false };
            self.connections[at] = Some(connection);
        }
    }

    fn serve(&mut self, at: usize) {
        let Some(mut connection) = self.connections[at].take() else { return };
        let was_waiting = connection.is_waiting();
        match self.answer(&mut connection) {
            Ok(()) => {
                if was_waiting != connection.is_waiting() {
                    let wanted = if was_waiting { EventFlags::IN } else { EventFlags::OUT };
                    let _ = epoll::modify(&self.epoll, &connection.socket, EventData::new_u64(at as u64), wanted);
                }
                self.connections[at] = Some(connection);
            }
            // Its end, whichever way.
            Err(_) => self.free.push(at),
        }
    }

    fn answer(&mut self, connection: &mut Connection) -> io::Result<()> {
        if connection.is_waiting() {
            return connection.go_on(&self.file);
        }
        let got = match connection.socket.read(&mut self.input) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if connection.is_tunnel {
            return connection.send(&self.input[..got], 0..0, &self.file);
        }
        if connection.kept.is_empty() && self.input[..got].ends_with(b"\r\n\r\n") {
            return answer(connection, &self.input[..got], &self.body, &self.file);
        }
        connection.kept.extend_from_slice(&self.input[..got]);
        if connection.kept.len() > HEAD_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        if !connection.kept.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        let head = std::mem::take(&mut connection.kept);
        answer(connection, &head, &self.body, &self.file)
    }
}

fn answer(connection: &mut Connection, head: &[u8], body: &[u8], file: &OwnedFd) -> io::Result<()> {
    let path = head.split(|b| *b == b' ').nth(1).unwrap_or_default();
    if path == b"/echo" {
        connection.is_tunnel = true;
        return connection.send(GRANT, 0..0, file);
    }
    let asked = std::str::from_utf8(&path[1..]).ok().and_then(|path| path.parse().ok());
    let len = match (asked, path) {
        (_, b"/head") => head.len(),
        (Some(len), _) if len <= body.len() => len,
        _ => return Err(ErrorKind::InvalidData.into()),
    };
    // The fields of a file that nginx serves.
    let mut out = Vec::with_capacity(512 + len.min(IN_ONE_CALL_BYTES_MAX));
    write!(
        out,
        "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sat, 21 Nov 2026 20:00:00 GMT\r\nContent-Type: text/plain\r\n\
         Content-Length: {len}\r\nLast-Modified: Sat, 21 Nov 2026 19:00:00 GMT\r\nAccept-Ranges: bytes\r\n\r\n"
    )?;
    if path == b"/head" {
        out.extend_from_slice(head);
        return connection.send(&out, 0..0, file);
    }
    if len <= IN_ONE_CALL_BYTES_MAX {
        out.extend_from_slice(&body[..len]);
        return connection.send(&out, 0..0, file);
    }
    connection.send(&out, 0..len as u64, file)
}

impl Connection {
    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.from_file.is_empty()
    }

    fn send(&mut self, bytes: &[u8], from_file: std::ops::Range<u64>, file: &OwnedFd) -> io::Result<()> {
        let flags = if from_file.is_empty() { rustix::net::SendFlags::empty() } else { rustix::net::SendFlags::MORE };
        let sent = match rustix::net::send(&self.socket, bytes, flags) {
            Ok(sent) => sent,
            Err(rustix::io::Errno::AGAIN) => 0,
            Err(error) => return Err(error.into()),
        };
        self.waiting.extend_from_slice(&bytes[sent..]);
        self.from_file = from_file;
        if self.waiting.is_empty() { self.go_on(file) } else { Ok(()) }
    }

    fn go_on(&mut self, file: &OwnedFd) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match self.socket.write(&self.waiting) {
                Ok(sent) => drop(self.waiting.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        while !self.from_file.is_empty() {
            let left = (self.from_file.end - self.from_file.start) as usize;
            match sendfile(&self.socket, file, Some(&mut self.from_file.start), left) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
