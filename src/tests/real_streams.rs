//! Every way that cameras code pictures and sound, by GStreamer's encoders and payloaders, through a whole daemon, judged by
//! ffmpeg: each file, the virtual file and the playlist decode without a complaint, each picture at its moment.

use super::{
    harness::{Api, PASSWORD, Site, files, key, nvr},
    real_peers::GstCamera,
};
use crate::{app::Daemon, media::fixture::run, sim};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A camera of each sort, all recorded by one daemon.
pub(super) struct Yard {
    pub site: Site,
    pub daemon: Daemon,
    pub cameras: Vec<(&'static str, GstCamera)>,
}

impl Yard {
    /// `(id, video, audio, more lines of its config)`
    pub(super) async fn start(sorts: &[(&'static str, &str, &str, &str)]) -> Self {
        let site = Site::new(sim::Options { kind: sim::DeviceKind::Camera, ..nvr(1) }).await;
        let cameras: Vec<_> = sorts.iter().map(|(id, video, audio, _)| (*id, GstCamera::start(video, audio))).collect();
        let text = site.config("");
        let (head, rest) = text.split_once("[[device]]").unwrap();
        let (device, tail) = rest.split_once("[recording]").unwrap();
        let ours = format!("rtsp_port = {}", site.nvr.rtsp_addr.port());
        let devices = sorts.iter().zip(&cameras).map(|((id, _, _, more), (_, camera))| {
            assert!(device.contains(&ours) && device.contains("id = 'nvr'"));
            let device =
                device.replace("id = 'nvr'", &format!("id = '{id}'")).replace("kind = 'nvr'", "kind = 'camera'");
            format!("[[device]]{}{more}\n", device.replace(&ours, &format!("rtsp_port = {}", camera.port)))
        });
        let text = format!("{head}{}[recording]{tail}", devices.collect::<String>());
        let daemon = site.daemon_of(&text).await;
        Self { site, daemon, cameras }
    }

    pub(super) fn api(&self) -> Api {
        self.site.api()
    }

    /// Ends it and checks every file of every camera.
    pub(super) async fn stop(self) {
        self.daemon.stop().await;
        for (id, _) in &self.cameras {
            for file in files(&self.site.recordings(), &format!("{id}/1/main")) {
                decodes(&file);
            }
        }
        self.site.stop().await;
    }
}

pub(super) fn decodes(path: &Path) {
    // Pictures of a live encoder jitter: in ticks of its rate two of them could share one.
    let passed = ["-fps_mode", "passthrough", "-enc_time_base:v", "1:90000", "-f", "null", "-"];
    run("ffmpeg", &[&["-v", "error", "-xerror", "-i", path.to_str().unwrap()], &passed[..]].concat());
}

/// What ffprobe says of the first stream of a sort.
pub(super) fn probe(path: &Path, which: &str, entries: &str) -> String {
    let args = ["-v", "error", "-select_streams", which, "-show_entries", entries, "-of", "csv=p=0"];
    run("ffprobe", &[&args[..], &[path.to_str().unwrap()]].concat()).trim().trim_end_matches(',').to_owned()
}

/// Times of showing in order of decoding, in ticks of 90 kHz.
pub(super) fn times(path: &Path) -> Vec<i64> {
    let text = probe(path, "v:0", "packet=pts");
    // New parameter sets are told of in a line of their own.
    text.lines().filter(|l| !l.is_empty()).map(|l| l.trim_end_matches(',').parse().unwrap()).collect()
}

/// The last span of a stream as a virtual file that decodes.
pub(super) async fn download(yard: &Yard, id: &str) -> PathBuf {
    let api = yard.api();
    let span = api.spans(&format!("{id}/1/main")).await.pop().unwrap();
    let (from, to) = (span["start"].as_str().unwrap(), span["end"].as_str().unwrap());
    let path = yard.site.dir.path().join(format!("{id}.mp4"));
    std::fs::write(&path, api.get(&format!("/media/{id}/1/main/vod.mp4?from={from}&to={to}")).await).unwrap();
    decodes(&path);
    path
}

/// A playlist's parts, joined: what a player of HLS puts together.
pub(super) async fn hls(yard: &Yard, id: &str) -> PathBuf {
    let api = yard.api();
    let span = api.spans(&format!("{id}/1/main")).await.pop().unwrap();
    let (from, to) = (span["start"].as_str().unwrap(), span["end"].as_str().unwrap());
    let playlist = api.get(&format!("/media/{id}/1/main/vod.m3u8?from={from}&to={to}")).await;
    let text = String::from_utf8(playlist.to_vec()).unwrap();
    let mut bytes = Vec::new();
    for line in text.lines() {
        let uri = line.strip_prefix("#EXT-X-MAP:URI=\"").map(|l| l.trim_end_matches('"'));
        if let Some(uri) = uri.or((!line.starts_with('#')).then_some(line)) {
            bytes.extend_from_slice(&api.get(&format!("/media/{id}/1/main/{uri}")).await);
        }
    }
    let path = yard.site.dir.path().join(format!("{id}.hls.mp4"));
    std::fs::write(&path, bytes).unwrap();
    decodes(&path);
    path
}

/// Fails unless the pictures are shown 40 ms apart, all of them.
pub(super) fn assert_even(path: &Path, id: &str) {
    let mut times = times(path);
    times.sort_unstable();
    // Where the recording ends for now, a picture is there whose predecessors in showing are still to be decoded.
    times.truncate(times.len().saturating_sub(5));
    let uneven: Vec<_> = times.windows(2).filter(|w| !(2_700..=4_500).contains(&(w[1] - w[0]))).collect();
    assert!(times.len() > 60 && uneven.is_empty(), "{id}: {} pictures, {uneven:?}", times.len());
}

fn audio(stream: &Value) -> (&str, &str) {
    (stream["audio"]["codec"].as_str().unwrap_or(""), stream["audio"]["handling"].as_str().unwrap_or(""))
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_every_sort_are_recorded_and_played() {
    let yard = Yard::start(&[
        ("sliced", "h264-sliced", "none", ""),
        ("inband4", "h264-inband", "none", ""),
        ("inband5", "h265-inband", "none", ""),
        ("bframes", "h264-bframes", "none", ""),
        ("mjpeg", "mjpeg", "none", ""),
        ("udp", "h264", "none", "transport = 'udp'"),
        ("long", "h264-long", "none", ""),
    ])
    .await;
    for (id, codec, name) in [
        ("sliced", "h264", "h264"),
        ("inband4", "h264", "h264"),
        ("inband5", "h265", "hevc"),
        ("bframes", "h264", "h264"),
        ("mjpeg", "mjpeg", "mjpeg"),
        ("udp", "h264", "h264"),
        ("long", "h264", "h264"),
    ] {
        yard.api().until_recorded(&format!("{id}/1/main"), 5.0).await;
        assert_eq!(yard.api().stream(&format!("{id}/1/main")).await["codec"], codec);
        let mp4 = download(&yard, id).await;
        assert_eq!(probe(&mp4, "v:0", "stream=codec_name"), name, "{id}");
        // Datagrams may be lost even here, where the host is busy; what is left decodes.
        if id != "udp" {
            assert_even(&mp4, id);
        }
        match id {
            "mjpeg" => {}
            "udp" => decodes(&hls(&yard, id).await),
            _ => assert_even(&hls(&yard, id).await, id),
        }
        if id == "bframes" {
            let times = times(&mp4);
            assert!(times.windows(2).filter(|w| w[1] < w[0]).count() > 10, "reordered: {times:?}");
        }
    }
    let mjpeg = yard.api().spans("mjpeg/1/main").await.pop().unwrap();
    let path = format!("/media/mjpeg/1/main/vod.m3u8?from={}", mjpeg["start"].as_str().unwrap());
    let (status, problem) = yard.api().try_get(&path).await.unwrap();
    assert_eq!(status, 406, "{}", String::from_utf8_lossy(&problem));
    assert!(String::from_utf8_lossy(&problem).contains("vod.mp4"));
    yard.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_of_every_sort_is_kept_stored_as_flac_or_left_out_by_name() {
    let yard = Yard::start(&[
        ("aac", "h264", "aac", ""),
        ("alaw", "h264", "alaw", ""),
        ("mulaw", "h264", "mulaw", ""),
        ("g722", "h264", "g722", ""),
        ("g726", "h264", "g726", "transport = 'udp'"),
        ("l16", "h264", "l16", ""),
        ("opus", "h264", "opus", ""),
    ])
    .await;
    for (id, codec, handling, stored) in [
        ("aac", "aac", "copy", "aac,16000"),
        ("alaw", "g711a", "flac", "flac,8000"),
        ("mulaw", "g711u", "flac", "flac,8000"),
        ("g722", "g722", "flac", "flac,16000"),
        ("g726", "g726-32", "flac", "flac,8000"),
        ("l16", "l16", "flac", "flac,16000"),
        ("opus", "opus", "dropped", ""),
    ] {
        yard.api().until_recorded(&format!("{id}/1/main"), 5.0).await;
        let stream = yard.api().stream(&format!("{id}/1/main")).await;
        assert_eq!(audio(&stream), (codec, handling), "{id}: {stream}");
        assert_eq!(stream["audio"]["reason"].is_string(), handling != "copy", "{stream}");
        let mp4 = download(&yard, id).await;
        assert_eq!(probe(&mp4, "a:0", "stream=codec_name,sample_rate"), stored, "{id}");
        // g726 comes by datagrams, of which a busy host loses some.
        if id != "g726" {
            assert_even(&mp4, id);
        }
        if handling == "flac" {
            let pcm = pcm_of(&mp4);
            let rate = if stored.ends_with("16000") { 16_000 } else { 8000 };
            assert!(pcm.len() > 4 * rate, "{id}: {} samples", pcm.len());
            // Pink noise at 0.4, not silence and not the roar of swapped bytes.
            let loud = (pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len() as f64).sqrt();
            assert!((500.0..9000.0).contains(&loud), "{id}: {loud}");
            decodes(&hls(&yard, id).await);
        }
    }
    yard.stop().await;
}

fn pcm_of(path: &Path) -> Vec<i16> {
    let pcm = path.with_extension("pcm");
    run("ffmpeg", &["-v", "error", "-y", "-i", path.to_str().unwrap(), "-vn", "-f", "s16le", pcm.to_str().unwrap()]);
    std::fs::read(pcm).unwrap().chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flac_track_holds_the_very_samples_that_ffmpeg_hears_from_the_camera() {
    let yard =
        Yard::start(&[("alaw", "h264", "alaw", ""), ("mulaw", "h264", "mulaw", ""), ("l16", "h264", "l16", "")]).await;
    for (id, camera) in &yard.cameras {
        yard.api().until_recorded(&format!("{id}/1/main"), 1.0).await;
        // Another client of the same encoder, at the same time.
        let url = format!(
            "rtsp://admin:{}@127.0.0.1:{}/Streaming/Channels/101",
            PASSWORD.replace('#', "%23").replace('@', "%40"),
            camera.port
        );
        let heard = yard.site.dir.path().join(format!("{id}.heard"));
        let args = ["-v", "fatal", "-y", "-rtsp_transport", "tcp", "-i", &url, "-vn", "-t", "3", "-f", "s16le"];
        let (args, path) = (args.map(str::to_owned), heard.to_str().unwrap().to_owned());
        tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).chain([path.as_str()]).collect();
            run("ffmpeg", &args)
        })
        .await
        .unwrap();
        let theirs = std::fs::read(&heard).unwrap();
        let theirs: Vec<i16> = theirs.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
        assert!(theirs.len() > 16_000, "{id}: ffmpeg heard {} samples", theirs.len());
        let ours = pcm_of(&download(&yard, id).await);
        let middle = &theirs[theirs.len() / 2 - 4000..][..8000];
        assert!(
            ours.windows(8000).any(|w| w == middle),
            "{id}: half a second of {} is not in {}",
            theirs.len(),
            ours.len()
        );
    }
    assert!(yard.daemon.rooms().archive.segments(&key("alaw/1/main"), crate::model::Range::ALL, 10).await.is_ok());
    yard.stop().await;
}
