//! Requests that come back to where they were.

use super::{
    forward::logged,
    rig::{Origin, Rig, route},
};
use crate::proxy::{AccessLog, Settings, config::Target, h1::Trust, table::Template};

fn loops(rig: &Rig) -> f64 {
    rig.metric("skyvis_proxy_requests_refused_total{reason=\"loop\"}")
}

#[test]
fn a_proxy_that_routes_to_itself_says_so_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let access_log = AccessLog::File { path: path.clone(), json: false };
    let rig = Rig::with(Vec::new(), Settings { access_log, ..Settings::default() }, Vec::new());
    rig.reroute(vec![route(&[rig.address])]);
    for n in 1..=3 {
        let answer = rig.get("/round");
        assert_eq!((answer.status, answer.whole), (508, true), "{}", answer.text());
        assert_eq!(loops(&rig), f64::from(n));
    }
    rig.stop();
    let told = logged(&path, 6);
    let found = told.lines().filter(|l| l.contains("\"GET /round HTTP/1.1\" 508 ") && l.ends_with(" loop")).count();
    assert_eq!(found, 3, "the log says which request went round: {told}");
}

#[test]
fn two_proxies_in_a_ring_find_it_and_other_names_in_via_are_none() {
    let (one, other) = (Rig::new(Vec::new()), Rig::new(Vec::new()));
    one.reroute(vec![route(&[other.address])]);
    other.reroute(vec![route(&[one.address])]);
    assert_eq!(one.get("/").status, 508);
    assert_eq!(other.get("/").status, 508);
    assert_eq!((loops(&one), loops(&other)), (1.0, 1.0), "each finds its own");
    let origin = Origin::telling();
    other.reroute(vec![route(&[origin.address])]);
    let answer = one.ask("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 skyvis, 1.0 skyvis-00000000\r\n\r\n");
    assert_eq!(answer.status, 200);
    let passed: Vec<&str> = answer.text().lines().filter(|l| l.starts_with("Via: 1.1 skyvis-")).collect();
    assert!(passed.len() == 2 && passed[0] != passed[1], "each has a name of its own: {passed:?}");
}

#[test]
fn an_id_that_a_trusted_proxy_gave_is_the_id_everywhere() {
    let mut own = route(&[]);
    let body = Template::parse("{request_id}").unwrap();
    own.to = Target::Respond { status: 200, body, content_type: "text/plain".into() };
    let trusted = Trust::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let trusted = Settings { trusted, ..Settings::default() };
    let said = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 0123456789abcdef0123456789abcdef\r\n\r\n";
    let rig = Rig::with(vec![own.clone()], trusted, Vec::new());
    assert_eq!(rig.ask(said).text(), "0123456789abcdef0123456789abcdef");
    let rig = Rig::new(vec![own]);
    let (one, other) = (rig.ask(said), rig.ask(said));
    assert!(one.text().len() == 32 && one.text() != other.text() && !one.text().starts_with("0123456789"));
}
