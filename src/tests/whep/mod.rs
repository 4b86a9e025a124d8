//! What is live by WebRTC: to a library for it, to nobody who does not call, to a browser by UDP and by TCP.

mod browsers;
mod client;

use self::client::{Picture, Watcher, ask, offer};
use super::{
    harness::{Api, Site, nvr, until},
    live::{KEY, TOKEN},
    real_peers::{peer, python},
};
use crate::{
    app::Daemon,
    media::sound::{Coding, Decoder},
    model::VideoCodec,
    sim::{self, Sound},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

/// What a browser offers.
const OFFER: &str = include_str!("../../../fuzz/seeds/whep/chromium");

fn path() -> String {
    format!("/media/{KEY}/whep?token={TOKEN}")
}

/// A daemon with a proxy and WebRTC on this host alone.
async fn open(site: &Site) -> (Daemon, Api, SocketAddr) {
    let text = site.config(&format!("[playback]\ntoken = '{TOKEN}'\nwebrtc_listen = '127.0.0.1:0'"));
    let daemon = site.daemon_of(&text.replace("listen = []", "listen = ['127.0.0.1:0']\nworkers = 1")).await;
    let (api, proxy) = (site.api(), daemon.proxy_addresses()[0]);
    api.until_state(KEY, "running").await;
    (daemon, api, proxy)
}

async fn until_metric(api: &Api, line: &str) {
    until(line, || async {
        let metrics = String::from_utf8(api.get("/metrics").await.to_vec()).unwrap();
        metrics.lines().any(|found| found == line).then_some(())
    })
    .await;
}

/// Pictures one after the other, from the one that comes next.
async fn pictures(watcher: &mut Watcher, count: u64) -> Picture {
    let first = watcher.next().await.expect("a picture");
    for n in 1..count {
        let next = watcher.next().await.expect("a picture more");
        assert_eq!(next.counter, first.counter + n, "nothing is lost on this host");
    }
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_gets_the_current_group_at_once_and_every_picture_from_then_on() {
    for by_tcp in [false, true] {
        // The next key frame comes in an hour: who would wait for one would wait in vain.
        let site = Site::new(sim::Options { key_interval: Duration::from_secs(3600), ..nvr(1) }).await;
        let (daemon, api, proxy) = open(&site).await;
        let mut begun = Vec::new();
        for _ in 0..3 {
            let mut watcher = match by_tcp {
                true => Watcher::connect(proxy, &path()).await,
                false => Watcher::open(proxy, &path()).await,
            };
            let first = pictures(&mut watcher, 40).await;
            assert!(first.key && watcher.sound == "none");
            begun.push((first, watcher));
        }
        assert!(begun.iter().all(|(first, _)| *first == begun[0].0), "one group for all");
        assert_eq!(api.stream(KEY).await["readers"], 2, "the recorder, and one for all who watch");
        assert_eq!(site.nvr.sessions_open(1), 1);
        until_metric(&api, "skyvis_webrtc_viewers 3").await;
        // Who lost too much is sent the group anew, since no key frame comes.
        let (first, watcher) = &mut begun[0];
        let mut last = pictures(watcher, 30).await.counter;
        let again = loop {
            watcher.ask_for_a_key_frame();
            let next = watcher.next().await.unwrap();
            if next.counter < last {
                break next;
            }
            last = next.counter;
        };
        assert_eq!(again, *first);
        pictures(watcher, 60).await;
        drop(begun);
        assert!(daemon.stop().await);
        site.assert_nothing_is_missing(KEY);
        site.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_goes_to_who_takes_it_and_telephone_sound_as_it_came() {
    for (codec, sound, wanted) in [
        (VideoCodec::H264, Sound::Alaw, Some(Coding::Alaw)),
        (VideoCodec::H265, Sound::Ulaw, Some(Coding::Ulaw)),
        (VideoCodec::H264, Sound::Aac, None),
    ] {
        let site = Site::new(sim::Options { codec, audio: true, sound, ..nvr(1) }).await;
        let (daemon, _, proxy) = open(&site).await;
        let mut watcher = Watcher::open(proxy, &path()).await;
        assert!(pictures(&mut watcher, 50).await.key);
        match wanted {
            Some(coding) => {
                assert_eq!(watcher.sound, "g711");
                assert!(watcher.sounds.len() > 40, "{}", watcher.sounds.len());
                let heard = watcher.sounds.iter().flat_map(|codes| Decoder::new(coding).decode(codes));
                let loudest = heard.map(|sample| sample.unsigned_abs()).max().unwrap();
                assert!((1_000..30_000).contains(&loudest), "a tone, and no noise: {loudest}");
            }
            None => {
                assert!(watcher.sound.starts_with("left out: ") && watcher.sound.contains("AAC"), "{}", watcher.sound);
                assert!(watcher.sounds.is_empty());
            }
        }
        if codec == VideoCodec::H265 {
            let refused = offer(proxy, &path(), OFFER).await;
            let problem: Value = serde_json::from_slice(&refused.body).unwrap();
            assert_eq!((refused.status, &problem["type"]), (406, &json!("urn:skyvis:problem:codec-not-offered")));
            assert!(problem["detail"].as_str().unwrap().contains("live.ws"), "{problem}");
        }
        daemon.stop().await;
        site.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_with_what_to_do() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, proxy) = open(&site).await;
    let long = format!("{OFFER}{}", "a=x\r\n".repeat(11_200));
    let other = "/media/nvr/9/main/whep?token=live-and-let-live";
    let bare = format!("/media/{KEY}/whep");
    let session = format!("/media/{KEY}/whep/0123");
    for (method, path, kind, body, status, slug) in [
        ("POST", path().as_str(), "application/sdp", "", 400, "bad-offer"),
        ("POST", &path(), "application/sdp", "v=0\r\nm=video\r\n", 400, "bad-offer"),
        ("POST", &path(), "application/sdp", &OFFER.replace("m=audio", "m=application"), 400, "bad-offer"),
        ("POST", &path(), "application/sdp", &OFFER.replace("a=ice-pwd:", "a=x:"), 400, "bad-offer"),
        ("POST", &path(), "application/sdp; charset=utf-8", &OFFER.replace("H264", "H299"), 406, "codec-not-offered"),
        ("POST", &path(), "application/json", OFFER, 415, "offer-needed"),
        ("POST", &path(), "application/sdp", &long, 413, "offer-too-long"),
        ("POST", other, "application/sdp", OFFER, 503, "not-live"),
        ("POST", &bare, "application/sdp", OFFER, 401, "token-needed"),
        ("GET", &path(), "", "", 405, "method-not-allowed"),
        ("PATCH", &session, "application/trickle-ice-sdpfrag", "", 405, "method-not-allowed"),
        ("DELETE", &session, "", "", 404, "no-such-session"),
    ] {
        let answer = ask(proxy, method, path, kind, body.to_owned()).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{method} {path} {said}");
        let problem: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(problem["type"], format!("urn:skyvis:problem:{slug}"), "{said}");
        assert!(problem["detail"].as_str().unwrap().len() > 20, "{said}");
    }
    let told = ask(proxy, "OPTIONS", &path(), "", "").await;
    assert_eq!((told.status, &told.headers["accept-post"]), (204, &"application/sdp".parse().unwrap()));
    until_metric(&api, "skyvis_webrtc_sessions 0").await;
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_its_address_by_a_stop_and_by_nobodys_calling() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, proxy) = open(&site).await;
    // Strangers to the port are nobody's.
    let at = daemon.webrtc_address().unwrap();
    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for noise in [&[0u8; 20][..], &[128; 100], &[22; 1_900], &[]] {
        stranger.send_to(noise, at).await.unwrap();
    }
    let silent = offer(proxy, &path(), OFFER).await;
    assert_eq!(silent.status, 201);
    let mut watcher = Watcher::open(proxy, &path()).await;
    let mut other = Watcher::connect(proxy, &path()).await;
    pictures(&mut watcher, 10).await;
    pictures(&mut other, 10).await;
    until_metric(&api, "skyvis_webrtc_sessions 3").await;
    // Its address alone is enough to end it.
    assert!(!watcher.session.contains("token") && !watcher.session.contains(TOKEN), "{}", watcher.session);
    assert_eq!(ask(proxy, "DELETE", &watcher.session, "", "").await.status, 200);
    watcher.end().await;
    until_metric(&api, "skyvis_webrtc_ended_total{reason=\"ended\"} 1").await;
    assert_eq!(ask(proxy, "DELETE", &watcher.session, "", "").await.status, 404);
    let left = until("who left is told of", || async {
        let events = daemon.rooms().events.after(0, 1_000).unwrap();
        events.into_iter().find(|event| event.kind.0 == "viewer.left")
    })
    .await;
    assert_eq!((left.subject.as_str(), &left.data["by"]), (KEY, &json!("webrtc")));
    assert!(left.data["bytes"].as_u64().unwrap() > 1_000 && left.data["address"] == "127.0.0.1", "{left:?}");
    assert!(!watcher.session.ends_with(left.data["session"].as_str().unwrap()), "who reads it can end nothing");
    // Who was answered and never calls is given up, and cost nothing but that.
    until_metric(&api, "skyvis_webrtc_ended_total{reason=\"never came\"} 1").await;
    until_metric(&api, "skyvis_webrtc_sessions 1").await;
    let ((), ()) = tokio::join!(async { assert!(daemon.stop().await) }, other.end());
    site.assert_nothing_is_missing(KEY);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_slowly_skips_to_a_key_frame_and_who_takes_nothing_is_cut() {
    // More than sockets hold.
    let site = Site::new(sim::Options { bits_per_second: 24_000_000, ..nvr(1) }).await;
    let (daemon, api, proxy) = open(&site).await;
    let mut deaf = Watcher::connect(proxy, &path()).await;
    deaf.next().await.unwrap();
    let mut slow = Watcher::connect(proxy, &path()).await;
    slow.next().await.unwrap();
    // A tenth of what comes.
    slow.rests = Duration::from_millis(4);
    let mut before = slow.next().await.unwrap().counter;
    let skipped = loop {
        let next = slow.next().await.unwrap();
        if next.counter != before + 1 {
            assert!(next.key, "{next:?} behind {before} is no key frame");
            break next.counter - before - 1;
        }
        before = next.counter;
    };
    assert!(skipped >= 10, "{skipped}");
    until_metric(&api, "skyvis_webrtc_ended_total{reason=\"deaf\"} 1").await;
    drop((slow, deaf));
    daemon.stop().await;
    site.assert_nothing_is_missing(KEY);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_watched_by_who_knows_its_password_until_it_is_withdrawn() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, proxy) = open(&site).await;
    let asked = json!({ "stream": KEY, "live": true, "password": "Gehe im+1", "max_viewers": 1 });
    let (_, play) = api.with_body("POST", "/api/v1/plays", asked.to_string()).await.unwrap();
    let play: Value = serde_json::from_slice(&play).unwrap();
    let id = play["id"].as_str().unwrap();
    assert_eq!(offer(proxy, &format!("/vod/{id}/whep"), OFFER).await.status, 401);
    let path = format!("/vod/{id}/whep?password=Gehe%20im%2B1");
    let mut watcher = Watcher::open(proxy, &path).await;
    assert!(watcher.session.starts_with(&format!("/vod/{id}/whep/")), "{}", watcher.session);
    pictures(&mut watcher, 40).await;
    assert_eq!(offer(proxy, &path, OFFER).await.status, 429, "there is one place");
    until("what was seen has a length", || async {
        let view = api.json(&format!("/api/v1/plays/{id}/views")).await["items"][0].clone();
        (view["bytes"].as_u64()? > 2_000).then_some(())
    })
    .await;
    assert_eq!(api.send("DELETE", &format!("/api/v1/plays/{id}"), &[]).await.unwrap().0, 200);
    watcher.end().await;
    until_metric(&api, "skyvis_webrtc_ended_total{reason=\"revoked\"} 1").await;
    assert_eq!(offer(proxy, &path, OFFER).await.status, 410);
    daemon.stop().await;
    site.stop().await;
}
