//! Somebody who watches by WebSocket, at a pace of their own.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// What comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Text(String),
    Binary(Vec<u8>),
    Close(u16),
}

/// One connection.
pub(super) struct Watcher {
    socket: TcpStream,
    ahead: Vec<u8>,
}

impl Watcher {
    /// Asks for an address; the status, and the connection.
    pub(super) async fn ask(to: SocketAddr, path: &str) -> (u16, Self) {
        let socket = TcpSocket::new_v4().unwrap();
        // Little is taken on behalf of who does not read.
        socket.set_recv_buffer_size(64 << 10).unwrap();
        let mut socket = socket.connect(to).await.unwrap();
        let ask = format!(
            "GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(ask.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(status != 101 || head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        (status, Self { socket, ahead: Vec::new() })
    }

    /// One who is let in.
    pub(super) async fn open(to: SocketAddr, path: &str) -> Self {
        let (status, watcher) = Self::ask(to, path).await;
        assert_eq!(status, 101, "{path}");
        watcher
    }

    /// The next message that is no ping; None at the end of the connection, however it comes about.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            let head = self.take(2).await?;
            let len = match head[1] {
                126 => self.take(2).await?.iter().fold(0, |n, b| n << 8 | usize::from(*b)),
                127 => self.take(8).await?.iter().fold(0, |n, b| n << 8 | usize::from(*b)),
                short => usize::from(short),
            };
            let content = self.take(len).await?;
            return Some(match head[0] {
                0x81 => Message::Text(String::from_utf8(content).unwrap()),
                0x82 => Message::Binary(content),
                0x88 => Message::Close(content.iter().fold(0, |n, b| n << 8 | u16::from(*b))),
                0x89 => continue,
                other => panic!("a frame of {other:#x}"),
            });
        }
    }

    /// The next piece of media.
    pub(super) async fn media(&mut self) -> Vec<u8> {
        match self.next().await {
            Some(Message::Binary(media)) => media,
            other => panic!("{other:?} in place of media"),
        }
    }

    async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < count {
            if self.socket.read_buf(&mut self.ahead).await.ok()? == 0 {
                return None;
            }
        }
        let rest = self.ahead.split_off(count);
        Some(std::mem::replace(&mut self.ahead, rest))
    }
}
