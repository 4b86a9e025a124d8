//! Sockets that clients connect to: one for each worker and address, all bound to the same port, so that the kernel
//! spreads connections over the workers and none of them waits for another.

use super::{Config, Error, config::Target};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// Connections that wait to be accepted, of each socket. The kernel takes no more than `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The sockets, by worker.
#[derive(Debug)]
pub struct Listeners {
    pub(super) of_workers: Vec<Vec<Bound>>,
    addresses: Vec<SocketAddr>,
}

/// A socket and what is spoken on it.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: TcpListener,
    pub(super) serves: Serves,
    /// It was there before us and will be after us: who connects meanwhile waits for whoever comes.
    pub(super) outlives: bool,
}

/// What is spoken on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    /// HTTP.
    Http,
    /// The same over TLS, by the certificates of this address of the configuration.
    Tls(SocketAddr),
    /// Whatever clients and instances agree on, by the TCP routes of this address of the configuration.
    Tcp(SocketAddr),
}

impl Listeners {
    /// Binds every address for every worker, or takes the socket that systemd has bound to it.
    pub fn bind(config: &Config, handed_down: Vec<TcpListener>) -> Result<Self, Error> {
        let mut wanted: Vec<_> = config.listen.iter().map(|address| (*address, Serves::Http)).collect();
        for site in &config.tls {
            let one = (site.listen, Serves::Tls(site.listen));
            if !wanted.contains(&one) {
                wanted.push(one);
            }
        }
        for route in &config.routes {
            let Target::Tcp(tcp) = &route.to else { continue };
            let one = (tcp.listen, Serves::Tcp(tcp.listen));
            if !wanted.contains(&one) {
                wanted.push(one);
            }
        }
        Self::bind_each(&wanted, config.worker_count(), handed_down)
    }

    fn bind_each(
        wanted: &[(SocketAddr, Serves)],
        workers: usize,
        handed_down: Vec<TcpListener>,
    ) -> Result<Self, Error> {
        let mut listeners =
            Self { of_workers: (0..workers.max(1)).map(|_| Vec::new()).collect(), addresses: Vec::new() };
        let mut handed_down: Vec<_> = handed_down.into_iter().map(|l| (l.local_addr().ok(), Some(l))).collect();
        for (address, serves) in wanted {
            let is_wanted = |of: SocketAddr| wanted.iter().any(|(a, _)| *a == of);
            let mut given = handed_down.iter_mut().filter(|(_, listener)| listener.is_some());
            let given = given.find(|(of, _)| of.is_some_and(|of| serves_for(of, *address, is_wanted)));
            match given.and_then(|(_, listener)| listener.take()) {
                Some(listener) => listeners.share(listener, *serves),
                None => listeners.bind_one(*address, wanted.iter().any(|(a, _)| *a == twin(*address)), *serves),
            }
            .map_err(|error| Error::Listen { address: *address, error })?;
        }
        // Bound by systemd, named by nobody: whoever configured the unit wants it served.
        for (address, listener) in handed_down {
            if let (Some(address), Some(listener)) = (address, listener) {
                listeners.share(listener, Serves::Http).map_err(|error| Error::Listen { address, error })?;
            }
        }
        Ok(listeners)
    }

    /// What was bound, ports that were asked for as 0 included.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    fn bind_one(&mut self, address: SocketAddr, beside_v4: bool, serves: Serves) -> io::Result<()> {
        // Sockets that share a port do so with any other process of this user, too: two daemons would each get half of
        // the connections. One that does not share finds that out.
        if address.port() != 0 {
            drop(socket(address, beside_v4, false)?);
        }
        let mut bound = address;
        for of_worker in &mut self.of_workers {
            let socket = socket(bound, beside_v4, true)?;
            socket.listen(BACKLOG)?;
            let listener = TcpListener::from(socket);
            bound = listener.local_addr()?;
            of_worker.push(Bound { listener, serves, outlives: false });
        }
        self.addresses.push(bound);
        Ok(())
    }

    /// One socket for all workers: each accepts what it finds there.
    fn share(&mut self, listener: TcpListener, serves: Serves) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.addresses.push(listener.local_addr()?);
        for of_worker in &mut self.of_workers {
            of_worker.push(Bound { listener: listener.try_clone()?, serves, outlives: true });
        }
        Ok(())
    }
}

/// Whether a socket that is bound there takes what is wanted at an address. `ListenStream=8080` of systemd is all of IPv6
/// with all of IPv4 in it.
fn serves_for(bound: SocketAddr, address: SocketAddr, is_wanted: impl Fn(SocketAddr) -> bool) -> bool {
    let is_for_all = bound.is_ipv6() && bound.ip().is_unspecified() && twin(bound) == address;
    bound == address || (is_for_all && !is_wanted(bound))
}

/// All of IPv4 on the same port: where that is listened on as well, IPv6 must keep to itself.
fn twin(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), address.port())
}

fn socket(address: SocketAddr, beside_v4: bool, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(beside_v4)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(addresses: &[SocketAddr], workers: usize, handed_down: Vec<TcpListener>) -> Result<Listeners, Error> {
        let wanted: Vec<_> = addresses.iter().map(|address| (*address, Serves::Http)).collect();
        Listeners::bind_each(&wanted, workers, handed_down)
    }

    #[test]
    fn workers_share_a_port_and_another_daemon_does_not() {
        let any = ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
        let listeners = bind(&any, 3, Vec::new()).unwrap();
        let addresses = listeners.addresses().to_vec();
        for of_worker in &listeners.of_workers {
            let bound: Vec<_> = of_worker.iter().map(|bound| bound.listener.local_addr().unwrap()).collect();
            assert_eq!(bound, addresses);
        }
        let taken = bind(&addresses[..1], 3, Vec::new()).unwrap_err();
        assert!(taken.to_string().contains(&addresses[0].to_string()), "{taken}");
        drop(listeners);
        bind(&addresses, 2, Vec::new()).unwrap();
    }

    #[test]
    fn a_socket_that_was_handed_down_serves_its_address_and_one_that_is_not_named_is_served_too() {
        let (named, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (address, more) = (named.local_addr().unwrap(), other.local_addr().unwrap());
        let listeners = bind(&[address], 2, vec![named, other]).unwrap();
        assert_eq!(listeners.addresses(), [address, more]);
        assert!(listeners.of_workers.iter().all(|of| of.len() == 2 && of.iter().all(|bound| bound.outlives)));
    }

    #[test]
    fn a_socket_for_both_families_is_that_of_all_of_ipv4() {
        let both = TcpListener::bind("[::]:0").unwrap();
        let port = both.local_addr().unwrap().port();
        let v4 = SocketAddr::from(([0, 0, 0, 0], port));
        let listeners = bind(&[v4], 1, vec![both]).unwrap();
        assert_eq!(listeners.addresses(), [SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port)]);
        let v6 = SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), 1);
        let v4 = SocketAddr::from(([0, 0, 0, 0], 1));
        assert!(serves_for(v6, v4, |_| false) && !serves_for(v6, v4, |a| a == v6) && serves_for(v6, v6, |_| true));
        assert!(!serves_for(v4, v6, |_| false) && !serves_for(v6, SocketAddr::from(([127, 0, 0, 1], 1)), |_| false));
    }
}
