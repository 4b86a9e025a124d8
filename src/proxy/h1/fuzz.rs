//! Bytes of clients, origins and balancers before us, of any making: for fuzzing.

use super::{
    Asked, Body, ChunkReader, Client, Forwarding, Limits, Replying, RequestHead, ResponseHead, Scheme, Step, Trust,
    framing_for, parse_prelude, parse_request, parse_response, path, write_chunk, write_last, write_request,
    write_response,
};

const ID: &[u8; 32] = b"00112233445566778899aabbccddeeff";

/// The head of a request, behind a byte that says how it is cut: read whole and in pieces, and passed on.
pub fn requests(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let (mut whole, mut pieces) = (RequestHead::default(), RequestHead::default());
    let read = parse_request(bytes, &Limits::default(), &mut whole);
    let step = usize::from(*cut) + 1;
    for to in (step..bytes.len()).step_by(step) {
        let early = parse_request(&bytes[..to], &Limits::default(), &mut pieces);
        match early {
            Ok(None) => {}
            // What is behind the head is of no concern.
            Ok(Some(len)) => return assert_eq!(read, Ok(Some(len))),
            Err(_) => return assert!(read.is_err(), "{early:?}, {read:?}"),
        }
    }
    let Ok(Some(len)) = read else { return };
    assert_eq!(len, whole.head_bytes());
    assert_ne!(whole.body(), Body::UntilClose);
    let once = forwarded(bytes, &whole);
    let mut again = RequestHead::default();
    assert_eq!(parse_request(&once, &Limits::default(), &mut again), Ok(Some(once.len())), "{}", once.escape_ascii());
    assert_eq!((again.method_bytes(&once), again.target(&once)), (whole.method_bytes(bytes), whole.target(bytes)));
    assert_eq!((again.body(), again.upgrade(&once)), (whole.body(), whole.upgrade(bytes)));
    // Only a client of HTTP/1.0 names no host; the one that we give it is one that the next proxy tells of.
    if !whole.host(bytes).is_empty() {
        assert_eq!(forwarded(&once, &again).escape_ascii().to_string(), once.escape_ascii().to_string());
    }
}

fn forwarded(bytes: &[u8], head: &RequestHead) -> Vec<u8> {
    let trust = Trust::default();
    let client = Client::new(([192, 0, 2, 7], 1).into(), Scheme::Http, &trust);
    let to = Forwarding {
        target: head.target(bytes),
        host: if head.host(bytes).is_empty() { b"upstream" } else { head.host(bytes) },
        body: head.body(),
        upgrade: true,
        expect: true,
        client: &client,
        trust: &trust,
        edits: None,
        request_id: ID,
        via: None,
    };
    let mut out = Vec::new();
    assert_eq!(write_request(&mut out, bytes, head, &to), Ok(()));
    out
}

/// The head of a response, behind a byte that says what was asked: read, and passed on.
pub fn responses(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let asked = Asked { head: kind & 1 != 0, upgrade: kind & 2 != 0 };
    let mut head = ResponseHead::default();
    let Ok(Some(len)) = parse_response(bytes, &Limits::default(), asked, &mut head) else { return };
    assert_eq!(len, head.head_bytes());
    for version in [super::Version::Http10, super::Version::Http11] {
        let (body, keep_alive) = framing_for(version, &head);
        let mut out = Vec::new();
        let to = Replying {
            client: version,
            body,
            keep_alive,
            upgrade: head.upgrade(bytes),
            edits: None,
            date: b"Sun, 06 Nov 1994 08:49:37 GMT",
            request_id: Some(ID),
            extra: b"",
        };
        write_response(&mut out, bytes, &head, &to);
        let mut again = ResponseHead::default();
        let read = parse_response(&out, &Limits::default(), asked, &mut again);
        assert_eq!(read, Ok(Some(out.len())), "{}", out.escape_ascii());
        assert_eq!((again.status(), again.body()), (head.status(), body));
    }
}

/// A chunked body, behind a byte that says how it is cut.
pub fn chunks(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let whole = unchunked(bytes, bytes.len().max(1));
    let pieces = unchunked(bytes, usize::from(*cut) + 1);
    assert_eq!(whole, pieces);
    let Some((body, trailers)) = whole else { return };
    let mut again = Vec::new();
    body.chunks(7).for_each(|chunk| write_chunk(&mut again, chunk));
    write_last(&mut again, &trailers);
    assert_eq!(unchunked(&again, 3), Some((body, trailers)));
}

/// Body and trailers, if the body is whole.
fn unchunked(bytes: &[u8], piece_bytes: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut reader, mut body) = (ChunkReader::default(), Vec::new());
    for piece in bytes.chunks(piece_bytes) {
        let mut at = 0;
        loop {
            match reader.feed(&piece[at..]).ok()? {
                Step::More => break,
                Step::Data { from, to } => {
                    assert!(from < to);
                    body.extend_from_slice(&piece[at + from..at + to]);
                    at += to;
                }
                Step::End(_) => return Some((body, reader.trailers().to_vec())),
            }
        }
    }
    None
}

/// A path as routes are found by it.
pub fn paths(data: &[u8]) {
    for merge in [false, true] {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        let Ok(doubts) = path::normalise(data, merge, &mut once) else { continue };
        assert_eq!(once.first(), Some(&b'/'));
        assert!(once.split(|b| *b == b'/').all(|segment| segment != b"." && segment != b".."));
        assert!(path::normalise(&once, merge, &mut twice).is_ok());
        assert_eq!(once, twice);
        doubts.names().for_each(|name| assert!(!name.is_empty()));
    }
}

/// The PROXY protocol, with and without its signature.
pub fn preludes(data: &[u8]) {
    for start in [&b""[..], b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"] {
        let bytes = [start, data].concat();
        if let Ok(Some(prelude)) = parse_prelude(&bytes) {
            assert!(prelude.len <= bytes.len());
            assert_eq!(parse_prelude(&bytes[..prelude.len]), Ok(Some(prelude)));
            assert_eq!(parse_prelude(&bytes[..prelude.len - 1]), Ok(None));
        }
    }
}
