//! A test line beside production, and clients that stay with their instance.

use super::rig::{Answer, Origin, Rig, ok, refusing, route};
use crate::proxy::config::{Backend, Line, Route, Target, Upstream, When};
use std::{collections::BTreeMap, net::SocketAddr};

fn to(address: SocketAddr) -> Backend {
    Backend::Upstreams(vec![Upstream {
        host: address.ip().to_string().into(),
        port: address.port(),
        weight: 1,
        via: None,
    }])
}

fn split(mut route: Route, lines: Vec<(When, Backend)>, sticky: bool) -> Route {
    if let Target::Forward(forward) = &mut route.to {
        forward.split = lines.into_iter().map(|(when, to)| Line { when, to }).collect();
        forward.sticky = sticky.then(|| "lb".into());
    }
    route
}

fn named(name: &'static str) -> Origin {
    Origin::answering(move |_, _| ok(name.as_bytes()))
}

fn get(rig: &Rig, fields: &str) -> Answer {
    rig.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

#[test]
fn who_asks_for_the_test_line_gets_it_and_is_told_where_it_is_missing() {
    let (production, test) = (named("production"), named("test"));
    let lines = vec![
        (When::Header("x-line".into(), Some("test".into())), to(test.address)),
        (When::Cookie("line".into(), Some("test".into())), to(test.address)),
        (When::Header("x-line".into(), Some("none".into())), Backend::Upstreams(Vec::new())),
    ];
    let rig = Rig::new(vec![split(route(&[production.address]), lines, false)]);
    for (fields, expected) in [
        ("", "production"),
        ("X-Line: test\r\n", "test"),
        ("x-line: testing\r\n", "production"),
        ("Cookie: a=b; line=test\r\n", "test"),
        ("Cookie: line=prod\r\n", "production"),
    ] {
        assert_eq!(get(&rig, fields).text(), expected, "{fields}");
    }
    assert_eq!(get(&rig, "X-Line: none\r\n").status, 503);
    let views = rig.proxy.routes().list();
    let lines: Vec<_> = views[0].split.iter().map(|l| (l.when.as_str(), l.live)).collect();
    assert_eq!(lines, [("header x-line=test", 1), ("cookie line=test", 1), ("header x-line=none", 0)]);
}

#[test]
fn a_part_of_the_requests_goes_beside_unless_nobody_is_there() {
    let (production, test) = (named("production"), named("test"));
    let of = |parts, backend| vec![(When::Parts(parts), backend)];
    let rig = Rig::new(vec![split(route(&[production.address]), of(20, to(test.address)), false)]);
    let mut client = rig.client();
    let mut counts = BTreeMap::new();
    for _ in 0..1000 {
        *counts.entry(client.get("/").text().to_owned()).or_insert(0) += 1;
    }
    // Six standard deviations.
    assert!((124..=276).contains(&counts["test"]), "{counts:?}");
    rig.reroute(vec![split(route(&[production.address]), of(100, to(test.address)), false)]);
    assert!((0..20).all(|_| client.get("/").text() == "test"));
    rig.reroute(vec![split(route(&[production.address]), of(100, Backend::Upstreams(Vec::new())), false)]);
    assert!((0..20).all(|_| client.get("/").text() == "production"), "nobody asked for that line");
}

#[test]
fn a_client_stays_with_its_instance_and_its_line_until_that_is_gone() {
    let (one, two, test) = (named("one"), named("two"), named("test"));
    let lines = || vec![(When::Parts(40), to(test.address))];
    let rig = Rig::new(vec![split(route(&[one.address, two.address]), lines(), true)]);
    let mut seen = BTreeMap::new();
    while seen.len() < 3 {
        let first = get(&rig, "");
        let set = first.field("set-cookie").unwrap().to_owned();
        let cookie = set.split(';').next().unwrap().to_owned();
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
        for _ in 0..10 {
            let again = get(&rig, &format!("Cookie: x=y; {cookie}\r\n"));
            assert_eq!((again.text(), again.field("set-cookie")), (first.text(), None), "{cookie}");
        }
        seen.insert(first.text().to_owned(), cookie);
    }
    assert_eq!(get(&rig, "Cookie: lb=nonsense\r\n").field("set-cookie").map(|c| c.starts_with("lb=")), Some(true));
    rig.reroute(vec![split(route(&[two.address]), lines(), true)]);
    let moved = get(&rig, &format!("Cookie: {}\r\n", seen["one"]));
    assert!(moved.text() != "one" && moved.field("set-cookie").is_some(), "{}", moved.head);
    assert_eq!(get(&rig, &format!("Cookie: {}\r\n", seen["two"])).text(), "two");
}

#[test]
fn a_client_whose_instance_refuses_gets_another_one_and_stays_there() {
    let live = named("live");
    let gone = refusing();
    let both = Rig::new(vec![split(route(&[live.address, gone]), Vec::new(), true)]);
    // The name of the one that is gone, as it would have told it.
    let name = crate::balance::hash(gone.to_string().as_bytes());
    let answer = get(&both, &format!("Cookie: lb={name:016x}\r\n"));
    assert_eq!(answer.text(), "live");
    let cookie = answer.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(get(&both, &format!("Cookie: {cookie}\r\n")).field("set-cookie"), None);
}
