//! A route where somebody else is asked first, beside nginx with `auth_request`: the same are let in, by the same question.

use super::{
    asks::Ask,
    origin::{field, request},
    servers::{self, Answer, Gateway},
};
use crate::tests::site::peers::{Server, free_address};
use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

type Seen = Arc<Mutex<Vec<(String, usize)>>>;

/// Answers what a function says of a head, and keeps heads and how long the bodies were.
fn server(answer: fn(&str) -> String) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
    let keep = seen.clone();
    thread::spawn(move || {
        let serve = move |mut socket: TcpStream, keep: &Seen| {
            let mut buffer = Vec::new();
            while let Some((head, body)) = request(&mut socket, &mut buffer) {
                keep.lock().unwrap().push((head.clone(), body.len()));
                let closes = head.contains("HTTP/1.0") || head.to_ascii_lowercase().contains("connection: close");
                if socket.write_all(answer(&head).as_bytes()).is_err() || closes {
                    return;
                }
            }
        };
        for socket in listener.incoming().flatten() {
            let keep = keep.clone();
            thread::spawn(move || serve(socket, &keep));
        }
    });
    (address, seen)
}

fn decide(head: &str) -> String {
    let whole = |status: &str, more: &str| format!("HTTP/1.1 {status} X\r\n{more}Content-Length: 0\r\n\r\n");
    match field(head, "cookie").as_str() {
        "who=alice" => whole("200", "X-User: alice\r\n"),
        "who=nobody" => "HTTP/1.1 204 X\r\n\r\n".to_owned(),
        "who=mallory" => whole("403", ""),
        "who=late" => whole("302", "Location: https://id.example/\r\n"),
        "who=crash" => whole("500", ""),
        _ => whole("401", "WWW-Authenticate: Basic realm=\"site\"\r\n"),
    }
}

/// Tells who it is told the client is.
fn tell(head: &str) -> String {
    let told = format!("{} user={}", head.split(" HTTP/").next().unwrap_or_default(), field(head, "x-user"));
    format!("HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{told}", told.len())
}

fn asks() -> Vec<Ask> {
    let whos = ["", "who=alice", "who=nobody", "who=mallory", "who=late", "who=crash", "who=alicex"];
    let mut asks = Vec::new();
    for who in whos {
        let cookie = (!who.is_empty()).then(|| ("Cookie", who.to_owned()));
        // What a client says of itself is believed by nobody.
        let fields: Vec<_> = cookie.into_iter().chain([("X-User", "root".to_owned())]).collect();
        for (method, path, body) in [
            ("GET", "/", 0),
            ("GET", "/a/%C3%A4;x?b=c&d=%2F", 0),
            ("DELETE", "/x", 0),
            ("POST", "/form", 100),
            ("PUT", "/file", 300_000),
        ] {
            asks.push(Ask { method, path: path.to_owned(), fields: fields.clone(), body, chunked: false });
        }
        let chunked = Ask { method: "POST", path: "/chunks".to_owned(), fields, body: 70_000, chunked: true };
        asks.push(chunked);
    }
    asks
}

/// What both say to a request, and what each asked about it.
fn said(to: SocketAddr, ask: &Ask, questions: &Seen) -> (Answer, (String, usize)) {
    questions.lock().unwrap().clear();
    let answer = servers::ask(to, ask);
    let asked = questions.lock().unwrap();
    assert_eq!(asked.len(), 1, "{} {}", ask.method, ask.label());
    (answer, asked[0].clone())
}

#[test]
fn a_guarded_route_lets_in_whom_nginx_lets_in_and_asks_as_it_does() {
    let ((decider, questions), (app, served)) = (server(decide), server(tell));
    let listen = free_address();
    let lines = format!(
        "server {{ listen {listen}; client_max_body_size 1m;
           location / {{ auth_request /_may; auth_request_set $user $upstream_http_x_user; proxy_set_header X-User $user;
             proxy_pass http://{app}; }}
           location = /_may {{ internal; proxy_pass http://{decider}/may; proxy_pass_request_body off;
             proxy_set_header Content-Length \"\"; proxy_set_header X-Original-URI $request_uri;
             proxy_set_header X-Original-Method $request_method; }} }}"
    );
    let _nginx = Server::nginx(&lines, tempfile::tempdir().unwrap(), &[listen]);
    let gateway = Gateway::start(&format!(
        "[proxy]\nlisten = [\"127.0.0.1:0\"]\n[[proxy.route]]\nname = \"app\"\nupstreams = [\"http://{app}\"]\n\
         auth = {{ forward = \"http://{decider}/may\", copy_headers = [\"X-User\"] }}\n"
    ));
    let mut passed = 0;
    for ask in asks() {
        let label = format!("{} {}", ask.method, ask.label());
        let before = served.lock().unwrap().len();
        let (there, (their_question, their_body)) = said(listen, &ask, &questions);
        let served_by_them = served.lock().unwrap().len() - before;
        let (here, (our_question, our_body)) = said(gateway.address, &ask, &questions);
        let served_by_us = served.lock().unwrap().len() - before - served_by_them;
        assert_eq!(served_by_us, served_by_them, "{label}: one lets in whom the other does not");
        for name in ["x-original-uri", "x-original-method", "cookie"] {
            assert_eq!(field(&our_question, name), field(&their_question, name), "{label}: {name}");
        }
        let first = |head: &str| head.split(" HTTP/").next().unwrap().to_owned();
        assert_eq!((first(&our_question), our_body), ("GET /may".to_owned(), 0), "{label}: {our_question}");
        assert_eq!((first(&their_question), their_body), ("GET /may".to_owned(), 0), "{label}");
        match here.status {
            // nginx calls whatever is neither 2xx nor 401 nor 403 a fault of its own.
            302 => {
                assert_eq!((there.status, here.field("location").as_str()), (500, "https://id.example/"), "{label}");
            }
            502 => assert_eq!(there.status, 500, "{label}"),
            status => {
                assert_eq!(status, there.status, "{label}");
                assert_eq!(here.field("www-authenticate"), there.field("www-authenticate"), "{label}");
            }
        }
        if here.status == 200 {
            passed += 1;
            assert_eq!(here.text(), there.text(), "{label}");
            assert!(!here.text().contains("root"), "{label}: {}", here.text());
        }
    }
    assert_eq!(passed, 12);
}
