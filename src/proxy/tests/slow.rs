//! Peers that are slow, or ask more than they take: what they hold of us is as small as what they sent.

use super::rig::{BuiltInEcho, Client, Origin, Rig, ok, patient, route};
use crate::proxy::Settings;
use std::{
    io::{Read, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

const SHORT: Duration = Duration::from_millis(400);
/// Clients of those tests in which each of them would hold a whole buffer.
const MANY: usize = 150;
/// What the buffers of a proxy may take in them, in bytes: of a few that are busy, not of all that wait.
const FEW_BUFFERS_BYTES: f64 = 1_500_000.0;

fn impatient() -> Settings {
    Settings { patience: SHORT, ..Settings::default() }
}

fn buffers(rig: &Rig) -> f64 {
    rig.metric("skyvis_proxy_buffer_bytes")
}

#[test]
fn a_head_that_does_not_end_holds_no_buffer_and_others_are_served() {
    let origin = Origin::answering(|_, _| ok(b"x"));
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut slow: Vec<Client> = (0..MANY).map(|_| rig.client()).collect();
    for piece in ["GET / HTTP/1.1\r\n", "Host: a\r\nX: ", "y"] {
        slow.iter_mut().for_each(|c| c.send(piece.as_bytes()));
        for _ in 0..20 {
            assert_eq!(rig.get("/").status, 200);
        }
        assert!(buffers(&rig) < FEW_BUFFERS_BYTES, "{}", buffers(&rig));
    }
    for client in &mut slow {
        client.send(b"\r\n\r\n");
        assert_eq!(client.answer(false).status, 200);
    }
}

#[test]
fn what_is_sent_ahead_of_an_answer_that_takes_long_holds_no_buffer() {
    let origin = Origin::new(|c| {
        while let Some((head, _)) = c.request() {
            if head.starts_with("GET /wait") {
                // As long as the client is there.
                c.ended();
                return;
            }
            c.send(&ok(b"x"));
        }
    });
    let rig = Rig::new(vec![patient(route(&[origin.address]), Duration::from_secs(60), 1)]);
    let mut ahead: Vec<Client> = (0..MANY).map(|_| rig.client()).collect();
    ahead.iter_mut().for_each(|c| c.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\nG"));
    while origin.connections.load(std::sync::atomic::Ordering::SeqCst) < MANY {
        thread::yield_now();
    }
    for _ in 0..20 {
        assert_eq!(rig.get("/").status, 200);
    }
    assert!(buffers(&rig) < FEW_BUFFERS_BYTES, "{}", buffers(&rig));
}

/// Sends a byte now and then until it cannot; the answer that came meanwhile.
fn trickle(mut client: Client, piece: &'static [u8]) -> u16 {
    let mut socket = client.socket.try_clone().unwrap();
    let (done, wait) = mpsc::channel::<()>();
    let sending = thread::spawn(move || {
        while wait.recv_timeout(Duration::from_millis(20)).is_err() && socket.write_all(piece).is_ok() {}
    });
    let status = client.answer(false).status;
    let _ = done.send(());
    sending.join().unwrap();
    status
}

#[test]
fn a_body_that_trickles_is_given_up_however_it_is_framed_and_whoever_it_is_for() {
    let origin = Origin::telling();
    let mut wide = route(&[origin.address]);
    wide.body_max = 1 << 30;
    let rig = Rig::with(vec![wide], impatient(), vec![BuiltInEcho::built_in()]);
    let cases = [
        ("/", "Content-Length: 30000", &b"x"[..], 408),
        ("/", "Content-Length: 3000000", b"x", 408),
        ("/", "Transfer-Encoding: chunked", b"1\r\nx\r\n", 408),
        // It is the handler who answers, and to it the body is broken.
        ("/in/echo", "Content-Length: 900", b"x", 400),
    ];
    for (path, framing, piece, status) in cases {
        let mut client = rig.client();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes());
        // Fifty bytes a second, and three hundred.
        assert_eq!(trickle(client, piece), status, "{path} {framing}");
    }
    // They count as what they were answered.
    rig.until_metric("skyvis_proxy_requests_total{route=\"all\",status=\"4xx\"}", 3.0);
}

#[test]
fn a_body_that_comes_slowly_but_comes_is_taken() {
    let origin = Origin::answering(|_, body| ok(body.len().to_string().as_bytes()));
    let rig = Rig::with(vec![route(&[origin.address])], impatient(), Vec::new());
    let mut client = rig.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 15000\r\n\r\n");
    for _ in 0..30 {
        client.send(&[b'x'; 500]);
        thread::sleep(SHORT / 8);
    }
    assert_eq!(client.answer(false).text(), "15000");
}

#[test]
fn an_answer_that_has_begun_is_ended_though_the_rest_of_its_request_does_not_come() {
    let origin = Origin::new(|c| {
        c.head();
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..20 {
            c.send(b"1\r\nx\r\n");
            thread::sleep(SHORT / 5);
        }
        c.send(b"0\r\n\r\n");
    });
    let rig = Rig::with(vec![route(&[origin.address])], impatient(), Vec::new());
    for more in ["", "what is no chunk"] {
        let mut client = rig.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n");
        let head = client.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("Connection: close"), "{head}");
        client.send(more.as_bytes());
        assert_eq!(client.take(20 * 6 + 5), [b"1\r\nx\r\n".repeat(20), b"0\r\n\r\n".to_vec()].concat(), "{more}");
        client.half_close();
        assert!(client.ended());
    }
}

#[test]
fn who_does_not_take_an_answer_is_cut_off_and_the_instance_is_free() {
    let (told, free) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let origin = Origin::new(move |c| {
        let (head, _) = c.request().unwrap();
        let framing =
            if head.contains("/chunked") { "Transfer-Encoding: chunked" } else { "Content-Length: 400000000" };
        c.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes());
        let piece = [b"10000\r\n".to_vec(), vec![7; 1 << 16], b"\r\n".to_vec()].concat();
        while c.socket.write_all(&piece).is_ok() {}
        told.lock().unwrap().send(()).unwrap();
    });
    let rig = Rig::with(vec![patient(route(&[origin.address]), Duration::from_secs(60), 1)], impatient(), Vec::new());
    for path in ["/sized", "/chunked"] {
        let mut never = rig.client();
        never.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        free.recv_timeout(Duration::from_secs(15)).expect("the upstream is let go");
        let mut taken = Vec::new();
        let _ = never.socket.read_to_end(&mut taken);
        assert!(taken.len() < 50_000_000, "{} bytes went somewhere", taken.len());
    }
    while rig.metric("skyvis_proxy_connections_open") > 0.0 {
        thread::yield_now();
    }
}

#[test]
fn a_full_house_is_not_kept_full_by_those_who_never_finish_asking() {
    let origin = Origin::answering(|_, _| ok(b"x"));
    let settings = Settings { connections_max: 4, header_timeout: Duration::from_secs(60), ..Settings::default() };
    let rig = Rig::with(vec![route(&[origin.address])], settings, Vec::new());
    let mut slow: Vec<Client> = (0..4).map(|_| rig.client()).collect();
    slow.iter_mut().for_each(|c| c.send(b"GET / HTTP/1.1\r\nHo"));
    let served = (0..200).find(|_| rig.get("/").status == 200);
    assert!(served.is_some(), "nobody else was served");
}

#[test]
fn requests_in_a_row_without_reading_are_answered_no_faster_than_they_are_read() {
    let origin = Origin::answering(|_, _| ok(&[b'x'; 60_000]));
    let rig = Rig::with(vec![route(&[origin.address])], impatient(), Vec::new());
    let mut flood = rig.client();
    flood.socket.set_write_timeout(Some(Duration::from_secs(15))).unwrap();
    let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let mut sent = 0;
    while flood.socket.write_all(&requests).is_ok() {
        sent += requests.len();
        assert!(sent < 100_000_000, "it is read on and on");
    }
    let answered = rig.metric("skyvis_proxy_requests_total{route=\"all\",status=\"2xx\"}");
    assert!(answered < 2_000.0, "{answered} answers of 60 kB went somewhere");
    assert_eq!(rig.get("/").status, 200);
}
