//! Bodies both ways: every framing, every size, and none that is cut short and looks whole.

use super::rig::{Origin, Rig, ok, patient, route};
use std::{sync::mpsc, time::Duration};

/// Sizes about every limit on the way: a buffer, what is copied with its head, what is spliced.
const SIZES: [usize; 11] =
    [0, 1, 100, 8 << 10, (16 << 10) + 1, (64 << 10) - 1, 64 << 10, (66 << 10) + 7, 200_000, 1 << 20, 5_000_001];

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn size_in(head: &str) -> usize {
    head.split(['/', ' ']).filter_map(|w| w.parse().ok()).next().unwrap()
}

fn chunked(body: &[u8], piece: usize, trailers: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for piece in body.chunks(piece) {
        wire.extend_from_slice(format!("{:x};ext=\"1\"\r\n", piece.len()).as_bytes());
        wire.extend_from_slice(piece);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    wire
}

#[test]
fn answers_of_every_size_and_framing_come_whole_over_one_connection() {
    let origin = Origin::answering(|head, _| {
        let body = pattern(size_in(head));
        let head = "HTTP/1.1 200 OK\r\n";
        match head.is_empty() {
            _ if body.len().is_multiple_of(2) => ok(&body),
            _ => [format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes(), &chunked(&body, 10_007, "")].concat(),
        }
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    for _ in 0..2 {
        for size in SIZES {
            let answer = client.get(&format!("/{size}"));
            assert!(answer.whole && answer.body == pattern(size), "{size}: {}", answer.body.len());
        }
    }
    assert_eq!(origin.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(rig.metric("skyvis_proxy_spliced_bytes_total") > 1_000_000.0);
}

#[test]
fn an_answer_until_the_close_is_chunked_for_those_who_know_chunks() {
    let origin = Origin::new(|c| {
        let (head, _) = c.request().unwrap();
        c.send(b"HTTP/1.1 200 OK\r\n\r\n");
        c.send(&pattern(size_in(&head)));
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    for size in SIZES {
        let answer = client.get(&format!("/{size}"));
        assert!(answer.whole && answer.body == pattern(size), "{size}");
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
        let old = rig.ask(&format!("GET /{size} HTTP/1.0\r\nHost: a\r\n\r\n"));
        assert!(old.body == pattern(size) && old.field("transfer-encoding").is_none(), "{size}");
    }
}

#[test]
fn requests_of_every_size_and_framing_go_up_whole() {
    let origin = Origin::answering(|head, body| {
        let same = body == pattern(size_in(head));
        ok(format!("{same} {}", body.len()).as_bytes())
    });
    let mut wide = route(&[origin.address]);
    wide.body_max = 1 << 30;
    let rig = Rig::new(vec![wide]);
    let mut client = rig.client();
    for size in SIZES {
        let body = pattern(size);
        client.send(format!("POST /{size} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n").as_bytes());
        client.send(&body);
        assert_eq!(client.answer(false).text(), format!("true {size}"));
        client.send(format!("PUT /{size} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes());
        client.send(&chunked(&body, 4_099, ""));
        assert_eq!(client.answer(false).text(), format!("true {size}"), "chunked");
    }
    assert_eq!(origin.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn trailers_pass_both_ways_to_those_who_take_them() {
    let origin = Origin::answering(|_, body| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
        [head.as_bytes(), &chunked(body, 100, "X-Sum: 7\r\n")].concat()
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let request = |te: &str| {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{te}Transfer-Encoding: chunked\r\nTrailer: X-Up\r\n\r\n");
        rig.ask(&(head + "2\r\nab\r\n0\r\nX-Up: 1\r\n\r\n"))
    };
    let answer = request("TE: trailers\r\nConnection: TE\r\n");
    assert_eq!(answer.text(), "ab\nX-Up: 1\nX-Sum: 7");
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    let broken: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n",
    ];
    for wire in broken {
        let origin = Origin::new(|c| {
            c.request();
            c.send(wire);
        });
        let rig = Rig::new(vec![route(&[origin.address])]);
        let answer = rig.get("/");
        assert!(!answer.whole, "{}", String::from_utf8_lossy(wire));
    }
}

#[test]
fn what_has_no_body_ends_with_its_head() {
    let origin = Origin::answering(|head, _| match head {
        h if h.starts_with("HEAD") => b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".to_vec(),
        h if h.starts_with("GET /204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        h if h.starts_with("GET /304") => {
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"a\"\r\n\r\n".to_vec()
        }
        _ => ok(b"x"),
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /204 HTTP/1.1\r\nHost: a\r\n\r\nGET /304 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.answer(true);
    assert_eq!((head.status, head.field("content-length")), (200, Some("1234")));
    assert_eq!(client.answer(false).status, 204);
    assert_eq!(client.answer(false).field("etag"), Some("\"a\""));
    assert_eq!(client.answer(false).text(), "x");
    assert_eq!(origin.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn pieces_pass_both_ways_while_the_request_is_still_being_sent() {
    let origin = Origin::new(|c| {
        c.head();
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        loop {
            let piece = c.take(6);
            c.send(&piece);
            if piece.starts_with(b"0") {
                return;
            }
        }
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for n in 0..20 {
        let piece = format!("1\r\n{}\r\n", n % 10);
        client.send(piece.as_bytes());
        if n == 0 {
            assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
        }
        assert_eq!(client.take(6), piece.as_bytes());
    }
}

#[test]
fn events_come_as_they_are_sent() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::new(move |c| {
        c.request();
        c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        while wait.lock().unwrap().recv().is_ok() {
            c.send(b"data: 1\n\n");
        }
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    client.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().unwrap();
    for n in 0..5 {
        if n == 3 {
            // Other routes for everybody else do not touch it.
            rig.reroute(Vec::new());
        }
        go.send(()).unwrap();
        assert_eq!(client.take(14), b"9\r\ndata: 1\n\n\r\n");
    }
    assert_eq!(rig.get("/").status, 404);
    drop(go);
    assert_eq!(client.take(5), b"0\r\n\r\n");
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on_once_somebody_is_there() {
    let origin = Origin::telling();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer(false).status, 100);
    client.send(b"hello");
    let answer = client.answer(false);
    assert!(answer.text().ends_with("hello") && !answer.text().to_lowercase().contains("expect"), "{}", answer.text());
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    assert_eq!(client.answer(false).status, 200, "what is there already is not asked for");
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer(false).status, 413);
}

#[test]
fn hints_before_the_answer_pass_and_those_for_nobody_do_not() {
    let origin = Origin::answering(|_, _| {
        let hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
        [&hints[..], &ok(b"x")].concat()
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    let hint = client.get("/");
    assert_eq!((hint.status, hint.field("link")), (103, Some("</a.css>")));
    assert_eq!(client.answer(false).text(), "x");
    assert_eq!(rig.ask("GET / HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn an_answer_before_the_request_is_all_there_is_seen_by_who_still_sends() {
    let origin = Origin::new(|c| {
        c.head();
        c.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        // It reads nothing more, and does not close for a while.
        c.head();
    });
    let mut wide = route(&[origin.address]);
    wide.body_max = 1 << 30;
    let rig = Rig::new(vec![wide]);
    let mut client = rig.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n");
    client.send(&pattern(100_000));
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.text(), answer.field("connection")), (403, "no", Some("close")));
    client.send(&pattern(1_000_000));
}

#[test]
fn the_slower_side_sets_the_pace() {
    let (told, sent) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let origin = Origin::new(move |c| {
        use std::io::Write;
        c.request();
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n");
        c.socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let (piece, mut total) = (vec![7; 1 << 16], 0);
        while let Ok(n) = c.socket.write(&piece) {
            total += n;
        }
        told.lock().unwrap().send(total).unwrap();
    });
    let rig = Rig::new(vec![patient(route(&[origin.address]), Duration::from_secs(20), 1)]);
    let mut client = rig.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let total = sent.recv().unwrap();
    assert!(total < 40_000_000, "{total} bytes went somewhere while the client read none");
}
