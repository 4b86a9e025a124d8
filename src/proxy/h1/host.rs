//! Hosts: what `Host` and the target of a request may name.

use super::{Refusal, limits::HOST_BYTES_MAX, text::number};
use std::net::Ipv6Addr;

/// A host that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'b> {
    /// The name or address, an IPv6 address in its brackets, without a dot at the end.
    pub(super) name: &'b [u8],
    pub(super) port: Option<u16>,
}

/// Reads `name`, `name:port`, `[address]` or `[address]:port`.
pub(super) fn authority(text: &[u8]) -> Result<Authority<'_>, Refusal> {
    let read = || {
        if text.len() > HOST_BYTES_MAX {
            return None;
        }
        let name_bytes = match text.first()? {
            b'[' => text.iter().position(|b| *b == b']')? + 1,
            _ => text.iter().position(|b| *b == b':').unwrap_or(text.len()),
        };
        let (name, rest) = text.split_at(name_bytes);
        let port = match rest {
            [] => None,
            [b':', digits @ ..] if digits.len() <= 5 => Some(u16::try_from(number(digits)?).ok()?),
            _ => return None,
        };
        is_host(name).then(|| Authority { name: name.strip_suffix(b".").unwrap_or(name), port })
    };
    read().ok_or(Refusal::Host)
}

fn is_host(name: &[u8]) -> bool {
    if let [b'[', address @ .., b']'] = name {
        return std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let is_named = name.iter().any(u8::is_ascii_alphanumeric);
    is_named
        && !name.starts_with(b".")
        && !name.windows(2).any(|pair| pair == b"..")
        && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// Whether both name the same host and port, where `default_port` is what none means.
pub(super) fn is_same(one: Authority<'_>, other: Authority<'_>, default_port: u16) -> bool {
    one.name.eq_ignore_ascii_case(other.name) && one.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
}
