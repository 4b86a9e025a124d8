//! One connection. No task stands behind it: whoever waits for an answer drives it.

use super::{Address, Error, Limits, error::protocol, tls};
use crate::model::Trust;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// Longest head of an answer. Devices send a few hundred bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Driver = http1::Connection<TokioIo<Box<dyn Io>>, Full<Bytes>>;

/// An open connection; requests go over it one after the other.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Wire,
    limits: Limits,
    host: String,
}

/// The half of a connection that moves bytes. None once the peer has closed it.
struct Wire(Option<Pin<Box<Driver>>>);

impl Wire {
    /// Polls the wire; its end is not an error of its own, since what was read before it may be a whole answer.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        let driver = self.0.as_mut()?;
        match driver.as_mut().poll(cx) {
            Poll::Pending => None,
            Poll::Ready(end) => {
                self.0 = None;
                end.err().map(|e| protocol(&e))
            }
        }
    }

    /// Runs `answer` to its end while bytes move.
    async fn drive<T>(&mut self, answer: impl Future<Output = Result<T, hyper::Error>>) -> Result<T, Error> {
        let mut answer = std::pin::pin!(answer);
        let mut broken = None;
        std::future::poll_fn(|cx| {
            loop {
                let open = self.0.is_some();
                broken = self.poll(cx).or(broken.take());
                match answer.as_mut().poll(cx) {
                    Poll::Ready(Ok(value)) => return Poll::Ready(Ok(value)),
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(broken.take().unwrap_or_else(|| protocol(&e)))),
                    // A wire that ended in this turn may have left something for the answer to find.
                    Poll::Pending if open && self.0.is_none() => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }
}

impl Connection {
    pub(super) async fn open(place: Place<'_>, limits: Limits) -> Result<Self, Error> {
        let (address, io) = (place.address, open(place, limits.connect, None).await?);
        let mut builder = http1::Builder::new();
        // Firmware of the first years compares header names by case.
        builder.title_case_headers(true).max_buf_size(HEAD_BYTES_MAX);
        let (sender, driver) = builder.handshake(TokioIo::new(io)).await.map_err(|e| protocol(&e))?;
        let host = match address {
            Address::Tcp { .. } => address.to_string(),
            Address::Unix(_) => "localhost".to_owned(),
        };
        Ok(Self { sender, driver: Wire(Some(Box::pin(driver))), limits, host })
    }

    /// Whether another request can be tried on it.
    pub fn is_open(&self) -> bool {
        self.driver.0.is_some() && !self.sender.is_closed()
    }

    /// Sends a request and reads the whole answer, within the limits. A 3xx is an answer like any other.
    pub async fn request(&mut self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Error> {
        let limit = self.limits.total;
        let outcome = timeout(limit, self.exchange(request)).await.unwrap_or(Err(Error::Timeout { limit }));
        if outcome.is_err() {
            // What is left of this answer must not be taken for the next one's.
            self.driver.0 = None;
        }
        outcome
    }

    async fn exchange(&mut self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Error> {
        let (head, mut body) = self.send(request).await?.into_parts();
        let limit_bytes = self.limits.body_bytes_max;
        let mut whole = BytesMut::new();
        while let Some(frame) = self.driver.drive(next_frame(&mut body)).await? {
            let data = frame.into_data().unwrap_or_default();
            if whole.len() + data.len() > limit_bytes {
                return Err(Error::BodyTooLarge { limit_bytes });
            }
            whole.extend_from_slice(&data);
        }
        Ok(http::Response::from_parts(head, whole.freeze()))
    }

    /// Sends a request and hands out the answer's body as it comes.
    pub async fn download(mut self, request: http::Request<Bytes>) -> Result<http::Response<Download>, Error> {
        let limit = self.limits.total;
        let answer = timeout(limit, self.send(request)).await.unwrap_or(Err(Error::Timeout { limit }))?;
        let (driver, idle) = (self.driver, self.limits.idle);
        // The sender lives on with the body, since dropping it would tell hyper to close.
        Ok(answer.map(|body| Download { body, driver, idle, _sender: self.sender }))
    }

    async fn send(&mut self, mut request: http::Request<Bytes>) -> Result<http::Response<Incoming>, Error> {
        if request.uri().path_and_query().is_none() {
            return Err(Error::Invalid(format!("`{}` has no path", request.uri())));
        }
        if !request.headers().contains_key(http::header::HOST) {
            let host = self.host.parse().map_err(|_| Error::Invalid("host is no header value".into()))?;
            request.headers_mut().insert(http::header::HOST, host);
        }
        let sender = &mut self.sender;
        self.driver.drive(sender.ready()).await?;
        let sent = sender.send_request(request.map(Full::new));
        self.driver.drive(sent).await
    }
}

/// Where a connection goes.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub address: &'a Address,
    /// Where its name leads, if somebody looked that up already.
    pub at: Option<&'a [SocketAddr]>,
    /// Where it goes over TLS.
    pub secure: Option<Secure<'a>>,
}

/// Whose certificate it has to be.
#[derive(Clone, Copy)]
pub(super) struct Secure<'a> {
    pub trust: Trust,
    /// Where that is not the host's.
    pub name: Option<&'a str>,
}

/// Connects, and shakes hands where it goes over TLS; each within the limit. What is to be spoken then is named where it is
/// not HTTP/1.1.
pub(super) async fn open(
    place: Place<'_>,
    limit: Duration,
    protocol: Option<&'static [u8]>,
) -> Result<Box<dyn Io>, Error> {
    let (address, io) = (place.address, dial(place, limit).await?);
    let Some(secure) = place.secure else { return Ok(io) };
    let shaken = timeout(limit, tls::handshake(io, address, secure, protocol)).await;
    let late = || Error::ConnectTimeout { address: address.to_string(), limit };
    Ok(Box::new(shaken.unwrap_or_else(|_| Err(late()))?))
}

/// Connects, to the first of several addresses that takes it.
async fn dial(place: Place<'_>, limit: Duration) -> Result<Box<dyn Io>, Error> {
    let made = async {
        let stream = match (place.address, place.at) {
            (Address::Unix(path), _) => return Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Io>),
            (Address::Tcp { host, port }, None) => TcpStream::connect((host.as_str(), *port)).await?,
            (Address::Tcp { .. }, Some(targets)) => TcpStream::connect(targets).await?,
        };
        stream.set_nodelay(true)?;
        Ok(Box::new(stream) as Box<dyn Io>)
    };
    match timeout(limit, made).await {
        Ok(made) => made.map_err(|source| Error::Connect { address: place.address.to_string(), source }),
        Err(_) => Err(Error::ConnectTimeout { address: place.address.to_string(), limit }),
    }
}

async fn next_frame(body: &mut Incoming) -> Result<Option<hyper::body::Frame<Bytes>>, hyper::Error> {
    body.frame().await.transpose()
}

/// The body of an answer, as it comes.
pub struct Download {
    body: Incoming,
    driver: Wire,
    idle: Duration,
    _sender: SendRequest<Full<Bytes>>,
}

impl Download {
    /// The next piece, or None at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let limit = self.idle;
            let piece = timeout(limit, self.driver.drive(next_frame(&mut self.body))).await;
            match piece.unwrap_or(Err(Error::Idle { limit }))? {
                None => return Ok(None),
                // A frame that is no data is trailers; they say nothing that is used.
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}
