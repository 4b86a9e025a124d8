//! Where viewers are told to call: addresses of this host that reach them, and those that the configuration knows of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses of the documentation's networks: the way there is the way to anybody. Nothing is ever sent to them.
const ANYBODY: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
/// Any port: nothing is sent to it.
const PORT: u16 = 9;

/// Addresses for a viewer, of whom it is known where they ask from, where `bound` is listened at. Those that are
/// `announced` come first; a port of 0 stands for the one that is bound.
pub(super) fn for_viewer(bound: SocketAddr, announced: &[SocketAddr], viewer: Option<IpAddr>) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = announced.to_vec();
    if bound.ip().is_unspecified() {
        let viewer = viewer.unwrap_or(Ipv4Addr::LOCALHOST.into()).to_canonical();
        let towards = [viewer].into_iter().chain(ANYBODY).filter(|to| bound.is_ipv6() || to.is_ipv4());
        all.extend(towards.filter_map(local_towards).map(|ip| SocketAddr::new(ip, 0)));
    } else {
        all.push(bound);
    }
    let mut seen = Vec::new();
    for mut at in all {
        if at.port() == 0 {
            at.set_port(bound.port());
        }
        if !seen.contains(&at) {
            seen.push(at);
        }
    }
    seen
}

/// The address of this host that datagrams to somebody would come from.
fn local_towards(to: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, PORT)).ok()?;
    let found = socket.local_addr().ok()?.ip();
    (!found.is_unspecified()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_from_this_host_is_told_of_it_and_what_is_announced_comes_first() {
        let bound: SocketAddr = "0.0.0.0:8189".parse().unwrap();
        let all = for_viewer(bound, &[], Some("127.0.0.1".parse().unwrap()));
        assert_eq!(all[0], "127.0.0.1:8189".parse().unwrap());
        assert!(all.iter().all(|at| at.is_ipv4() && at.port() == 8189), "{all:?}");
        let nat = ["203.0.113.7:0".parse().unwrap(), "203.0.113.8:99".parse().unwrap()];
        let all = for_viewer(bound, &nat, Some("::1".parse().unwrap()));
        let first: Vec<String> = all[..2].iter().map(ToString::to_string).collect();
        assert_eq!(first, ["203.0.113.7:8189", "203.0.113.8:99"]);
        assert!(all.iter().all(SocketAddr::is_ipv4), "where IPv4 alone is listened at");
        let one: SocketAddr = "127.0.0.1:5".parse().unwrap();
        assert_eq!(for_viewer(one, &[one], None), [one]);
    }
}
