//! Connections that speak another protocol after a while.

use super::rig::{Client, Origin, Rig, ok, route};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

const ASK: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const GRANT: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Grants what is asked for and sends back whatever comes.
pub(super) fn echo() -> Origin {
    Origin::new(|c| {
        let (head, _) = c.request().unwrap();
        if !head.to_lowercase().contains("\r\nupgrade: websocket\r\n") {
            return c.send(&ok(b"plain"));
        }
        // The first words of the other protocol come with the grant.
        c.send(&[GRANT, b"hello"].concat());
        let mut socket = c.socket.try_clone().unwrap();
        let ahead = std::mem::take(&mut c.read);
        c.send(&ahead);
        let _ = std::io::copy(&mut socket, &mut c.socket);
    })
}

fn open(rig: &Rig, ahead: &[u8]) -> Client {
    let mut client = rig.client();
    client.send(&[ASK, ahead].concat());
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Upgrade: websocket\r\n"), "{head}");
    assert_eq!(client.take(5), b"hello");
    client
}

#[test]
fn bytes_pass_both_ways_and_an_end_is_an_end() {
    let origin = echo();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = open(&rig, b"ahead");
    assert_eq!(client.take(5), b"ahead", "what came with the request is not lost");
    assert_eq!(rig.metric("skyvis_proxy_tunnels"), 1.0);
    for n in 0..50 {
        let piece = vec![n; 1 + usize::from(n) * 3000];
        let mut socket = client.socket.try_clone().unwrap();
        let sent = piece.clone();
        let sending = std::thread::spawn(move || std::io::Write::write_all(&mut socket, &sent).unwrap());
        assert_eq!(client.take(piece.len()), piece);
        sending.join().unwrap();
    }
    client.half_close();
    assert!(client.ended());
    while rig.metric("skyvis_proxy_tunnels") != 0.0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn who_takes_nothing_for_a_while_gets_all_of_it_afterwards() {
    let origin = echo();
    let rig = Rig::new(vec![route(&[origin.address])]);
    // Small pieces are copied and large ones spliced; of either more than all sockets on the way hold.
    for piece in [4000, 200_000] {
        let mut client = open(&rig, b"");
        let byte = |at: usize| (at.wrapping_mul(0x9e37_79b9) >> 16) as u8;
        // No more than a piece is on its way at once: what comes together becomes a large one.
        socket2::SockRef::from(&client.socket).set_send_buffer_size(piece).unwrap();
        socket2::SockRef::from(&client.socket).set_recv_buffer_size(64 << 10).unwrap();
        let mut socket = client.socket.try_clone().unwrap();
        let is_full = Arc::new(AtomicBool::new(false));
        let (progress, seen) = mpsc::channel();
        let stop = is_full.clone();
        let sending = std::thread::spawn(move || {
            let mut sent = 0;
            while !stop.load(Ordering::SeqCst) {
                let next: Vec<u8> = (sent..sent + piece).map(byte).collect();
                std::io::Write::write_all(&mut socket, &next).unwrap();
                sent += piece;
                assert!(sent < 1 << 30, "no sockets hold so much");
                progress.send(()).unwrap();
            }
            sent
        });
        while seen.recv_timeout(Duration::from_millis(500)).is_ok() {}
        is_full.store(true, Ordering::SeqCst);
        let mut at = 0;
        while !sending.is_finished() {
            assert!(client.take(1).into_iter().all(|b| b == byte(at)), "{piece}: another byte at {at}");
            at += 1;
        }
        let sent = sending.join().unwrap();
        assert!(client.take(sent - at).into_iter().enumerate().all(|(n, b)| b == byte(at + n)), "{piece}: after {at}");
    }
}

#[test]
fn a_tunnel_outlives_its_route() {
    let origin = echo();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = open(&rig, b"");
    for _ in 0..100 {
        rig.reroute(Vec::new());
        client.send(b"still there");
        assert_eq!(client.take(11), b"still there");
    }
    assert_eq!(rig.get("/").status, 404);
}

#[test]
fn an_upgrade_that_is_not_granted_is_an_answer_like_others() {
    let origin = Origin::answering(|_, _| ok(b"no"));
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    for _ in 0..3 {
        client.send(ASK);
        assert_eq!(client.answer(false).text(), "no");
    }
    assert_eq!(client.get("/").text(), "no");
    let rogue = Origin::answering(|_, _| GRANT.to_vec());
    rig.reroute(vec![route(&[rogue.address])]);
    while rig.get("/").status != 502 {}
    let h2c = echo();
    rig.reroute(vec![route(&[h2c.address])]);
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    while rig.ask(ask).text() != "plain" {}
}

#[test]
fn a_switch_before_the_request_is_whole_is_no_switch() {
    let rogue = Origin::new(|c| {
        c.head();
        c.send(GRANT);
        c.ended();
    });
    let rig = Rig::new(vec![route(&[rogue.address])]);
    let mut client = rig.client();
    let ask = std::str::from_utf8(ASK).unwrap().replace("GET", "POST");
    client.send(ask.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").as_bytes());
    assert_eq!(client.answer(false).status, 502, "what is left of the body is nobody's other protocol");
}

#[test]
fn each_of_many_tunnels_gets_its_own_bytes_however_large_they_come() {
    let origin = echo();
    let rig = Rig::new(vec![route(&[origin.address])]);
    // Of one that ends, another gets the place.
    for round in 0..3u32 {
        std::thread::scope(|scope| {
            for n in 0..24u32 {
                let mut client = open(&rig, b"");
                scope.spawn(move || {
                    let byte = move |at: usize| ((at as u32).wrapping_mul(0x9e37_79b9 ^ n ^ round << 8) >> 13) as u8;
                    let mut socket = client.socket.try_clone().unwrap();
                    let size = move |i: usize| 1 + i.pow(5).wrapping_mul(n as usize + 7) % [90, 3_000, 190_000][i % 3];
                    let sizes = (1..60).map(size);
                    let all: usize = sizes.clone().sum();
                    let sending = std::thread::spawn(move || {
                        let mut at = 0;
                        for size in sizes {
                            let piece: Vec<u8> = (at..at + size).map(byte).collect();
                            std::io::Write::write_all(&mut socket, &piece).unwrap();
                            at += size;
                        }
                        socket.shutdown(std::net::Shutdown::Write).unwrap();
                    });
                    assert!(client.take(all).into_iter().enumerate().all(|(at, b)| b == byte(at)), "{n}");
                    assert!(client.ended());
                    sending.join().unwrap();
                });
            }
        });
        rig.until_metric("skyvis_proxy_tunnels", 0.0);
    }
    assert!(rig.stop(), "who carries has nothing left to carry");
}

#[test]
fn a_reset_of_one_side_is_one_for_the_other() {
    let (told, tells) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let origin = Origin::new(move |c| {
        c.request().unwrap();
        c.send(GRANT);
        let mut byte = [0];
        let read = std::io::Read::read(&mut c.socket, &mut byte);
        if read.as_ref().is_ok_and(|n| *n > 0) {
            socket2::SockRef::from(&c.socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
        told.lock().unwrap().send(read.map_err(|error| error.kind())).unwrap();
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let reset = Err(std::io::ErrorKind::ConnectionReset);
    let mut client = rig.client();
    client.send(ASK);
    client.head().unwrap();
    socket2::SockRef::from(&client.socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(tells.recv().unwrap(), reset);
    let mut client = rig.client();
    client.send(ASK);
    client.head().unwrap();
    client.send(b"x");
    assert_eq!(tells.recv().unwrap(), Ok(1));
    let read = std::io::Read::read(&mut client.socket, &mut [0]);
    assert_eq!(read.map_err(|error| error.kind()), reset);
}
