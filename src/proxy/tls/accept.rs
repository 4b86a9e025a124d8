//! A handshake, on a worker: the client's hello picks the entry, within a time and among so many at once.

use super::{
    names::Names,
    store::{Chosen, Tls},
};
use crate::proxy::{
    ahead::Ahead, connection::Ends, deadline::Deadline, io::Transport, meters::Handshakes, settings::Settings,
    worker::Worker,
};
use rustls::server::Acceptor;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// A fatal alert, `unrecognized_name` (RFC 6066, 3): it is not ours.
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];
/// A fatal alert, `internal_error`: it is ours, but there is nothing that could be shown.
const INTERNAL_ERROR: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 80];

/// A client's session.
pub(in crate::proxy) type Session = TlsStream<Ahead<TcpStream>>;

/// What a connection is secured as.
pub(in crate::proxy) struct Secured {
    names: Arc<Names>,
    entry: usize,
    /// The client named a host.
    named: bool,
}

impl Secured {
    /// Whether a request for this host belongs on this connection: its entry is that of the name in the hello. A client
    /// that named none could not know better.
    pub(in crate::proxy) fn serves(&self, host: &[u8]) -> bool {
        !self.named || host.is_empty() || self.names.find(host) == Some(self.entry)
    }
}

/// One handshake in the count.
struct Counted(Rc<Worker>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.handshakes.set(self.0.handshakes.get() - 1);
    }
}

/// Makes a session of a connection. None: it failed, and the client has been told as far as that goes.
pub(in crate::proxy) async fn accept(
    worker: &Rc<Worker>,
    tls: &Tls,
    (listen, ends): (SocketAddr, Ends),
    stream: Ahead<TcpStream>,
    (deadline, settings): (&Deadline, &Settings),
) -> Option<(Session, Secured)> {
    let meters = &worker.shared.meters;
    if worker.handshakes.get() >= settings.handshakes_max {
        meters.handshake(Handshakes::TurnedAway);
        return None;
    }
    worker.handshakes.set(worker.handshakes.get() + 1);
    let _counted = Counted(worker.clone());
    deadline.set_unfinished(settings.header_timeout);
    let failed = match deadline.within(Box::pin(shake(tls, listen, stream))).await {
        Ok(Ok((session, secured))) => {
            let resumed = session.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            meters.handshake(if resumed { Handshakes::Resumed } else { Handshakes::Full });
            return Some((session, secured));
        }
        Ok(Err(failed)) => failed,
        Err(_) => Failed::Slow,
    };
    tracing::debug!(peer = %ends.peer, %failed, "no TLS session");
    meters.handshake(match failed {
        Failed::Slow => Handshakes::Slow,
        Failed::NotNamed => Handshakes::NotNamed,
        Failed::NoCertificate => Handshakes::NoCertificate,
        Failed::Looked => Handshakes::Challenge,
        Failed::Broken(_) => Handshakes::Failed,
    });
    None
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("it took too long")]
    Slow,
    #[error("no certificate is for the name")]
    NotNamed,
    #[error("there is no certificate that works")]
    NoCertificate,
    #[error("an authority has looked")]
    Looked,
    #[error("{0}")]
    Broken(io::Error),
}

async fn shake(tls: &Tls, listen: SocketAddr, stream: Ahead<TcpStream>) -> Result<(Session, Secured), Failed> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(Failed::Broken)?;
    let name = start.client_hello().server_name().map(str::to_owned);
    let protocols = start.client_hello().alpn().map(|all| tls.challenges().by_tls(name.as_deref(), all));
    if let Some(config) = protocols.flatten() {
        // An authority looks at the certificate, and asks for nothing.
        let _ = start.into_stream(config).await.map_err(Failed::Broken)?.shutdown().await;
        return Err(Failed::Looked);
    }
    let (alert, failed) = match tls.choose(listen, name.as_deref()) {
        Chosen::Entry { entry, names, config } => {
            let session = start.into_stream(config).await.map_err(Failed::Broken)?;
            return Ok((session, Secured { names, entry, named: name.is_some() }));
        }
        Chosen::NotNamed => (UNRECOGNIZED_NAME, Failed::NotNamed),
        Chosen::NoCertificate => (INTERNAL_ERROR, Failed::NoCertificate),
    };
    let mut io = start.io;
    // Who is gone needs no alert.
    let _ = io.write_all(&alert).await;
    let _ = io.shutdown().await;
    Err(failed)
}

impl Transport for Session {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (socket, session) = self.get_mut();
        // It wants nothing of the socket while there is something of it to be read.
        if session.wants_read() { Pin::new(socket).get_mut().poll_readable(cx) } else { Poll::Ready(Ok(())) }
    }

    fn plain(&self) -> Option<&TcpStream> {
        None
    }

    fn socket(&self) -> Option<&TcpStream> {
        self.get_ref().0.socket()
    }

    fn abort(&mut self) {
        self.get_mut().0.abort();
    }
}
