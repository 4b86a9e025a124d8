//! A write of the registry is answered once the proxy serves by it: the very next request knows of it.

use super::gate::{ALL_TO_WEB, Gate, get};
use crate::{
    base::TaskGroup,
    outbound::{Address, Client, Connection, Limits},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Writes of each kind; more by hand: `WRITES=10000 ./test next_request`.
fn writes() -> usize {
    std::env::var("WRITES").ok().and_then(|n| n.parse().ok()).unwrap_or(500)
}

/// Connections that stay, over which the requests go in turn: each worker has some of them.
const CONNECTIONS: usize = 8;
/// Backends, of which one is registered at a time.
const BACKENDS: usize = 4;

/// Answers every request with its number.
async fn backend(group: &TaskGroup, number: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (inner, stop) = (group.clone(), group.stop_token());
    group.spawn("backend", async move {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (mut socket, stop) = (accepted.unwrap().0, stop.clone());
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            inner.spawn("talk", async move {
                let mut asked = Vec::new();
                loop {
                    let read = tokio::select! {
                        () = stop.cancelled() => return,
                        read = socket.read_buf(&mut asked) => read,
                    };
                    if !matches!(read, Ok(1..)) {
                        return;
                    }
                    if asked.ends_with(b"\r\n\r\n") {
                        asked.clear();
                        if socket.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    port
}

/// The API over a connection that stays.
async fn api(gate: &Gate) -> Connection {
    let socket = Address::Unix(gate.dir.path().join("admin.sock"));
    Client::new(socket, Limits::default()).connect().await.unwrap()
}

async fn write(api: &mut Connection, method: &str, body: String) -> Value {
    let request = http::Request::builder().method(method).uri("/api/v1/services/web/instances/one").body(body.into());
    let answer = api.request(request.unwrap()).await.unwrap();
    let view: Value = serde_json::from_slice(answer.body()).unwrap();
    assert!(answer.status() == 200 && view["served"] == true, "{view}");
    view
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_after_a_registration_goes_there_and_after_a_deregistration_does_not() {
    let gate = Gate::open(ALL_TO_WEB).await;
    let group = TaskGroup::new();
    let mut ports = Vec::new();
    for number in 0..BACKENDS {
        ports.push(backend(&group, number).await);
    }
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(gate.connection().await);
    }
    let mut api = api(&gate).await;
    let mut wrong = Vec::new();
    for n in 0..writes() {
        let connection = &mut connections[n % CONNECTIONS];
        let number = n % BACKENDS;
        write(&mut api, "PUT", json!({ "address": "127.0.0.1", "port": ports[number] }).to_string()).await;
        let answer = get(connection, "/").await;
        if answer != (200, number.to_string()) {
            wrong.push((n, "registered", answer));
        }
        // Every other time it moves to the next backend without leaving.
        if n % 2 == 0 {
            write(&mut api, "DELETE", String::new()).await;
            let (status, body) = get(connection, "/").await;
            if status != 503 || !body.contains("web") {
                wrong.push((n, "deregistered", (status, body)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} went wrong, the first: {:?}", wrong.len(), writes(), wrong.first());
    drop(connections);
    assert!(group.stop(Duration::from_secs(10)).await);
    gate.close().await;
}
