//! A thousand who watch one stream in every way, many of whom take nothing: one session with the camera, one set of buffers,
//! and the recording lacks nothing.

use super::{
    KEY, TOKEN,
    client::{Message, Watcher},
    metric,
};
use crate::{
    outbound::{Address, Client, Limits},
    sim,
    tests::{
        harness::{Api, Process, Site, TELL_HEAP, nvr, until},
        heap::Heap,
    },
};
use bytes::Bytes;
use futures_util::future::join_all;
use std::{fs, net::SocketAddr, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const SOCKETS: usize = 300;
const PLAYERS: usize = 300;
const DEAF_SOCKETS: usize = 200;
const DEAF_PLAYERS: usize = 200;
/// What the daemon may take for all of them: what is kept of the stream for either way, and a connection's share for each.
const BYTES_MAX: u64 = 32 << 20;
const BYTES_PER_VIEWER_MAX: u64 = 64 << 10;

/// One who reads all that comes for a while.
async fn watch(proxy: SocketAddr, path: &str) {
    let mut watcher = Watcher::open(proxy, path).await;
    assert!(matches!(watcher.next().await, Some(Message::Text(_))));
    for _ in 0..100 {
        watcher.media().await;
    }
}

/// One who plays segments: asks for each part as soon as it is told of, and for the playlist that names it.
async fn play(proxy: SocketAddr, playlist: &str) {
    let client = Client::new(Address::Tcp { host: proxy.ip().to_string(), port: proxy.port() }, Limits::default());
    let get = async |path: String| {
        let answer = client.request(http::Request::get(path).body(Bytes::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body()
    };
    let mut text = String::from_utf8(get(playlist.to_owned()).await.to_vec()).unwrap();
    for _ in 0..6 {
        let hint = text.split("TYPE=PART,URI=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let (segment, part) = hint.trim_start_matches("live/").split_once('.').unwrap();
        let part = part.split('.').next().unwrap();
        let next = get(format!("{playlist}&_HLS_msn={segment}&_HLS_part={part}"));
        let (next, media) = tokio::join!(next, get(format!("/media/{KEY}/{hint}")));
        assert_eq!(&media[4..8], b"moof");
        text = String::from_utf8(next.to_vec()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_viewers_are_one_session_and_cost_the_recording_nothing() {
    let site = Site::new(sim::Options { bits_per_second: 500_000, ..nvr(1) }).await;
    let text =
        site.config("[playback]\ntoken = 'live-and-let-live'").replace("listen = []", "listen = ['127.0.0.1:0']");
    fs::write(site.config_file(), text).unwrap();
    let (log, told) = (site.dir.path().join("log"), site.dir.path().join("heap"));
    let mut process = Process::start(&site.config_file(), &log, &[(TELL_HEAP, told.to_str().unwrap())]);
    let api: Api = site.api();
    api.until_state(KEY, "running").await;
    let log = process.log_text();
    let proxy = log.split_once("proxy=[").unwrap().1.split_once(']').unwrap().0;
    let proxy: SocketAddr = proxy.parse().unwrap();
    let heap = async || {
        let _ = fs::remove_file(&told);
        until("its heap", || async { Heap::told(&told) }).await.bytes
    };
    let before = heap().await;

    let socket = format!("/media/{KEY}/live.ws?token={TOKEN}");
    let playlist = format!("/media/{KEY}/live.m3u8?token={TOKEN}");
    let deaf_sockets = join_all((0..DEAF_SOCKETS).map(|_| Watcher::open(proxy, &socket))).await;
    let deaf_players = join_all((0..DEAF_PLAYERS).map(|_| async {
        let mut connection = TcpStream::connect(proxy).await.unwrap();
        let ask = format!("GET {playlist} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(20);
        connection.write_all(ask.as_bytes()).await.unwrap();
        connection
    }))
    .await;
    let watching = join_all((0..SOCKETS).map(|_| watch(proxy, &socket)));
    let playing = join_all((0..PLAYERS).map(|_| play(proxy, &playlist)));
    let most = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let viewers = metric(&api, "live_viewers").await;
        (heap().await, viewers, api.stream(KEY).await["readers"].clone())
    };
    let (_, _, (most, viewers, readers)) = tokio::join!(watching, playing, most);
    assert_eq!(readers, 3, "the recorder, one for all segments, one for all sockets");
    assert_eq!(site.nvr.sessions_open(1), 1);
    let all = (SOCKETS + PLAYERS + DEAF_SOCKETS + DEAF_PLAYERS) as u64;
    let taken = most.saturating_sub(before);
    println!("{viewers} sockets at once; a thousand viewers take {} KiB of memory", taken >> 10);
    assert!(taken < BYTES_MAX + all * BYTES_PER_VIEWER_MAX, "{taken} bytes");
    drop((deaf_sockets, deaf_players));
    until("all are gone", || async { (metric(&api, "live_viewers").await == 0).then_some(()) }).await;
    assert!(process.terminate().await);
    site.assert_nothing_is_missing(KEY);
    site.stop().await;
}
