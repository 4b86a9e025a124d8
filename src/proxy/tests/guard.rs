//! Routes where somebody else is asked first.

use super::{
    rig::{Client, Origin, Rig, ok, refusing, route},
    swaps::catalog,
};
use crate::{
    config,
    proxy::{
        config::{Guard, PathChange, Route, Target},
        cors::{self, Cors},
        table::Template,
    },
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
};

/// As the file has it.
fn guard(auth: &str) -> Guard {
    let text = format!("[[proxy.route]]\nname = \"all\"\nservice = \"a\"\nauth = {{ {auth} }}\n");
    let env = config::Env::new::<String, String>([], "host");
    let read = config::parse(&text, Path::new("/c.toml"), &env).unwrap_or_else(|faults| panic!("{faults}"));
    read.proxy().routes.remove(0).guard.unwrap()
}

fn guarded(route: Route, auth: &str) -> Route {
    Route { guard: Some(guard(auth)), ..route }
}

/// One that decides by the request's cookie or its path, and keeps what it was asked.
struct Decider {
    origin: Origin,
    asked: Arc<Mutex<Vec<(String, Vec<u8>)>>>,
}

impl Decider {
    fn new() -> Self {
        let asked: Arc<Mutex<Vec<(String, Vec<u8>)>>> = Arc::default();
        let seen = asked.clone();
        let origin = Origin::answering(move |head, body| {
            seen.lock().unwrap().push((head.to_owned(), body.to_vec()));
            let uri = head.lines().find_map(|line| line.strip_prefix("X-Forwarded-Uri: ")).unwrap_or("-");
            match uri {
                "/login" => b"HTTP/1.1 302 Found\r\nLocation: https://id.example/?back=1\r\nSet-Cookie: s=1\r\n\
                    Set-Cookie: t=2\r\nKeep-Alive: timeout=3\r\nContent-Length: 4\r\n\r\ngo!\n"
                    .to_vec(),
                "/pieces" => b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nnever\r\n1\r\n!\r\n0\r\n\r\n"
                    .to_vec(),
                "/half" => ok(b"")[..20].to_vec(),
                "/fails" => b"HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\nsecret".to_vec(),
                "/long" => [&b"HTTP/1.1 403 No\r\nContent-Length: 1000000\r\n\r\n"[..], &[b'x'; 1_000_000]].concat(),
                "/nothing" => b"HTTP/1.1 204 No Content\r\nRemote-User: eve\r\nSet-Cookie: fresh=1\r\n\
                    X-Secret: no\r\n\r\n"
                    .to_vec(),
                _ if head.contains("Cookie: s=good\r\n") => {
                    b"HTTP/1.1 200 OK\r\nremote-user: alice\r\nRemote-Groups: a\r\nRemote-Groups: b\r\nSet-Cookie: s=2\r\n\
                    X-Secret: no\r\nContent-Length: 2\r\n\r\nok"
                        .to_vec()
                }
                _ => b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 6\r\n\r\nlog in"
                    .to_vec(),
            }
        });
        Self { origin, asked }
    }

    fn address(&self) -> SocketAddr {
        self.origin.address
    }

    fn auth(&self, more: &str) -> String {
        format!("forward = \"http://{}/may?x=1\"{more}", self.address())
    }

    fn asked(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

const COPY: &str = ", copy_headers = [\"Remote-User\", \"Remote-Groups\"], answer_headers = [\"Set-Cookie\"]";

#[test]
fn who_is_let_in_is_served_and_the_upstream_knows_who_it_is() {
    let (decider, origin) = (Decider::new(), Origin::telling());
    let rig = Rig::new(vec![guarded(route(&[origin.address]), &decider.auth(COPY))]);
    let mut client = rig.client();
    for n in 0..5 {
        client.send(
            format!(
                "POST /a?n={n} HTTP/1.1\r\nHost: site.example\r\nCookie: s=good\r\nRemote-User: root\r\nREMOTE-GROUPS: wheel\r\n\
                 X-Forwarded-Uri: /public\r\nX-Original-URI: /public\r\nX-Forwarded-Method: GET\r\nIf-None-Match: *\r\n\
                 Range: bytes=0-1\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-Own: 1\r\nContent-Length: 4\r\n\r\nbody"
            )
            .as_bytes(),
        );
        let answer = client.answer(false);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.field("set-cookie"), Some("s=2"), "{}", answer.head);
        let seen = answer.text();
        assert!(seen.starts_with(&format!("POST /a?n={n} HTTP/1.1\r\n")) && seen.ends_with("\r\n\r\nbody"), "{seen}");
        let lines: Vec<&str> = seen.lines().filter(|l| l.to_ascii_lowercase().starts_with("remote-")).collect();
        assert_eq!(lines, ["remote-user: alice", "Remote-Groups: a", "Remote-Groups: b"]);
        assert!(!seen.contains("X-Secret") && seen.contains("If-None-Match: *\r\nRange: bytes=0-1\r\n"), "{seen}");
    }
    assert_eq!(decider.origin.connections.load(SeqCst), 1, "its connection is kept");
    let asked = decider.asked();
    assert_eq!(asked.len(), 5);
    let (head, body) = &asked[1];
    assert!(head.starts_with("GET /may?x=1 HTTP/1.1\r\n") && body.is_empty(), "{head}");
    let host = format!("Host: {}", decider.address());
    for line in [
        host.as_str(),
        "X-Forwarded-Method: POST",
        "X-Forwarded-Uri: /a?n=1",
        "X-Original-URI: /a?n=1",
        "X-Forwarded-Host: site.example",
        "X-Forwarded-Proto: http",
        "X-Forwarded-For: 127.0.0.1",
        "X-Own: 1",
        "Cookie: s=good",
    ] {
        assert_eq!(head.lines().filter(|l| *l == line).count(), 1, "{line}: {head}");
    }
    for none in ["/public", "x-hop", "content-length", "transfer-encoding", "if-none-match", "range:", "expect"] {
        assert!(!head.to_ascii_lowercase().contains(none), "{none}: {head}");
    }
    for name in ["all", "(auth of all)"] {
        rig.until_metric(&format!("skyvis_proxy_requests_total{{route=\"{name}\",status=\"2xx\"}}"), 5.0);
    }
}

#[test]
fn a_204_lets_pass_and_what_it_does_not_say_is_not_what_the_client_says() {
    let (decider, origin) = (Decider::new(), Origin::telling());
    let rig = Rig::new(vec![guarded(route(&[origin.address]), &decider.auth(COPY))]);
    let answer = rig.ask("GET /nothing HTTP/1.1\r\nHost: a\r\nRemote-Groups: wheel\r\nRemote-User: root\r\n\r\n");
    assert_eq!((answer.status, answer.field("set-cookie")), (200, Some("fresh=1")));
    assert!(answer.text().contains("Remote-User: eve\r\n"), "{}", answer.text());
    assert!(!answer.text().contains("wheel") && !answer.text().contains("root"), "{}", answer.text());
}

#[test]
fn who_is_not_let_in_gets_the_answer_as_it_is_and_the_upstream_hears_nothing() {
    let (decider, origin) = (Decider::new(), Origin::telling());
    let rig = Rig::new(vec![guarded(route(&[origin.address]), &decider.auth(COPY))]);
    let mut client = rig.client();
    let refused = client.get("/");
    assert_eq!((refused.status, refused.text()), (401, "log in"));
    assert_eq!(refused.field("www-authenticate"), Some("Basic realm=\"x\""));
    let login = client.get("/login");
    assert_eq!((login.status, login.field("location")), (302, Some("https://id.example/?back=1")));
    assert_eq!(login.head.matches("Set-Cookie: ").count(), 2, "{}", login.head);
    assert!(!login.head.to_ascii_lowercase().contains("keep-alive") && login.text() == "go!\n", "{}", login.head);
    let pieces = client.get("/pieces");
    assert_eq!((pieces.status, pieces.text(), pieces.field("content-length")), (403, "never!", Some("6")));
    client.send(b"HEAD /login HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer(true).status, 302);
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((client.answer(false).status, client.get("/").status), (401, 401), "one connection for all of them");
    assert_eq!(origin.connections.load(SeqCst), 0);
}

#[test]
fn a_body_is_neither_asked_for_nor_sent_before_somebody_lets_it() {
    let (decider, origin) = (Decider::new(), Origin::telling());
    let rig = Rig::new(vec![guarded(route(&[origin.address]), &decider.auth(""))]);
    let mut client = rig.client();
    client.send(b"PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 300000\r\n\r\n");
    let refused = client.answer(false);
    assert_eq!((refused.status, refused.field("connection")), (401, Some("close")), "no 100 before it");
    let mut client = rig.client();
    client.send(
        b"PUT /x HTTP/1.1\r\nHost: a\r\nCookie: s=good\r\nExpect: 100-continue\r\nContent-Length: 300000\r\n\r\n",
    );
    assert_eq!(client.answer(true).status, 100);
    client.send(&[b'b'; 300_000]);
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.body.iter().filter(|b| **b == b'b').count() >= 300_000), (200, true));
    let mut client = rig.client();
    client.send(
        b"PUT /x HTTP/1.1\r\nHost: a\r\nCookie: s=good\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert!(client.answer(false).text().ends_with("abc"));
    assert!(decider.asked().iter().all(|(head, body)| body.is_empty() && !head.contains("Expect")));
}

#[test]
fn where_nobody_decides_nobody_is_let_in_and_the_answer_says_why() {
    let (decider, origin) = (Decider::new(), Origin::telling());
    let silent = Origin::new(|c: &mut Client| while c.request().is_some() {});
    let upstream = || route(&[origin.address]);
    let at = |address: SocketAddr| format!("forward = \"http://{address}/\", timeout = \"200ms\"");
    for (auth, path, status, says) in [
        (at(refusing()), "/", 502, "could not be reached"),
        (at(silent.address), "/", 504, "in time"),
        ("forward = \"http://nowhere/\"".to_owned(), "/", 503, "nowhere"),
        (at(decider.address()), "/half", 504, "in time"),
        (at(decider.address()), "/fails", 502, "it answered 500"),
        (at(decider.address()), "/long", 502, "too long"),
    ] {
        let rig = Rig::new(vec![guarded(upstream(), &auth)]);
        let answer = rig.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: s=good\r\n\r\n"));
        assert_eq!(answer.status, status, "{auth} {path}: {}", answer.text());
        assert!(answer.text().starts_with("whoever decides on this route could not be asked: "), "{}", answer.text());
        assert!(answer.text().contains(says) && !answer.text().contains("secret"), "{}", answer.text());
        assert_eq!(answer.field("retry-after").is_some(), status == 503);
    }
    assert_eq!(origin.connections.load(SeqCst), 0);
    let rig = Rig::new(vec![guarded(upstream(), "forward = \"http://nowhere/\"")]);
    let view = &rig.proxy.routes().list()[0];
    assert_eq!(view.auth.as_ref().map(|auth| (&*auth.forward, auth.live)), Some(("http://nowhere/", 0)));
    assert!(rig.proxy.routes().state().down["all"].contains("nowhere"));
}

#[test]
fn an_answer_that_comes_drop_by_drop_is_not_waited_for() {
    let dripping = Origin::new(|c: &mut Client| {
        while c.request().is_some() {
            let answer = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(500));
            for byte in answer.bytes() {
                std::thread::sleep(std::time::Duration::from_millis(50));
                if std::io::Write::write_all(&mut c.socket, &[byte]).is_err() {
                    return;
                }
            }
        }
    });
    let origin = Origin::telling();
    let auth = format!("forward = \"http://{}/\", timeout = \"200ms\"", dripping.address);
    let rig = Rig::new(vec![guarded(route(&[origin.address]), &auth)]);
    let answer = rig.get("/");
    assert_eq!((answer.status, answer.text().contains("in time")), (504, true), "{}", answer.text());
}

#[test]
fn a_service_of_the_registry_decides_and_another_instance_where_one_is_gone() {
    let (decider, origin) = (Decider::new(), Origin::telling());
    let rig = Rig::new(vec![guarded(route(&[origin.address]), "forward = \"http://web/may\"")]);
    let ask = || rig.ask("GET / HTTP/1.1\r\nHost: a\r\nCookie: s=good\r\n\r\n").status;
    assert_eq!(ask(), 503);
    rig.publish(catalog(1, &[refusing(), decider.address()]));
    for _ in 0..20 {
        assert_eq!(ask(), 200, "where one is gone, the other one is asked");
    }
    assert!(decider.asked().iter().all(|(head, _)| head.starts_with("GET /may HTTP/1.1\r\nHost: web\r\n")));
    rig.publish(catalog(2, &[]));
    assert_eq!(ask(), 503, "without it nobody is let in any more");
}

#[test]
fn files_redirects_and_fixed_answers_are_guarded_too_and_other_routes_are_not() {
    let decider = Decider::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("film.mp4"), "film").unwrap();
    let to = |prefix: &str, to: Target| Route { name: prefix.into(), path_prefix: prefix.into(), to, ..route(&[]) };
    let text = |text: &str| Template::parse(text).unwrap();
    let respond = |body: &str| Target::Respond { status: 200, body: text(body), content_type: "text/plain".into() };
    let files = Target::Files { dir: dir.path().into(), spa: false, path: PathChange::Strip("/files".into()) };
    let rig = Rig::new(vec![
        guarded(to("/files", files), &decider.auth(COPY)),
        guarded(to("/to", Target::Redirect { to: text("/elsewhere"), status: 307 }), &decider.auth("")),
        guarded(to("/said", respond("said")), &decider.auth("")),
        to("/open", respond("open")),
    ]);
    let mut client = rig.client();
    for (path, status) in [("/files/film.mp4", 200), ("/to", 307), ("/said", 200)] {
        assert_eq!(client.get(path).status, 401, "{path}");
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: s=good\r\n\r\n").as_bytes());
        let answer = client.answer(false);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.field("set-cookie").is_some(), path.starts_with("/files"), "{path}");
    }
    let asked = decider.asked().len();
    assert_eq!((client.get("/open").text(), decider.asked().len(), asked), ("open\n".trim_end(), 0, 6));
}

#[test]
fn a_websocket_is_let_in_or_refused_before_it_begins() {
    let (decider, origin) = (Decider::new(), super::tunnels::echo());
    let rig = Rig::new(vec![guarded(route(&[origin.address]), &decider.auth(COPY))]);
    let ask = |cookie: &str| {
        let mut client = rig.client();
        client.send(
            format!(
                "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{cookie}\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            .as_bytes(),
        );
        client
    };
    assert_eq!(ask("").answer(false).status, 401);
    assert_eq!(origin.connections.load(SeqCst), 0);
    let mut client = ask("Cookie: s=good\r\n");
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Set-Cookie: s=2\r\n"), "{head}");
    assert_eq!(client.take(5), b"hello");
    let questions = decider.asked();
    assert!(questions.iter().all(|(head, _)| !head.to_lowercase().contains("\r\nupgrade: ")), "{questions:?}");
}

#[test]
fn a_preflight_is_answered_without_asking_and_a_page_elsewhere_can_read_the_refusal() {
    let (decider, origin) = (Decider::new(), Origin::telling());
    let cors = Cors { origins: vec![cors::Origin::Any], ..Cors::default() };
    let rig = Rig::new(vec![Route { cors: Some(cors), ..guarded(route(&[origin.address]), &decider.auth("")) }]);
    let ask = |method: &str, more: &str| {
        rig.ask(&format!("{method} / HTTP/1.1\r\nHost: a\r\nOrigin: https://b.example\r\n{more}\r\n"))
    };
    assert_eq!(ask("OPTIONS", "Access-Control-Request-Method: GET\r\n").status, 204);
    assert!(decider.asked().is_empty());
    let refused = ask("GET", "");
    assert_eq!((refused.status, refused.field("access-control-allow-origin")), (401, Some("*")));
}

#[test]
fn whose_client_is_gone_is_not_served() {
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (ask, wait) = (Mutex::new(ask), Mutex::new(wait));
    let slow = Origin::answering(move |_, _| {
        ask.lock().unwrap().send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        ok(b"")
    });
    let origin = Origin::telling();
    let rig = Rig::new(vec![guarded(
        route(&[origin.address]),
        &format!("forward = \"http://{}/\", timeout = \"60s\"", slow.address),
    )]);
    let mut client = rig.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    asked.recv().unwrap();
    socket2::SockRef::from(&client.socket).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    rig.until_metric("skyvis_proxy_connections_open", 0.0);
    go.send(()).unwrap();
    assert_eq!(origin.connections.load(SeqCst), 0);
}

#[test]
fn who_asks_itself_is_told_so() {
    let origin = Origin::telling();
    let rig = Rig::new(vec![route(&[origin.address])]);
    // Its auth is the route itself.
    rig.reroute(vec![guarded(route(&[origin.address]), &format!("forward = \"http://{}/may\"", rig.address))]);
    let answer = rig.get("/");
    assert_eq!((answer.status, answer.text().contains("it answered 508")), (502, true), "{}", answer.text());
    assert_eq!(origin.connections.load(SeqCst), 0);
}
