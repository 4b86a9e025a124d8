//! What is live, by players that are not ours; and beside what the camera itself sends.

use super::{KEY, counters_by_ffmpeg, counters_by_gstreamer, open, run};
use crate::{
    model::VideoCodec,
    sim,
    tests::{
        harness::{PASSWORD, Site, assert_consecutive, nvr},
        real_peers::GstCamera,
    },
};
use futures_util::StreamExt;
use retina::{
    client::{Credentials, PlayOptions, Session, SessionOptions, SetupOptions, Transport},
    codec::{CodecItem, FrameFormat},
};

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_and_gstreamer_play_what_is_live_by_tcp_and_udp() {
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let site = Site::new(sim::Options { codec, audio: true, ..nvr(1) }).await;
        let (daemon, api, address) = open(&site, "").await;
        let url = format!("rtsp://{address}/{KEY}");
        let dir = site.dir.path();
        let (a, b, c, d) = tokio::join!(
            counters_by_ffmpeg("tcp", &url, codec, &["-t", "5"]),
            counters_by_ffmpeg("udp", &url, codec, &["-t", "5"]),
            counters_by_gstreamer("tcp", &url, codec, 100, dir),
            counters_by_gstreamer("udp", &url, codec, 100, dir),
        );
        for (who, counters) in [("ffmpeg tcp", a), ("ffmpeg udp", b), ("gstreamer tcp", c), ("gstreamer udp", d)] {
            assert!(counters.len() >= 90, "{codec:?} {who}: {} pictures", counters.len());
            assert_consecutive(&counters, who);
        }
        assert_eq!(api.stream(KEY).await["readers"], 2, "the recorder, and one for all who watch");
        daemon.stop().await;
        site.assert_nothing_is_missing(KEY);
        site.stop().await;
    }
}

/// What ffprobe says of a stream.
async fn probed(url: &str) -> String {
    let entries = "stream=codec_name,profile,width,height,pix_fmt,r_frame_rate,avg_frame_rate,sample_rate,channels";
    let args = ["-v", "error", "-rtsp_transport", "tcp", "-show_entries", entries, "-of", "compact", url];
    String::from_utf8(run("ffprobe", &args).await).unwrap()
}

/// Hashes of decoded pictures, and of sounds.
async fn hashes(url: &str) -> [Vec<String>; 2] {
    let args =
        ["-v", "error", "-rtsp_transport", "tcp", "-i", url, "-t", "7", "-vsync", "passthrough", "-f", "framemd5", "-"];
    let text = String::from_utf8(run("ffmpeg", &args).await).unwrap();
    ["0,", "1,"].map(|track| {
        let lines = text.lines().filter(|line| line.starts_with(track));
        lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
    })
}

/// The longest run that both have.
fn common_run(a: &[String], b: &[String]) -> usize {
    let run = |at: usize, from: usize| a[at..].iter().zip(&b[from..]).take_while(|(x, y)| x == y).count();
    let runs = (0..a.len()).flat_map(|at| (0..b.len()).map(move |from| (at, from)));
    runs.map(|(at, from)| run(at, from)).max().unwrap_or(0)
}

async fn is_as_from_the_camera(video: &str, audio: &str) {
    let camera = GstCamera::start(video, audio);
    let site = Site::new(sim::Options { kind: sim::DeviceKind::Camera, ..nvr(1) }).await;
    let theirs = format!("rtsp_port = {}", camera.port);
    let text = site
        .config("[playback]\nrtsp_listen = '127.0.0.1:0'")
        .replace("kind = 'nvr'", "kind = 'camera'")
        .replace(&format!("rtsp_port = {}", site.nvr.rtsp_addr.port()), &theirs);
    let daemon = site.daemon_of(&text).await;
    site.api().until_state(KEY, "running").await;
    let ours = format!("rtsp://{}/{KEY}", daemon.rtsp_address().unwrap());
    let password = PASSWORD.replace('#', "%23").replace('@', "%40");
    let theirs = format!("rtsp://admin:{password}@127.0.0.1:{}/Streaming/Channels/101", camera.port);
    assert_eq!(probed(&ours).await, probed(&theirs).await, "{video} {audio}");
    let ([our_pictures, our_sounds], [their_pictures, their_sounds]) = tokio::join!(hashes(&ours), hashes(&theirs));
    let same = common_run(&our_pictures, &their_pictures);
    assert!(same >= 75, "{video}: {same} pictures alike of {} and {}", our_pictures.len(), their_pictures.len());
    assert_eq!(our_sounds.is_empty(), audio == "none");
    assert_eq!(their_sounds.is_empty(), audio == "none");
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_sees_is_what_it_sees_at_the_camera_with_h264_and_aac() {
    is_as_from_the_camera("h264", "aac").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_sees_is_what_it_sees_at_the_camera_with_h265_and_alaw() {
    is_as_from_the_camera("h265", "alaw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_sees_is_what_it_sees_at_the_camera_with_h264_and_mulaw() {
    is_as_from_the_camera("h264", "mulaw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_sees_is_what_it_sees_at_the_camera_with_pictures_out_of_order_and_raw_samples() {
    is_as_from_the_camera("h264-bframes", "l16").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retina_plays_what_is_live_with_the_token() {
    let site = Site::new(sim::Options { audio: true, ..nvr(1) }).await;
    let (daemon, _, address) = open(&site, "token = 'let-me-see'").await;
    let url: url::Url = format!("rtsp://{address}/{KEY}").parse().unwrap();
    let options = |password: &str| {
        let credentials = Credentials { username: "anybody".into(), password: password.into() };
        SessionOptions::default().creds(Some(credentials))
    };
    let refused = Session::describe(url.clone(), options("let-me")).await.err().unwrap();
    assert_eq!(refused.status_code(), Some(401));
    for transport in [Transport::Tcp(Default::default()), Transport::Udp(Default::default())] {
        let mut session = Session::describe(url.clone(), options("let-me-see")).await.unwrap();
        assert_eq!(session.streams().len(), 2);
        for n in 0..2 {
            let setup = SetupOptions::default().frame_format(FrameFormat::MP4).transport(transport.clone());
            session.setup(n, setup).await.unwrap();
        }
        let mut playing = session.play(PlayOptions::default()).await.unwrap().demuxed().unwrap();
        let (mut counters, mut sounds, mut reports) = (Vec::new(), 0, 0);
        while counters.len() < 100 {
            match playing.next().await.unwrap().unwrap() {
                CodecItem::VideoFrame(frame) => {
                    assert_eq!(frame.loss(), 0);
                    counters.push(sim::Mark::find(frame.data()).unwrap().counter);
                }
                CodecItem::AudioFrame(frame) => {
                    assert_eq!(frame.loss(), 0);
                    sounds += 1;
                }
                CodecItem::Rtcp(_) => reports += 1,
                _ => {}
            }
        }
        assert_consecutive(&counters, "retina");
        assert!(sounds >= 50 && reports >= 2, "{sounds} sounds, {reports} reports");
    }
    daemon.stop().await;
    site.stop().await;
}
