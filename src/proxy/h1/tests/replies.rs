//! The head that a client gets.

use crate::proxy::h1::{
    Answer, Asked, Body, Edits, Limits, Replying, ResponseHead, Version, framing_for, parse_response, write_answer,
    write_interim, write_response,
};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

fn read(text: &str, asked: Asked) -> (Vec<u8>, ResponseHead) {
    let b = format!("{text}\r\n").into_bytes();
    let mut head = ResponseHead::default();
    assert_eq!(parse_response(&b, &Limits::default(), asked, &mut head), Ok(Some(b.len())), "{text}");
    (b, head)
}

fn reply(text: &str, asked: Asked, client: Version) -> String {
    let (b, head) = read(text, asked);
    let (body, may_stay) = framing_for(client, &head);
    let mut out = Vec::new();
    let to = Replying {
        client,
        body,
        keep_alive: may_stay,
        upgrade: head.upgrade(&b),
        edits: None,
        date: DATE,
        request_id: None,
        extra: b"",
    };
    write_response(&mut out, &b, &head, &to);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_response_is_framed_for_its_client() {
    let get = Asked::default();
    let of_head = Asked { head: true, upgrade: false };
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    for (sent, asked, client, wanted) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 05\r\n",
            get,
            Version::Http11,
            format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 5\r\n\r\n"),
        ),
        (
            "HTTP/1.1 200\r\nDate: x\r\nContent-Length: 0\r\n",
            get,
            Version::Http11,
            "HTTP/1.1 200 \r\nDate: x\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "HTTP/1.1 200 OK\r\n",
            get,
            Version::Http11,
            format!("HTTP/1.1 200 OK\r\n{date}Transfer-Encoding: chunked\r\n\r\n"),
        ),
        ("HTTP/1.1 200 OK\r\n", get, Version::Http10, format!("HTTP/1.1 200 OK\r\n{date}Connection: close\r\n\r\n")),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n",
            get,
            Version::Http11,
            format!("HTTP/1.1 200 OK\r\n{date}Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
            get,
            Version::Http10,
            format!("HTTP/1.1 200 OK\r\n{date}Connection: close\r\n\r\n"),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
            of_head,
            Version::Http11,
            format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 5\r\n\r\n"),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
            of_head,
            Version::Http11,
            format!("HTTP/1.1 200 OK\r\n{date}\r\n"),
        ),
        (
            "HTTP/1.1 304 No\r\nContent-Length: 5\r\n",
            get,
            Version::Http11,
            format!("HTTP/1.1 304 No\r\n{date}Content-Length: 5\r\n\r\n"),
        ),
        ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n", get, Version::Http11, format!("HTTP/1.1 204 No\r\n{date}\r\n")),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n",
            get,
            Version::Http10,
            format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 5\r\nConnection: keep-alive\r\n\r\n"),
        ),
    ] {
        assert_eq!(reply(sent, asked, client), wanted, "{sent:?} {asked:?} {client:?}");
    }
}

#[test]
fn what_an_origin_says_to_us_stays_here() {
    let text = reply(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close, x-one\r\nX-One: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n\
         Proxy-Authenticate: Basic\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX_Under: kept\r\n",
        Asked::default(),
        Version::Http11,
    );
    let wanted = "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX_Under: kept\r\n\
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(text, wanted);
}

#[test]
fn a_switch_is_told() {
    let asked = Asked { head: false, upgrade: true };
    let sent = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nDate: d\r\n";
    let wanted = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nDate: d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(reply(sent, asked, Version::Http11), wanted);
}

#[test]
fn hints_are_told_without_a_length() {
    let (b, head) =
        read("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 3\r\nConnection: close\r\n", Asked::default());
    let mut out = Vec::new();
    write_interim(&mut out, &b, &head);
    assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
}

#[test]
fn a_route_changes_a_response() {
    let (b, head) = read(
        "HTTP/1.1 200 OK\r\nServer: x\r\nDate: d\r\nX-Request-Id: theirs\r\nContent-Length: 1\r\n",
        Asked::default(),
    );
    let edits = Edits::new(vec![("Server".into(), "y".into())], vec!["date".into()]).unwrap();
    let mut out = Vec::new();
    let to = Replying {
        client: Version::Http11,
        body: Body::Length(1),
        keep_alive: false,
        upgrade: None,
        edits: Some(&edits),
        date: DATE,
        request_id: Some(b"ours"),
        extra: b"",
    };
    write_response(&mut out, &b, &head, &to);
    let wanted = "HTTP/1.1 200 OK\r\nX-Request-Id: ours\r\nContent-Length: 1\r\nConnection: close\r\nServer: y\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), wanted);
}

#[test]
fn answers_of_our_own_are_whole() {
    let answer = |status, text: &'static [u8], is_head| {
        let mut out = Vec::new();
        let answer = Answer {
            status,
            fields: &[("Retry-After", "1"), ("X", "a\r\nb")],
            content_type: "text/plain",
            text,
            edits: None,
            extra: b"",
        };
        write_answer(&mut out, &answer, is_head, Version::Http11, false, DATE);
        String::from_utf8(out).unwrap()
    };
    let head = "HTTP/1.1 503 Service Unavailable\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: 1\r\n\
        Content-Type: text/plain\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
    assert_eq!(answer(503, b"gone", false), format!("{head}gone"));
    assert_eq!(answer(503, b"gone", true), head);
    assert!(!answer(204, b"", false).contains("Content-Length"));
    assert!(answer(302, b"", false).contains("Content-Length: 0\r\n"));
    assert!(answer(799, b"", false).starts_with("HTTP/1.1 799 Answer\r\n"));
}
