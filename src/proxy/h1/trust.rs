//! Who is believed when they say for whom they speak, and who the client then is.

use super::{field::list, limits::HOPS_MAX};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A network, as `10.0.0.0/8` or the address of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// Text that is no network; says what is wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no network; write an address, or one with the length of its prefix as in `10.0.0.0/8`")]
pub struct BadNetwork(String);

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.chars().take(64).collect());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match bits {
            None => bits_max,
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().map_err(|_| bad())?,
            Some(_) => return Err(bad()),
        };
        if prefix_bits > bits_max {
            return Err(bad());
        }
        Ok(Self::new(address, prefix_bits))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

impl Network {
    fn new(address: IpAddr, prefix_bits: u8) -> Self {
        // An IPv4 network in IPv6 clothes is meant as what it is.
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), plain @ IpAddr::V4(_)) if prefix_bits >= 96 => {
                Self { address: plain, prefix_bits: prefix_bits - 96 }
            }
            _ => Self { address, prefix_bits },
        }
    }

    /// Whether the address lies in it. An IPv4 address in IPv6 clothes is taken for what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => same_bits(wide(one), wide(other), 96 + self.prefix_bits),
            (IpAddr::V6(one), IpAddr::V6(other)) => same_bits(one.to_bits(), other.to_bits(), self.prefix_bits),
            _ => false,
        }
    }
}

fn wide(address: Ipv4Addr) -> u128 {
    u128::from(address.to_bits())
}

fn same_bits(one: u128, other: u128, prefix_bits: u8) -> bool {
    let differing = one ^ other;
    differing.leading_zeros() >= u32::from(prefix_bits)
}

/// The networks of the proxies before us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust(Vec<Network>);

impl Trust {
    /// Of these.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// The networks.
    pub fn networks(&self) -> &[Network] {
        &self.0
    }

    /// Whether one of them is there.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Who the client is: from the right, the first of those that passed the request on who is not trusted. Where the
    /// list cannot be read on, it is the last one that could be.
    pub(super) fn client<'v>(&self, peer: IpAddr, values: impl DoubleEndedIterator<Item = &'v [u8]>) -> IpAddr {
        let mut client = peer;
        let hops = values.rev().flat_map(|value| value.rsplit(|b| *b == b',')).map(<[u8]>::trim_ascii);
        for hop in hops.take(HOPS_MAX) {
            if !self.contains(client) {
                return client;
            }
            match address(hop) {
                Some(address) => client = address,
                None => return client,
            }
        }
        client
    }
}

/// An address of `X-Forwarded-For`, with or without a port, as some write it.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            is_port(port).then_some(())?;
            IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
        }
        None if text.contains('.') && !text.starts_with(':') && text.matches(':').count() == 1 => {
            let (address, _) = text.split_once(':')?;
            is_port(&text[address.len()..]).then_some(())?;
            IpAddr::V4(address.parse().ok()?)
        }
        None => text.parse().ok()?,
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok())
}

/// The first member of the first value, as later proxies read it.
pub(super) fn first_member<'v>(values: impl Iterator<Item = &'v [u8]>) -> Option<&'v [u8]> {
    values.flat_map(list).next()
}
