//! Whom a connection is with, and what of its word is believed.

use super::{
    RequestHead, Trust,
    field::{Kind, list},
    host,
    trace::is_request_id,
    trust::{address, first_member},
};
use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
};

/// How the client speaks to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The other end of a connection from outside.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    peer: IpAddr,
    scheme: Scheme,
    is_trusted: bool,
    /// The peer's address as text: every request takes it on.
    text: [u8; ADDRESS_BYTES_MAX],
    text_bytes: u8,
}

/// The longest text of an address, in bytes: eight groups of four digits.
const ADDRESS_BYTES_MAX: usize = 39;

impl Client {
    /// `peer` is the client's end of the socket, or what the PROXY protocol says.
    pub fn new(peer: SocketAddr, scheme: Scheme, trust: &Trust) -> Self {
        let peer = peer.ip().to_canonical();
        let mut text = [0; ADDRESS_BYTES_MAX];
        let mut room = &mut text[..];
        // There is room for any.
        let _ = write!(room, "{peer}");
        let text_bytes = (ADDRESS_BYTES_MAX - room.len()) as u8;
        Self { peer, scheme, is_trusted: trust.contains(peer), text, text_bytes }
    }

    /// Who is connected.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// How it speaks to us.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// How the client speaks to the first proxy, as far as those between are trusted.
    pub fn scheme_outside(&self, head: &RequestHead, bytes: &[u8]) -> Scheme {
        if !self.is_trusted {
            return self.scheme;
        }
        match self.outer_scheme(head, bytes) {
            b"https" | b"wss" => Scheme::Https,
            _ => Scheme::Http,
        }
    }

    /// Whether it is a proxy whose word is taken.
    pub fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// Who asks: the peer, or for whom a trusted peer speaks.
    pub fn address(&self, head: &RequestHead, bytes: &[u8], trust: &Trust) -> IpAddr {
        if !self.is_trusted {
            return self.peer;
        }
        match head.get(bytes, Kind::ForwardedFor) {
            Some(_) => trust.client(self.peer, head.all(bytes, Kind::ForwardedFor)),
            None => trust.client_of_elements(self.peer, head.all(bytes, Kind::Forwarded)),
        }
    }

    /// An address as text at the end of `out`; most often it is the peer's.
    pub(super) fn push_address(&self, out: &mut Vec<u8>, address: IpAddr) {
        if address == self.peer {
            return out.extend_from_slice(&self.text[..usize::from(self.text_bytes)]);
        }
        // Writing to memory cannot fail.
        let _ = write!(out, "{address}");
    }

    /// How the client speaks to the first proxy.
    pub(super) fn outer_scheme<'b>(&self, head: &RequestHead, bytes: &'b [u8]) -> &'b [u8] {
        let said = self.is_trusted.then(|| first_member(head.all(bytes, Kind::ForwardedProto))).flatten();
        match said {
            Some(proto) if matches!(proto, b"http" | b"https" | b"ws" | b"wss") => proto,
            _ => self.scheme.as_str().as_bytes(),
        }
    }

    /// What host the client asked the first proxy for.
    pub(super) fn outer_host<'b>(&self, head: &RequestHead, bytes: &'b [u8]) -> &'b [u8] {
        let said = self.is_trusted.then(|| first_member(head.all(bytes, Kind::ForwardedHost))).flatten();
        said.filter(|name| host::authority(name).is_ok()).unwrap_or_else(|| head.host(bytes))
    }

    /// The id by which the request is found in logs: a trusted peer's, or our own.
    pub fn request_id<'i>(&self, head: &RequestHead, bytes: &'i [u8], own: &'i [u8]) -> &'i [u8] {
        let mut said = head.all(bytes, Kind::RequestId);
        match (said.next(), said.next()) {
            (Some(id), None) if self.is_trusted && is_request_id(id) => id,
            _ => own,
        }
    }
}

/// The same as a `for` of `Forwarded`: IPv6 in brackets and quotes.
pub(super) fn push_node(out: &mut Vec<u8>, address: IpAddr) {
    let _ = match address {
        IpAddr::V4(address) => write!(out, "{address}"),
        IpAddr::V6(address) => write!(out, "\"[{address}]\""),
    };
}

impl Trust {
    /// As [`Trust::client`], by the elements of `Forwarded`.
    fn client_of_elements<'v>(&self, peer: IpAddr, values: impl DoubleEndedIterator<Item = &'v [u8]>) -> IpAddr {
        let mut client = peer;
        for element in values.rev().flat_map(|value| value.rsplit(|b| *b == b',')).take(super::limits::HOPS_MAX) {
            if !self.contains(client) {
                return client;
            }
            match element.split(|b| *b == b';').map(<[u8]>::trim_ascii).find_map(node).and_then(address) {
                Some(address) => client = address,
                None => return client,
            }
        }
        client
    }
}

/// What `for=` says, without quotes.
fn node(pair: &[u8]) -> Option<&[u8]> {
    let (name, value) = pair.split_at_checked(4)?;
    if !name.eq_ignore_ascii_case(b"for=") {
        return None;
    }
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

/// Whether a request has passed the proxy of this name.
pub(super) fn has_passed<'v>(values: impl Iterator<Item = &'v [u8]>, name: &str) -> bool {
    values.flat_map(list).any(|member| {
        let mut words = member.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(name.as_bytes()))
    })
}
