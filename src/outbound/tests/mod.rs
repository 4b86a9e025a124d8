//! Against servers of a few lines, which answer what a test wants.

mod tls;

use super::*;
use bytes::Bytes;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};

const HEAD: &str = "HTTP/1.1 200 OK\r\n";

fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(5),
        total: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        body_bytes_max: 100,
    }
}

fn get(path: &str) -> http::Request<Bytes> {
    http::Request::get(path).body(Bytes::new()).unwrap()
}

/// Takes connections one after the other; on each answers every request with the next of `answers`.
async fn server(answers: Vec<Vec<u8>>) -> (Client, tokio::task::JoinHandle<crate::base::task::End<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = crate::base::TaskGroup::new().spawn("server", async move {
        let mut seen = Vec::new();
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in answers {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            seen.push(String::from_utf8(head).unwrap());
            stream.write_all(&answer).await.unwrap();
        }
        seen
    });
    (Client::new(Address::Tcp { host: "127.0.0.1".into(), port }, limits()), seen)
}

#[tokio::test]
async fn one_connection_carries_several_requests_and_names_the_host() {
    let answer = format!("{HEAD}Content-Length: 2\r\n\r\nhi").into_bytes();
    let (client, seen) = server(vec![answer.clone(), answer]).await;
    let mut connection = client.connect().await.unwrap();
    for path in ["/a?b=1", "/c"] {
        assert_eq!(connection.request(get(path)).await.unwrap().body().as_ref(), b"hi");
    }
    let crate::base::task::End::Done(seen) = seen.await.unwrap() else { panic!("server panicked") };
    assert!(seen[0].starts_with("GET /a?b=1 HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].contains(&format!("Host: {}\r\n", client.address())), "{}", seen[0]);
    assert!(seen[1].starts_with("GET /c "));
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_whole_and_the_connection_is_closed() {
    let (client, seen) = server(vec![format!("{HEAD}\r\nto the end").into_bytes()]).await;
    let mut connection = client.connect().await.unwrap();
    assert_eq!(connection.request(get("/")).await.unwrap().body().as_ref(), b"to the end");
    seen.await.unwrap();
    assert!(!connection.is_open());
}

#[tokio::test]
async fn a_body_over_the_limit_names_the_limit_and_a_redirect_is_not_followed() {
    let long = [format!("{HEAD}Content-Length: 101\r\n\r\n").into_bytes(), vec![b'x'; 101]].concat();
    let (client, _seen) = server(vec![long]).await;
    let error = client.request(get("/")).await.unwrap_err();
    assert!(error.to_string().contains("100 bytes"), "{error}");
    let moved = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n".to_vec();
    let (client, _seen) = server(vec![moved]).await;
    assert_eq!(client.request(get("/")).await.unwrap().status(), 302);
}

#[tokio::test]
async fn garbage_and_an_early_end_are_the_peers_fault() {
    for garbage in [b"\x00\xff\xfe nonsense\r\n\r\n".to_vec(), format!("{HEAD}Content-Length: 9\r\n\r\nhalf").into()] {
        let (client, _seen) = server(vec![garbage]).await;
        let error = client.request(get("/")).await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error}");
        assert_eq!(error.kind(), crate::base::Kind::Peer);
    }
}

#[tokio::test]
async fn nobody_there_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let client = Client::new(Address::Tcp { host: "127.0.0.1".into(), port }, limits());
    let error = client.request(get("/")).await.unwrap_err();
    assert!(error.is_connect() && error.to_string().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn silence_ends_at_the_named_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let brief = Limits { total: Duration::from_millis(50), ..limits() };
    let client = Client::new(Address::Tcp { host: "127.0.0.1".into(), port }, brief);
    let mut connection = client.connect().await.unwrap();
    let error = connection.request(get("/")).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }) && error.to_string().contains("50ms"), "{error}");
    assert!(!connection.is_open(), "a late answer would be taken for the next one's");
}

#[tokio::test]
async fn a_download_comes_in_pieces_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let group = crate::base::TaskGroup::new();
    group.spawn("server", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..1000 {
            stream.write_all(format!("3e8\r\n{}\r\n", "y".repeat(1000)).as_bytes()).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    });
    // A download may be longer than what is read as a whole.
    let client = Client::new(Address::Unix(path), limits());
    let mut download = client.download(get("/")).await.unwrap().into_body();
    let mut bytes = 0;
    while let Some(piece) = download.next().await.unwrap() {
        bytes += piece.len();
    }
    assert_eq!(bytes, 1_000_000);
}
