//! What is refused and by which answer, and that it costs those who ask for it.

use super::rig::{Answer, Client, Origin, Rig, ok, route};
use crate::{
    balance::Policy,
    proxy::{
        AccessLog, Settings,
        config::{Balance, HashOn, Target},
        h1::Trust,
    },
};
use socket2::{Domain, Socket, Type};
use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn each_limit_has_its_answer_and_whoever_still_sends_sees_it() {
    let origin = Origin::telling();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let long = "x".repeat(40_000);
    let many: String = (0..150).map(|i| format!("X-{i}: y\r\n")).collect();
    let big = "z".repeat((1 << 20) + 1);
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
        ),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        (format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{big}", big.len()), 413),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{big}\r\n0\r\n\r\n",
                big.len()
            ),
            413,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: foo\r\n\r\n".to_owned(), 417),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
    ];
    for (wire, status) in cases {
        let mut client = rig.client();
        client.send(wire.as_bytes());
        let answer = client.answer(false);
        let shown = &wire[..wire.len().min(60)];
        assert_eq!((answer.status, answer.field("connection")), (status, Some("close")), "{shown}");
        client.half_close();
        assert!(client.ended(), "{shown}");
    }
}

#[test]
fn a_client_that_sends_all_of_a_refused_body_before_it_reads_sees_the_answer() {
    let origin = Origin::telling();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n");
    let piece = vec![b'x'; 100_000];
    for _ in 0..200 {
        client.send(&piece);
    }
    assert_eq!(client.answer(false).status, 413);
}

#[test]
fn slow_heads_get_408_idle_connections_a_close_and_slow_bodies_do_not_hold_an_instance_for_ever() {
    let origin = Origin::telling();
    let settings = Settings { header_timeout: SHORT, idle_timeout: SHORT, ..Settings::default() };
    let rig = Rig::with(vec![route(&[origin.address])], settings, Vec::new());
    // Each of these would hang if it were not cut.
    assert!(rig.client().ended(), "one that never asks");
    let mut slow = rig.client();
    slow.send(b"GET / HTTP/1.1\r\nHo");
    assert_eq!(slow.answer(false).status, 408);
    let mut kept = rig.client();
    assert_eq!(kept.get("/").status, 200);
    assert!(kept.ended(), "one that asks no more");
}

#[test]
fn a_full_house_makes_room_by_closing_idle_connections_and_turns_away_what_it_must() {
    let origin = Origin::answering(|_, _| ok(b"x"));
    let settings = Settings { connections_max: 2, ..Settings::default() };
    let rig = Rig::with(vec![route(&[origin.address])], settings, Vec::new());
    let mut idle: Vec<Client> = (0..2).map(|_| rig.client()).collect();
    idle.iter_mut().for_each(|c| assert_eq!(c.get("/").status, 200));
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(rig.get("/").status);
    }
    assert_eq!(statuses.last(), Some(&200), "{statuses:?}");
    assert!(statuses.iter().all(|s| [200, 503].contains(s)), "{statuses:?}");
}

#[test]
fn one_address_has_its_share_and_no_more() {
    let origin = Origin::answering(|_, _| ok(b"x"));
    let settings = Settings { connections_per_address_max: 3, ..Settings::default() };
    let rig = Rig::with(vec![route(&[origin.address])], settings, Vec::new());
    let mut held: Vec<Client> = (0..3).map(|_| rig.client()).collect();
    held.iter_mut().for_each(|c| assert_eq!(c.get("/").status, 200));
    let mut more = rig.client();
    let answer = more.answer(false);
    assert_eq!((answer.status, answer.field("retry-after"), answer.whole), (429, Some("1"), true));
    held.clear();
    while rig.get("/").status != 200 {
        std::thread::yield_now();
    }
}

#[test]
fn a_proxy_before_us_says_who_asks_and_others_cannot() {
    let origin = Origin::telling();
    let settings = Settings { proxy_protocol: true, header_timeout: SHORT, ..Settings::default() };
    let rig = Rig::with(vec![route(&[origin.address])], settings, Vec::new());
    let answer = rig.ask("PROXY TCP4 203.0.113.7 10.0.0.1 5555 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.text().contains("X-Forwarded-For: 203.0.113.7\r\n"), "{}", answer.text());
    let mut without = rig.client();
    without.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(without.answer(false).status, 0);
}

/// A client that comes from this address of the host.
fn client_from(from: &str, to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&format!("{from}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Client { socket: socket.into(), read: Vec::new() }
}

/// Version 2 of the header, for TCP over IPv6 from this address; none: the proxy speaks for itself.
fn version_2(from: Option<&str>) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    match from {
        Some(from) => {
            header.extend([0x21, 0x21, 0, 36]);
            header.extend(from.parse::<Ipv6Addr>().unwrap().octets());
            header.extend(Ipv6Addr::LOCALHOST.octets());
            header.extend([0x15, 0xb3, 0, 80]);
        }
        None => header.extend([0x20, 0, 0, 0]),
    }
    header
}

#[test]
fn whom_a_trusted_proxy_names_is_the_client_in_fields_limits_logs_and_hash() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("access.log");
    let [one, two] =
        ["one", "two"].map(|name| Origin::answering(move |head, _| ok(format!("{head}by {name}").as_bytes())));
    let settings = Settings {
        proxy_protocol: true,
        trusted: Trust::new(vec!["127.0.0.1".parse().unwrap()]),
        connections_per_address_max: 2,
        access_log: AccessLog::File { path: log.clone(), json: false },
        ..Settings::default()
    };
    let mut hashed = route(&[one.address, two.address]);
    let Target::Forward(forward) = &mut hashed.to else { panic!() };
    forward.balance = Balance { policy: Policy::Hash, hash_on: HashOn::Ip, ..Balance::default() };
    let rig = Rig::with(vec![hashed], settings, Vec::new());
    let ask = |from: &str, header: &[u8]| {
        let mut client = client_from(from, rig.address);
        client.send(header);
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n");
        let answer = client.answer(false);
        (client, answer)
    };
    let forwarded_for = |answer: &Answer| {
        let line = answer.text().lines().find_map(|l| l.strip_prefix("X-Forwarded-For: ")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{answer:?}"))
    };
    for (from, header, told) in [
        ("127.0.0.1", b"PROXY TCP4 203.0.113.7 10.0.0.1 5555 80\r\n".to_vec(), "203.0.113.7"),
        ("127.0.0.1", version_2(Some("2001:db8::7")), "2001:db8::7"),
        // It asks for itself, as it does to see whether we live; and then its word is taken.
        ("127.0.0.1", version_2(None), "198.51.100.1, 127.0.0.1"),
        ("127.0.0.2", Vec::new(), "127.0.0.2"),
    ] {
        assert_eq!(forwarded_for(&ask(from, &header).1), told, "{from}");
    }
    // Due of who is trusted, and nobody else's word: theirs is no request.
    assert_eq!(ask("127.0.0.1", b"").1.status, 0);
    assert_eq!(ask("127.0.0.2", b"PROXY TCP4 203.0.113.7 10.0.0.1 5555 80\r\n").1.status, 400);
    assert_eq!(ask("127.0.0.2", &version_2(Some("2001:db8::7"))).1.status, 400);

    let v1 = |n: u8| format!("PROXY TCP4 203.0.113.{n} 10.0.0.1 5555 80\r\n").into_bytes();
    let _held = [ask("127.0.0.1", &v1(9)), ask("127.0.0.1", &v1(9))];
    assert_eq!(ask("127.0.0.1", &v1(9)).1.status, 429, "as many as one client may have");
    assert_eq!(ask("127.0.0.1", &v1(10)).1.status, 200, "others come by the same proxy");

    let by = |n: u8| ask("127.0.0.1", &v1(n)).1.text().lines().last().unwrap().to_owned();
    let chosen: Vec<String> = (100..140).map(by).collect();
    assert_eq!((100..140).map(by).collect::<Vec<_>>(), chosen, "a client stays where it was");
    assert!(
        chosen.contains(&"by one".to_owned()) && chosen.contains(&"by two".to_owned()),
        "they are not all one client"
    );
    rig.stop();
    let lines = std::fs::read_to_string(&log).unwrap();
    for (client, times) in [("203.0.113.7", 1), ("2001:db8::7", 1), ("203.0.113.9", 2), ("203.0.113.10", 1)] {
        let of = lines.lines().filter(|l| l.starts_with(&format!("{client} - - "))).count();
        assert_eq!(of, times, "{client}: {lines}");
    }
}

#[test]
fn requests_are_written_down_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let origin = Origin::answering(|_, _| ok(b"hello"));
    let access_log = AccessLog::File { path: path.clone(), json: false };
    let rig = Rig::with(vec![route(&[origin.address])], Settings { access_log, ..Settings::default() }, Vec::new());
    assert_eq!(rig.get("/a?b=1").status, 200);
    assert_eq!(rig.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    rig.stop();
    let lines = loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.lines().count() == 2 {
            break text;
        }
        std::thread::yield_now();
    };
    let served = lines.lines().find(|l| l.contains("/a?b=1")).unwrap();
    assert!(served.starts_with("127.0.0.1 - - [") && served.contains("\"GET /a?b=1 HTTP/1.1\" 200 5 "), "{served}");
    assert!(served.contains(&format!(" all {} -", origin.address)), "{served}");
    assert!(lines.contains("\"\" 400 0 ") && lines.contains(" no_host\n"), "{lines}");
}
