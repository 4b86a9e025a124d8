//! The PROXY protocol, both versions: whom a proxy of the transport layer speaks for.

use super::{Refusal, text::number};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, with its CRLF.
pub const V1_BYTES_MAX: usize = 107;
/// The longest header of version 2: sixteen bytes and what they announce. Addresses take 36, 216 for Unix; the rest is
/// of extensions.
pub const V2_BYTES_MAX: usize = 16 + 536;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What stands before the bytes of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prelude {
    /// How long it is.
    pub len: usize,
    /// The client and the address that it connected to. `None`: the proxy speaks for itself, or does not know; those of
    /// the socket hold.
    pub ends: Option<(SocketAddr, SocketAddr)>,
}

/// Reads it. `None`: more of it must come. Where the protocol is expected, nothing else is taken for a request.
pub fn parse_prelude(bytes: &[u8]) -> Result<Option<Prelude>, Refusal> {
    let starts = |with: &[u8]| bytes.iter().zip(with).all(|(one, other)| one == other);
    match bytes.first() {
        None => Ok(None),
        Some(b'P') if starts(b"PROXY ") => version_1(bytes),
        Some(b'\r') if starts(V2_SIGNATURE) => version_2(bytes),
        _ => Err(Refusal::Prelude),
    }
}

fn version_1(bytes: &[u8]) -> Result<Option<Prelude>, Refusal> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(lf) = window.iter().position(|b| *b == b'\n') else {
        return if window.len() < V1_BYTES_MAX { Ok(None) } else { Err(Refusal::Prelude) };
    };
    let line = window[..lf].strip_suffix(b"\r").ok_or(Refusal::Prelude)?;
    let line = std::str::from_utf8(line).map_err(|_| Refusal::Prelude)?;
    let parts: Vec<&str> = line.split(' ').collect();
    let ends = match parts.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let is_v4 = *family == "TCP4";
            let source = v1_end(source, source_port, is_v4).ok_or(Refusal::Prelude)?;
            let destination = v1_end(destination, destination_port, is_v4).ok_or(Refusal::Prelude)?;
            Some((source, destination))
        }
        _ => return Err(Refusal::Prelude),
    };
    Ok(Some(Prelude { len: lf + 1, ends }))
}

fn v1_end(address: &str, port: &str, is_v4: bool) -> Option<SocketAddr> {
    let address: IpAddr = match is_v4 {
        true => address.parse::<Ipv4Addr>().ok()?.into(),
        false => address.parse::<Ipv6Addr>().ok()?.into(),
    };
    let is_short = port.len() <= 5 && (port == "0" || !port.starts_with('0'));
    let port = number(port.as_bytes()).filter(|_| is_short)?;
    Some(SocketAddr::new(address, u16::try_from(port).ok()?))
}

fn version_2(bytes: &[u8]) -> Result<Option<Prelude>, Refusal> {
    let Some((head, rest)) = bytes.split_at_checked(16) else { return Ok(None) };
    let (command, family) = (head[12], head[13]);
    let announced = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let len = 16 + announced;
    if command >> 4 != 2 || len > V2_BYTES_MAX {
        return Err(Refusal::Prelude);
    }
    let Some(body) = rest.get(..announced) else { return Ok(None) };
    let ends = match (command & 15, family) {
        (0, _) => None,
        (1, 0x11) => Some(v2_ends::<4>(body)?),
        (1, 0x21) => Some(v2_ends::<16>(body)?),
        // Unspecified, datagrams and Unix sockets: nothing that we could use.
        (1, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => None,
        _ => return Err(Refusal::Prelude),
    };
    Ok(Some(Prelude { len, ends }))
}

fn v2_ends<const N: usize>(body: &[u8]) -> Result<(SocketAddr, SocketAddr), Refusal>
where
    IpAddr: From<[u8; N]>,
{
    let read = || {
        let address = |at: usize| -> Option<IpAddr> { Some(<[u8; N]>::try_from(body.get(at..at + N)?).ok()?.into()) };
        let port = |at: usize| -> Option<u16> { Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?)) };
        let source = SocketAddr::new(address(0)?, port(2 * N)?);
        Some((source, SocketAddr::new(address(N)?, port(2 * N + 2)?)))
    };
    read().ok_or(Refusal::Prelude)
}
