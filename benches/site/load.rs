//! Clients that ask again as soon as they are answered, and the origin of tunnels. All on the core of whoever calls.

use std::{
    error::Error,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

const READ_BYTES: usize = 256 << 10;
const MESSAGE: &[u8; 128] = &[b'm'; 128];
const ASK: &[u8] = b"GET /echo HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const GRANT: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

pub struct Load {
    runtime: Runtime,
    clients: usize,
}

/// What a run did.
pub struct Measured {
    pub done: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// What a client had done.
type Times = Arc<Mutex<Vec<u32>>>;

impl Load {
    pub fn new(clients: usize) -> Result<Self, Box<dyn Error>> {
        Ok(Self { runtime: Builder::new_current_thread().enable_all().build()?, clients })
    }

    /// Each client asks for `path` as often as it can.
    pub fn requests(
        &self,
        to: SocketAddr,
        path: &str,
        bytes: u64,
        window: Duration,
    ) -> Result<Measured, Box<dyn Error>> {
        let wire: Arc<str> = format!(
            "GET {path} HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\
             Accept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef\r\n\r\n"
        )
        .into();
        self.run(window, move |until, times| {
            let wire = wire.clone();
            async move {
                let mut socket = TcpStream::connect(to).await?;
                socket.set_nodelay(true)?;
                let mut buffer = vec![0; READ_BYTES];
                while Instant::now() < until {
                    let began = Instant::now();
                    socket.write_all(wire.as_bytes()).await?;
                    answer(&mut socket, &mut buffer, bytes).await?;
                    note(&times, began);
                }
                Ok(())
            }
        })
    }

    /// Each client sends a message through a tunnel, and again when it is back.
    pub fn echoes(&self, to: SocketAddr, window: Duration) -> Result<Measured, Box<dyn Error>> {
        self.run(window, move |until, times| async move {
            let mut socket = TcpStream::connect(to).await?;
            socket.set_nodelay(true)?;
            socket.write_all(ASK).await?;
            let mut buffer = vec![0; READ_BYTES];
            head(&mut socket, &mut buffer, b"HTTP/1.1 101 ").await?;
            while Instant::now() < until {
                let began = Instant::now();
                socket.write_all(MESSAGE).await?;
                socket.read_exact(&mut buffer[..MESSAGE.len()]).await?;
                note(&times, began);
            }
            Ok(())
        })
    }

    /// So many connections on which one request was answered.
    pub fn idle(&self, to: SocketAddr, count: usize) -> Result<Vec<TcpStream>, Box<dyn Error>> {
        let held: io::Result<Vec<TcpStream>> = self.runtime.block_on(async {
            let (mut held, mut buffer) = (Vec::with_capacity(count), vec![0; READ_BYTES]);
            for _ in 0..count {
                let mut socket = TcpStream::connect(to).await?;
                socket.write_all(b"GET /128 HTTP/1.1\r\nHost: bench\r\n\r\n").await?;
                answer(&mut socket, &mut buffer, 128).await?;
                held.push(socket);
            }
            Ok(held)
        });
        Ok(held?)
    }

    fn run<F: Future<Output = io::Result<()>> + 'static>(
        &self,
        window: Duration,
        client: impl Fn(Instant, Times) -> F,
    ) -> Result<Measured, Box<dyn Error>> {
        let times = Times::default();
        let until = Instant::now() + window;
        let all = futures_util::future::try_join_all((0..self.clients).map(|_| client(until, times.clone())));
        self.runtime.block_on(all)?;
        let mut times = times.lock().map_err(|_| "a client panicked")?.clone();
        times.sort_unstable();
        let at = |share: f64| f64::from(times[((times.len() - 1) as f64 * share) as usize]) / 1000.0;
        if times.is_empty() {
            return Err("nothing was answered".into());
        }
        Ok(Measured { done: times.len() as u64, p50_ms: at(0.5), p99_ms: at(0.99) })
    }
}

fn note(times: &Times, began: Instant) {
    let micros = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
    if let Ok(mut times) = times.lock() {
        times.push(micros);
    }
}

/// Reads a head; how many bytes of the buffer lie behind it.
async fn head(socket: &mut TcpStream, buffer: &mut [u8], begin: &[u8]) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        let got = socket.read(&mut buffer[filled..]).await?;
        if got == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        filled += got;
        let window = &buffer[..filled.min(8192)];
        if let Some(at) = window.windows(4).position(|w| w == b"\r\n\r\n") {
            if !buffer.starts_with(begin) {
                return Err(io::Error::other(String::from_utf8_lossy(&buffer[..at]).into_owned()));
            }
            return Ok(filled - at - 4);
        }
    }
}

async fn answer(socket: &mut TcpStream, buffer: &mut [u8], bytes: u64) -> io::Result<()> {
    let mut got = head(socket, buffer, b"HTTP/1.1 200 ").await? as u64;
    while got < bytes {
        let more = socket.read(buffer).await?;
        if more == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        got += more as u64;
    }
    Ok(())
}

/// Grants every upgrade and sends back what comes, on a thread of its own: where it listens.
pub fn echo() -> Result<SocketAddr, Box<dyn Error>> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        let local = tokio::task::LocalSet::new();
        let serving = local.run_until(async move {
            let listener = TcpListener::from_std(listener)?;
            loop {
                let (mut socket, _) = listener.accept().await?;
                tokio::task::spawn_local(async move {
                    socket.set_nodelay(true)?;
                    let mut buffer = vec![0; 4096];
                    head(&mut socket, &mut buffer, b"GET ").await?;
                    socket.write_all(GRANT).await?;
                    loop {
                        let got = socket.read(&mut buffer).await?;
                        if got == 0 {
                            return io::Result::Ok(());
                        }
                        socket.write_all(&buffer[..got]).await?;
                    }
                });
            }
        });
        let ended: io::Result<()> = runtime.block_on(serving);
        eprintln!("the origin of tunnels ended: {ended:?}");
    });
    Ok(address)
}
