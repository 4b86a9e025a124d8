//! The server against raw sockets.

use super::*;
use http::StatusCode;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    done: tokio::task::JoinHandle<crate::base::task::End<()>>,
    _group: crate::base::TaskGroup,
}

async fn start(limits: Limits) -> Running {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), ListenerKind::Admin).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let group = crate::base::TaskGroup::new();
    let done = group.spawn("server", Server::run(listener, Arc::new(HandlerFn(answer)), limits, stop.clone()));
    Running { address, stop, done, _group: group }
}

async fn answer(request: Request) -> Response {
    match request.path() {
        "/panic" => panic!("on purpose"),
        "/echo" => match request.body(8).await {
            Ok(body) => Response::new(Body::bytes(body)),
            Err(e) => problem(e.status(), "body", "Bad body", e.to_string()),
        },
        "/endless" => Response::new(Body::unsized_stream(futures_util::stream::repeat_with(|| {
            Ok(bytes::Bytes::from_static(&[0; 65536]))
        }))),
        "/wait" => {
            request.stopping.cancelled().await;
            Response::new(Body::bytes("finished"))
        }
        path => Response::new(Body::bytes(format!("hello {path}"))),
    }
}

/// Sends `wire` and reads until the server closes.
async fn exchange(address: SocketAddr, wire: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(wire.as_bytes()).await.unwrap();
    let mut out = Vec::new();
    // A reset behind the answer is as good as an end.
    let _ = socket.read_to_end(&mut out).await;
    String::from_utf8_lossy(&out).into_owned()
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_connection_goes_on() {
    let running = start(Limits::default()).await;
    let wire = "GET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(running.address, wire).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("urn:skyvis:problem:internal") && answer.ends_with("hello /next"), "{answer}");
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let running = start(Limits::default()).await;
    let answer = exchange(running.address, "HEAD /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("content-length: 8\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn ambiguous_heads_are_400_and_close() {
    let running = start(Limits::default()).await;
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let answer = exchange(running.address, &format!("{head}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
        assert!(!answer.contains("smuggled"), "{head:?}: {answer}");
    }
}

#[tokio::test]
async fn limits_on_heads_and_bodies() {
    let running = start(Limits::default()).await;
    let many: String = (0..150).map(|i| format!("X-{i}: y\r\n")).collect();
    let answer = exchange(running.address, &format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = "y".repeat(40_000);
    let answer = exchange(running.address, &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let post = |n: usize| {
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {n}\r\n\r\n{}", "z".repeat(n))
    };
    assert!(exchange(running.address, &post(8)).await.ends_with("zzzzzzzz"));
    assert!(exchange(running.address, &post(9)).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn slow_heads_idle_connections_and_stalled_readers_are_cut() {
    let short = Duration::from_millis(50);
    let limits = Limits { header_timeout: short, idle_timeout: short, write_stall_timeout: short, ..Limits::default() };
    let running = start(limits).await;
    // Each of these would hang for ever if the connection were not cut.
    assert_eq!(exchange(running.address, "").await, "");
    assert_eq!(exchange(running.address, "GET / HTTP/1.1\r\nHo").await, "");
    assert!(exchange(running.address, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("hello /a"));
    let mut stalled = TcpStream::connect(running.address).await.unwrap();
    stalled.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    while stalled.write_all(b"x").await.is_ok() {
        tokio::task::yield_now().await;
        let mut probe = [0; 0];
        let _ = stalled.try_read(&mut probe);
    }
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight() {
    let running = start(Limits::default()).await;
    let mut socket = TcpStream::connect(running.address).await.unwrap();
    socket.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    // The request is in flight once a second one, sent later, has been answered.
    exchange(running.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    running.stop.cancel();
    let mut out = String::new();
    socket.read_to_string(&mut out).await.unwrap();
    assert!(out.ends_with("finished"), "{out}");
    running.done.await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_full_house_makes_room_by_closing_idle_connections() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let running = start(limits).await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 8];
    idle.read_exact(&mut first).await.unwrap();
    let answer = exchange(running.address, "GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("hello /b"), "{answer}");
}

#[test]
fn problems_are_json_of_the_standard() {
    let response = problem(StatusCode::NOT_FOUND, "not-found", "Not found", "no stream `x`");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.status(), 404);
}
