//! Requests to instances: kept connections, heads, retries, and what is said where nobody answers.

use super::rig::{Origin, Rig, ok, patient, refusing, route};
use crate::proxy::{AccessLog, Settings};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

#[test]
fn requests_of_one_client_go_over_one_kept_connection() {
    let origin = Origin::telling();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    for n in 0..20 {
        let answer = client.get(&format!("/a/{n}?q=1"));
        assert_eq!((answer.status, answer.whole), (200, true));
        assert!(answer.text().starts_with(&format!("GET /a/{n}?q=1 HTTP/1.1\r\nHost: a\r\n")), "{}", answer.text());
        assert!(answer.text().contains("X-Forwarded-For: 127.0.0.1\r\n"), "{}", answer.text());
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1);
    assert_eq!(rig.metric("skyvis_proxy_connections_open"), 1.0);
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    let origin = Origin::telling();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    let wire: String =
        (0..50).map(|n| format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{n:03}")).collect();
    client.send(wire.as_bytes());
    for n in 0..50 {
        let answer = client.answer(false);
        assert!(answer.text().starts_with(&format!("POST /{n} ")) && answer.text().ends_with(&format!("{n:03}")));
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_is_a_head() {
    let origin = Origin::telling();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    for byte in b"GET /slow HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n" {
        client.send(&[*byte]);
    }
    assert!(client.answer(false).text().starts_with("GET /slow "));
}

#[test]
fn what_nobody_serves_is_told_apart() {
    let closed = refusing();
    let silent = Origin::new(|c| while c.request().is_some() {});
    let hangs_up = Origin::new(|c| drop(c.request()));
    let nonsense = Origin::answering(|_, _| b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec());
    let cases = [
        (closed, 502, "could not be reached"),
        (silent.address, 504, "in time"),
        (hangs_up.address, 502, "broke off"),
        (nonsense.address, 502, "not sound"),
    ];
    for (address, status, text) in cases {
        let rig = Rig::new(vec![patient(route(&[address]), Duration::from_millis(200), 1)]);
        let answer = rig.get("/");
        assert_eq!(answer.status, status, "{text}: {}", answer.text());
        assert!(answer.text().contains(text), "{}", answer.text());
    }
    let rig = Rig::new(Vec::new());
    assert_eq!(rig.get("/").status, 404);
    let rig = Rig::new(vec![route(&[])]);
    let answer = rig.get("/");
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")), "{}", answer.text());
}

#[test]
fn an_instance_that_cannot_be_reached_costs_no_request() {
    let dead: Vec<_> = (0..4).map(|_| refusing()).collect();
    let origin = Origin::telling();
    let rig = Rig::new(vec![route(&[dead[0], dead[1], origin.address, dead[2], dead[3]])]);
    for n in 0..50 {
        let wire = format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
        let answer = rig.ask(&wire);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn unused() -> SocketAddr {
    refusing()
}

#[test]
fn one_that_lives_is_found_among_hundreds_that_are_dead_and_the_dead_are_not_asked_again_and_again() {
    let origin = Origin::telling();
    let mut all: Vec<SocketAddr> = (0..300).map(|_| unused()).collect();
    all.insert(170, origin.address);
    let rig = Rig::new(vec![route(&all)]);
    let post = |n: u32| rig.ask(&format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")).status;
    // By the first answer on either thread they are known; a trial now and then comes on top.
    assert!((0..20).all(|n| post(n) == 200));
    let connects = rig.metric("skyvis_proxy_upstream_connects_total");
    assert!(connects < 700.0, "{connects} connections for 20 requests");
    let dead: Vec<SocketAddr> = (0..300).map(|_| unused()).collect();
    rig.reroute(vec![route(&dead)]);
    let before = rig.metric("skyvis_proxy_upstream_connects_total");
    assert!((0..20).all(|n| post(n) == 502));
    let connects = rig.metric("skyvis_proxy_upstream_connects_total") - before;
    assert!(connects < 300.0 + 20.0 * 12.0 + 300.0, "{connects} connections for 20 requests that nobody can serve");
}

#[test]
fn a_body_that_is_not_sound_is_counted_and_written_down_as_what_it_was_answered() {
    let origin = Origin::telling();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let access_log = AccessLog::File { path: path.clone(), json: false };
    let rig = Rig::with(vec![route(&[origin.address])], Settings { access_log, ..Settings::default() }, Vec::new());
    let bad = "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = rig.client();
    client.send(bad.as_bytes());
    client.send(b"3\r\nabc\r\nzz\r\n");
    assert_eq!(client.answer(false).status, 400);
    rig.until_metric("skyvis_proxy_requests_total{route=\"all\",status=\"4xx\"}", 1.0);
    assert_eq!(rig.metric("skyvis_proxy_requests_refused_total{reason=\"chunk_size\"}"), 1.0);
    drop(client);
    rig.stop();
    let line = logged(&path, 1);
    assert!(
        line.contains("\"POST /bad HTTP/1.1\" 400 ") && line.contains(" all ") && line.ends_with(" chunk_size\n"),
        "{line}"
    );
}

/// What the log says once it has so many lines.
pub(super) fn logged(path: &std::path::Path, lines: usize) -> String {
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= lines {
            return text;
        }
        std::thread::yield_now();
    }
}

#[test]
fn who_went_away_and_who_failed_are_told_apart_in_log_and_counts() {
    let silent = Origin::new(|c| while c.request().is_some() {});
    let hangs_up = Origin::new(|c| drop(c.request()));
    let named = |name: &str, to: &[SocketAddr]| {
        let mut route = patient(route(to), Duration::from_millis(400), 1);
        (route.name, route.path_prefix) = (name.into(), format!("/{name}").as_str().into());
        route
    };
    let routes = vec![
        named("refuses", &[unused()]),
        named("breaks", &[hangs_up.address]),
        named("nobody", &[]),
        named("silent", &[silent.address]),
        patient(named("gone", &[silent.address]), Duration::from_secs(60), 1),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let access_log = AccessLog::File { path: path.clone(), json: true };
    let rig = Rig::with(routes, Settings { access_log, ..Settings::default() }, Vec::new());
    let wanted = [("refuses", 502), ("breaks", 502), ("nobody", 503), ("silent", 504), ("gone", 499)];
    for (name, status) in &wanted[..4] {
        assert_eq!(rig.get(&format!("/{name}")).status, *status);
    }
    let mut gone = rig.client();
    gone.send(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
    while silent.connections.load(Ordering::SeqCst) < 2 {
        std::thread::yield_now();
    }
    socket2::SockRef::from(&gone.socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(gone);
    while rig.metric("skyvis_proxy_connections_open") > 0.0 {
        std::thread::yield_now();
    }
    for (name, status) in wanted {
        let line = format!("skyvis_proxy_requests_total{{route=\"{name}\",status=\"{status}\"}}");
        assert_eq!(rig.metric(&line), 1.0, "{name}");
        let all = rig.metrics.render_plain();
        let of_route = format!("skyvis_proxy_requests_total{{route=\"{name}\",");
        let sum: f64 =
            all.lines().filter_map(|l| l.strip_prefix(&of_route)?.split(' ').nth(1)?.parse::<f64>().ok()).sum();
        assert_eq!(sum, 1.0, "{name} counts once: {all}");
    }
    rig.stop();
    let text = logged(&path, 5);
    for (name, status) in wanted {
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let found: Vec<_> =
            lines.iter().filter(|l| l["route"] == name).map(|l| l["status"].as_u64().unwrap()).collect();
        assert_eq!(found, [u64::from(status)], "{name} in {text}");
    }
}

/// Answers one request of each connection, and closes it under the next one.
fn closes_under_the_second() -> Origin {
    Origin::new(|c| {
        c.request();
        c.send(&ok(b"1"));
        c.request();
    })
}

#[test]
fn a_kept_connection_that_was_closed_costs_a_get_nothing_and_a_post_is_never_sent_twice() {
    let origin = closes_under_the_second();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/").status, 200, "sent again on a new connection");
    assert_eq!(rig.metric("skyvis_proxy_upstream_stale_total"), 1.0);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer(false).status, 502);
}

#[test]
fn a_request_that_may_have_been_done_is_tried_elsewhere_only_where_that_changes_nothing() {
    let asked: &'static AtomicUsize = Box::leak(Box::default());
    let breaks = move || {
        Origin::new(move |c| {
            c.request();
            asked.fetch_add(1, Ordering::SeqCst);
        })
    };
    let (one, other) = (breaks(), breaks());
    let rig = Rig::new(vec![route(&[one.address, other.address])]);
    assert_eq!(rig.get("/").status, 502);
    assert_eq!(asked.swap(0, Ordering::SeqCst), 2);
    assert_eq!(rig.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status, 502);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_connection_is_not_used_again_after_an_answer_that_says_so_or_has_more_than_it_should() {
    let closing =
        Origin::answering(|_, _| b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx".to_vec());
    let extra = Origin::answering(|_, _| b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n".to_vec());
    for origin in [closing, extra] {
        let rig = Rig::new(vec![route(&[origin.address])]);
        let mut client = rig.client();
        for _ in 0..3 {
            let answer = client.get("/");
            assert_eq!((answer.status, answer.text()), (200, "x"));
            assert_eq!(answer.field("connection"), None, "the client's connection stays");
        }
        assert_eq!(origin.connections.load(Ordering::SeqCst), 3);
    }
}

#[test]
fn a_client_that_goes_away_frees_its_instance_and_is_counted_as_gone() {
    let (told, gone) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let origin = Origin::new(move |c| {
        c.request();
        told.lock().unwrap().send(()).unwrap();
        assert!(c.ended());
        told.lock().unwrap().send(()).unwrap();
    });
    let rig = Rig::new(vec![patient(route(&[origin.address]), Duration::from_secs(60), 1)]);
    let mut client = rig.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    gone.recv().unwrap();
    socket2::SockRef::from(&client.socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    gone.recv_timeout(Duration::from_secs(10)).expect("the upstream's connection was closed");
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let origin = Origin::telling();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = rig.client();
    client.send(b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    client.half_close();
    let answer = client.answer(false);
    assert_eq!(answer.status, 200);
    assert!(client.ended());
}

#[test]
fn stopping_ends_idle_connections_and_lets_others_finish() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (arrived, busy_is_there) = std::sync::mpsc::channel::<()>();
    let both = std::sync::Mutex::new((wait, arrived));
    let origin = Origin::answering(move |head, _| {
        let both = both.lock().unwrap();
        if head.contains("/busy") {
            both.1.send(()).unwrap();
        }
        let wait = &both.0;
        wait.recv().unwrap();
        ok(b"late")
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut idle = rig.client();
    go.send(()).unwrap();
    assert_eq!(idle.get("/").status, 200);
    let mut busy = rig.client();
    busy.send(b"GET /busy HTTP/1.1\r\nHost: a\r\n\r\n");
    busy_is_there.recv().unwrap();
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| rig.stop());
        assert!(idle.ended());
        go.send(()).unwrap();
        let answer = busy.answer(false);
        assert_eq!((answer.status, answer.text(), answer.field("connection")), (200, "late", Some("close")));
        assert!(stopping.join().unwrap());
    });
}

#[test]
fn who_asks_once_more_while_we_stop_is_answered_and_told_to_close() {
    let origin = Origin::answering(|_, _| ok(b"here"));
    let rig = Rig::new(vec![route(&[origin.address])]);
    // One of HTTP/2 is told at once that we leave; then it is for the others to ask.
    let mut told = super::frames::Frames::connect(rig.address);
    let mut idle: Vec<_> = (0..8).map(|_| rig.client()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").field("connection"), None);
    }
    let mut fresh = rig.client();
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| rig.stop());
        while told.next().is_some_and(|frame| frame.kind != super::frames::GOAWAY) {}
        fresh.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answers: Vec<_> = idle.iter_mut().map(|client| client.get("/")).chain([fresh.answer(false)]).collect();
        for answer in &answers {
            assert_eq!((answer.status, answer.text(), answer.field("connection")), (200, "here", Some("close")));
        }
        assert!(stopping.join().unwrap());
    });
    assert!(idle.iter_mut().all(super::rig::Client::ended));
}
