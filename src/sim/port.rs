//! A port that stays ours while nobody listens on it, so that a simulated device can go away (connections are
//! refused) and come back at the same address, whoever else looks for a free port meanwhile.

use super::state::Device;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel may hold before they are accepted.
const BACKLOG: u32 = 1024;

/// How long to wait before the host is asked again for what it refused.
const LISTEN_PAUSE: Duration = Duration::from_millis(50);

/// A taken port, listening from the start.
pub(super) struct Port {
    address: SocketAddr,
    first: Option<TcpListener>,
    /// Bound, never listening.
    _kept: TcpSocket,
}

impl Port {
    /// Takes a port; 0 takes a free one.
    pub fn take(ip: IpAddr, port: u16) -> io::Result<Self> {
        if port != 0 {
            // Shared ports would let a second simulator in without a word, so ask once without sharing.
            socket(ip, false)?.bind(SocketAddr::new(ip, port))?;
        }
        let kept = socket(ip, true)?;
        kept.bind(SocketAddr::new(ip, port))?;
        let mut taken = Self { address: kept.local_addr()?, first: None, _kept: kept };
        taken.first = Some(taken.listen()?);
        Ok(taken)
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens as soon as the device is online, until what it gives is dropped.
    pub async fn listener(&mut self, device: &Device) -> TcpListener {
        loop {
            // The device is borrowed, so its state is there.
            let _ = device.state.subscribe().wait_for(|s| s.online).await;
            match self.first.take().map_or_else(|| self.listen(), Ok) {
                Ok(listener) => return listener,
                Err(error) => tracing::warn!(%error, address = %self.address, "simulated device cannot listen"),
            }
            device.options.clock.sleep(LISTEN_PAUSE).await;
        }
    }

    /// The listener that was there from the start, once.
    pub fn first(&mut self) -> Option<TcpListener> {
        self.first.take()
    }

    fn listen(&self) -> io::Result<TcpListener> {
        let socket = socket(self.address.ip(), true)?;
        socket.bind(self.address)?;
        socket.listen(BACKLOG)
    }
}

fn socket(ip: IpAddr, shared: bool) -> io::Result<TcpSocket> {
    let socket = if ip.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier run that linger in the kernel must not keep the port.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_refuses_and_comes_back() {
        let mut port = Port::take([127, 0, 0, 1].into(), 0).unwrap();
        let address = port.address();
        let connect = || tokio::net::TcpStream::connect(address);
        connect().await.unwrap();
        assert!(Port::take(address.ip(), address.port()).is_err(), "taken");
        let device = Device::new(crate::sim::Options::default());
        drop(port.listener(&device).await);
        assert_eq!(connect().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let _again = port.listener(&device).await;
        connect().await.unwrap();
    }
}
