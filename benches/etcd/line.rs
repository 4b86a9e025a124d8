//! A connection that asks one thing after the other, at little cost: what the load takes of two cores is not left to the
//! server under measurement. HTTP/2 as RFC 9113 and RFC 7541 have it, as far as a gRPC call needs it; headers are told
//! once and then named by their place in the table, as real clients do.

use super::Result;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const HEAD_BYTES: usize = 9;
/// What is taken of the server's window before it is given back.
const CREDIT_BYTES: u32 = 16 << 10;
/// `:method POST`, `:scheme http` of the static table; then what the first request put into the dynamic one.
const AGAIN: [u8; 6] = [0x83, 0x86, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62];

/// A connection for one method.
pub struct Line {
    socket: TcpStream,
    /// What the next request's HEADERS carry.
    headers: Vec<u8>,
    stream: u32,
    /// What goes out next.
    out: Vec<u8>,
    /// What came in and was not looked at.
    left: Vec<u8>,
    used: u32,
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

impl Line {
    pub async fn connect(address: SocketAddr, path: &str) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut out, SETTINGS, 0, 0, &[]);
        let mut headers = vec![0x83, 0x86];
        // `:path`, `:authority` and `content-type` are names of the static table.
        let told =
            [(0x44, "", path), (0x41, "", "localhost"), (0x5f, "", "application/grpc"), (0x40, "te", "trailers")];
        for (begin, name, value) in told {
            headers.push(begin);
            for text in [name, value].into_iter().filter(|text| !text.is_empty()) {
                headers.push(text.len() as u8);
                headers.extend_from_slice(text.as_bytes());
            }
        }
        Ok(Self { socket, headers, stream: 1, out, left: Vec::new(), used: 0 })
    }

    /// One call; what is answered is looked at only so far that it was one.
    pub async fn call(&mut self, message: &[u8]) -> Result<()> {
        let mut body = vec![0];
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
        body.extend_from_slice(message);
        frame(&mut self.out, HEADERS, END_HEADERS, self.stream, &self.headers);
        frame(&mut self.out, DATA, END_STREAM, self.stream, &body);
        self.headers = AGAIN.to_vec();
        let mut answered = false;
        loop {
            if !self.out.is_empty() {
                self.socket.write_all(&self.out).await?;
                self.out.clear();
            }
            if self.read(&mut answered)? {
                self.stream += 2;
                return if answered { Ok(()) } else { Err("it was refused".into()) };
            }
            if self.out.is_empty() && self.socket.read_buf(&mut self.left).await? == 0 {
                return Err("the connection has ended".into());
            }
        }
    }

    /// Takes the frames that are there. Whether the answer ended.
    fn read(&mut self, answered: &mut bool) -> Result<bool> {
        let (mut at, mut ended) = (0, false);
        while let Some(head) = self.left.get(at..at + HEAD_BYTES) {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let Some(payload) = self.left.get(at + HEAD_BYTES..at + HEAD_BYTES + len as usize) else { break };
            let is_ours = stream == self.stream;
            match kind {
                DATA => {
                    *answered |= is_ours && len > 5 && payload[0] == 0;
                    self.used += len;
                }
                SETTINGS if flags & ACK == 0 => frame(&mut self.out, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
                RESET | GOAWAY => return Err(format!("a frame of kind {kind} came").into()),
                _ => {}
            }
            ended |= is_ours && matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
            at += HEAD_BYTES + len as usize;
        }
        self.left.drain(..at);
        if self.used >= CREDIT_BYTES {
            frame(&mut self.out, WINDOW_UPDATE, 0, 0, &self.used.to_be_bytes());
            self.used = 0;
        }
        Ok(ended)
    }
}
