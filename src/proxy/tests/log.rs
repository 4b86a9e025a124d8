//! The access log tells why a request had no answer of an instance.

use super::rig::{Origin, Rig, ok, patient, refusing, route, service_route};
use crate::proxy::{AccessLog, Settings, config::Route};
use std::{fs, io::Write, time::Duration};

#[test]
fn each_request_is_a_line_that_says_what_became_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let gone = refusing();
    let fine = Origin::answering(|_, _| ok(b"fine"));
    let silent = Origin::new(|c| while c.request().is_some() {});
    let rude = Origin::answering(|_, _| b"nonsense\r\n\r\n".to_vec());
    let hasty = Origin::new(|c| drop(c.request()));
    let at = |prefix: &str, route: Route| Route { name: prefix.into(), path_prefix: prefix.into(), ..route };
    let quick = |route: Route| patient(route, Duration::from_millis(100), 0);
    let routes = vec![
        at("/fine", route(&[fine.address])),
        at("/gone", route(&[gone])),
        at("/silent", quick(route(&[silent.address]))),
        at("/rude", quick(route(&[rude.address]))),
        at("/hasty", quick(route(&[hasty.address]))),
        at("/nobody", service_route("web")),
        at("/left", route(&[silent.address])),
    ];
    let settings = Settings { access_log: AccessLog::File { path: path.clone(), json: false }, ..Settings::default() };
    let rig = Rig::with(routes, settings, Vec::new());
    let mut expected = Vec::new();
    for (path, status, reason) in [
        ("/fine", 200, "-"),
        ("/gone", 502, "unreachable"),
        ("/silent", 504, "timeout"),
        ("/rude", 502, "unsound"),
        ("/hasty", 502, "broken"),
        ("/nobody", 503, "no_instance"),
        ("/elsewhere", 404, "-"),
    ] {
        assert_eq!(rig.get(path).status, status, "{path}");
        expected.push((path, status, reason));
    }
    let mut client = rig.client();
    client.socket.write_all(b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    while silent.connections.load(std::sync::atomic::Ordering::SeqCst) < 2 {
        std::thread::yield_now();
    }
    socket2::SockRef::from(&client.socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    expected.push(("/left", 499, "client_gone"));
    assert!(rig.stop());
    let log = loop {
        let log = fs::read_to_string(&path).unwrap_or_default();
        if log.lines().count() >= expected.len() {
            break log;
        }
        std::thread::yield_now();
    };
    for (path, status, reason) in expected {
        let line = log
            .lines()
            .find(|line| line.contains(&format!("\"GET {path} HTTP/1.1\" {status} ")))
            .unwrap_or_else(|| panic!("{path}: {log}"));
        assert!(line.starts_with("127.0.0.1 - - [") && line.ends_with(&format!(" {reason}")), "{line}");
    }
}
