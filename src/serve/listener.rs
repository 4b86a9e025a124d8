//! Where connections come from: a TCP port or a unix socket.

use super::Error;
use socket2::{SockRef, TcpKeepalive};
use std::{
    fmt, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

/// A client whose host has gone without a word is noticed in a minute: an answer that waits for news would be kept for it.
const LOOKED_AFTER: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(3);

/// Which of the daemon's doors a request came by: it decides who needs a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// Console and API.
    Admin,
    /// Routes and media for the outside.
    Proxy,
    /// Keys and services, for clients of other registries.
    Registry,
    /// A simulated device.
    Simulator,
}

/// A bound socket that [`super::Server`] accepts from.
#[derive(Debug)]
pub struct Listener {
    pub(super) kind: ListenerKind,
    pub(super) socket: Socket,
    pub(super) tls: Option<Tls>,
}

/// What makes connections TLS.
#[derive(Clone)]
pub(super) struct Tls(pub TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    /// The file is held for its end alone.
    Unix(UnixListener, #[expect(dead_code, reason = "held so that it is removed on drop")] SocketFile),
}

/// The socket's file, removed when the listener goes.
#[derive(Debug)]
pub(super) struct SocketFile(Option<PathBuf>);

/// An accepted connection.
pub(super) enum Connection {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    /// Binds a TCP port; port 0 takes a free one, see [`Listener::local_addr`].
    pub async fn tcp(address: SocketAddr, kind: ListenerKind) -> Result<Self, Error> {
        let socket =
            TcpListener::bind(address).await.map_err(|error| Error::Listen { address: address.to_string(), error })?;
        Ok(Self { kind, socket: Socket::Tcp(socket), tls: None })
    }

    /// Takes over a TCP socket that someone else bound, systemd for one.
    pub fn from_std_tcp(socket: std::net::TcpListener, kind: ListenerKind) -> Result<Self, Error> {
        let tokio = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
        let socket = tokio.map_err(|error| Error::Listen { address: "the socket handed down".into(), error })?;
        Ok(Self { kind, socket: Socket::Tcp(socket), tls: None })
    }

    /// Takes over a unix socket that someone else bound; its file stays theirs.
    pub fn from_std_unix(socket: std::os::unix::net::UnixListener, kind: ListenerKind) -> Result<Self, Error> {
        let tokio = socket.set_nonblocking(true).and_then(|()| UnixListener::from_std(socket));
        let socket = tokio.map_err(|error| Error::Listen { address: "the socket handed down".into(), error })?;
        Ok(Self { kind, socket: Socket::Unix(socket, SocketFile(None)), tls: None })
    }

    /// Binds a unix socket with the file mode given (`0o600`, `0o660`). A socket file that a dead process left is
    /// removed; one where somebody answers, or a file that is no socket, is an error.
    pub fn unix(path: &Path, mode: u32, kind: ListenerKind) -> Result<Self, Error> {
        let failed = |error| Error::Listen { address: format!("unix:{}", path.display()), error };
        remove_stale(path)?;
        let socket = UnixListener::bind(path).map_err(failed)?;
        let file = SocketFile(Some(path.to_owned()));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        Ok(Self { kind, socket: Socket::Unix(socket, file), tls: None })
    }

    /// The same, where clients are to speak TLS. The handshake counts as part of the first head.
    #[must_use]
    pub fn over_tls(self, config: Arc<rustls::ServerConfig>) -> Self {
        Self { tls: Some(Tls(TlsAcceptor::from(config))), ..self }
    }

    /// The TCP address that was bound; none for a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(l) => l.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Connection> {
        match &self.socket {
            Socket::Tcp(l) => {
                let (stream, peer) = l.accept().await?;
                // Answers are small and written whole; waiting to fill a packet only delays them. A connection
                // that is gone already fails here and at its first read, so the failure needs no care.
                let _ = stream.set_nodelay(true);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&LOOKED_AFTER);
                Ok(Connection::Tcp(stream, peer))
            }
            Socket::Unix(l, _) => Ok(Connection::Unix(l.accept().await?.0)),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // A file that somebody removed before us is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn remove_stale(path: &Path) -> Result<(), Error> {
    let failed = |error| Error::Listen { address: format!("unix:{}", path.display()), error };
    let kind = match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed)?.file_type(),
    };
    if !kind.is_socket() {
        return Err(failed(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the path is taken by a file that is no socket",
        )));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed),
        Err(e) => Err(failed(e)),
        Ok(_) => Err(Error::SocketInUse { path: path.display().to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_whose_host_is_gone_is_noticed() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), ListenerKind::Admin).await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let Connection::Tcp(socket, _) = listener.accept().await.unwrap() else { panic!("not by TCP") };
        let socket = SockRef::from(&socket);
        assert!(socket.keepalive().unwrap());
        let (rests, between) = (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        assert!(rests + between * socket.tcp_keepalive_retries().unwrap() <= Duration::from_secs(60));
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let live = Listener::unix(&path, 0o600, ListenerKind::Admin).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Listener::unix(&path, 0o600, ListenerKind::Admin), Err(Error::SocketInUse { .. })));
        drop(live);
        assert!(!path.exists(), "the file goes with the listener");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(Listener::unix(&path, 0o600, ListenerKind::Admin), Err(Error::Listen { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
