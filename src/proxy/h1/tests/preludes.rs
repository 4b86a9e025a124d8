//! The PROXY protocol.

use crate::proxy::h1::{Prelude, Refusal, parse_prelude};
use proptest::prelude::*;
use std::net::SocketAddr;

fn ends(source: &str, destination: &str) -> Option<(SocketAddr, SocketAddr)> {
    Some((source.parse().unwrap(), destination.parse().unwrap()))
}

#[test]
fn version_1_is_read() {
    for (text, wanted) in [
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 65535", ends("1.2.3.4:1", "5.6.7.8:65535")),
        ("PROXY TCP6 2001:db8::1 ::1 0 443", ends("[2001:db8::1]:0", "[::1]:443")),
        ("PROXY UNKNOWN", None),
        ("PROXY UNKNOWN ffff::1 ffff::2 1 2", None),
    ] {
        let b = format!("{text}\r\nGET / HTTP/1.1\r\n");
        assert_eq!(parse_prelude(b.as_bytes()), Ok(Some(Prelude { len: text.len() + 2, ends: wanted })), "{text}");
    }
}

#[test]
fn version_1_is_read_strictly() {
    for text in [
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
        "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY \r\n",
        "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXYTCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "POST / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\n",
    ] {
        assert_eq!(parse_prelude(text.as_bytes()), Err(Refusal::Prelude), "{text:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "x".repeat(107));
    assert_eq!(parse_prelude(long.as_bytes()), Err(Refusal::Prelude));
    assert_eq!(parse_prelude(&long.as_bytes()[..106]), Ok(None));
}

fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u16).to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &len, body].concat()
}

const V4: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187];

#[test]
fn version_2_is_read() {
    let v6 = [&[0x20; 16][..], &[0x21; 16], &[0, 1, 0, 2]].concat();
    let v6_ends = ends("[2020:2020:2020:2020:2020:2020:2020:2020]:1", "[2121:2121:2121:2121:2121:2121:2121:2121]:2");
    let extended = [V4, &[0x04, 0, 3, 1, 2, 3]].concat();
    for (bytes, wanted) in [
        (version_2(0x21, 0x11, V4), ends("1.2.3.4:80", "5.6.7.8:443")),
        (version_2(0x21, 0x11, &extended), ends("1.2.3.4:80", "5.6.7.8:443")),
        (version_2(0x21, 0x21, &v6), v6_ends),
        (version_2(0x20, 0x11, V4), None),
        (version_2(0x20, 0x00, &[]), None),
        (version_2(0x21, 0x31, &[0; 216]), None),
        (version_2(0x21, 0x12, V4), None),
        (version_2(0x21, 0x11, &[V4, &[0; 524]].concat()), ends("1.2.3.4:80", "5.6.7.8:443")),
    ] {
        let len = bytes.len();
        let sent = [&bytes[..], b"GET"].concat();
        assert_eq!(parse_prelude(&sent), Ok(Some(Prelude { len, ends: wanted })));
        for cut in 0..len {
            assert_eq!(parse_prelude(&sent[..cut]), Ok(None), "more must come than {cut}");
        }
    }
}

#[test]
fn version_2_is_read_strictly() {
    for bytes in [
        version_2(0x11, 0x11, V4),
        version_2(0x31, 0x11, V4),
        version_2(0x22, 0x11, V4),
        version_2(0x21, 0x13, V4),
        version_2(0x21, 0x41, V4),
        version_2(0x21, 0x11, &V4[..11]),
        version_2(0x21, 0x21, V4),
        version_2(0x21, 0x11, &[V4, &[0; 525]].concat()),
    ] {
        assert_eq!(parse_prelude(&bytes), Err(Refusal::Prelude), "{}", bytes.escape_ascii());
    }
    let mut other = version_2(0x21, 0x11, V4);
    other[11] = b' ';
    assert_eq!(parse_prelude(&other), Err(Refusal::Prelude));
}

proptest! {
    #[test]
    fn nothing_is_taken_that_is_not_there(bytes in prop::collection::vec(any::<u8>(), 0..80), family: u8, is_v2: bool) {
        let bytes = if is_v2 { version_2(0x21, family, &bytes) } else { [b"PROXY ", &bytes[..]].concat() };
        if let Ok(Some(prelude)) = parse_prelude(&bytes) {
            prop_assert!(prelude.len <= bytes.len());
            prop_assert_eq!(parse_prelude(&bytes[..prelude.len]), Ok(Some(prelude)));
        }
    }
}
