//! The main job: a simulated NVR is recorded, listed and played, and every frame that went in comes out once.

use super::harness::{Site, assert_consecutive, counters_by_ffmpeg, decode, files, nvr, until};
use crate::{model::VideoCodec, sim};
use std::{fs, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_nvr_is_recorded_listed_and_played() {
    let site = Site::new(sim::Options { audio: true, ..nvr(2) }).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    for key in ["nvr/1/main", "nvr/2/main"] {
        api.until_recorded(key, 5.0).await;
        let view = api.stream(key).await;
        assert_eq!((view["state"].as_str(), view["codec"].as_str()), (Some("running"), Some("h264")), "{view}");
        let spans = api.spans(key).await;
        assert_eq!(spans.len(), 1, "{spans:?}");
        let (from, to) = (spans[0]["start"].as_str().unwrap(), spans[0]["end"].as_str().unwrap());

        let mp4 = site.dir.path().join("vod.mp4");
        fs::write(&mp4, api.get(&format!("/media/{key}/vod.mp4?from={from}&to={to}")).await).unwrap();
        assert!(decode(&mp4) >= 125, "at least 5 s of 25 pictures");
        let played = counters_by_ffmpeg(&mp4);
        assert_consecutive(&played, "vod.mp4");

        // HLS: ffmpeg is the player, over a copy of what the playlist names.
        let hls = site.dir.path().join("hls");
        let playlist = save_hls(&api, key, &format!("from={from}&to={to}"), &hls).await;
        assert_consecutive(&counters_by_ffmpeg(&playlist), "vod.m3u8");
        assert_eq!(decode(&playlist), played.len() as u64);

        // `skyvis export`, as an operator types it.
        let export = site.dir.path().join(format!("export-{}.mp4", &key[4..5]));
        let typed = ["skyvis", "export", "--stream", key, "--from", from, "--to", to, "-o", export.to_str().unwrap()];
        let admin = ["--admin".to_owned(), format!("unix:{}/admin.sock", site.dir.path().display())];
        let line: Vec<String> = typed.into_iter().map(str::to_owned).chain(admin).collect();
        let env = crate::config::Env::new::<&str, &str>([], "test");
        let exit = tokio::task::spawn_blocking(move || {
            crate::cli::run(
                line.into_iter().map(Into::into),
                &env,
                &mut crate::cli::Out::new(vec![], std::io::stderr(), None),
            )
        });
        assert_eq!(exit.await.unwrap(), 0);
        assert_eq!(counters_by_ffmpeg(&export), played);
        decode(&export);
    }
    let urls = api.json("/api/v1/media-urls").await;
    assert_eq!(urls["items"].as_array().unwrap().len(), 2, "{urls}");
    assert!(daemon.stop().await, "every phase of the stop ends in its time");
    assert_eq!(site.nvr.teardowns(), 2, "both sessions say goodbye");
    for key in ["nvr/1/main", "nvr/2/main"] {
        for file in files(&site.recordings(), key) {
            decode(&file);
        }
        site.assert_nothing_is_missing(key);
    }
    site.stop().await;
}

/// Fetches a playlist and all that it names into `dir`, with names that a player can open from there.
async fn save_hls(api: &super::harness::Api, key: &str, query: &str, dir: &std::path::Path) -> std::path::PathBuf {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).unwrap();
    let base = format!("/media/{key}/");
    let text = String::from_utf8(api.get(&format!("{base}vod.m3u8?{query}")).await.to_vec()).unwrap();
    assert!(text.contains("#EXT-X-ENDLIST"), "{text}");
    let mut local = String::new();
    for (n, line) in text.lines().enumerate() {
        let uri = line.split_once("URI=\"").map(|(_, rest)| rest.split('"').next().unwrap().to_owned());
        let uri = uri.or_else(|| (!line.starts_with('#') && !line.is_empty()).then(|| line.to_owned()));
        let Some(uri) = uri else {
            local += &format!("{line}\n");
            continue;
        };
        let path = if uri.starts_with('/') { uri.clone() } else { format!("{base}{uri}") };
        let name = format!("{n}.m4s");
        fs::write(dir.join(&name), api.get(&path).await).unwrap();
        local += &format!("{}\n", line.replace(&uri, &name));
    }
    let playlist = dir.join("index.m3u8");
    fs::write(&playlist, local).unwrap();
    playlist
}

#[tokio::test(flavor = "multi_thread")]
async fn h265_is_recorded_frame_by_frame_and_every_kind_of_file_decodes() {
    let site = Site::new(sim::Options { audio: true, codec: VideoCodec::H265, ..nvr(1) }).await;
    let daemon = site.daemon("").await;
    let (api, key) = (site.api(), "nvr/1/main");
    api.until_recorded(key, 5.0).await;
    assert_eq!(api.stream(key).await["codec"], "h265");
    let span = api.spans(key).await.remove(0);
    let range = format!("from={}&to={}", span["start"].as_str().unwrap(), span["end"].as_str().unwrap());
    let mp4 = site.dir.path().join("vod.mp4");
    fs::write(&mp4, api.get(&format!("/media/{key}/vod.mp4?{range}")).await).unwrap();
    let playlist = save_hls(&api, key, &range, &site.dir.path().join("hls")).await;
    assert_eq!(decode(&mp4), decode(&playlist));
    daemon.stop().await;
    for file in files(&site.recordings(), key) {
        decode(&file);
    }
    assert!(site.assert_nothing_is_missing(key) >= 4 * 25);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_comes_out_once_and_in_order_through_cuts_and_reload() {
    let site = Site::new(nvr(2)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    api.until_recorded("nvr/1/main", 3.0).await;

    // A second device comes by reload: the first one's sessions must not notice.
    let second = "[[device]]\nid = 'other'\nkind = 'nvr'\naddress = '127.0.0.1:9'\nuser = 'admin'\npassword = 'x'";
    let config = fs::read_to_string(site.config_file()).unwrap();
    fs::write(site.config_file(), config.replace("[recording]", &format!("{second}\n[recording]"))).unwrap();
    let (status, body) = api.send("POST", "/api/v1/reload", &[]).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    until("the new device", || async { api.json("/api/v1/devices").await["items"].get(1).cloned() }).await;
    api.until_recorded("nvr/1/main", 7.0).await;
    daemon.stop().await;

    for key in ["nvr/1/main", "nvr/2/main"] {
        let written = files(&site.recordings(), key);
        assert!(written.len() >= 3, "cut each 2 s: {written:?}");
        assert!(site.assert_nothing_is_missing(key) >= 6 * 25);
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_is_reported() {
    let site = Site::new(nvr(1)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    api.until_recorded("nvr/1/main", 1.0).await;
    let before = api.json("/api/v1/config").await;
    fs::write(site.config_file(), "data_dir = 7\nnonsense = true\n").unwrap();
    // By itself, after a second of quiet: the refusal is an event.
    until("the refusal", || async {
        let events = daemon.rooms().events.after(0, 1000).unwrap();
        events.into_iter().find(|e| e.kind.0 == "config.refused").map(|e| e.data.to_string())
    })
    .await;
    let (status, body) = api.send("POST", "/api/v1/reload", &[]).await.unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!((400..500).contains(&status), "{status} {text}");
    assert!(text.contains("config.toml:1") && text.contains("config.toml:2"), "all faults with their lines: {text}");
    assert_eq!(api.json("/api/v1/config").await, before);
    assert_eq!(api.stream("nvr/1/main").await["state"], "running");
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_the_process_well_with_sessions_torn_down_and_systemd_told() {
    let site = Site::new(nvr(3)).await;
    let notify = site.dir.path().join("notify.sock");
    let socket = tokio::net::UnixDatagram::bind(&notify).unwrap();
    fs::write(site.config_file(), site.config("")).unwrap();
    let env = [("NOTIFY_SOCKET", notify.to_str().unwrap()), ("WATCHDOG_USEC", "2000000")];
    let mut process = super::harness::Process::start(&site.config_file(), &site.dir.path().join("log"), &env);
    let mut told = String::new();
    let mut hear = async |word: &str| {
        while !told.contains(word) {
            let mut message = [0; 4096];
            let heard = tokio::time::timeout(super::harness::PATIENCE, socket.recv(&mut message)).await;
            let length = heard.unwrap_or_else(|_| panic!("systemd was told {told:?}, no {word}")).unwrap();
            told += std::str::from_utf8(&message[..length]).unwrap();
            told += "\n";
        }
        told.clear();
    };
    hear("READY=1").await;
    hear("WATCHDOG=1").await;
    for n in 1..=3 {
        site.api().until_recorded(&format!("nvr/{n}/main"), 1.0).await;
    }
    process.signal(rustix::process::Signal::HUP);
    hear("RELOADING=1").await;
    hear("READY=1").await;
    process.signal(rustix::process::Signal::TERM);
    hear("STOPPING=1").await;
    let well = tokio::time::timeout(Duration::from_secs(20), process.ended()).await.expect("inside 20 s");
    assert!(well, "{}", process.log_text());
    assert_eq!(site.nvr.teardowns(), 3);
    site.stop().await;
}
