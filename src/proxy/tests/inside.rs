//! Requests that are answered in this process.

use super::rig::{Rig, route};
use crate::{
    proxy::{Settings, table::BuiltIn},
    serve::{Body, HandlerFn, Request, Response, problem},
};
use bytes::Bytes;
use futures_util::stream;
use std::sync::Arc;

async fn answer(request: Request) -> Response {
    match request.path() {
        "/in/panic" => panic!("on purpose"),
        "/in/echo" => match request.body(8).await {
            Ok(body) => Response::new(Body::bytes(body)),
            Err(e) => problem(e.status(), "body", "Bad body", e.to_string()),
        },
        "/in/sized" => {
            Response::new(Body::sized(300_000, stream::iter((0..3).map(|n| Ok(Bytes::from(vec![n; 100_000]))))))
        }
        "/in/short" => Response::new(Body::sized(5, stream::iter([Ok(Bytes::from_static(b"abc"))]))),
        "/in/open" => {
            Response::new(Body::unsized_stream(stream::iter((0..3).map(|n| Ok(Bytes::from(format!("piece {n}\n")))))))
        }
        "/in/thread" => {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            Response::new(Body::bytes(name))
        }
        "/in/wait" => {
            request.stopping.cancelled().await;
            Response::new(Body::bytes("finished"))
        }
        path => {
            Response::new(Body::bytes(format!("{} {path} {:?}", request.method, request.peer.address.map(|a| a.ip()))))
        }
    }
}

fn rig() -> Rig {
    let handler = Arc::new(HandlerFn(answer));
    let built_in = BuiltIn { name: "(in)", path_prefix: "/in/", body_max: 1000, handler };
    Rig::with(vec![route(&[])], Settings::default(), vec![built_in])
}

#[test]
fn every_kind_of_answer_comes_whole_and_the_connection_stays() {
    let rig = rig();
    let mut client = rig.client();
    for _ in 0..3 {
        assert_eq!(client.get("/in/x?y").text(), "GET /in/x Some(127.0.0.1)");
        let sized = client.get("/in/sized");
        assert!(sized.whole && sized.body.len() == 300_000 && sized.body[299_999] == 2);
        let open = client.get("/in/open");
        assert_eq!((open.text(), open.field("transfer-encoding")), ("piece 0\npiece 1\npiece 2\n", Some("chunked")));
        client.send(b"HEAD /in/sized HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.answer(true);
        assert_eq!((head.status, head.field("content-length")), (200, Some("300000")));
        client.send(b"POST /in/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.answer(false).text(), "hello");
        client.send(b"POST /in/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(client.answer(false).text(), "hello");
        let failed = client.get("/in/panic");
        assert_eq!((failed.status, failed.field("content-type")), (500, Some("application/problem+json")));
    }
    assert_eq!(rig.get("/other").status, 503, "other paths have other routes");
}

#[test]
fn a_body_that_ends_early_cuts_the_connection() {
    let answer = rig().get("/in/short");
    assert_eq!((answer.status, answer.whole), (200, false));
}

#[test]
fn a_body_over_the_limit_is_refused_by_the_route_or_the_handler() {
    let rig = rig();
    let post = |n: usize| {
        rig.ask(&format!("POST /in/echo HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n{}", "z".repeat(n)))
    };
    assert_eq!((post(8).status, post(9).status, post(1001).status), (200, 413, 413));
}

#[test]
fn what_a_handler_cannot_be_asked_is_refused_and_counts_as_that() {
    let rig = rig();
    // A byte that a target may have on its way to others, though it stands in no URI.
    assert_eq!(rig.get("/in/<x").status, 400);
    rig.until_metric("skyvis_proxy_requests_total{route=\"(in)\",status=\"4xx\"}", 1.0);
    assert_eq!(rig.metric("skyvis_proxy_requests_refused_total{reason=\"target\"}"), 1.0);
}

#[test]
fn handlers_never_run_on_a_worker() {
    let name = rig().get("/in/thread").text().to_owned();
    assert!(!name.is_empty() && !name.starts_with("proxy-"), "{name}");
}

#[test]
fn stopping_ends_answers_that_wait_for_it() {
    let rig = rig();
    let mut clients: Vec<_> = (0..32).map(|_| rig.client()).collect();
    // Half of them have asked before, so that they are idle between two requests when the next one comes.
    clients.iter_mut().step_by(2).for_each(|client| assert_eq!(client.get("/in/x").status, 200));
    clients.iter_mut().for_each(|client| client.send(b"GET /in/wait HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(rig.stop());
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.answer(false).text(), "finished", "client {n}: what was sent before a stop is answered");
    }
}
