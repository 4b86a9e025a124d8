//! What cameras send now, as players, curl and a browser see it: HLS of low latency, and links to it.

use super::{
    harness::{Api, Site, nvr, until},
    real_peers::{peer, python},
};
use crate::{
    app::Daemon,
    model::VideoCodec,
    outbound::{Address, Client, Limits},
    sim,
};
use bytes::Bytes;
use std::net::SocketAddr;

pub(super) const KEY: &str = "nvr/1/main";
pub(super) const TOKEN: &str = "live-and-let-live";

pub(super) async fn open(site: &Site) -> (Daemon, Api, SocketAddr) {
    let text = site.config("[playback]\ntoken = 'live-and-let-live'");
    let text = text.replace("listen = []", "listen = ['127.0.0.1:0']\nworkers = 1");
    let daemon = site.daemon_of(&text).await;
    let proxy = daemon.proxy_addresses()[0];
    let api = site.api();
    api.until_state(KEY, "running").await;
    (daemon, api, proxy)
}

fn client(proxy: SocketAddr) -> Client {
    Client::new(Address::Tcp { host: proxy.ip().to_string(), port: proxy.port() }, Limits::default())
}

async fn get(client: &Client, path: &str) -> (u16, Bytes) {
    let answer = client.request(http::Request::get(path).body(Bytes::new()).unwrap()).await.unwrap();
    (answer.status().as_u16(), answer.into_body())
}

async fn playlist(client: &Client, query: &str) -> String {
    let (status, text) = get(client, &format!("/media/{KEY}/live.m3u8?token={TOKEN}{query}")).await;
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert_eq!(status, 200, "{text}");
    text
}

/// The number of the segment and of the part that come next.
fn next_of(playlist: &str) -> (u64, u64) {
    let hint = playlist.split("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"live/").nth(1).unwrap();
    let mut numbers = hint.split('.').map(|n| n.parse::<u64>());
    (numbers.next().unwrap().unwrap(), numbers.next().unwrap().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_is_waited_for_part_by_part_and_its_hint_is_kept() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, proxy) = open(&site).await;
    let client = client(proxy);
    assert_eq!(get(&client, &format!("/media/{KEY}/live.m3u8")).await.0, 401);
    assert_eq!(get(&client, &format!("/media/nvr/9/main/live.m3u8?token={TOKEN}")).await.0, 503, "no such camera");
    let mut text = playlist(&client, "").await;
    for _ in 0..6 {
        let (segment, part) = next_of(&text);
        let hint = text.split("TYPE=PART,URI=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        // Both are asked for before they are there.
        let query = format!("&_HLS_msn={segment}&_HLS_part={part}");
        let path = format!("/media/{KEY}/{hint}");
        let (newer, (status, bytes)) = tokio::join!(playlist(&client, &query), get(&client, &path));
        assert!(next_of(&newer) > (segment, part), "{newer}");
        assert!(status == 200 && bytes.len() > 100 && &bytes[4..8] == b"moof", "{status}");
        text = newer;
    }
    let (segment, _) = next_of(&text);
    let whole = playlist(&client, &format!("&_HLS_msn={segment}")).await;
    assert!(whole.contains(&format!("\nlive/{segment}.m4s?")), "{whole}");
    let far = format!("/media/{KEY}/live.m3u8?token={TOKEN}&_HLS_msn={}", segment + 100);
    assert_eq!(get(&client, &far).await.0, 400, "nobody waits for that");
    let odd = format!("/media/{KEY}/live.m3u8?token={TOKEN}&_HLS_part=1");
    assert_eq!(get(&client, &odd).await.0, 400);
    // A delta says what is new to who knows the rest.
    let delta = until("a playlist that is long enough", || async {
        let delta = playlist(&client, "&_HLS_skip=YES").await;
        delta.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=").then_some(delta)
    })
    .await;
    assert!(!delta.contains("#EXT-X-MAP"), "it is known already: {delta}");
    assert_eq!(api.stream(KEY).await["readers"], 2, "the recorder, and one for all who watch");
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_what_is_live() {
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let site = Site::new(sim::Options { codec, audio: true, ..nvr(1) }).await;
        let (daemon, _, proxy) = open(&site).await;
        let out = tokio::process::Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(format!("http://{proxy}/media/{KEY}/live.m3u8?token={TOKEN}"))
            .args(["-t", "6", "-f", "framemd5", "-"])
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let frames = |track: &str| text.lines().filter(|line| line.starts_with(track)).count();
        assert!(frames("0,") >= 140, "{} pictures: {}", frames("0,"), String::from_utf8_lossy(&out.stderr));
        assert!(frames("1,") >= 60, "{} sounds", frames("1,"));
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{codec:?}");
        daemon.stop().await;
        site.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_watch_and_many_who_do_not_read_cost_one_reader_and_no_frame() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, proxy) = open(&site).await;
    let one = client(proxy);
    let text = playlist(&one, "").await;
    let (segment, _) = next_of(&text);
    let mut deaf = Vec::new();
    for _ in 0..300 {
        let mut socket = tokio::net::TcpStream::connect(proxy).await.unwrap();
        let path = format!("/media/{KEY}/live.m3u8?token={TOKEN}&_HLS_msn={segment}");
        let asked = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(3);
        tokio::io::AsyncWriteExt::write_all(&mut socket, asked.as_bytes()).await.unwrap();
        deaf.push(socket);
    }
    let watch = async || {
        let client = client(proxy);
        let mut text = playlist(&client, "").await;
        for _ in 0..5 {
            let (segment, part) = next_of(&text);
            text = playlist(&client, &format!("&_HLS_msn={segment}&_HLS_part={part}")).await;
        }
    };
    futures_util::future::join_all((0..100).map(|_| watch())).await;
    assert_eq!(api.stream(KEY).await["readers"], 2);
    drop(deaf);
    daemon.stop().await;
    site.assert_nothing_is_missing(KEY);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_ends_when_nobody_watches_and_goes_on_when_the_camera_is_back() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, proxy) = open(&site).await;
    let client = client(proxy);
    let (before, _) = next_of(&playlist(&client, "").await);
    api.send("POST", "/api/v1/devices/nvr/reconnect", &[]).await.unwrap();
    let text = until("a discontinuity", || async {
        let text = playlist(&client, "").await;
        text.contains("#EXT-X-DISCONTINUITY\n").then_some(text)
    })
    .await;
    assert!(next_of(&text).0 > before);
    until("the show has ended", || async { (api.stream(KEY).await["readers"] == 1).then_some(()) }).await;
    let (again, _) = next_of(&playlist(&client, "").await);
    assert!(again > next_of(&text).0, "numbers never go back");
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_js_has_nothing_against_it_and_goes_by_parts() {
    let site = Site::new(sim::Options { audio: true, ..nvr(1) }).await;
    let pages = site.dir.path().join("pages");
    std::fs::create_dir(&pages).unwrap();
    let player = python().with_file_name("").join("../npm/node_modules/hls.js/dist/hls.min.js");
    std::fs::copy(&player, pages.join("hls.min.js"))
        .unwrap_or_else(|e| panic!("{e}: run ./test once, it installs hls.js"));
    std::fs::copy(peer("hls_judge.html"), pages.join("hls_judge.html")).unwrap();
    let route = format!(
        "[[proxy.route]]\nname = 'judge'\npath_prefix = '/judge/'\nstrip_prefix = '/judge'\ndir = '{}'\n",
        pages.display()
    );
    let text = site.config(&format!("[playback]\ntoken = '{TOKEN}'\n{route}"));
    let daemon = site.daemon_of(&text.replace("listen = []", "listen = ['127.0.0.1:0']\nworkers = 1")).await;
    let proxy = daemon.proxy_addresses()[0];
    site.api().until_state(KEY, "running").await;
    let out = tokio::process::Command::new(python())
        .arg(peer("hls_judge.py"))
        .arg(format!("http://{proxy}/judge/hls_judge.html?src=/media/{KEY}/live.m3u8%3Ftoken={TOKEN}"))
        .output()
        .await
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}");
    println!("{said}");
    daemon.stop().await;
    site.stop().await;
}
