//! Cameras that are set to something else while they are recorded: another codec, another size, no key frames, few of
//! them. What was recorded before and after plays, and what is missing between is in the ledger.

use super::{
    gaps::{assert_exact, until_closed},
    harness::{Api, Site, counters_by_ffmpeg, decode, files, nvr, until},
    real_streams::{Yard, decodes, download, hls, probe, times},
};
use crate::{
    model::VideoCodec,
    sim::{self, ChannelFault},
};
use serde_json::Value;
use std::{path::Path, time::Duration};

const KEY: &str = "nvr/1/main";

/// Codec and size of a file, as ffprobe has them.
fn kind(file: &Path) -> String {
    probe(file, "v:0", "stream=codec_name,width,height")
}

/// The kinds of all files in their order, each once where it is repeated.
fn kinds(site: &Site, key: &str) -> Vec<String> {
    let mut found: Vec<String> = files(&site.recordings(), key).iter().map(|f| kind(f)).collect();
    found.dedup();
    found
}

/// The playlist of all that there is, taken apart where it changes, each part as a file that decodes: their kinds.
async fn parts_of_playlist(api: &Api, dir: &Path, key: &str) -> Vec<String> {
    let (from, to) = all_of(api, key).await;
    let text =
        String::from_utf8(api.get(&format!("/media/{key}/vod.m3u8?from={from}&to={to}")).await.to_vec()).unwrap();
    assert!(text.contains("#EXT-X-DISCONTINUITY"), "{text}");
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for line in text.lines() {
        let map = line.strip_prefix("#EXT-X-MAP:URI=\"").and_then(|l| l.split('"').next());
        if map.is_some() {
            parts.push(Vec::new());
        }
        if let Some(uri) = map.or((!line.starts_with('#') && !line.is_empty()).then_some(line)) {
            parts.last_mut().unwrap().extend_from_slice(&api.get(&format!("/media/{key}/{uri}")).await);
        }
    }
    let write = |(n, bytes): (usize, &Vec<u8>)| {
        let path = dir.join(format!("part{n}.mp4"));
        std::fs::write(&path, bytes).unwrap();
        decodes(&path);
        kind(&path)
    };
    let mut kinds: Vec<String> = parts.iter().enumerate().map(write).collect();
    kinds.dedup();
    kinds
}

/// From the first picture to the last.
async fn all_of(api: &Api, key: &str) -> (String, String) {
    let spans = api.spans(key).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&spans[0]["start"]), text(&spans.last().unwrap()["end"]))
}

/// Takes the footage as whole files: up to the moment that the refusal names, and from there on.
async fn both_sides_of_a_refusal(api: &Api, dir: &Path, key: &str) -> [String; 2] {
    let (from, to) = &all_of(api, key).await;
    let (status, said) = api.try_get(&format!("/media/{key}/vod.mp4?from={from}&to={to}")).await.unwrap();
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!((status, said["title"].as_str()), (400, Some("Two codecs in the range")), "{said}");
    let words = said["detail"].as_str().unwrap();
    let at = words.split_whitespace().map(|w| w.trim_matches([',', ';', '.'])).find(|w| w.starts_with("20"));
    let at = at.unwrap_or_else(|| panic!("no moment to split at: {words}"));
    let mut sides = Vec::new();
    for (n, (from, to)) in [(from.as_str(), at), (at, to.as_str())].into_iter().enumerate() {
        let path = dir.join(format!("side{n}.mp4"));
        std::fs::write(&path, api.get(&format!("/media/{key}/vod.mp4?from={from}&to={to}")).await).unwrap();
        decodes(&path);
        sides.push(kind(&path));
    }
    sides.try_into().unwrap()
}

async fn until_codec(api: &Api, key: &str, codec: &str) {
    until(&format!("{codec} of {key}"), || async {
        let view = api.stream(key).await;
        (view["codec"] == codec && view["state"] == "running").then_some(())
    })
    .await;
}

/// Records so many seconds more.
async fn more(api: &Api, key: &str, seconds: f64) {
    let listed = api.json(&format!("/api/v1/segments?stream={key}&limit=1000")).await;
    let ms: f64 = listed["segments"].as_array().unwrap().iter().filter_map(|s| s["duration_ms"].as_f64()).sum();
    api.until_recorded(key, ms / 1000.0 + seconds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_codec_begins_a_new_file_and_what_is_missing_is_in_the_ledger() {
    let site = Site::new(nvr(1)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    api.until_recorded(KEY, 3.0).await;

    // As cameras do it: the session ends, and the next is described otherwise.
    site.nvr.channel(1, ChannelFault::Recode(VideoCodec::H265)).unwrap();
    site.nvr.channel(1, ChannelFault::Drop).unwrap();
    until_codec(&api, KEY, "h265").await;
    more(&api, KEY, 3.0).await;
    assert_eq!(both_sides_of_a_refusal(&api, site.dir.path(), KEY).await, ["h264,640,352", "hevc,640,360"]);
    let kinds_of_parts = parts_of_playlist(&api, site.dir.path(), KEY).await;
    assert_eq!(kinds_of_parts, ["h264,640,352", "hevc,640,360"]);

    // Within a session, under the description of the other codec: either way.
    for (codec, name) in [(VideoCodec::H264, "h264"), (VideoCodec::H265, "h265")] {
        site.nvr.channel(1, ChannelFault::Recode(codec)).unwrap();
        until_codec(&api, KEY, name).await;
        more(&api, KEY, 3.0).await;
    }
    until_closed(&api, KEY, 2).await;
    let causes = assert_exact(&api, KEY).await;
    assert!(causes.iter().all(|c| c == "stream_error" || c == "connecting"), "{causes:?}");
    assert!(daemon.stop().await);
    assert_eq!(kinds(&site, KEY), ["h264,640,352", "hevc,640,360", "h264,640,352", "hevc,640,360"]);
    for file in files(&site.recordings(), KEY) {
        assert!(decode(&file) > 0, "{}", file.display());
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_size_within_a_session_begins_a_new_file_without_loss() {
    let site = Site::new(nvr(1)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    api.until_recorded(KEY, 3.0).await;
    site.nvr.channel(1, ChannelFault::Resize(320, 192)).unwrap();
    until("the other size", || async { (api.stream(KEY).await["width"] == 320).then_some(()) }).await;
    more(&api, KEY, 3.0).await;
    // One codec: one file holds both sizes, and its pictures are all there.
    let spans = api.spans(KEY).await;
    assert_eq!(spans.len(), 1, "{spans:?}");
    let (from, to) = (spans[0]["start"].as_str().unwrap(), spans[0]["end"].as_str().unwrap());
    let mp4 = site.dir.path().join("vod.mp4");
    std::fs::write(&mp4, api.get(&format!("/media/{KEY}/vod.mp4?from={from}&to={to}")).await).unwrap();
    decodes(&mp4);
    super::harness::assert_consecutive(&counters_by_ffmpeg(&mp4), "both sizes in one file");
    let found = parts_of_playlist(&api, site.dir.path(), KEY).await;
    assert_eq!(found, ["h264,640,352", "h264,320,192"]);
    assert!(daemon.stop().await);
    assert_eq!(kinds(&site, KEY), ["h264,640,352", "h264,320,192"]);
    for file in files(&site.recordings(), KEY) {
        decode(&file);
    }
    assert!(site.assert_nothing_is_missing(KEY) > 125);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gstreamer_camera_that_is_set_to_another_size_and_another_codec_is_recorded_on() {
    let mut yard = Yard::start(&[("gst", "h264-inband", "none", "")]).await;
    let (api, key) = (yard.api(), "gst/1/main");
    api.until_recorded(key, 3.0).await;
    yard.cameras[0].1.tell("size 480x272");
    until("the other size", || async { (api.stream(key).await["width"] == 480).then_some(()) }).await;
    more(&api, key, 3.0).await;
    assert_eq!(api.stream(key).await["reconnects"], 0, "it is one session");
    assert_eq!(api.spans(key).await.len(), 1);
    let mp4 = download(&yard, "gst").await;
    let mut shown = times(&mp4);
    shown.sort_unstable();
    // The encoder begins anew for the other size: it may give no picture for a moment, and two soon after one another.
    assert!(shown.len() > 125 && shown.windows(2).all(|w| w[1] - w[0] < 22_500), "{shown:?}");
    yard.cameras[0].1.tell("video h265");
    until_codec(&api, key, "h265").await;
    more(&api, key, 3.0).await;
    let sides = both_sides_of_a_refusal(&api, yard.site.dir.path(), key).await;
    assert!(sides[0].starts_with("h264,") && sides[1] == "hevc,320,240", "{sides:?}");
    let recordings = yard.site.recordings();
    let found = files(&recordings, key);
    yard.stop().await;
    let mut found: Vec<String> = found.iter().filter(|f| f.exists()).map(|f| kind(f)).collect();
    found.dedup();
    assert!(found.is_empty() || found == ["h264,320,240", "h264,480,272", "hevc,320,240"], "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_key_frames_is_cut_and_begun_at_pictures_that_complete_themselves() {
    let mut yard = Yard::start(&[("refresh", "h264-refresh", "none", "")]).await;
    let (api, key) = (yard.api(), "refresh/1/main");
    // The encoder's very first picture is its only key frame.
    api.until_recorded(key, 18.0).await;
    let listed = api.json(&format!("/api/v1/segments?stream={key}")).await;
    assert!(listed["segments"].as_array().unwrap().len() >= 3, "it is cut: {listed}");
    assert_eq!(api.spans(key).await.len(), 1);
    super::real_streams::assert_even(&download(&yard, "refresh").await, "refresh");
    decodes(&hls(&yard, "refresh").await);
    // The session after it finds the encoder at work: no key frame comes any more.
    yard.cameras[0].1.tell("drop");
    until("another session", || async { (api.stream(key).await["reconnects"] == 1).then_some(()) }).await;
    more(&api, key, 3.0).await;
    let spans = api.spans(key).await;
    assert_eq!(spans.len(), 2, "{spans:?}");
    download(&yard, "refresh").await;
    let all = files(&yard.site.recordings(), key);
    assert!(all.len() >= 4, "{all:?}");
    yard.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_far_longer_than_a_file_keep_files_listing_and_playback_right() {
    // Fifteen seconds from key frame to key frame with files of two, like SmartCodec's minutes with files of 30 s; or by
    // hand `GROUP_SECONDS=150`.
    let group: u32 = std::env::var("GROUP_SECONDS").map_or(15, |text| text.parse().unwrap());
    let options = sim::Options { key_interval: Duration::from_secs(group.into()), ..nvr(1) };
    let site = Site::new(options).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    // Listed and played while the first group lasts, from a moment within it too.
    api.until_recorded(KEY, 5.0).await;
    let span = api.spans(KEY).await.remove(0);
    let (from, to) = (span["start"].as_str().unwrap().to_owned(), span["end"].as_str().unwrap().to_owned());
    let within = from.parse::<crate::base::Wall>().unwrap().plus_micros(3_000_000).to_string();
    for from in [&from, &within] {
        let mp4 = site.dir.path().join("vod.mp4");
        std::fs::write(&mp4, api.get(&format!("/media/{KEY}/vod.mp4?from={from}&to={to}")).await).unwrap();
        decode(&mp4);
        assert!(api.get(&format!("/media/{KEY}/vod.m3u8?from={from}&to={to}")).await.starts_with(b"#EXTM3U"));
    }
    // Patience is for the next step, not for all of them.
    for group in [f64::from(group), f64::from(group) * 2.0] {
        let mut seconds = 5.0;
        while seconds < group + 2.0 {
            seconds += 15.0;
            api.until_recorded(KEY, seconds.min(group + 2.0)).await;
        }
    }
    let listed = api.json(&format!("/api/v1/segments?stream={KEY}")).await;
    let lengths: Vec<f64> =
        listed["segments"].as_array().unwrap().iter().filter_map(|s| s["duration_ms"].as_f64()).collect();
    let whole = &lengths[..lengths.len() - 1];
    assert!(whole.len() >= 2 && whole.iter().all(|ms| (ms - f64::from(group) * 1000.0).abs() < 300.0), "{lengths:?}");
    assert!(daemon.stop().await);
    for file in files(&site.recordings(), KEY) {
        decode(&file);
    }
    assert!(site.assert_nothing_is_missing(KEY) >= 50 * group as usize);
    site.stop().await;
}
