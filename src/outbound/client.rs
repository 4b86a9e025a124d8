//! Where requests go and how patiently.

use super::{
    Connection, Download, Error,
    connection::{Place, Secure, open},
    rpc::{self, Reply},
};
use crate::model::Trust;
use bytes::Bytes;
use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::net::UdpSocket;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host name or address (IPv6 without brackets) and a port.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What one request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To get a connection; over TLS, the handshake has as much again.
    pub connect: Duration,
    /// From the request's first byte to the answer's last; for a download, to the end of the answer's head.
    pub total: Duration,
    /// Between two pieces of a download.
    pub idle: Duration,
    /// Length of an answer's body that is read as a whole.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            body_bytes_max: 16 << 20,
        }
    }
}

/// A server that requests go to. Cheap to clone; each request has its own connection.
#[derive(Clone, Debug)]
pub struct Client {
    address: Address,
    limits: Limits,
    tls: Option<Trust>,
    name: Option<Arc<str>>,
    at: Option<Arc<[SocketAddr]>>,
}

impl Client {
    /// A client of the server at `address`.
    pub fn new(address: Address, limits: Limits) -> Self {
        Self { address, limits, tls: None, name: None, at: None }
    }

    /// The same over TLS, with a server whose certificate is good in this sense.
    #[must_use]
    pub fn over_tls(self, trust: Trust) -> Self {
        Self { tls: Some(trust), ..self }
    }

    /// The same, where the certificate has to bear another name than the host's.
    #[must_use]
    pub fn named(self, name: Arc<str>) -> Self {
        Self { name: Some(name), ..self }
    }

    /// The same, where it is known already to which addresses the name leads: they are tried in turn.
    #[must_use]
    pub fn at(self, targets: Arc<[SocketAddr]>) -> Self {
        Self { at: Some(targets), ..self }
    }

    /// Where it sends to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Opens a connection that several requests can use, one after the other.
    pub async fn connect(&self) -> Result<Connection, Error> {
        Connection::open(self.place(), self.limits).await
    }

    /// Opens a connection and closes it again: whether anybody listens.
    pub async fn reach(&self) -> Result<(), Error> {
        open(self.place(), self.limits.connect, None).await.map(drop)
    }

    /// Makes one call of gRPC and takes its whole answer, within the limits.
    pub async fn call(&self, path: &str, message: &[u8]) -> Result<Reply, Error> {
        let io = open(self.place(), self.limits.connect, Some(rpc::PROTOCOL)).await?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        rpc::call(io, (scheme, &self.address), self.limits, path, message).await
    }

    /// Asks a server of HTTP/2 whether it is there, and nothing else.
    pub async fn ping(&self) -> Result<(), Error> {
        let io = open(self.place(), self.limits.connect, Some(rpc::PROTOCOL)).await?;
        rpc::ping(io, self.limits).await
    }

    /// Sends a datagram, and waits for one without end: whether its host says that nobody takes it.
    pub async fn datagram(&self, message: &[u8]) -> Result<(), Error> {
        let failed = |source| Error::Connect { address: self.address.to_string(), source };
        let target = self.at.as_deref().and_then(|targets| targets.first());
        let target = *target.ok_or_else(|| Error::Invalid("a datagram goes to an address that is known".into()))?;
        let own: SocketAddr = if target.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(own).await.map_err(failed)?;
        socket.connect(target).await.map_err(failed)?;
        socket.send(message).await.map_err(failed)?;
        socket.recv(&mut [0]).await.map(drop).map_err(failed)
    }

    fn place(&self) -> Place<'_> {
        let secure = self.tls.map(|trust| Secure { trust, name: self.name.as_deref() });
        Place { address: &self.address, at: self.at.as_deref(), secure }
    }

    /// Sends one request and reads the whole answer. The URI is a path with its query; `Host` is set where missing.
    pub async fn request(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Error> {
        self.connect().await?.request(request).await
    }

    /// Sends one request and gives the answer's body piece by piece.
    pub async fn download(&self, request: http::Request<Bytes>) -> Result<http::Response<Download>, Error> {
        self.connect().await?.download(request).await
    }
}
