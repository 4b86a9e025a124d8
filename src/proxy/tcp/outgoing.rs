//! The PROXY protocol's header for an upstream that wants it: who the client is. Pure.

use std::net::{IpAddr, SocketAddr};

/// Which header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Bytes.
    V2,
}

/// The header of a connection of `peer` to `local`.
pub(super) fn header(version: Version, peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let (from, to) = (peer.ip().to_canonical(), local.ip().to_canonical());
    let is_v4 = from.is_ipv4() && to.is_ipv4();
    match version {
        Version::V1 => {
            let (family, from, to) = match is_v4 {
                true => ("TCP4", from.to_string(), to.to_string()),
                false => ("TCP6", wide(from).to_string(), wide(to).to_string()),
            };
            format!("PROXY {family} {from} {to} {} {}\r\n", peer.port(), local.port()).into()
        }
        Version::V2 => {
            let addresses = match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
                _ => [wide(from).octets(), wide(to).octets()].concat(),
            };
            let mut out = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
            out.push(if is_v4 { 0x11 } else { 0x21 });
            out.extend_from_slice(&(addresses.len() as u16 + 4).to_be_bytes());
            out.extend_from_slice(&addresses);
            out.extend_from_slice(&peer.port().to_be_bytes());
            out.extend_from_slice(&local.port().to_be_bytes());
            out
        }
    }
}

fn wide(ip: IpAddr) -> std::net::Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::h1::parse_prelude;

    #[test]
    fn what_we_write_we_read() {
        for (peer, local) in
            [("10.0.0.1:5", "10.0.0.2:80"), ("[::1]:5", "[::2]:80"), ("[::ffff:10.0.0.1]:5", "[fe80::1]:80")]
        {
            let (peer, local): (SocketAddr, SocketAddr) = (peer.parse().unwrap(), local.parse().unwrap());
            for version in [Version::V1, Version::V2] {
                let bytes = header(version, peer, local);
                let read = parse_prelude(&bytes).unwrap().unwrap();
                let (from, to) = read.ends.unwrap();
                assert_eq!(read.len, bytes.len());
                assert_eq!((from.ip().to_canonical(), from.port()), (peer.ip().to_canonical(), 5), "{version:?}");
                assert_eq!((to.ip().to_canonical(), to.port()), (local.ip().to_canonical(), 80), "{version:?}");
            }
        }
        let line = header(Version::V1, "10.0.0.1:5".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        assert_eq!(line, b"PROXY TCP4 10.0.0.1 10.0.0.2 5 80\r\n");
    }
}
