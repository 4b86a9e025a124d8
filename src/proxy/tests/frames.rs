//! A client that sends any frames of HTTP/2 that a test writes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) struct Frames {
    pub(super) socket: TcpStream,
}

/// A frame that came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Of a head's first byte, which says the usual statuses.
    Answered(u8),
    Reset(u32),
    /// The connection was ended, with this reason where one was given.
    Gone(Option<u32>),
}

/// The first byte of a head with status 200, 400 and 404 (RFC 7541, appendix A).
pub(super) const STATUS_200: u8 = 0x88;

/// Fields as HPACK has them without tables and without compression.
pub(super) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            match text.len() {
                n @ 0..127 => out.push(n as u8),
                n => {
                    let mut rest = n - 127;
                    out.push(127);
                    while rest >= 128 {
                        out.push((rest % 128) as u8 | 128);
                        rest /= 128;
                    }
                    out.push(rest as u8);
                }
            }
            out.extend_from_slice(text);
        }
    }
    out
}

/// A request for a path, with further fields.
pub(super) fn get(path: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let usual: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", path.as_bytes())];
    block(&[&usual[..], more].concat())
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

impl Frames {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
            .write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, &[])].concat())
            .unwrap();
        Self { socket }
    }

    /// False where the other side has gone.
    pub(super) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.socket.write_all(&frame(kind, flags, stream, payload)).is_ok()
    }

    /// The next frame; None at the end.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        let mut payload = Vec::new();
        let read = self.socket.read_exact(&mut head).and_then(|()| {
            payload.resize(usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]), 0);
            self.socket.read_exact(&mut payload)
        });
        match read {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return None,
            Err(e) => panic!("{e}: the other side hangs"),
        }
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// What becomes of a stream, whatever else comes before.
    pub(super) fn fate(&mut self, stream: u32) -> Fate {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let mut reason = None;
        while let Some(frame) = self.next() {
            match frame.kind {
                HEADERS if frame.stream == stream && frame.payload[0] != 0x48 => {
                    return Fate::Answered(frame.payload[0]);
                }
                HEADERS if frame.stream == stream => return Fate::Answered(frame.payload[0]),
                RST_STREAM if frame.stream == stream => return Fate::Reset(number(&frame.payload)),
                GOAWAY => reason = Some(number(&frame.payload[4..])),
                _ => {}
            }
        }
        Fate::Gone(reason)
    }
}
