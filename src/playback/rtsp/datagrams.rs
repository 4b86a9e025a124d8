//! The two sockets of a track that goes by datagrams.

use super::press::frames;
use std::{
    io,
    net::{IpAddr, SocketAddr},
};
use tokio::net::UdpSocket;

/// Pairs of ports that are tried for a track.
const PAIRS_TRIED_MAX: u32 = 64;
/// The longest datagram that is read of a client's: reports, of which nothing but their coming is looked at.
const HEARD_BYTES_MAX: usize = 1500;

/// RTP, and RTCP on the port behind it.
#[derive(Debug)]
pub(super) struct Datagrams {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Datagrams {
    /// Two ports in a row on `local`, for a client's two. What others send to them is not heard.
    pub(super) async fn open(local: IpAddr, client: IpAddr, ports: (u16, u16)) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..PAIRS_TRIED_MAX {
            let rtp = UdpSocket::bind((local, 0)).await?;
            let port = rtp.local_addr()?.port();
            // By RFC 3550 the first of the two is even.
            let Some(next) = port.checked_add(1).filter(|_| port.is_multiple_of(2)) else { continue };
            match UdpSocket::bind((local, next)).await {
                Ok(rtcp) => {
                    rtp.connect(SocketAddr::new(client, ports.0)).await?;
                    rtcp.connect(SocketAddr::new(client, ports.1)).await?;
                    return Ok(Self { rtp, rtcp });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The first of its two ports.
    pub(super) fn port(&self) -> u16 {
        self.rtp.local_addr().map_or(0, |address| address.port())
    }

    /// Sends the packets of interleaved frames. What does not go out is lost, as on a network; how many bytes went.
    pub(super) fn send(&self, bytes: &[u8], report: bool) -> usize {
        let socket = if report { &self.rtcp } else { &self.rtp };
        frames(bytes).map(|(_, packet)| socket.try_send(packet).unwrap_or(0)).sum()
    }

    /// Comes back once the client has sent something: it lives.
    pub(super) async fn heard(&self) {
        let mut buffer = [0; HEARD_BYTES_MAX];
        loop {
            if self.rtcp.recv(&mut buffer).await.is_ok() {
                return;
            }
            // It has closed its port; nothing tells that it will not open it again.
            tokio::task::yield_now().await;
        }
    }
}
