//! As little of an HTTP client as a bench needs: what is measured is the server.

use std::{
    io::{Error, ErrorKind, Read, Result, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

/// A connection that is kept alive.
pub struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// What an answer was.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub bytes: u64,
    /// From the request to the first byte of the body.
    pub first_byte: Duration,
    /// The body, where it was wanted.
    pub body: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: vec![0; 1 << 20], filled: 0 })
    }

    /// Asks, and reads the whole answer. `range` are the first and the last byte.
    pub fn get(&mut self, path: &str, range: Option<(u64, u64)>, keep: bool) -> Result<Answer> {
        let range = range.map(|(first, last)| format!("Range: bytes={first}-{last}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{range}\r\n");
        let began = Instant::now();
        self.socket.write_all(request.as_bytes())?;
        self.filled = 0;
        let head = loop {
            let got = self.socket.read(&mut self.buffer[self.filled..])?;
            if got == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.filled += got;
            if let Some(at) = self.buffer[..self.filled].windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let bad = || Error::new(ErrorKind::InvalidData, text.clone());
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(bad)?;
        let length = text.lines().find_map(|l| l.strip_prefix("content-length:")).map(str::trim);
        let bytes: u64 = length.and_then(|l| l.parse().ok()).ok_or_else(bad)?;
        let mut body = Vec::new();
        let mut got = (self.filled - head) as u64;
        if keep {
            body.extend_from_slice(&self.buffer[head..self.filled]);
        }
        let mut first_byte = (got > 0).then(|| began.elapsed());
        while got < bytes {
            let n = self.socket.read(&mut self.buffer)?;
            if n == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            first_byte.get_or_insert_with(|| began.elapsed());
            got += n as u64;
            if keep {
                body.extend_from_slice(&self.buffer[..n]);
            }
        }
        Ok(Answer { status, bytes, first_byte: first_byte.unwrap_or_else(|| began.elapsed()), body })
    }
}

/// Waits until the server says that it is ready; how long that took from `began` on.
pub fn ready(address: SocketAddr, began: Instant, limit: Duration) -> Result<Duration> {
    loop {
        let answer = Client::connect(address).and_then(|mut client| client.get("/readyz", None, false));
        match answer {
            Ok(answer) if answer.status == 200 => return Ok(began.elapsed()),
            _ if began.elapsed() > limit => return Err(ErrorKind::TimedOut.into()),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// An address that nobody listens on.
pub fn free_address() -> Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// The value that `share` of all values are not above, in milliseconds.
pub fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    let at = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1;
    times[at].as_secs_f64() * 1e3
}
