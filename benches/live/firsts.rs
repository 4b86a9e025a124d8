//! When the first picture is there.

use crate::{
    hls::playlist,
    http::{Client, percentile},
    rtsp::Player,
    servers::{Pages, Rtsp},
};
use std::{
    error::Error,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// A way of viewing.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    WebSocket,
    Hls,
    Rtsp,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::WebSocket, Self::Hls, Self::Rtsp];

    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Hls => "hls",
            Self::Rtsp => "rtsp",
        }
    }

    /// From the connection to all of the first picture.
    pub fn first(self, pages: &Pages, rtsp: &Rtsp) -> Result<Duration, Box<dyn Error>> {
        let began = Instant::now();
        match self {
            Self::WebSocket => message(pages)?,
            Self::Hls => part(pages)?,
            Self::Rtsp => {
                if !Player::open(rtsp)?.first_picture()? {
                    return Err("it does not begin with a key frame".into());
                }
            }
        }
        Ok(began.elapsed())
    }

    /// In milliseconds: of who comes first of all, the median of all who come later, and what one in a hundred takes.
    pub fn measure(self, pages: &Pages, rtsp: &Rtsp, count: usize) -> Result<(f64, f64, f64), Box<dyn Error>> {
        let cold = self.first(pages, rtsp)?;
        let mut times = (0..count).map(|_| self.first(pages, rtsp)).collect::<Result<Vec<_>, _>>()?;
        Ok((cold.as_secs_f64() * 1e3, percentile(&mut times, 0.5), percentile(&mut times, 0.99)))
    }
}

/// The connection, the switch, type, header, key frame.
fn message(server: &Pages) -> Result<(), Box<dyn Error>> {
    let mut socket = TcpStream::connect(server.address)?;
    socket.set_nodelay(true)?;
    let ask = format!(
        "GET {} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.path("live.ws")
    );
    socket.write_all(ask.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(String::from_utf8_lossy(&head).into());
    }
    for _ in 0..3 {
        let mut head = [0; 2];
        socket.read_exact(&mut head)?;
        let mut len = vec![0; [0, 2, 8][usize::from(head[1].saturating_sub(125))]];
        socket.read_exact(&mut len)?;
        let long = len.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        socket.read_exact(&mut vec![0; if len.is_empty() { usize::from(head[1]) } else { long }])?;
    }
    Ok(())
}

/// The connection, the playlist, the header, the last part that decoding can begin with.
fn part(server: &Pages) -> Result<(), Box<dyn Error>> {
    let mut client = Client::connect(server.address)?;
    let text = playlist(server, &mut client)?;
    let named = |line: &str| line.split("URI=\"").nth(1)?.split('"').next().map(str::to_owned);
    let init = text.lines().find(|line| line.starts_with("#EXT-X-MAP")).and_then(named);
    let part = text.lines().rfind(|line| line.contains("INDEPENDENT=YES")).and_then(named);
    for name in [init, part] {
        let name = name.ok_or("the playlist names no part")?;
        let answer = client.get(&server.path(&name), None, false)?;
        if answer.status != 200 {
            return Err(format!("{} for {name}", answer.status).into());
        }
    }
    Ok(())
}
