//! Peers that are not ours: GStreamer as a camera, Chromium at the console. PyPI's Hikvision clients meet the simulator
//! in its own room's tests.

use super::harness::{PASSWORD, Site, decode, files, nvr, until};
use crate::sim;
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The interpreter that has the peers' packages; `./test` makes it.
pub(super) fn python() -> PathBuf {
    let made = std::env::var_os("PEERS_PYTHON").map(PathBuf::from);
    let python = made.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python"));
    assert!(python.exists(), "{} is missing: run ./test once, it installs what the tests need", python.display());
    python
}

pub(super) fn peer(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/peers").join(script)
}

/// GStreamer's RTSP server, ended with its standard input.
pub(super) struct GstCamera {
    child: Child,
    pub port: u16,
}

impl GstCamera {
    pub(super) fn start(codec: &str, audio: &str) -> Self {
        Self::asking(codec, audio, "digest")
    }

    /// Changes it while it serves; `gst_camera.py` says how.
    pub(super) fn tell(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").and_then(|()| input.flush()).unwrap();
    }

    /// One that asks for `digest` or `basic`.
    pub(super) fn asking(codec: &str, audio: &str, login: &str) -> Self {
        // Debian's own interpreter has GStreamer's bindings.
        let mut child = Command::new("/usr/bin/python3")
            .arg(peer("gst_camera.py"))
            .args(["admin", PASSWORD, codec, audio, login])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("the GStreamer camera did not start: {line:?}"));
        Self { child, port }
    }
}

impl Drop for GstCamera {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Records a GStreamer camera; its ISAPI is the simulator's.
async fn a_gstreamer_camera_is_recorded(codec: &str, audio: &str) {
    let camera = GstCamera::start(codec, audio);
    let site = Site::new(sim::Options { kind: sim::DeviceKind::Camera, ..nvr(1) }).await;
    let text = site.config("").replace("kind = 'nvr'", "kind = 'camera'");
    let ours = format!("rtsp_port = {}", site.nvr.rtsp_addr.port());
    assert!(text.contains(&ours));
    let daemon = site.daemon_of(&text.replace(&ours, &format!("rtsp_port = {}", camera.port))).await;
    let api = site.api();
    api.until_recorded("nvr/1/main", 5.0).await;
    assert_eq!(api.stream("nvr/1/main").await["codec"], codec);
    let span = api.spans("nvr/1/main").await.remove(0);
    let vod = format!(
        "/media/nvr/1/main/vod.mp4?from={}&to={}",
        span["start"].as_str().unwrap(),
        span["end"].as_str().unwrap()
    );
    let mp4 = site.dir.path().join("vod.mp4");
    std::fs::write(&mp4, api.get(&vod).await).unwrap();
    assert!(decode(&mp4) >= 100);
    let tracks = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"])
        .arg(&mp4)
        .output();
    let tracks = String::from_utf8_lossy(&tracks.unwrap().stdout).into_owned();
    assert_eq!(tracks.contains("aac"), audio == "aac", "{tracks}");
    daemon.stop().await;
    for file in files(&site.recordings(), "nvr/1/main") {
        decode(&file);
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gstreamer_camera_with_h264_and_aac_is_recorded() {
    a_gstreamer_camera_is_recorded("h264", "aac").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gstreamer_camera_with_h265_is_recorded() {
    a_gstreamer_camera_is_recorded("h265", "none").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_shows_the_live_grid_and_plays_a_recorded_span() {
    chromium_plays(sim::Sound::Aac).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_plays_telephone_sound_stored_as_flac() {
    chromium_plays(sim::Sound::Alaw).await;
}

async fn chromium_plays(sound: sim::Sound) {
    let site = Site::new(sim::Options { audio: true, sound, ..nvr(2) }).await;
    let text = site.config("").replace(&format!("unix:{}/admin.sock", site.dir.path().display()), "127.0.0.1:0");
    let daemon = site.daemon_of(&text).await;
    let address = daemon.admin_address().unwrap();
    until("6 s of footage", || async {
        let key = super::harness::key("nvr/1/main");
        let found = daemon.rooms().archive.segments(&key, crate::model::Range::ALL, 1000).await.unwrap();
        (found.iter().map(|s| s.duration_ticks).sum::<u64>() >= 6 * 90_000).then_some(())
    })
    .await;
    let out = tokio::process::Command::new(python())
        .arg(peer("console_browser.py"))
        .arg(format!("http://{address}/"))
        .arg("nvr/1/main")
        .arg(site.dir.path())
        .output()
        .await
        .unwrap();
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    daemon.stop().await;
    site.stop().await;
}
