//! What is too much is refused in etcd's words, and nothing is held for it.

use super::{
    peer::{one, put},
    *,
};
use crate::etcd::{
    calls::WATCH,
    wire::{PutRequest, Request, RequestOp, TxnRequest, WatchResponse},
};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

#[tokio::test]
async fn long_values_and_long_transactions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let value = |bytes: usize| PutRequest { key: "k".into(), value: vec![1; bytes].into(), ..PutRequest::default() };
    let refused = peer.put(&value(2 << 20)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().starts_with("grpc: received message larger than max (20971"), "{}", refused.message());
    let refused = peer.put(&value(1_600_000)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "etcdserver: request is too large"));
    peer.put(&value(1_572_764)).await.unwrap();
    let op = |i: usize| RequestOp { request: Some(Request::Put(put(&format!("k{i}"), ""))) };
    let txn = TxnRequest { success: (0..10_000).map(op).collect(), ..TxnRequest::default() };
    let refused = peer.txn(&txn).await.unwrap_err();
    let said = "etcdserver: too many operations in txn request";
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, said));
    let refused = peer.set_long_key().await;
    assert_eq!(refused, Code::InvalidArgument, "a key that the store has no room for");
    assert_eq!(room.registry.revision(), 2, "nothing of it was done");
    room.end().await;
}

impl Peer {
    async fn set_long_key(&self) -> Code {
        self.put(&put(&"k".repeat(600), "v")).await.unwrap_err().code()
    }
}

/// Bytes that are no protocol cost their own connection, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_ends_its_own_connection() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let frame = |kind: u8, body: &[u8]| {
        let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 1]);
        frame.extend(body);
        frame
    };
    let cases = [
        b"PRI * HTTP/2.0\r\n\r\nnonsense nonsense nonsense".to_vec(),
        [&preface[..], &[0xff; 64]].concat(),
        [&preface[..], &frame(4, &[]), &frame(1, &[0xff; 40])].concat(),
        [&preface[..], &frame(4, &[1, 2, 3])].concat(),
        b"\0\0\0\0\0".to_vec(),
        b"PR".to_vec(),
        b"POST /v3/kv/put HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n{{{{{".to_vec(),
    ];
    for nonsense in cases {
        let mut socket = tokio::net::TcpStream::connect(room.address).await.unwrap();
        // Whether it takes all of it before it hangs up does not matter.
        let _ = socket.write_all(&nonsense).await;
        let _ = socket.shutdown().await;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("it is hung up on");
    }
    // Messages that are none, on a connection that is one.
    let asked = futures_util::stream::iter([Bytes::from_static(b"\xff\xff\xff")]);
    let mut answers = peer.stream::<WatchResponse>(WATCH, asked).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap_err().code(), Code::Internal);
    assert!(peer.range(&one("k")).await.is_ok(), "others are served as before");
    room.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_open_streams_are_served_beside_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let mut streams = Vec::new();
    for i in 0..1_000 {
        streams.push(peer.watch(&format!("k{i}"), "", 0).await);
    }
    let writer = room.client().await;
    for i in [0, 500, 999] {
        writer.set(&format!("k{i}"), "v").await;
        assert_eq!(streams[i].events(1).await.len(), 1);
    }
    drop(streams);
    room.end().await;
}

#[tokio::test]
async fn a_watch_by_json_ends_with_its_client() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin_with(dir.path(), Limits { connections_max: 1, ..Limits::default() }).await;
    let body = r#"{"create_request": {"key": "aw=="}}"#;
    let head = format!("POST /v3/watch HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    // One that closes, and one whose host says that it knows of no such connection; each needs the place of the other.
    for is_reset in [false, true, false] {
        let mut socket = tokio::net::TcpStream::connect(room.address).await.unwrap();
        socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        let created = async {
            while !answer.contains(r#""created":true"#) {
                let mut piece = [0; 512];
                let n = socket.read(&mut piece).await.unwrap();
                answer += std::str::from_utf8(&piece[..n]).unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, created).await.expect("there is a place");
        socket2::SockRef::from(&socket).set_linger(is_reset.then_some(Duration::ZERO)).unwrap();
    }
    room.end().await;
}
