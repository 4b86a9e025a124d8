//! A thousand open streams of etcd's protocol: what each costs, and that nothing of them is left.

use super::site::Site;
use crate::{
    base::TaskGroup,
    tests::{etcd::free_port, harness::until},
};
use bytes::Bytes;
use h2::{RecvStream, SendStream, client::SendRequest};
use std::time::Duration;
use tokio::net::TcpStream;

const CONNECTIONS: usize = 10;
const STREAMS: usize = 100;
/// What a stream may hold, its watch and its part of the connection among it. Its flow-control windows are promises alone.
const STREAM_BYTES_MAX: u64 = 16 << 10;
/// What may stay: tables that grew for so many.
const LEFT_BYTES_MAX: u64 = 2 << 20;

/// A watch of one key, which goes on.
struct Stream {
    _asks: SendStream<Bytes>,
    answers: RecvStream,
}

/// Opens one and waits until it says that it is there.
async fn open(client: &mut SendRequest<Bytes>) -> Stream {
    let request = http::Request::post("http://localhost/etcdserverpb.Watch/Watch")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (answer, mut asks) = client.send_request(request, false).unwrap();
    // Not compressed, five bytes: a request to create, which names a key of one byte.
    asks.send_data(Bytes::from_static(b"\0\0\0\0\x05\x0a\x03\x0a\x01k"), false).unwrap();
    let mut answers = answer.await.unwrap().into_body();
    let created = answers.data().await.expect("it goes on").unwrap();
    answers.flow_control().release_capacity(created.len()).unwrap();
    Stream { _asks: asks, answers }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_open_streams_cost_little_each_and_leave_nothing() {
    let address = free_port();
    let site = Site::start("", &format!("[registry]\netcd_listen = '{address}'\n")).await;
    let clients = TaskGroup::new();
    let before = site.usage().await;
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        let socket = TcpStream::connect(address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
        clients.spawn("connection", connection);
        for _ in 0..STREAMS {
            all.push(open(&mut client).await);
        }
    }
    let full = site.usage().await;
    let each = full.heap.bytes.saturating_sub(before.heap.bytes) / all.len() as u64;
    println!("hold: a stream takes {each} bytes");
    assert!(each <= STREAM_BYTES_MAX, "{before:?} grew to {full:?}");
    let (status, _) = site.api.put("/api/v1/kv/k", "v").await.expect("the API answers");
    assert!(status == 200 || status == 201, "{status}");
    for stream in &mut all {
        let heard = tokio::time::timeout(Duration::from_secs(60), stream.answers.data()).await.expect("it hears of it");
        assert!(!heard.expect("it goes on").unwrap().is_empty());
    }
    drop(all);
    assert!(clients.stop(Duration::from_secs(10)).await);
    until("the end of all streams", async || (site.usage().await.tasks <= before.tasks).then_some(())).await;
    let after = site.usage().await;
    assert!(after.heap.bytes <= before.heap.bytes + LEFT_BYTES_MAX, "{before:?} grew to {after:?}");
    site.stop().await;
}
