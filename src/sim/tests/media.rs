//! Frames come exactly, in both codecs, to retina and to ffmpeg.

use super::*;
use crate::model::{Profile, VideoCodec};
use std::process::{Command, Stdio};

#[tokio::test]
async fn every_frame_comes_once_and_in_order() {
    let (sim, _group) = start(Options { audio: true, metadata_track: true, fps: 50, ..Options::default() }).await;
    let mut session = play(&sim, MAIN).await;
    let first = next_video(&mut session).await.unwrap();
    assert!(first.key && first.mark.stream == 101);
    for n in 1..120 {
        let seen = next_video(&mut session).await.unwrap();
        assert_eq!(seen.mark.counter, first.mark.counter + n);
        assert_eq!(seen.key, n % 50 == 0, "frame {n}");
        assert_eq!(seen.ticks - first.ticks, n as i64 * 1800);
    }
    assert!(sim.frames_sent(1, Profile::Main) >= 120);
    assert_eq!(sim.sessions_open(1), 1);
}

#[tokio::test]
async fn h265_loops_and_carries_the_marks() {
    let (sim, _group) = start(Options { codec: VideoCodec::H265, fps: 100, ..nvr(2) }).await;
    for path in ["/Streaming/Channels/201", "/Streaming/Channels/202"] {
        let mut session = play(&sim, path).await;
        let first = next_video(&mut session).await.unwrap();
        for n in 1..130 {
            let seen = next_video(&mut session).await.unwrap();
            assert_eq!((seen.mark.counter, seen.key), (first.mark.counter + n, n % 25 == 0), "frame {n}");
        }
    }
}

#[tokio::test]
async fn sound_is_continuous_and_sender_reports_come_first() {
    let (sim, _group) = start(Options { audio: true, clock_skew_ms: 7_200_000, ..Options::default() }).await;
    let mut session = play(&sim, MAIN).await;
    let mut reported = false;
    let mut last: Option<i64> = None;
    let mut frames = 0;
    while frames < 30 {
        match within(session.next()).await.unwrap().unwrap() {
            CodecItem::Rtcp(_) => reported = true,
            CodecItem::AudioFrame(frame) => {
                assert!(reported);
                let at = frame.timestamp().elapsed();
                assert!(last.is_none_or(|l| at - l == 1024), "{last:?} {at}");
                last = Some(at);
                frames += 1;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_second_viewer_gets_the_same_frames_from_a_key_frame_on() {
    let (sim, _group) = start(Options::default()).await;
    let mut one = play(&sim, MAIN).await;
    let first = next_video(&mut one).await.unwrap();
    let mut two = play(&sim, MAIN).await;
    let joined = next_video(&mut two).await.unwrap();
    assert!(joined.key);
    assert_eq!((joined.mark.counter - first.mark.counter) % 25, 0);
    assert_eq!(next_video(&mut two).await.unwrap().mark.counter, joined.mark.counter + 1);
    drop((one, two));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_decodes_without_a_word() {
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let (sim, _group) =
            start(Options { codec, audio: true, bits_per_second: 1_000_000, ..Options::default() }).await;
        let url = format!("rtsp://admin:{PASSWORD}@{}{MAIN}", sim.rtsp_addr);
        let run = tokio::task::spawn_blocking(move || {
            Command::new("ffmpeg")
                .args(["-v", "error", "-rtsp_transport", "tcp", "-i", &url, "-frames:v", "60", "-f", "null", "-"])
                .stdin(Stdio::null())
                .output()
                .expect("this test needs ffmpeg: apt-get install ffmpeg")
        });
        let output = within(run).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{codec:?}");
        assert!(output.status.success());
        let teardown = async {
            while sim.teardowns() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within(teardown).await;
    }
}

#[tokio::test]
async fn filler_brings_a_stream_to_its_bit_rate() {
    let (sim, _group) = start(Options { bits_per_second: 4_000_000, ..Options::default() }).await;
    let mut session = play(&sim, MAIN).await;
    let mut bytes = 0;
    for _ in 0..25 {
        let CodecItem::VideoFrame(frame) = within(session.next()).await.unwrap().unwrap() else { continue };
        bytes += frame.data().len();
    }
    assert!((480_000..540_000).contains(&bytes), "{bytes} bytes in a second or a little less");
}

#[tokio::test]
async fn two_devices_and_a_hundred_channels_live_in_one_process() {
    let (big, _group) = start(nvr(100)).await;
    let (small, _group_too) = start(Options::default()).await;
    let mut far = play(&big, "/Streaming/Channels/10002").await;
    let mut near = play(&small, MAIN).await;
    assert_eq!(next_video(&mut far).await.unwrap().mark.stream, 10_002);
    assert_eq!(next_video(&mut near).await.unwrap().mark.stream, 101);
    assert_eq!((big.sessions_open(100), big.sessions_open(1)), (1, 0));
    let taken = Options { http_port: big.http_addr.port(), ..Options::default() };
    assert!(matches!(Simulator::start(taken, &TaskGroup::new()).await, Err(Error::Bind { .. })));
    let absurd = Options { channels: 0, ..Options::default() };
    assert!(matches!(Simulator::start(absurd, &TaskGroup::new()).await, Err(Error::Options(_))));
}

#[tokio::test]
async fn stopping_the_group_ends_sessions_and_frees_the_ports() {
    let (sim, group) = start(Options::default()).await;
    let mut session = play(&sim, MAIN).await;
    next_video(&mut session).await.unwrap();
    assert!(group.stop(PATIENCE).await);
    assert_ends(&mut session).await;
    assert_eq!((sim.sessions_open(1), group.panics()), (0, 0));
    let again = Options { http_port: sim.http_addr.port(), rtsp_port: sim.rtsp_addr.port(), ..Options::default() };
    start(again).await;
}
