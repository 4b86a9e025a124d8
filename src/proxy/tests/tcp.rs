//! TCP routes: bytes both ways, to an instance that is there.

use super::{
    rig::{Client, Origin, Rig, refusing, route},
    swaps::catalog,
};
use crate::proxy::{
    config::{Backend, HostPattern, Route, Target, Tcp},
    tcp::{PreludeVersion, hello},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    time::Duration,
};

fn tcp(name: &str, upstreams: &[SocketAddr], change: impl FnOnce(&mut Tcp)) -> Route {
    let whole = route(upstreams);
    let Target::Forward(forward) = whole.to else { panic!() };
    let listen = "127.0.0.1:0".parse().unwrap();
    let idle_timeout = Duration::from_secs(60);
    let mut tcp = Tcp { listen, sni: Vec::new(), forward, idle_timeout, connections_max: 0, prelude: None };
    change(&mut tcp);
    Route { name: name.into(), to: Target::Tcp(tcp), ..route(&[]) }
}

fn named(pattern: &str) -> Vec<HostPattern> {
    vec![match pattern.strip_prefix('*') {
        Some(suffix) => HostPattern::Below(suffix.into()),
        None => HostPattern::Exact(pattern.into()),
    }]
}

/// Says its name, then sends back what it gets, and ends when its client has.
fn echo(name: &'static str) -> Origin {
    Origin::new(move |c| {
        c.socket.write_all(name.as_bytes()).unwrap();
        let mut bytes = vec![0; 1 << 16];
        while let Ok(n @ 1..) = c.socket.read(&mut bytes) {
            if c.socket.write_all(&bytes[..n]).is_err() {
                return;
            }
        }
    })
}

fn connect(rig: &Rig) -> Client {
    Client::connect(rig.proxy.addresses()[1])
}

#[test]
fn bytes_go_both_ways_whole_and_an_end_is_an_end_of_one_direction() {
    let echo = echo("hi");
    let rig = Rig::new(vec![tcp("t", &[echo.address], |_| {})]);
    let mut client = connect(&rig);
    assert_eq!(client.take(2), b"hi", "who speaks first does not matter");
    for piece in [1, 100, 5_000] {
        let sent: Vec<u8> = (0..piece).map(|n| n as u8).collect();
        client.send(&sent);
        assert!(client.take(piece) == sent);
    }
    // Much at once, so that the kernel moves it, from a thread of its own: an echo needs both directions.
    let sent: Vec<u8> = (0..20_000_000u32).map(|n| (n / 3) as u8).collect();
    let mut writer = client.socket.try_clone().unwrap();
    let bytes = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(client.take(sent.len()) == sent, "the half that is open goes on");
    writing.join().unwrap();
    assert!(client.ended());
    let views = rig.proxy.routes().list();
    let view = views.iter().find(|view| view.name == "t").unwrap();
    assert_eq!((view.kind, view.live), ("tcp", Some(1)));
    while rig.metric("skyvis_proxy_requests_total{route=\"t\",status=\"2xx\"}") < 1.0 {
        std::thread::yield_now();
    }
    assert_eq!(rig.get("/").status, 404, "to requests it is no route");
    assert!(rig.stop());
}

#[test]
fn an_instance_that_refuses_is_passed_over_and_nobody_at_all_is_a_reset() {
    let live = echo("live");
    let gone = refusing();
    let rig = Rig::new(vec![tcp("t", &[gone, live.address], |_| {})]);
    for _ in 0..10 {
        assert_eq!(connect(&rig).take(4), b"live");
    }
    rig.reroute(vec![tcp("t", &[gone], |_| {})]);
    assert!(connect(&rig).ended());
    rig.reroute(Vec::new());
    assert!(connect(&rig).ended());
}

#[test]
fn a_service_of_the_catalog_is_followed() {
    let (one, two) = (echo("one"), echo("two"));
    let service = |tcp: &mut Tcp| {
        tcp.forward.to = Backend::Service { name: "web".parse().unwrap(), tags: Default::default() };
    };
    let rig = Rig::new(vec![tcp("t", &[], service)]);
    assert!(connect(&rig).ended());
    rig.publish(catalog(1, &[one.address]));
    let mut first = connect(&rig);
    assert_eq!(first.take(3), b"one");
    rig.publish(catalog(2, &[two.address]));
    assert_eq!(connect(&rig).take(3), b"two");
    first.send(b"still");
    assert_eq!(first.take(5), b"still", "who is connected stays so");
}

#[test]
fn one_port_leads_to_several_by_the_name_that_a_tls_client_asks_for() {
    let (a, b, rest) = (echo("A"), echo("B"), echo("R"));
    let rig = Rig::new(vec![
        tcp("rest", &[rest.address], |_| {}),
        tcp("below", &[b.address], |tcp| tcp.sni = named("*.example.com")),
        tcp("exact", &[a.address], |tcp| tcp.sni = named("a.example.com")),
    ]);
    for (name, expected) in [
        ("a.example.com", b"A"),
        ("A.Example.Com", b"A"),
        ("x.a.example.com", b"B"),
        ("b.example.com", b"B"),
        ("example.com", b"R"),
        ("other", b"R"),
    ] {
        let mut client = connect(&rig);
        let hello = hello(name);
        // However it comes.
        let (begin, end) = hello.split_at(40);
        client.send(begin);
        client.send(end);
        assert_eq!(&client.take(1), expected, "{name}");
        assert!(client.take(hello.len()) == hello, "nothing of it is lost");
    }
    let mut plain = connect(&rig);
    plain.send(b"GET / HTTP/1.1\r\n");
    assert_eq!(plain.take(1), b"R");
    rig.reroute(vec![tcp("exact", &[a.address], |tcp| tcp.sni = named("a.example.com"))]);
    let mut nobody = connect(&rig);
    nobody.send(&hello("b.example.com"));
    assert!(nobody.ended());
}

#[test]
fn limits_hold_and_an_instance_is_told_who_asks() {
    let echo = echo("e");
    let rig = Rig::new(vec![tcp("t", &[echo.address], |tcp| {
        tcp.connections_max = 1;
        tcp.prelude = Some(PreludeVersion::V1);
        tcp.idle_timeout = Duration::from_millis(200);
    })]);
    let mut client = connect(&rig);
    let local = client.socket.local_addr().unwrap();
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", local.port(), rig.proxy.addresses()[1].port());
    assert_eq!(client.take(1), b"e");
    assert_eq!(client.take(line.len()), line.as_bytes());
    assert!(connect(&rig).ended(), "one more than there may be");
    assert!(client.ended(), "neither says anything for too long");
    // Its place is free again, as soon as the proxy has seen to that.
    while !matches!(connect(&rig).socket.read(&mut [0]), Ok(1)) {
        std::thread::yield_now();
    }
}

#[test]
fn a_client_whose_first_message_never_ends_is_let_go() {
    let settings = crate::proxy::Settings { header_timeout: Duration::from_millis(200), ..Default::default() };
    let echo = echo("e");
    let routes = vec![tcp("t", &[echo.address], |tcp| tcp.sni = named("a"))];
    let rig = Rig::with(routes, settings, Vec::new());
    let mut slow = connect(&rig);
    slow.send(&hello("a")[..20]);
    assert!(slow.ended());
    let mut silent = connect(&rig);
    assert!(silent.ended());
    assert_eq!(echo.connections.load(std::sync::atomic::Ordering::SeqCst), 0);
}
