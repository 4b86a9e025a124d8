//! Those who play by RTSP within the connection, and look at nothing but how much comes.

use crate::servers::Rtsp;
use http_auth::{PasswordClient, PasswordParams};
use std::{
    error::Error,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

/// A session that plays.
pub struct Player {
    socket: TcpStream,
    /// What came behind the last answer.
    rest: Vec<u8>,
    sequence: u32,
    session: String,
}

impl Player {
    /// Connects, describes, sets all tracks up and plays.
    pub fn open(server: &Rtsp) -> Result<Self, Box<dyn Error>> {
        let socket = TcpStream::connect(server.address)?;
        socket.set_nodelay(true)?;
        let mut player = Self { socket, rest: Vec::new(), sequence: 0, session: String::new() };
        let (mut head, mut body) = player.ask("DESCRIBE", &server.url, "Accept: application/sdp\r\n")?;
        if let (Some(challenge), Some(password)) = (value(&head, "WWW-Authenticate"), server.password) {
            let mut client = PasswordClient::try_from(challenge)?;
            let uri = &server.url;
            let asked = PasswordParams { username: "bench", password, uri, method: "DESCRIBE", body: Some(&[]) };
            let proof = client.respond(&asked)?;
            let more = format!("Accept: application/sdp\r\nAuthorization: {proof}\r\n");
            (head, body) = player.ask("DESCRIBE", uri, &more)?;
        }
        if !head.starts_with("RTSP/1.0 200 ") {
            return Err(format!("DESCRIBE: {head}").into());
        }
        let base = value(&head, "Content-Base").unwrap_or(&server.url).trim_end_matches('/').to_owned();
        let controls = body.lines().skip_while(|l| !l.starts_with("m=")).filter_map(|l| l.strip_prefix("a=control:"));
        for (n, control) in controls.enumerate() {
            let uri = if control.contains("://") { control.to_owned() } else { format!("{base}/{control}") };
            let transport = format!("Transport: RTP/AVP/TCP;unicast;interleaved={}-{}\r\n", 2 * n, 2 * n + 1);
            let (head, _) = player.ask("SETUP", &uri, &transport)?;
            let session = value(&head, "Session").ok_or_else(|| format!("SETUP: {head}"))?;
            player.session = format!("Session: {}\r\n", session.split(';').next().unwrap_or(session));
        }
        let (head, _) = player.ask("PLAY", &server.url, "Range: npt=0.000-\r\n")?;
        if head.starts_with("RTSP/1.0 200 ") { Ok(player) } else { Err(format!("PLAY: {head}").into()) }
    }

    fn ask(&mut self, method: &str, uri: &str, more: &str) -> Result<(String, String), Box<dyn Error>> {
        self.sequence += 1;
        let text = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n{}{more}\r\n", self.sequence, self.session);
        self.socket.write_all(text.as_bytes())?;
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.rest.drain(..end).collect())?;
        let len = value(&head, "Content-Length").map_or(Ok(0), str::parse)?;
        while self.rest.len() < len {
            self.more()?;
        }
        Ok((head, String::from_utf8(self.rest.drain(..len).collect())?))
    }

    fn more(&mut self) -> Result<(), Box<dyn Error>> {
        let mut bytes = [0; 16 << 10];
        match self.socket.read(&mut bytes)? {
            0 => Err("the server has hung up".into()),
            n => {
                self.rest.extend_from_slice(&bytes[..n]);
                Ok(())
            }
        }
    }

    /// Until all of the first picture is there, of H.264; whether it begins with what decoding begins with.
    pub fn first_picture(&mut self) -> Result<bool, Box<dyn Error>> {
        let mut first = None;
        loop {
            while let [b'$', channel, high, low, ..] = self.rest[..] {
                let len = usize::from(u16::from_be_bytes([high, low]));
                if self.rest.len() < 4 + len {
                    break;
                }
                let packet: Vec<u8> = self.rest.drain(..4 + len).skip(4).collect();
                // Pictures are the first track.
                let [_, marked, ..] = packet[..] else { continue };
                if channel != 0 || packet.len() <= 13 {
                    continue;
                }
                let kind = match packet[12] & 0x1f {
                    28 => packet[13] & 0x1f,
                    24 => packet.get(15).map_or(0, |byte| byte & 0x1f),
                    kind => kind,
                };
                let is_key = *first.get_or_insert(matches!(kind, 5 | 7));
                if marked & 0x80 != 0 {
                    return Ok(is_key);
                }
            }
            self.more()?;
        }
    }
}

fn value<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut found = lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    found.next()
}

/// One of `of` who play until `end`; the bytes that they were sent.
pub fn watch(server: &Rtsp, n: usize, of: usize, end: Instant) -> Result<u64, String> {
    // Not all at the same moment.
    thread::sleep(Duration::from_secs(1) * u32::try_from(n).unwrap_or(0) / u32::try_from(of).unwrap_or(1).max(1));
    let mut player = Player::open(server).map_err(|error| error.to_string())?;
    let (mut bytes, mut room) = (player.rest.len() as u64, vec![0; 256 << 10]);
    while Instant::now() < end {
        match player.socket.read(&mut room).map_err(|error| error.to_string())? {
            0 => return Err("the server has hung up".to_owned()),
            n => bytes += n as u64,
        }
    }
    Ok(bytes)
}
