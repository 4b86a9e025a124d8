//! Peers that are slow, silent or rude. They cost themselves and not us: what the daemon has is bounded, and a good client
//! beside them is served.

use super::{
    number,
    origin::{Origin, ok},
    site::{Client, Site, route},
};
use crate::{
    base::TaskGroup,
    tests::{harness::until, soak::Usage},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// What a client that says little may take of us, in bytes, its kernel buffers aside.
/// A build for debugging keeps more in its tasks.
const BYTES_PER_SILENT_CLIENT_MAX: u64 = if cfg!(debug_assertions) { 9 << 10 } else { 3 << 10 };
/// What all of a flood may take, in bytes, of a few clients that say a lot.
const FLOOD_BYTES_MAX: u64 = 24 << 20;
/// What is sent of what does not end, in bytes: a head of 100 MiB, and the like.
const ENDLESS_BYTES: usize = 100 << 20;

struct Held {
    site: Site,
    tasks: TaskGroup,
    before: Usage,
}

impl Held {
    /// A daemon with an origin that serves `/`, warm.
    async fn new(proxy: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let site =
            Site::start(&format!("workers = 2\n{proxy}"), &(route("web", "/", "web") + "body_max = '1GiB'\n")).await;
        let tasks = TaskGroup::new();
        let origin = Origin::new(0, &tasks, Arc::new(answer)).await;
        site.register("web", "a", origin.address).await;
        for _ in 0..20 {
            assert_eq!(site.get("/").await, 200);
        }
        site.until_nobody_is_connected().await;
        let before = site.usage().await;
        Self { site, tasks, before }
    }

    /// A good client is served, and what the daemon has is within bounds.
    async fn is_well(&self, what: &str, bytes_max: u64) {
        let mut good = self.site.connect().await;
        for _ in 0..20 {
            let served = good.get("/good").await.map(|(status, _)| status);
            assert_eq!(served, Some(200), "beside {what}");
        }
        let now = self.site.usage().await;
        println!("hold: {what}: {now}, before {}", self.before);
        assert!(now.heap.bytes <= self.before.heap.bytes + bytes_max, "{what}: {:?} grew to {now:?}", self.before);
        let own = self.before.own_bytes + bytes_max + FLOOD_BYTES_MAX;
        assert!(now.own_bytes <= own, "{what}: {:?} grew to {now:?}", self.before);
    }

    async fn end(self) {
        self.site.until_nobody_is_connected().await;
        let after = self.site.usage().await;
        assert!(after.tasks <= self.before.tasks + 12, "{:?} grew to {after:?}", self.before);
        assert!(after.open_fds <= self.before.open_fds + 12, "{:?} grew to {after:?}", self.before);
        self.tasks.stop(Duration::from_secs(5)).await;
        self.site.stop().await;
    }
}

/// As the daemon does it for itself.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

async fn connect_from(from: [u8; 4], to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Sends the same again and again until it is refused or so much is sent; how much that was, and the answer.
async fn endless(site: &Site, head: &str, again: &[u8]) -> (usize, u16) {
    let mut client = site.connect().await;
    client.socket.write_all(head.as_bytes()).await.unwrap();
    let many = again.repeat((64 << 10) / again.len() + 1);
    let mut sent = 0;
    while sent < ENDLESS_BYTES && client.socket.write_all(&many).await.is_ok() {
        sent += many.len();
    }
    // Where it was cut while it went on sending, the answer may have been thrown away with the rest.
    let status = client.answer().await.map_or(0, |(status, _)| status);
    (sent, status)
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_heads_that_never_end_hold_next_to_nothing_and_end_in_their_time() {
    let count = number("HOLD_CLIENTS", 4_000);
    raise_descriptor_limit();
    let held = Held::new("header_timeout = '60s'", |_| ok("x")).await;
    let mut slow = Vec::new();
    for n in 0..count {
        let from = [127, 0, 2, u8::try_from(n % 250).unwrap() + 1];
        let mut socket = connect_from(from, held.site.proxy).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.unwrap();
        slow.push(socket);
    }
    until("all of them", || async {
        (held.site.metric("skyvis_proxy_connections_open ").await >= count as f64).then_some(())
    })
    .await;
    for byte in [&b"y"[..], b"y", b"y"] {
        for socket in &mut slow {
            socket.write_all(byte).await.unwrap();
        }
        held.is_well(&format!("{count} heads that come byte by byte"), count * BYTES_PER_SILENT_CLIENT_MAX).await;
    }
    // They were heads all along.
    for socket in slow.iter_mut().take(100) {
        socket.write_all(b"\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    drop(slow);
    held.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_full_of_slow_heads_still_has_a_place_for_who_asks() {
    let held = Held::new("header_timeout = '60s'\nmax_connections = 400", |_| ok("x")).await;
    let mut slow = Vec::new();
    for _ in 0..600 {
        let mut socket = TcpStream::connect(held.site.proxy).await.unwrap();
        // It may be turned away or ended already.
        let _ = socket.write_all(b"GET / HTTP/1.1\r\nHo").await;
        slow.push(socket);
    }
    for _ in 0..50 {
        assert_eq!(held.site.get("/").await, 200);
    }
    drop(slow);
    held.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_takes_its_share_of_connections_and_the_others_are_served() {
    let held = Held::new("max_connections_per_address = 50", |_| ok("x")).await;
    let mut flood = Vec::new();
    let mut turned_away = 0;
    for _ in 0..500 {
        let socket = connect_from([127, 0, 3, 1], held.site.proxy).await.unwrap();
        flood.push(socket);
    }
    for socket in &mut flood {
        let mut answer = [0; 12];
        let wait = tokio::time::timeout(Duration::from_millis(1), socket.read_exact(&mut answer)).await;
        turned_away += u32::from(matches!(wait, Ok(Ok(_))) && &answer == b"HTTP/1.1 429");
    }
    let counted = held.site.metric("skyvis_proxy_connections_turned_away_total{reason=\"address\"} ").await;
    assert!(turned_away <= 450 && counted == 450.0, "{counted}, and {turned_away} were told so");
    assert!(held.site.metric("skyvis_proxy_connections_open ").await <= 51.0);
    held.is_well("a flood of connections", FLOOD_BYTES_MAX).await;
    drop(flood);
    held.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_ended_and_takes_no_memory() {
    // It begins to answer a POST and does not end: what comes is the proxy's word on its body, and none that came before.
    let held = Held::new("", |head| if head.starts_with("POST ") { b"HTTP/1.1 ".to_vec() } else { ok("x") }).await;
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases = [
        ("a head of 100 MiB", "GET / HTTP/1.1\r\nHost: a\r\nX: ".to_owned(), &b"y"[..], 431),
        ("a target of 100 MiB", "GET /".to_owned(), b"y", 414),
        ("a head of fields without end", "GET / HTTP/1.1\r\nHost: a\r\n".to_owned(), b"X: y\r\n", 431),
        ("an extension without end", format!("{chunked}1;"), b"a=b;", 400),
        ("extensions without end", chunked.to_owned(), b"1;abcdefghijklmnopqrstuvwxyz\r\nx\r\n", 400),
        ("trailers without end", format!("{chunked}0\r\n"), b"X-Trailer: y\r\n", 431),
        ("a size without end", chunked.to_owned(), b"0", 400),
    ];
    for (what, head, again, wanted) in cases {
        let (sent, status) = endless(&held.site, &head, again).await;
        // Who answers reads on for a while, so that the answer is seen; a quarter of it would do.
        assert!(sent < ENDLESS_BYTES, "{what}: all of it was taken");
        assert!(status == wanted || status == 0, "{what}: {status}");
        held.is_well(what, FLOOD_BYTES_MAX).await;
    }
    for reason in [
        "line_too_long",
        "target_too_long",
        "too_many_fields",
        "extension_too_long",
        "trailers_too_large",
        "chunk_size",
    ] {
        let refused = held.site.metric(&format!("skyvis_proxy_requests_refused_total{{reason=\"{reason}\"}} ")).await;
        assert!(refused >= 1.0, "{reason} was not told");
    }
    held.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_a_row_that_nobody_reads_the_answers_of_stop_by_themselves() {
    let big = "x".repeat(200_000);
    let held = Held::new("", move |head| if head.contains("/good") { ok("x") } else { ok(&big) }).await;
    let mut floods: Vec<Client> = Vec::new();
    let many = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2_000);
    for _ in 0..200 {
        let mut client = held.site.connect().await;
        // As much as is taken at once; the rest waits for nothing.
        while tokio::time::timeout(Duration::from_millis(20), client.socket.write_all(many.as_bytes())).await.is_ok() {}
        floods.push(client);
    }
    held.is_well("200 clients that ask and do not read", FLOOD_BYTES_MAX).await;
    drop(floods);
    held.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_fall_silent_are_let_go_on_either_side() {
    let held = Held::new("header_timeout = '1s'\nidle_timeout = '1s'", |_| ok("x")).await;
    let mut silent = Vec::new();
    for n in 0..200 {
        let mut client = held.site.connect().await;
        if n % 2 == 0 {
            assert_eq!(client.get("/").await.map(|(status, _)| status), Some(200));
        }
        silent.push(client);
    }
    // Nobody says goodbye here: it is the daemon that ends them.
    held.site.until_nobody_is_connected().await;
    // An instance that takes connections and says nothing: whoever asks is told, and the next one is asked.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quick = route("mute", "/mute/", "mute") + "timeout = '300ms'\n" + &route("web", "/", "web");
    held.site.reload(&quick).await;
    held.site.register("mute", "a", mute.local_addr().unwrap()).await;
    assert_eq!(held.site.get("/mute/").await, 504);
    held.is_well("a mute instance", FLOOD_BYTES_MAX).await;
    drop(silent);
    held.end().await;
}
