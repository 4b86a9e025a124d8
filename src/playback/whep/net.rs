//! The one port, for datagrams and for connections, and whom what comes there is for.

use super::{
    board::{Board, Heard},
    framing::{PACKET_BYTES_MAX, Packets},
    meters::Meters,
};
use crate::{
    base::{Clock, TaskGroup},
    serve::keep_little_unsent,
};
use bytes::Bytes;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// The usual one of servers of WebRTC.
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 8_189);
/// Ports that are tried where any will do, until one is free for datagrams and connections alike.
const FREE_TRIES_MAX: usize = 32;
/// Connections of whom it is not known yet whom they call.
const STRANGERS_MAX: usize = 128;
/// So long they have to say so.
const CALL_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long accepting rests after the host refused a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Datagrams that are looked at in one go before others have their turn.
const TURN_DATAGRAMS_MAX: usize = 64;

/// Where viewers are met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// At the usual port; where that is taken, at any.
    #[default]
    Usual,
    /// There.
    At(SocketAddr),
}

impl Listen {
    /// Where that is, as far as it is known before it is bound.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::Usual => Some(LISTEN_DEFAULT),
            Self::At(at) => Some(at),
        }
    }
}

/// A port that is bound for both.
pub struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
    at: SocketAddr,
}

impl Sockets {
    /// Binds what the configuration says.
    pub async fn bind(listen: Listen) -> io::Result<Option<Self>> {
        match listen {
            Listen::Off => Ok(None),
            Listen::At(at) => Self::at(at).await.map(Some),
            Listen::Usual => match Self::at(LISTEN_DEFAULT).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    let sockets = Self::at(SocketAddr::new(LISTEN_DEFAULT.ip(), 0)).await?;
                    tracing::warn!(usual = %LISTEN_DEFAULT, at = %sockets.at, "the usual port of webrtc is taken, another one is used; set playback.webrtc_listen");
                    Ok(Some(sockets))
                }
                bound => bound.map(Some),
            },
        }
    }

    async fn at(at: SocketAddr) -> io::Result<Self> {
        let mut last = None;
        for _ in 0..if at.port() == 0 { FREE_TRIES_MAX } else { 1 } {
            let tcp = TcpListener::bind(at).await?;
            let at = tcp.local_addr()?;
            match UdpSocket::bind(at).await {
                Ok(udp) => return Ok(Self { udp, tcp, at }),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
    }

    /// Where they are bound.
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    pub(super) fn split(self) -> (Arc<UdpSocket>, TcpListener) {
        (Arc::new(self.udp), self.tcp)
    }
}

/// Takes what comes, until the group stops.
pub(super) struct Doors {
    pub(super) udp: Arc<UdpSocket>,
    pub(super) tcp: TcpListener,
    pub(super) board: Arc<Board>,
    pub(super) group: TaskGroup,
    pub(super) clock: Clock,
    pub(super) meters: Meters,
}

impl Doors {
    pub(super) async fn run(self) {
        let stop = self.group.stop_token();
        let both = async { tokio::join!(self.datagrams(), self.connections()) };
        let _ = stop.run_until_cancelled(both).await;
    }

    async fn datagrams(&self) {
        let mut buffer = [0; PACKET_BYTES_MAX + 1];
        loop {
            if self.udp.readable().await.is_err() {
                self.clock.sleep(ACCEPT_PAUSE).await;
            }
            for _ in 0..TURN_DATAGRAMS_MAX {
                let (len, source) = match self.udp.try_recv_from(&mut buffer) {
                    Ok(got) => got,
                    // Others are the network's word on what was sent before.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => continue,
                };
                if len > PACKET_BYTES_MAX || !self.board.hand(canonical(source), &buffer[..len]) {
                    self.meters.unknown.inc();
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn connections(&self) {
        let strangers = Arc::new(AtomicUsize::new(0));
        loop {
            let Ok((socket, peer)) = self.tcp.accept().await else {
                self.clock.sleep(ACCEPT_PAUSE).await;
                continue;
            };
            if strangers.fetch_add(1, Ordering::Relaxed) >= STRANGERS_MAX {
                strangers.fetch_sub(1, Ordering::Relaxed);
                self.meters.unknown.inc();
                continue;
            }
            // Packets go out as they are made; waiting to fill a segment would only delay them.
            let _ = socket.set_nodelay(true);
            keep_little_unsent(&socket);
            let (board, meters, strangers) = (self.board.clone(), self.meters.clone(), strangers.clone());
            let stop = self.group.stop_token();
            self.group.spawn("webrtc connection", async move {
                let link = link(Arc::new(socket), canonical(peer), &board, &meters, &strangers);
                let _ = stop.run_until_cancelled(link).await;
            });
        }
    }
}

/// As it is written in candidates.
fn canonical(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

/// Reads one connection to its end.
async fn link(socket: Arc<TcpStream>, peer: SocketAddr, board: &Board, meters: &Meters, strangers: &AtomicUsize) {
    let mut packets = Packets::default();
    let first = tokio::time::timeout(CALL_WAIT_MAX, next(&socket, &mut packets)).await;
    strangers.fetch_sub(1, Ordering::Relaxed);
    let called = first.ok().flatten().and_then(|packet| Some((board.called(&packet)?, packet)));
    let Some((post, mut packet)) = called else {
        meters.unknown.inc();
        return;
    };
    drop(post.inbox.send(Heard::Link(peer, socket.clone())).await);
    loop {
        if post.inbox.send(Heard::Linked(peer, packet)).await.is_err() {
            return;
        }
        match post.stop.run_until_cancelled(next(&socket, &mut packets)).await.flatten() {
            Some(more) => packet = more,
            None => break,
        }
    }
    drop(post.inbox.send(Heard::Unlinked(peer)).await);
}

/// The next packet; None at the end.
async fn next(socket: &TcpStream, packets: &mut Packets) -> Option<Bytes> {
    loop {
        if let Some(packet) = packets.take().ok()? {
            return Some(packet);
        }
        socket.readable().await.ok()?;
        let buffer = packets.buffer();
        buffer.reserve(PACKET_BYTES_MAX + 2);
        match socket.try_read_buf(buffer) {
            Ok(0) => return None,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return None,
            _ => {}
        }
    }
}
