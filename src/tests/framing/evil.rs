//! Origins that answer in more than one way at once: the client gets one answer or none, and nobody else's.

use super::rig::Rig;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
};

/// What the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// This status and nothing of the origin's.
    Status(u16),
    /// This status and this body.
    Whole(u16, &'static str),
    /// The begin of an answer that does not pass for whole.
    Cut,
}

use Told::{Cut, Status, Whole};

/// What stands behind an answer, for whoever asks next.
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

/// How the origin answers, and what comes of it.
const ANSWERS: &[(&str, &str, Told)] = &[
    ("plain", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Whole(200, "ok")),
    ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\n\r\n", Whole(200, "ok")),
    ("until its end", "HTTP/1.1 200 OK\r\n\r\nok<close>", Whole(200, "ok")),
    ("old, until its end", "HTTP/1.0 200 OK\r\n\r\nok<close>", Whole(200, "ok")),
    (
        "interim first",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Whole(200, "ok"),
    ),
    (
        "length and coding",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n<poison>",
        Status(502),
    ),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok<poison>", Status(502)),
    ("two lengths alike", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok<poison>", Status(502)),
    ("length is no number", "HTTP/1.1 200 OK\r\nContent-Length: 2a\r\n\r\nok<poison>", Status(502)),
    (
        "two codings",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Status(502),
    ),
    ("coded coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Status(502)),
    ("coding in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Status(502)),
    ("bare lf", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", Status(502)),
    ("bare lf in a field", "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 2\r\n\r\nok", Status(502)),
    ("bare cr", "HTTP/1.1 200 OK\r\nX: y\rSet-Cookie: z\r\nContent-Length: 2\r\n\r\nok", Status(502)),
    ("nul", "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nok", Status(502)),
    ("folded", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nok", Status(502)),
    ("space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", Status(502)),
    ("no status", "HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok", Status(502)),
    ("no head", "ok<close>", Status(502)),
    ("no answer", "<close>", Status(502)),
    ("half a head", "HTTP/1.1 200 OK\r\nContent-Le<close>", Status(502)),
    ("version 2", "HTTP/2 200\r\nContent-Length: 2\r\n\r\nok", Status(502)),
    ("an empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Status(502)),
    (
        "a switch that nobody wanted",
        "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n<poison>",
        Status(502),
    ),
    ("more than its length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok<poison>", Whole(200, "ok")),
    ("more than no content", "HTTP/1.1 204 No Content\r\n\r\n<poison>", Whole(204, "")),
    ("no content with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n<poison>", Whole(204, "")),
    (
        "not modified with a body",
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Whole(304, ""),
    ),
    (
        "more than its chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n<poison>",
        Whole(200, "ok"),
    ),
    ("less than its length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok<close>", Cut),
    ("no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n<close>", Cut),
    ("half a last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n<close>", Cut),
    ("a chunk with a bare lf", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", Cut),
    ("a chunk too short", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n", Cut),
    ("a chunk of no size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nok\r\n0\r\n\r\n", Cut),
    ("a trailer of no name", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx\r\n\r\n", Cut),
];

/// An origin that answers by the path that it is asked for: a number of [`ANSWERS`], or soundly.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut piece = [0; 4096];
                loop {
                    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                        let head: Vec<u8> = bytes.drain(..end + 4).collect();
                        let head = String::from_utf8_lossy(&head).into_owned();
                        let number = head.split(['/', ' ']).nth(2).and_then(|word| word.parse::<usize>().ok());
                        let answer =
                            number.map_or("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean", |n| ANSWERS[n].1);
                        let (text, is_end) =
                            answer.strip_suffix("<close>").map_or((answer, false), |text| (text, true));
                        if socket.write_all(text.replace("<poison>", POISON).as_bytes()).is_err() || is_end {
                            return;
                        }
                    }
                    match socket.read(&mut piece) {
                        Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
                        _ => return,
                    }
                }
            });
        }
    });
    address
}

/// Status and body of one answer; no body where it does not end as it should.
fn read(answer: &[u8], is_head: bool) -> (u16, Option<String>) {
    let text = String::from_utf8_lossy(answer).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return (0, None) };
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let field =
        |name: &str| head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix(name).map(str::to_owned));
    let has_none = is_head || matches!(status, 204 | 304);
    let body = match (field("content-length: "), field("transfer-encoding: ")) {
        _ if has_none => body.is_empty().then(String::new),
        (Some(length), None) => (body.len() == length.parse::<usize>().unwrap()).then(|| body.to_owned()),
        (None, Some(_)) => unchunked(body),
        _ => Some(body.to_owned()),
    };
    (status, body)
}

fn unchunked(mut body: &str) -> Option<String> {
    let mut data = String::new();
    loop {
        let (line, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(line, 16).ok()?;
        if size == 0 {
            return (rest == "\r\n").then_some(data);
        }
        data.push_str(rest.get(..size)?);
        body = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[test]
fn a_client_gets_one_answer_and_the_next_one_its_own() {
    let rig = Rig::to(origin());
    for (number, (name, _, told)) in ANSWERS.iter().enumerate() {
        let ask = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = rig.send(ask(&number.to_string()).as_bytes());
        let (status, body) = read(&answer, false);
        let is_right = match told {
            Status(wanted) => {
                status == *wanted && body.as_ref().is_some_and(|body| body != "ok" && !body.contains("poison"))
            }
            Whole(wanted, text) => status == *wanted && body.as_deref() == Some(text),
            // Nothing was sent yet, or what was sent has no end.
            Cut => (status == 200 && body.is_none()) || status == 0,
        };
        assert!(is_right, "{name}: {told:?} wanted: {}", answer.escape_ascii());
        for _ in 0..2 {
            let next = rig.send(ask("sound").as_bytes());
            assert_eq!(read(&next, false), (200, Some("clean".to_owned())), "behind {name}: {}", next.escape_ascii());
        }
    }
}

#[test]
fn an_answer_to_head_has_no_body_whatever_it_says() {
    let rig = Rig::to(origin());
    for (number, (name, _, told)) in ANSWERS.iter().enumerate() {
        let wanted = match told {
            Status(status) | Whole(status, _) => *status,
            Cut => 200,
        };
        let answer = rig.send(format!("HEAD /{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
        assert_eq!(read(&answer, true), (wanted, Some(String::new())), "{name}: {}", answer.escape_ascii());
        let next = rig.send(b"GET /sound HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(read(&next, false), (200, Some("clean".to_owned())), "behind {name}: {}", next.escape_ascii());
    }
}
