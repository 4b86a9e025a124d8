//! The floor: what any recorder pays. It reads the same bytes from the same sockets and writes them once a second, and
//! knows nothing of what they are.

use rustix::event::epoll;
use std::{
    error::Error,
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

/// More than a second of any stream.
const BUFFER_BYTES: usize = 1 << 20;
/// What is written before its second is over, so that a read always finds room.
const READ_BYTES: usize = 64 << 10;
const WRITE_EVERY: Duration = Duration::from_secs(1);

struct Stream {
    socket: TcpStream,
    file: File,
    held: Vec<u8>,
    due: Instant,
}

/// Records for ever.
pub fn run(address: SocketAddr, streams: u32, dir: &Path) -> Result<(), Box<dyn Error>> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut all = Vec::new();
    for n in 0..streams {
        let socket = play(address, n + 1)?;
        socket.set_nonblocking(true)?;
        epoll::add(&poll, &socket, epoll::EventData::new_u64(u64::from(n)), epoll::EventFlags::IN)?;
        let file = File::create(dir.join(format!("{n}.raw")))?;
        // Spread over the second, as writes of a recorder are.
        let due = Instant::now() + WRITE_EVERY * n / streams;
        all.push(Stream { socket, file, held: Vec::with_capacity(BUFFER_BYTES), due });
    }
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let stream = &mut all[event.data.u64() as usize];
            // Straight into what is held: no copy.
            match rustix::io::read(&stream.socket, rustix::buffer::spare_capacity(&mut stream.held)) {
                Ok(0) => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
                Err(e) => return Err(e.into()),
            }
            let now = Instant::now();
            if now >= stream.due || stream.held.len() + READ_BYTES > BUFFER_BYTES {
                stream.due = now + WRITE_EVERY;
                stream.file.write_all(&stream.held)?;
                stream.held.clear();
            }
        }
    }
}

/// As little RTSP as there can be.
fn play(address: SocketAddr, channel: u32) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    let url = format!("rtsp://{address}/Streaming/Channels/{channel}01");
    let transport = |n: u32| format!("Transport: RTP/AVP/TCP;unicast;interleaved={}-{}\r\n", n * 2, n * 2 + 1);
    let requests = [
        format!("SETUP {url}/trackID=1 RTSP/1.0\r\nCSeq: 1\r\n{}\r\n", transport(0)),
        format!("SETUP {url}/trackID=2 RTSP/1.0\r\nCSeq: 2\r\n{}\r\n", transport(1)),
        format!("PLAY {url} RTSP/1.0\r\nCSeq: 3\r\n\r\n"),
    ];
    for request in requests {
        socket.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
    }
    Ok(socket)
}
