//! Clients that ask again as soon as they are answered: one thread over one `epoll`, the origin's turns among theirs, so
//! that they cost as little as can be beside what they measure. Every answer's status and length are held against what was asked for.

use crate::origin::Origin;
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
    net::{RecvFlags, recv},
};
use std::{
    error::Error,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

const READ_BYTES: usize = 256 << 10;
const HEAD_BYTES_MAX: usize = 8 << 10;
const ORIGIN: u64 = u64::MAX;
/// A proxy that answers nothing for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const MESSAGE: &[u8; 128] = &[b'm'; 128];
const ASK: &[u8] = b"GET /echo HTTP/1.1\r\nHost: bench.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What the clients do.
#[derive(Clone, Copy)]
pub enum Work {
    /// Ask for a body of so many bytes.
    Bodies(u64),
    /// Send a message through a tunnel and wait until it is back.
    Echoes,
}

/// What a run did.
pub struct Measured {
    pub done: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// One client. It has asked and waits for all of the answer.
struct Client {
    socket: TcpStream,
    /// The begin of a head that came in pieces.
    kept: Vec<u8>,
    /// What is still to come of the body or the message, once the head is read.
    left: Option<u64>,
    began: Instant,
}

struct Run {
    epoll: OwnedFd,
    clients: Vec<Client>,
    work: Work,
    ask: Vec<u8>,
    buffer: Vec<u8>,
    times: Vec<u32>,
}

/// So many clients at once, each as often as it can, for so long.
pub fn run(
    origin: &mut Origin,
    to: SocketAddr,
    clients: usize,
    work: Work,
    window: Duration,
) -> Result<Measured, Box<dyn Error>> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut run = Run {
        epoll,
        clients: Vec::with_capacity(clients),
        work,
        ask: match work {
            Work::Bodies(bytes) => request(&format!("/{bytes}")),
            Work::Echoes => MESSAGE.to_vec(),
        },
        buffer: vec![0; READ_BYTES],
        times: Vec::with_capacity(1 << 20),
    };
    for at in 0..clients {
        let mut socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        if matches!(work, Work::Echoes) {
            socket = origin.beside(|| upgraded(socket))??;
        }
        socket.set_nonblocking(true)?;
        epoll::add(&run.epoll, &socket, EventData::new_u64(at as u64), EventFlags::IN)?;
        run.clients.push(Client { socket, kept: Vec::new(), left: None, began: Instant::now() });
    }
    let until = Instant::now() + window;
    for client in &mut run.clients {
        client.ask(&run.ask, run.work)?;
    }
    epoll::add(&run.epoll, &origin.epoll, EventData::new_u64(ORIGIN), EventFlags::IN)?;
    run.go(origin, until)?;
    let mut times = run.times;
    times.sort_unstable();
    let at = |share: f64| f64::from(times[((times.len() - 1) as f64 * share) as usize]) / 1000.0;
    Ok(Measured { done: times.len() as u64, p50_ms: at(0.5), p99_ms: at(0.99) })
}

fn request(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\
         Accept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef\r\n\r\n"
    )
    .into()
}

impl Run {
    fn go(&mut self, origin: &mut Origin, until: Instant) -> io::Result<()> {
        let mut events = Vec::with_capacity(256);
        let silence = rustix::event::Timespec { tv_sec: SILENCE_MAX.as_secs() as i64, tv_nsec: 0 };
        let mut asking = self.clients.len();
        while asking > 0 {
            if epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&silence))? == 0 {
                return Err(ErrorKind::TimedOut.into());
            }
            for event in events.drain(..) {
                if event.data.u64() == ORIGIN {
                    origin.turn(Duration::ZERO)?;
                    continue;
                }
                let client = &mut self.clients[event.data.u64() as usize];
                if !client.read(&mut self.buffer, self.work)? {
                    continue;
                }
                let now = Instant::now();
                let micros = now.duration_since(client.began).as_micros();
                self.times.push(u32::try_from(micros).unwrap_or(u32::MAX));
                if now >= until {
                    asking -= 1;
                    continue;
                }
                client.began = now;
                client.ask(&self.ask, self.work)?;
            }
        }
        Ok(())
    }
}

impl Client {
    fn ask(&mut self, ask: &[u8], work: Work) -> io::Result<()> {
        self.left = match work {
            Work::Bodies(_) => None,
            Work::Echoes => Some(MESSAGE.len() as u64),
        };
        // A socket on which all was answered has room for it.
        self.socket.write_all(ask)
    }

    /// Reads what is there. True: the answer is whole.
    fn read(&mut self, buffer: &mut [u8], work: Work) -> io::Result<bool> {
        let Some(left) = self.left else {
            let got = self.some(|socket| socket.read(buffer))?;
            return self.head(&buffer[..got], work);
        };
        let got = match work {
            // What is behind a head is counted and let go, as a network card would send it on.
            Work::Bodies(_) => self.some(|s| Ok(recv(s, &mut buffer[..], RecvFlags::TRUNC)?.1))?,
            Work::Echoes => self.some(|socket| socket.read(buffer))?,
        } as u64;
        self.take(left, got)
    }

    fn some(&mut self, read: impl FnOnce(&mut TcpStream) -> io::Result<usize>) -> io::Result<usize> {
        match read(&mut self.socket)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            got => Ok(got),
        }
    }

    fn head(&mut self, bytes: &[u8], work: Work) -> io::Result<bool> {
        let Work::Bodies(wanted) = work else { return Err(ErrorKind::InvalidData.into()) };
        let whole;
        let bytes = if self.kept.is_empty() {
            bytes
        } else {
            whole = [&std::mem::take(&mut self.kept), bytes].concat();
            &whole
        };
        let Some(end) = bytes.windows(4).take(HEAD_BYTES_MAX).position(|w| w == b"\r\n\r\n") else {
            self.kept = bytes.to_vec();
            return if self.kept.len() < HEAD_BYTES_MAX { Ok(false) } else { Err(ErrorKind::InvalidData.into()) };
        };
        let head = &bytes[..end];
        if !head.starts_with(b"HTTP/1.1 200 ") || length(head) != Some(wanted) {
            return Err(io::Error::other(String::from_utf8_lossy(head).into_owned()));
        }
        self.take(wanted, (bytes.len() - end - 4) as u64)
    }

    fn take(&mut self, left: u64, got: u64) -> io::Result<bool> {
        let left = left.checked_sub(got).ok_or_else(|| io::Error::other("more came than was asked for"))?;
        self.left = Some(left);
        Ok(left == 0)
    }
}

/// What a head says of the length.
fn length(head: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"content-length:";
    let line = head
        .split(|b| *b == b'\n')
        .find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

/// Asks for a tunnel, and reads the head that grants it, with nothing behind it.
fn upgraded(mut socket: TcpStream) -> io::Result<TcpStream> {
    socket.write_all(ASK)?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    socket.set_read_timeout(Some(SILENCE_MAX))?;
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            got => head.extend_from_slice(&piece[..got]),
        }
    }
    match head.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(socket),
        false => Err(io::Error::other(String::from_utf8_lossy(&head).into_owned())),
    }
}

/// One answer, whole: its head and its body.
pub fn get(socket: &mut TcpStream, path: &str) -> io::Result<(String, Vec<u8>)> {
    let (mut all, mut piece) = (Vec::new(), [0; 16 << 10]);
    socket.set_read_timeout(Some(SILENCE_MAX))?;
    socket.write_all(&request(path))?;
    loop {
        let got = socket.read(&mut piece)?;
        all.extend_from_slice(&piece[..got]);
        let end = all.windows(4).position(|w| w == b"\r\n\r\n");
        let whole = end.and_then(|end| Some((end, end + 4 + length(&all[..end])? as usize)));
        match whole {
            Some((end, len)) if all.len() >= len => {
                let body = all.split_off(end + 4);
                return Ok((String::from_utf8_lossy(&all).into_owned(), body));
            }
            _ if got == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
    }
}

/// So many connections on which one request was answered.
pub fn idle(to: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let one = |_| {
        let mut socket = TcpStream::connect(to)?;
        let (head, body) = get(&mut socket, "/128")?;
        match head.starts_with("HTTP/1.1 200 ") && body.len() == 128 {
            true => Ok(socket),
            false => Err(io::Error::other(head)),
        }
    };
    (0..count).map(one).collect()
}
