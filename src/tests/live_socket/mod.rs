//! What cameras send now, picture by picture over WebSocket: as others speak it, to quick and slow ones, and in a browser.

mod client;
mod crowd;

use self::client::{Message, Watcher};
use super::{
    harness::{Api, PATIENCE, Site, nvr, until},
    live::{KEY, TOKEN, open},
    real_peers::{GstCamera, peer, python},
    site::peers::{Authority, Made, free_address},
};
use crate::{
    media::tests::decoded_frames,
    model::VideoCodec,
    sim::{self, Mark},
};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn path() -> String {
    format!("/media/{KEY}/live.ws?token={TOKEN}")
}

/// The number of a picture, and whether decoding can begin with it.
fn picture(media: &[u8]) -> (u64, bool) {
    (Mark::find(skip_boxes(media)).expect("every picture of the simulator is marked").counter, &media[4..8] == b"prft")
}

/// What is in `mdat`.
fn skip_boxes(media: &[u8]) -> &[u8] {
    let len = u32::from_be_bytes(media[..4].try_into().unwrap()) as usize;
    if &media[4..8] == b"mdat" { &media[8..len] } else { skip_boxes(&media[len..]) }
}

/// How a connection ends, which it does.
async fn end_of(watcher: &mut Watcher) -> Option<Message> {
    let end = async {
        loop {
            match watcher.next().await {
                Some(Message::Binary(_)) => {}
                end => return end,
            }
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("it goes on and on")
}

async fn metric(api: &Api, name: &str) -> u64 {
    let metrics = String::from_utf8(api.get("/metrics").await.to_vec()).unwrap();
    let line = metrics.lines().find(|line| line.starts_with(&format!("skyvis_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_gets_the_codecs_and_the_current_group_at_once_and_every_picture_from_then_on() {
    // The next key frame comes in an hour: who would wait for one would wait in vain.
    let site = Site::new(sim::Options { key_interval: Duration::from_secs(3600), ..nvr(1) }).await;
    let (daemon, api, proxy) = open(&site).await;
    let mut first = Vec::new();
    for _ in 0..3 {
        let mut watcher = Watcher::open(proxy, &path()).await;
        let Some(Message::Text(text)) = watcher.next().await else { panic!("no text first") };
        assert!(text.starts_with("video/mp4; codecs=\"avc1.") && text.ends_with('"'), "{text}");
        assert_eq!(&watcher.media().await[4..8], b"ftyp");
        let (begin, key) = picture(&watcher.media().await);
        assert!(key, "it begins with a key frame");
        for n in 1..40 {
            assert_eq!(picture(&watcher.media().await), (begin + n, false));
        }
        first.push(begin);
    }
    assert!(first.iter().all(|begin| *begin == first[0]), "one group for all: {first:?}");
    assert_eq!(api.stream(KEY).await["readers"], 2, "the recorder, and one for all who watch");
    until("the flow has ended", || async { (api.stream(KEY).await["readers"] == 1).then_some(()) }).await;
    daemon.stop().await;
    site.assert_nothing_is_missing(KEY);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_client_of_websocket_gets_what_ffmpeg_decodes() {
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let site = Site::new(sim::Options { codec, audio: true, ..nvr(1) }).await;
        let (daemon, _, proxy) = open(&site).await;
        let file = site.dir.path().join("live.mp4");
        let out = tokio::process::Command::new(python())
            .arg(peer("websocket_end.py"))
            .args(["watch", &format!("ws://{proxy}{}", path()), "102"])
            .arg(&file)
            .output()
            .await
            .unwrap();
        let (said, complained) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{complained}");
        let codecs = if codec == VideoCodec::H264 { "codecs=\"avc1." } else { "codecs=\"hvc1." };
        assert!(said.contains(codecs) && said.trim_end().ends_with(",mp4a.40.2\""), "{said}");
        assert_eq!(decoded_frames(&file), 100);
        daemon.stop().await;
        site.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_skips_to_a_key_frame_and_who_does_not_read_is_cut() {
    // More than sockets hold.
    let site = Site::new(sim::Options { bits_per_second: 24_000_000, ..nvr(1) }).await;
    let (daemon, api, proxy) = open(&site).await;
    let mut slow = Watcher::open(proxy, &path()).await;
    let deaf = Watcher::open(proxy, &path()).await;
    let mut quick = Watcher::open(proxy, &path()).await;
    for watcher in [&mut slow, &mut quick] {
        assert!(matches!(watcher.next().await, Some(Message::Text(_))));
        assert_eq!(&watcher.media().await[4..8], b"ftyp");
    }
    let (begin, _) = picture(&quick.media().await);
    for n in 1..150 {
        assert_eq!(picture(&quick.media().await).0, begin + n, "who reads loses nothing");
    }
    let (mut last, _) = picture(&slow.media().await);
    let skipped = loop {
        let (now, key) = picture(&slow.media().await);
        if now != last + 1 {
            assert!(key, "{now} behind {last} is no key frame");
            break now - last - 1;
        }
        last = now;
    };
    assert!(skipped >= 25, "{skipped}");
    assert_eq!(
        (metric(&api, "live_viewer_skips_total").await, metric(&api, "live_viewer_skipped_frames_total").await),
        (1, skipped)
    );
    drop((slow, quick));
    until("who does not read is cut", || async { (metric(&api, "live_viewers").await == 0).then_some(()) }).await;
    drop(deaf);
    daemon.stop().await;
    site.assert_nothing_is_missing(KEY);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_needs_what_a_playlist_needs_and_ends_with_its_play() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, proxy) = open(&site).await;
    assert_eq!(Watcher::ask(proxy, &format!("/media/{KEY}/live.ws")).await.0, 401);
    assert_eq!(Watcher::ask(proxy, &format!("/media/nvr/9/main/live.ws?token={TOKEN}")).await.0, 503);
    let plain = crate::outbound::Client::new(
        crate::outbound::Address::Tcp { host: proxy.ip().to_string(), port: proxy.port() },
        Default::default(),
    );
    let answer = plain.request(http::Request::get(path()).body(Default::default()).unwrap()).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["upgrade"]), (426, &"websocket".parse().unwrap()));

    let asked = json!({ "stream": KEY, "live": true, "password": "Gehe im+1", "max_viewers": 1 });
    let (_, play) = api.with_body("POST", "/api/v1/plays", asked.to_string()).await.unwrap();
    let play: Value = serde_json::from_slice(&play).unwrap();
    let id = play["id"].as_str().unwrap();
    assert_eq!(Watcher::ask(proxy, &format!("/vod/{id}/live.ws")).await.0, 401);
    let path = format!("/vod/{id}/live.ws?password=Gehe%20im%2B1");
    let mut watcher = Watcher::open(proxy, &path).await;
    assert!(matches!(watcher.next().await, Some(Message::Text(_))));
    for _ in 0..30 {
        watcher.media().await;
    }
    assert_eq!(Watcher::ask(proxy, &path).await.0, 429, "there is one place");
    until("what was seen has a length", || async {
        let view = api.json(&format!("/api/v1/plays/{id}/views")).await["items"][0].clone();
        let at = |key: &str| view[key].as_str().unwrap().parse::<crate::base::Wall>().unwrap();
        (view["bytes"].as_u64()? > 2_000 && at("to").micros_since(at("from")) > 1_000_000).then_some(())
    })
    .await;
    let (status, _) = api.send("DELETE", &format!("/api/v1/plays/{id}"), &[]).await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(end_of(&mut watcher).await, Some(Message::Close(1001)));
    assert_eq!(watcher.next().await, None);
    assert_eq!(Watcher::ask(proxy, &path).await.0, 410);
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_comes_back_goes_on_in_the_same_socket_and_a_stop_says_goodbye() {
    let site = Site::new(nvr(1)).await;
    let text = site.config("").replace(&format!("unix:{}/admin.sock", site.dir.path().display()), "127.0.0.1:0");
    let daemon = site.daemon_of(&text).await;
    // At the admin endpoint, where this host needs no token.
    let admin = daemon.admin_address().unwrap();
    let path = format!("/media/{KEY}/live.ws");
    let mut watcher = until("the camera is there", || async {
        let (status, watcher) = Watcher::ask(admin, &path).await;
        (status == 101).then_some(watcher)
    })
    .await;
    assert!(matches!(watcher.next().await, Some(Message::Text(_))));
    watcher.media().await;
    let (mut last, _) = picture(&watcher.media().await);
    site.nvr.channel(1, sim::ChannelFault::Drop).unwrap();
    loop {
        let (now, key) = picture(&watcher.media().await);
        if now != last + 1 {
            assert!(key && now > last);
            break;
        }
        last = now;
    }
    let ((), end) = tokio::join!(async { assert!(daemon.stop().await) }, end_of(&mut watcher));
    assert_eq!(end, Some(Message::Close(1001)));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_it_is_the_same() {
    let site = Site::new(sim::Options { audio: true, ..nvr(1) }).await;
    let (dir, at) = (site.dir.path(), free_address());
    Authority::new(dir).issue("cert", "localhost", Made::Well);
    let tls = format!(
        "[playback]\ntoken = '{TOKEN}'\n[[proxy.tls]]\nlisten = '{at}'\nserver_name = ['localhost']\n\
         cert = '{dir}/cert.pem'\nkey = '{dir}/cert.key'\n",
        dir = dir.display()
    );
    let daemon = site.daemon(&tls).await;
    site.api().until_state(KEY, "running").await;
    let file = dir.join("live.mp4");
    let out = tokio::process::Command::new(python())
        .env("SSL_CERT_FILE", dir.join("ca.pem"))
        .arg(peer("websocket_end.py"))
        .args(["watch", &format!("wss://localhost:{}{}", at.port(), path()), "102"])
        .arg(&file)
        .output()
        .await
        .unwrap();
    let (said, complained) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{complained}");
    assert!(said.contains("codecs=\"avc1.") && said.trim_end().ends_with(",mp4a.40.2\""), "{said}");
    assert_eq!(decoded_frames(&file), 100);
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn motion_jpeg_is_refused_with_the_reason_by_every_live_way() {
    let camera = GstCamera::start("mjpeg", "none");
    let site = Site::new(sim::Options { kind: sim::DeviceKind::Camera, ..nvr(1) }).await;
    let text = site
        .config("[playback]\nrtsp_listen = '127.0.0.1:0'")
        .replace("kind = 'nvr'", "kind = 'camera'")
        .replace(&format!("unix:{}/admin.sock", site.dir.path().display()), "127.0.0.1:0")
        .replace(&format!("rtsp_port = {}", site.nvr.rtsp_addr.port()), &format!("rtsp_port = {}", camera.port));
    let daemon = site.daemon_of(&text).await;
    let admin = daemon.admin_address().unwrap();
    let path = |name: &str| format!("/media/{KEY}/{name}");
    // Before the camera is there, it is that.
    until("the camera is there", || async { (Watcher::ask(admin, &path("live.ws")).await.0 == 406).then_some(()) })
        .await;
    let client = crate::outbound::Client::new(
        crate::outbound::Address::Tcp { host: admin.ip().to_string(), port: admin.port() },
        Default::default(),
    );
    let asked = http::Request::get(path("live.m3u8")).body(Default::default()).unwrap();
    let answer = client.request(asked).await.unwrap();
    let said = String::from_utf8_lossy(answer.body());
    assert!(answer.status() == 406 && said.contains("Motion JPEG"), "{said}");
    let mut socket = tokio::net::TcpStream::connect(daemon.rtsp_address().unwrap()).await.unwrap();
    let asked = format!("DESCRIBE rtsp://h/{KEY} RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    socket.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1000];
    let len = socket.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
    assert!(answer.starts_with("RTSP/1.0 415 ") && answer.contains("Motion JPEG"), "{answer}");
    daemon.stop().await;
    site.stop().await;
}

/// A person with a link to what is live, who watches for a while: by which way, and with what in the way.
async fn chromium_watches(way: &str) -> String {
    let site = Site::new(sim::Options { audio: true, ..nvr(1) }).await;
    let (daemon, api, proxy) = open(&site).await;
    let asked = json!({ "stream": KEY, "live": true, "password": "Gehe im+1", "max_viewers": 2 });
    let (status, play) = api.with_body("POST", "/api/v1/plays", asked.to_string()).await.unwrap();
    let play: Value = serde_json::from_slice(&play).unwrap();
    assert_eq!((status, &play["live"], &play["mp4_url"]), (201, &json!(true), &Value::Null), "{play}");
    let link = format!("http://{proxy}/vod/{}", play["id"].as_str().unwrap());
    let browser = tokio::process::Command::new(python())
        .arg(peer("live_browser.py"))
        .args([&link, "Gehe im+1"])
        .arg(site.dir.path())
        .arg(way)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = tokio::time::timeout(Duration::from_secs(150), browser.wait_with_output()).await.unwrap().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if let Some(shots) = std::env::var_os("KEEP_SCREENSHOTS") {
        let _ = std::fs::copy(site.dir.path().join("live_link.png"), Path::new(&shots).join(format!("live_{way}.png")));
    }
    assert!(out.status.success(), "{said}");
    let views = api.json(&format!("/api/v1/plays/{}/views", play["id"].as_str().unwrap())).await;
    assert!(views["items"][0]["bytes"].as_u64().unwrap() > 10_000, "{views}");
    daemon.stop().await;
    site.stop().await;
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_watches_a_live_link_by_websocket_without_a_stall() {
    eprintln!("{}", chromium_watches("websocket").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_watches_a_live_link_by_segments_where_websocket_fails() {
    chromium_watches("segments").await;
}
