//! Networks, and who a client is.

use crate::proxy::h1::{BadNetwork, Client, Limits, Network, RequestHead, Scheme, Trust, parse_request};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv6Addr};

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_network_has_what_its_prefix_says() {
    for (text, inside, outside) in [
        ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
        ("10.0.0.0/9", "10.127.0.1", "10.128.0.0"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
        ("192.0.2.7/32", "::ffff:192.0.2.7", "::192.0.2.7"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("::1", "::1", "127.0.0.1"),
        ("0.0.0.0/0", "255.0.0.1", "2001:db8::1"),
        ("::/0", "2001:db8::1", "10.0.0.1"),
    ] {
        assert!(network(text).contains(ip(inside)), "{text} has {inside}");
        assert!(!network(text).contains(ip(outside)), "{text} has not {outside}");
    }
}

#[test]
fn what_is_no_network_is_told() {
    for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/+8", "10.0.0.0/", "a", "10.0.0.0/8/8", " 10.0.0.0"]
    {
        let read: Result<Network, BadNetwork> = text.parse();
        assert!(read.is_err(), "{text}");
        assert!(read.unwrap_err().to_string().contains("is no network"));
    }
}

fn client(peer: &str, trusted: &[&str], hops: &str) -> IpAddr {
    let b = format!("GET / HTTP/1.1\r\nHost: a\r\n{hops}\r\n").into_bytes();
    let mut head = RequestHead::default();
    parse_request(&b, &Limits::default(), &mut head).unwrap();
    let trust = Trust::new(trusted.iter().map(|text| network(text)).collect());
    Client::new(peer.parse().unwrap(), Scheme::Http, &trust).address(&head, &b, &trust)
}

#[test]
fn a_client_is_found_from_the_right() {
    let trusted = ["10.0.0.0/8", "fd00::/8"];
    for (peer, hops, wanted) in [
        ("192.0.2.1:1", "1.1.1.1", "192.0.2.1"),
        ("10.0.0.1:1", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.1:1", "2.2.2.2, 1.1.1.1", "1.1.1.1"),
        ("10.0.0.1:1", "2.2.2.2, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        ("10.0.0.1:1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1:1", "", "10.0.0.1"),
        ("10.0.0.1:1", "1.1.1.1, unknown", "10.0.0.1"),
        ("10.0.0.1:1", "1.1.1.1, , 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1:1", "1.1.1.1:4711", "1.1.1.1"),
        ("10.0.0.1:1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1:1", "[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.1:1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1:1", "::ffff:1.1.1.1", "1.1.1.1"),
        ("10.0.0.1:1", "[2001:db8::1]x", "10.0.0.1"),
        ("10.0.0.1:1", "1.1.1.1:x", "10.0.0.1"),
        ("[fd00::1]:1", "1.1.1.1", "1.1.1.1"),
    ] {
        assert_eq!(client(peer, &trusted, &format!("X-Forwarded-For: {hops}\r\n")), ip(wanted), "{peer} {hops}");
    }
    let lines = "X-Forwarded-For: 2.2.2.2, 1.1.1.1\r\nX-Forwarded-For: 10.0.0.2\r\n";
    assert_eq!(client("10.0.0.1:1", &trusted, lines), ip("1.1.1.1"), "several lines are one list");
    assert_eq!(client("10.0.0.1:1", &trusted, ""), ip("10.0.0.1"));
}

proptest! {
    #[test]
    fn a_stranger_is_who_it_is(hops in "[0-9a-f.:, \\[\\]]{0,60}") {
        prop_assert_eq!(client("192.0.2.1:1", &["10.0.0.0/8"], &format!("X-Forwarded-For: {hops}\r\n")), ip("192.0.2.1"));
    }

    #[test]
    fn prefixes_are_counted_in_bits(bits: u128, prefix in 0_u8..=128, flip in 0_u8..128) {
        let network = network(&format!("{}/{prefix}", Ipv6Addr::from_bits(bits)));
        let other = IpAddr::V6(Ipv6Addr::from_bits(bits ^ (1 << (127 - flip))));
        let is_plain = |address: IpAddr| address.to_canonical().is_ipv6();
        prop_assume!(is_plain(other) && is_plain(IpAddr::V6(Ipv6Addr::from_bits(bits))));
        prop_assert_eq!(network.contains(other), flip >= prefix);
    }
}
