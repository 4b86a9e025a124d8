//! As much of the protocol as the bench speaks: the same bytes to both servers.

use super::Result;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::net::SocketAddr;
use tokio::net::TcpStream;

#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Range {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    range_end: String,
}

/// A request that creates a watch.
#[derive(Clone, PartialEq, Message)]
struct Create {
    #[prost(message, optional, tag = "1")]
    keys: Option<Range>,
}

#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(bool, tag = "3")]
    created: bool,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    events: Vec<Bytes>,
}

/// What [`Line`](super::line::Line) sends to put a key, and where to.
pub const PUT: &str = "/etcdserverpb.KV/Put";

pub fn put(key: &str, value: &str) -> Vec<u8> {
    Put { key: key.to_owned(), value: value.to_owned() }.encode_to_vec()
}

/// The same to read one.
pub const RANGE: &str = "/etcdserverpb.KV/Range";

pub fn range(key: &str) -> Vec<u8> {
    Range { key: key.to_owned(), range_end: String::new() }.encode_to_vec()
}

/// A connection.
pub struct Peer(SendRequest<Full<Bytes>>);

fn framed(message: &impl Message, into: &mut BytesMut) {
    into.put_u8(0);
    into.put_u32(message.encoded_len() as u32);
    into.put_slice(&message.encode_to_vec());
}

impl Peer {
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(4 << 20).initial_connection_window_size(16 << 20);
        let (sender, connection) = builder.handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    async fn send(&self, path: &str, body: BytesMut) -> Result<http::Response<Incoming>> {
        let mut sender = self.0.clone();
        sender.ready().await?;
        let request = http::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(body.freeze()))?;
        Ok(sender.send_request(request).await?)
    }

    async fn call(&self, path: &str, message: &impl Message) -> Result<Bytes> {
        let mut body = BytesMut::new();
        framed(message, &mut body);
        let answer = self.send(path, body).await?;
        let early = answer.headers().get("grpc-status").cloned();
        let whole = answer.into_body().collect().await?;
        let status = whole.trailers().and_then(|t| t.get("grpc-status")).cloned().or(early);
        match status.is_some_and(|status| status == "0") {
            true => Ok(whole.to_bytes()),
            false => Err(format!("{path} was refused").into()),
        }
    }

    pub async fn put(&self, key: &str, value: &str) -> Result<()> {
        let message = Put { key: key.to_owned(), value: value.to_owned() };
        self.call(PUT, &message).await.map(drop)
    }

    pub async fn get(&self, key: &str) -> Result<Bytes> {
        self.call(RANGE, &Range { key: key.to_owned(), range_end: String::new() }).await
    }

    /// A stream of so many watches, all of them created.
    pub async fn watch(&self, key: &str, range_end: &str, n: usize) -> Result<Watches> {
        let keys = Some(Range { key: key.to_owned(), range_end: range_end.to_owned() });
        let mut body = BytesMut::new();
        (0..n).for_each(|_| framed(&Create { keys: keys.clone() }, &mut body));
        let answer = self.send("/etcdserverpb.Watch/Watch", body).await?;
        let mut watches = Watches { answers: answer.into_body(), left: BytesMut::new(), _open: self.0.clone() };
        for _ in 0..n {
            assert!(watches.next().await?.created, "all are created before anything is written");
        }
        Ok(watches)
    }
}

/// A stream of watches.
pub struct Watches {
    answers: Incoming,
    left: BytesMut,
    _open: SendRequest<Full<Bytes>>,
}

impl Watches {
    async fn next(&mut self) -> Result<Told> {
        loop {
            if self.left.len() >= 5 {
                let len = u32::from_be_bytes([self.left[1], self.left[2], self.left[3], self.left[4]]) as usize;
                if self.left.len() >= 5 + len {
                    self.left.advance(5);
                    return Ok(Told::decode(self.left.split_to(len))?);
                }
            }
            let frame = self.answers.frame().await.ok_or("the stream has ended")??;
            if let Ok(data) = frame.into_data() {
                self.left.extend_from_slice(&data);
            }
        }
    }

    /// So many events.
    pub async fn take_events(&mut self, n: usize) -> Result<()> {
        let mut taken = 0;
        while taken < n {
            taken += self.next().await?.events.len();
        }
        Ok(())
    }
}
