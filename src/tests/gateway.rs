//! A whole daemon and a simulated Hik Device Gateway: recorded, listed and played; what comes, goes and moves behind it.

use super::harness::{PASSWORD, Site, decode, files, until};
use crate::{
    app::Daemon,
    config::Env,
    sim::{self, GatewayFault, ListFault, MemberFault},
};
use serde_json::Value;
use std::{
    fs,
    process::{Command, Stdio},
};

fn gateway(devices: u32, channels: u32) -> sim::Options {
    sim::Options {
        kind: sim::DeviceKind::Gateway,
        devices,
        channels,
        password: crate::base::Secret::new(PASSWORD),
        ..sim::Options::default()
    }
}

fn config(site: &Site) -> String {
    config_with(site, "")
}

/// `more`: keys of `[recording]`.
fn config_with(site: &Site, more: &str) -> String {
    let rtsp = format!("rtsp_port = {}", site.nvr.rtsp_addr.port());
    site.config(more)
        .replace("id = 'nvr'\nkind = 'nvr'", "id = 'gw'\nkind = 'gateway'")
        .replace(&rtsp, "rtsp_port = 0")
        .replace("[hikvision]\n", "[hikvision]\nage_out = '3s'\n")
}

async fn start(devices: u32, channels: u32) -> (Site, Daemon) {
    let site = Site::new(gateway(devices, channels)).await;
    let daemon = site.daemon_of(&config(&site)).await;
    (site, daemon)
}

fn key(site: &Site, device: u32, channel: u32) -> String {
    format!("gw:{}/{channel}/main", site.nvr.dev_index(device))
}

fn fault(site: &Site, device: u32, fault: MemberFault) {
    site.nvr.gateway(&GatewayFault::Member(device, fault)).unwrap();
}

async fn rows(site: &Site) -> Vec<Value> {
    site.api().json("/api/v1/media-urls").await["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_channel_behind_a_gateway_is_recorded_listed_and_played() {
    let (site, daemon) = start(2, 2).await;
    let api = site.api();
    for (device, channel) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        api.until_recorded(&key(&site, device, channel), 3.0).await;
    }
    let stream = key(&site, 1, 2);
    let row = rows(&site).await.into_iter().find(|row| row["task"] == stream.as_str()).unwrap();
    let index = site.nvr.dev_index(1);
    assert_eq!((&row["device_index"], &row["channel"]), (&Value::from(format!("gw:{index}")), &Value::from(2)));
    let url = format!("rtsp://{}/dac/realplay/{index}2/MAIN/TCP", site.nvr.rtsp_addr);
    assert_eq!((&row["media_url"], &row["presence"]), (&Value::from(url), &Value::from("online")));

    let device = api.json(&format!("/api/v1/devices/gw:{index}")).await;
    assert_eq!(
        (&device["name"], &device["channels"][1]["presence"]),
        (&Value::from("Site 01"), &Value::from("online"))
    );
    let encoded = api.json(&format!("/api/v1/devices/gw%3A{index}")).await;
    assert_eq!(encoded["id"], device["id"], "an encoded colon is a colon");

    let span = api.spans(&stream).await[0].clone();
    let (from, to) = (span["start"].as_str().unwrap(), span["end"].as_str().unwrap());
    let range = format!("from={from}&to={to}");
    let file = site.dir.path().join("vod.mp4");
    for path in [stream.clone(), stream.replace(':', "%3A")] {
        fs::write(&file, api.get(&format!("/media/{path}/vod.mp4?{range}")).await).unwrap();
        assert!(decode(&file) >= 50, "{path}");
    }
    let playlist = api.get(&format!("/media/{stream}/vod.m3u8?{range}")).await;
    assert!(String::from_utf8_lossy(&playlist).contains("#EXTINF"));

    // As an operator types it, in a shell that knows nothing of colons.
    let saved = site.dir.path().join("export.mp4");
    let typed = ["skyvis", "export", "--stream", &stream, "--from", from, "--to", to, "-o", saved.to_str().unwrap()];
    let admin = format!("unix:{}", site.dir.path().join("admin.sock").display());
    let typed: Vec<std::ffi::OsString> = typed.into_iter().chain(["--admin", &admin]).map(Into::into).collect();
    let run = move || {
        let mut out = crate::cli::Out::new(vec![], std::io::stderr(), None);
        crate::cli::run(typed, &Env::new::<&str, &str>([], "test"), &mut out)
    };
    assert_eq!(tokio::task::spawn_blocking(run).await.unwrap(), 0);
    assert!(decode(&saved) >= 50);
    daemon.stop().await;

    // The files alone are enough to find it all again.
    fs::remove_dir_all(site.dir.path().join("data/store")).unwrap();
    let daemon = site.daemon_of(&config(&site)).await;
    until("the index to be rebuilt", || async {
        let spans = site.api().try_get(&format!("/api/v1/recordings?stream={stream}")).await?;
        let spans: Value = serde_json::from_slice(&spans.1).ok()?;
        spans["spans"].as_array().filter(|s| !s.is_empty()).map(|_| ())
    })
    .await;
    daemon.stop().await;
    assert!(!files(&site.recordings(), &stream).is_empty());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_one_device_behind_a_gateway_reaches_no_other() {
    let (site, daemon) = start(3, 1).await;
    let api = site.api();
    let (one, two, three) = (key(&site, 1, 1), key(&site, 2, 1), key(&site, 3, 1));
    for stream in [&one, &two, &three] {
        api.until_recorded(stream, 1.0).await;
    }
    fault(&site, 1, MemberFault::Offline(Some(1)));
    api.until_state(&one, "offline").await;
    assert!(api.stream(&one).await["reason"].as_str().unwrap().contains("ISUP key"));
    fault(&site, 1, MemberFault::Online);
    api.until_state(&one, "running").await;

    fault(&site, 1, MemberFault::Sleep);
    api.until_state(&one, "offline").await;
    until("longer than age_out", || async {
        let device = api.json(&format!("/api/v1/devices/gw:{}", site.nvr.dev_index(1))).await;
        let since: crate::base::Wall = device["since"].as_str()?.parse().ok()?;
        (crate::base::Clock::real().wall().micros_since(since) > 5_000_000).then_some(())
    })
    .await;
    assert_eq!(rows(&site).await.len(), 3, "sleep is not offline");
    fault(&site, 1, MemberFault::Online);
    api.until_state(&one, "running").await;

    fault(&site, 1, MemberFault::AddChannel(2));
    api.until_recorded(&key(&site, 1, 2), 1.0).await;
    fault(&site, 2, MemberFault::Move(1));
    site.nvr.channel(site.nvr.channel_behind(2, 1), sim::ChannelFault::Drop).unwrap();
    until("the new URL", || async {
        rows(&site)
            .await
            .iter()
            .any(|row| row["media_url"].as_str().is_some_and(|u| u.contains("moved1")))
            .then_some(())
    })
    .await;
    api.until_state(&two, "running").await;

    for list in [ListFault::Null, ListFault::HalfPage, ListFault::Error] {
        site.nvr.gateway(&GatewayFault::List(list)).unwrap();
        until("the fault to be seen", || async { api.json("/api/v1/devices/gw").await["error"].as_str().map(|_| ()) })
            .await;
        assert_eq!(rows(&site).await.len(), 4, "{list:?}");
        site.nvr.gateway(&GatewayFault::List(ListFault::Sane)).unwrap();
        until("its end", || async { api.json("/api/v1/devices/gw").await["error"].is_null().then_some(()) }).await;
    }
    fault(&site, 2, MemberFault::Delete);
    until("the deleted one to age out", || async {
        let (status, _) = api.try_get(&format!("/api/v1/streams/{two}")).await?;
        (status == 404 && rows(&site).await.len() == 3).then_some(())
    })
    .await;
    assert!(!api.spans(&two).await.is_empty(), "its footage stays");
    assert_eq!(api.stream(&three).await["reconnects"], 0);
    daemon.stop().await;
    site.assert_nothing_is_missing(&three);
    assert_eq!(site.nvr.logins_failed(), 0);
    site.stop().await;
}

/// The poller that gateways were asked by before there was this program, as far as its requests go.
#[tokio::test(flavor = "multi_thread")]
async fn a_poller_of_python_requests_finds_what_it_expects_of_a_gateway() {
    let python = std::env::var("PEERS_PYTHON")
        .expect("this test needs a python with requests: run ./test, which sets PEERS_PYTHON");
    let site = Site::new(gateway(3, 2)).await;
    fault(&site, 2, MemberFault::Offline(Some(3)));
    let mut command = Command::new(python);
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/peers/gateway_poller.py"))
        .args([&site.nvr.http_addr.to_string(), "admin", PASSWORD])
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let rows: Vec<Value> = serde_json::from_str(said.trim()).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(rows.len(), 4, "two channels of each of the two that are online: {said}");
    let daemon = site.daemon_of(&config(&site)).await;
    let ours = until("the same rows", || async {
        let ours: Vec<String> =
            self::rows(&site).await.iter().map(|r| r["media_url"].as_str().unwrap().into()).collect();
        (ours.len() == 4).then_some(ours)
    })
    .await;
    let theirs: Vec<String> = rows.iter().map(|r| format!("rtsp://{}", r["mediaURL"].as_str().unwrap())).collect();
    assert_eq!(ours, theirs);
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_behind_a_gateway_are_made_of_key_frames_listed_played_and_missed_with_a_cause() {
    let site = Site::new(gateway(1, 2)).await;
    let text = config_with(&site, "mode = 'image'");
    let daemon = site.daemon_of(&text).await;
    let (api, stream) = (site.api(), key(&site, 1, 2));
    let pictures = || async { api.spans(&stream).await.iter().map(|s| s["segments"].as_u64().unwrap()).sum::<u64>() };
    for key in [&stream, &key(&site, 1, 1)] {
        until(&format!("three pictures of {key}"), || async {
            let spans = api.spans(key).await;
            (spans.iter().map(|s| s["segments"].as_u64().unwrap()).sum::<u64>() >= 3).then_some(())
        })
        .await;
    }
    let view = api.stream(&stream).await;
    assert_eq!((view["recording"].as_bool(), view["state"].as_str()), (Some(true), Some("running")), "{view}");
    assert_eq!(api.spans(&stream).await[0]["kind"], "image");
    let whole = |f: &std::path::PathBuf| f.extension().is_none_or(|e| e != "tmp");
    let written: Vec<_> = files(&site.recordings(), &stream).into_iter().filter(whole).collect();
    for file in &written {
        assert!(file.extension().is_some_and(|e| e == "jpg"), "{}", file.display());
        assert_eq!(decode(file), 1);
    }
    // A session for as long as a key frame takes.
    until("no session", || async { (site.nvr.state()["sessions_open"] == 0).then_some(()) }).await;
    let span = api.spans(&stream).await[0].clone();
    let range = format!("from={}&to={}", span["start"].as_str().unwrap(), span["end"].as_str().unwrap());
    let file = site.dir.path().join("vod.mp4");
    fs::write(&file, api.get(&format!("/media/{stream}/vod.mp4?{range}")).await).unwrap();
    // However many that were in time for one span.
    assert_eq!(Some(decode(&file)), span["segments"].as_u64());

    fault(&site, 1, MemberFault::Offline(None));
    let gaps =
        || async { api.json(&format!("/api/v1/gaps?stream={stream}")).await["gaps"].as_array().unwrap().clone() };
    until("an open gap", || async { gaps().await.last().filter(|g| g["end"].is_null()).map(drop) }).await;
    until("its cause", || async { gaps().await.last().filter(|g| g["cause"] == "offline").map(drop) }).await;
    let before = pictures().await;
    fault(&site, 1, MemberFault::Online);
    until("pictures again", || async { (pictures().await >= before + 2).then_some(()) }).await;
    let is_closed = |g: &Value| g["cause"] == "offline" && g["end"].is_string();
    until("the end of the gap", || async { gaps().await.iter().any(is_closed).then_some(()) }).await;
    daemon.stop().await;

    let there: Vec<_> = files(&site.recordings(), &stream).into_iter().filter(whole).collect();
    fs::remove_dir_all(site.dir.path().join("data/store")).unwrap();
    let daemon = site.daemon_of(&text.replace("mode = 'image'", "mode = 'image'\nenabled = false")).await;
    until("every picture in a new index", || async { (pictures().await == there.len() as u64).then_some(()) }).await;
    daemon.stop().await;
    site.stop().await;
}
