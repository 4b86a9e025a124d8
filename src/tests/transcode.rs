//! A whole daemon that records by way of ffmpeg: what is recorded, what is shown, and what is left when it is killed.

use super::{
    harness::{Process, Site, decode, files, nvr, until},
    real_streams::{self, Yard, assert_even, download},
};
use crate::{model::VideoCodec, sim};
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, path::Path, process::Command};

const TRANSCODE: &str = "transcode = { video = 'h264', size = '320x176', bitrate = '300k' }\n";

/// The site's config with `line` among the keys of its device.
fn config(site: &Site, line: &str) -> String {
    site.config("").replace("[[device]]\n", &format!("[[device]]\n{line}"))
}

/// Width and height, and the times of all pictures.
fn probe(file: &Path) -> ((u64, u64), Vec<f64>) {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height:packet=pts_time"])
        .args(["-of", "json"])
        .arg(file)
        .output()
        .unwrap();
    let found: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let stream = &found["streams"][0];
    let times = found["packets"].as_array().unwrap();
    let times = times.iter().map(|p| p["pts_time"].as_str().unwrap().parse().unwrap()).collect();
    ((stream["width"].as_u64().unwrap(), stream["height"].as_u64().unwrap()), times)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_makes_of_a_stream_is_recorded_shown_and_played_in_its_place() {
    let site = Site::new(sim::Options { audio: true, codec: VideoCodec::H265, ..nvr(1) }).await;
    let daemon = site.daemon_of(&config(&site, TRANSCODE)).await;
    let (api, key) = (site.api(), "nvr/1/main");
    api.until_recorded(key, 5.0).await;
    let view = api.stream(key).await;
    assert_eq!((view["codec"].as_str(), view["width"].as_u64()), (Some("h264"), Some(320)), "{view}");
    assert_eq!((&view["transcode"]["state"], &view["reason"]), (&"running".into(), &serde_json::Value::Null), "{view}");
    assert_eq!(view["transcode"]["source_codec"], "h265", "{view}");
    let spans = api.spans(key).await;
    assert_eq!(spans.len(), 1, "one span: {spans:?}");
    let (from, to) = (spans[0]["start"].as_str().unwrap(), spans[0]["end"].as_str().unwrap());
    let mp4 = site.dir.path().join("vod.mp4");
    fs::write(&mp4, api.get(&format!("/media/{key}/vod.mp4?from={from}&to={to}")).await).unwrap();
    assert!(decode(&mp4) >= 125);
    assert!(daemon.stop().await, "every phase of the stop ends in its time");
    for file in files(&site.recordings(), key) {
        decode(&file);
        let (size, times) = probe(&file);
        assert_eq!(size, (320, 176));
        let apart: Vec<f64> = times.windows(2).map(|t| t[1] - t[0]).collect();
        assert!(apart.iter().all(|d| (d - 0.04).abs() < 0.011), "a picture each 40 ms: {apart:?}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ffmpeg_the_original_is_recorded_and_the_stream_says_why() {
    let site = Site::new(nvr(1)).await;
    let text = format!("{}\n[transcode]\nffmpeg = '/nowhere/ffmpeg'\n", config(&site, TRANSCODE));
    let daemon = site.daemon_of(&text).await;
    let (api, key) = (site.api(), "nvr/1/main");
    api.until_recorded(key, 3.0).await;
    let view = api.stream(key).await;
    assert_eq!((view["reason"].as_str(), view["recording"].as_bool()), (Some("no_ffmpeg"), Some(true)), "{view}");
    assert!(view["transcode"]["detail"].as_str().unwrap().contains("/nowhere/ffmpeg is not installed"), "{view}");
    assert_eq!(view["width"], 640, "{view}");
    daemon.stop().await;
    site.assert_nothing_is_missing(key);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn motion_jpeg_and_pictures_out_of_order_are_transcoded_as_any_other() {
    let sorts = [("mjpeg", "mjpeg", "none", TRANSCODE), ("bframes", "h264-bframes", "none", TRANSCODE)];
    let yard = Yard::start(&sorts).await;
    for (id, source) in [("mjpeg", "mjpeg"), ("bframes", "h264")] {
        let (api, key) = (yard.api(), format!("{id}/1/main"));
        api.until_recorded(&key, 6.0).await;
        let view = api.stream(&key).await;
        assert_eq!(
            (&view["transcode"]["state"], &view["transcode"]["source_codec"]),
            (&"running".into(), &source.into())
        );
        assert_eq!((view["codec"].as_str(), view["width"].as_u64()), (Some("h264"), Some(320)), "{view}");
        assert_eq!(api.spans(&key).await.len(), 1, "{id}: one span");
        let mp4 = download(&yard, id).await;
        assert_eq!(real_streams::probe(&mp4, "v:0", "stream=codec_name,width,height"), "h264,320,176", "{id}");
        assert_even(&mp4, id);
    }
    yard.stop().await;
}

/// Processes of ffmpeg that read from a pipe whose parent is `parent`, or was: their numbers.
fn ffmpegs(parent: u32) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|t| fs::read_to_string(t.path().join("children")).ok());
    let pids: Vec<String> =
        children.flat_map(|c| c.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    let is_ffmpeg =
        |pid: &&String| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("pipe:0"));
    pids.iter().filter(is_ffmpeg).filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Whether a process runs. One that ended stays in the table where nobody collects orphans.
fn lives(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    status.lines().any(|l| l.starts_with("State:") && !l.contains('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ffmpeg_outlives_a_daemon_that_is_killed_not_even_one_that_is_stopped() {
    let site = Site::new(nvr(2)).await;
    fs::write(site.config_file(), config(&site, TRANSCODE)).unwrap();
    let mut process = Process::start(&site.config_file(), &site.dir.path().join("log"), &[]);
    for key in ["nvr/1/main", "nvr/2/main"] {
        site.api().until_recorded(key, 1.0).await;
    }
    let found = until("two processes", || async { Some(ffmpegs(process.id())).filter(|f| f.len() == 2) }).await;
    for pid in &found {
        let line = fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap();
        assert!(!line.contains(super::harness::PASSWORD) && !line.contains("rtsp"), "{line}");
        let environment = fs::read_to_string(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap();
        assert!(!environment.contains("SKYVIS"), "{environment}");
    }
    kill_process(found[0], Signal::STOP).unwrap();
    process.signal(Signal::KILL);
    process.ended().await;
    until("the end of both", || async { (!found.iter().any(|pid| lives(*pid))).then_some(()) }).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hears_neither_the_end_of_its_input_nor_a_hangup_dies_with_the_daemon_too() {
    let site = Site::new(nvr(1)).await;
    let program = site.dir.path().join("deaf");
    let deaf =
        "[ \"$1\" = -version ] && { echo ffmpeg version 5.1; exit; }\ntrap '' HUP PIPE\nwhile :; do sleep 1; done";
    fs::write(&program, format!("#!/bin/sh\n{deaf}\n")).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = format!("{}\n[transcode]\nffmpeg = '{}'\n", config(&site, TRANSCODE), program.display());
    fs::write(site.config_file(), text).unwrap();
    let mut process = Process::start(&site.config_file(), &site.dir.path().join("log"), &[]);
    let found = until("its process", || async { ffmpegs(process.id()).first().copied() }).await;
    process.signal(Signal::KILL);
    process.ended().await;
    until("its end", || async { (!lives(found)).then_some(()) }).await;
    site.stop().await;
}
