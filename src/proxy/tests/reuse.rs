//! Connections after something went wrong: what can be used again is, and nobody gets another's answer.

use super::rig::{Origin, Rig, ok, patient, refusing, route};
use crate::proxy::config::Route;
use std::{
    net::SocketAddr,
    sync::{atomic::Ordering, mpsc},
    time::Duration,
};

fn at(prefix: &str, to: &[SocketAddr]) -> Route {
    let mut route = patient(route(to), Duration::from_millis(300), 0);
    (route.name, route.path_prefix) = (prefix.into(), prefix.into());
    route
}

#[test]
fn after_an_answer_that_is_an_error_the_next_request_on_the_connection_is_served() {
    let refused = refusing();
    let breaks = Origin::new(|c| drop(c.request()));
    let silent = Origin::new(|c| while c.request().is_some() {});
    let nonsense = Origin::answering(|_, _| b"no HTTP\r\n\r\n".to_vec());
    let well = Origin::telling();
    let mut only_get = at("/get/", &[well.address]);
    only_get.methods = vec!["GET".into()];
    let rig = Rig::new(vec![
        at("/refused/", &[refused]),
        at("/breaks/", &[breaks.address]),
        at("/silent/", &[silent.address]),
        at("/nonsense/", &[nonsense.address]),
        at("/nobody/", &[]),
        at("/well/", &[well.address]),
        only_get,
    ]);
    let mut client = rig.client();
    let cases = [
        ("/refused/", 502),
        ("/breaks/", 502),
        ("/silent/", 504),
        ("/nonsense/", 502),
        ("/nobody/", 503),
        ("/none/", 404),
    ];
    for (path, status) in cases {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.whole, answer.field("connection")), (status, true, None), "{path}");
        assert!(client.get("/well/a").text().starts_with("GET /well/a "), "after {path}");
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(client.answer(true).status, status, "HEAD {path}");
        assert!(client.get("/well/b").text().starts_with("GET /well/b "), "after HEAD {path}");
    }
    client.send(b"DELETE /get/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer(false).status, 405);
    assert_eq!(client.get("/get/").status, 200);
    // With a body that nobody took, there is no telling where the next request begins.
    client.send(b"POST /nobody/ HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
    assert_eq!(client.answer(false).field("connection"), Some("close"));
}

#[test]
fn an_answer_that_comes_too_late_is_nobodys() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::answering(move |head, _| {
        if head.starts_with("GET /late") {
            wait.lock().unwrap().recv().unwrap();
        }
        ok(head.as_bytes())
    });
    let rig = Rig::new(vec![at("/", &[origin.address])]);
    let mut client = rig.client();
    assert_eq!(client.get("/first").status, 200);
    assert_eq!(client.get("/late").status, 504);
    go.send(()).unwrap();
    for n in 0..20 {
        let path = format!("/{n}");
        assert!(client.get(&path).text().starts_with(&format!("GET {path} ")), "another's answer");
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 2, "the late one's connection is used no more");
}

#[test]
fn who_leaves_in_the_middle_of_an_answer_leaves_nothing_of_it_to_the_next() {
    for framing in ["Content-Length: 5000000", "Transfer-Encoding: chunked"] {
        let origin = Origin::answering(move |head, _| {
            if !head.starts_with("GET /big") {
                return ok(head.as_bytes());
            }
            let body = vec![b'G'; 5_000_000];
            let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
            match framing.starts_with('C') {
                true => [head.as_bytes(), &body].concat(),
                false => [head.as_bytes(), b"4c4b40\r\n", &body, b"\r\n0\r\n\r\n"].concat(),
            }
        });
        let rig = Rig::new(vec![at("/", &[origin.address])]);
        for _ in 0..10 {
            let mut leaves = rig.client();
            leaves.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
            leaves.take(1000);
            drop(leaves);
            assert!(rig.get("/next").text().starts_with("GET /next "), "{framing}");
        }
    }
}

#[test]
fn who_leaves_in_the_middle_of_a_request_is_no_request_and_frees_the_instance() {
    let (told, came) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let origin = Origin::new(move |c| {
        while let Some(head) = c.head() {
            if head.starts_with("GET") {
                c.send(&ok(b"x"));
                continue;
            }
            while c.more() {}
            let whole = c.read.len() >= 100_000 || c.read.ends_with(b"0\r\n\r\n");
            told.lock().unwrap().send(whole).unwrap();
            return;
        }
    });
    let rig = Rig::new(vec![patient(route(&[origin.address]), Duration::from_secs(60), 1)]);
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let mut leaves = rig.client();
        leaves.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes());
        leaves.send(b"5\r\nhello\r\n");
        leaves.half_close();
        let rest = came.recv_timeout(Duration::from_secs(10)).expect("the instance is free");
        assert!(!rest, "{framing}: it must not look whole");
        assert_eq!(leaves.answer(false).status, 0, "nobody is there to be answered");
        assert_eq!(rig.get("/").status, 200);
    }
    rig.until_metric("skyvis_proxy_requests_total{route=\"all\",status=\"499\"}", 2.0);
}
