//! Retina, ffmpeg and plain HTTP against the simulator.

use super::{encoder::sei::Mark, *};
use crate::base::TaskGroup;
use futures_util::StreamExt;
use retina::{
    client::{Credentials, Demuxed, PlayOptions, Session, SessionOptions, SetupOptions},
    codec::{CodecItem, FrameFormat},
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

async fn start(options: Options) -> (Running, TaskGroup) {
    let group = TaskGroup::new();
    (Simulator::start(options, &group).await.unwrap(), group)
}

async fn describe(
    sim: &Running,
    path: &str,
    password: &str,
) -> Result<Session<retina::client::Described>, retina::Error> {
    let url = format!("rtsp://{}{path}", sim.rtsp_addr).parse().unwrap();
    let credentials = Credentials { username: "admin".into(), password: password.into() };
    within(Session::describe(url, SessionOptions::default().creds(Some(credentials)))).await
}

async fn play(sim: &Running, path: &str) -> Demuxed {
    let mut session = describe(sim, path, Options::default().password.expose()).await.unwrap();
    for n in 0..session.streams().len() {
        if session.streams()[n].media() != "application" {
            let options = SetupOptions::default().frame_format(FrameFormat::MP4);
            within(session.setup(n, options)).await.unwrap();
        }
    }
    within(session.play(PlayOptions::default())).await.unwrap().demuxed().unwrap()
}

/// The next video frame: key, mark, timestamp.
async fn next_video(session: &mut Demuxed) -> (bool, Mark, i64) {
    loop {
        match within(session.next()).await.expect("the stream goes on").unwrap() {
            CodecItem::VideoFrame(frame) => {
                let mark = Mark::find(frame.data()).expect("a mark in every frame");
                return (frame.is_random_access_point(), mark, frame.timestamp().elapsed());
            }
            _ => continue,
        }
    }
}

#[tokio::test]
async fn every_frame_comes_once_and_in_order() {
    let (sim, _group) = start(Options { audio: true, fps: 50, ..Options::default() }).await;
    let mut session = play(&sim, "/Streaming/Channels/101").await;
    let (key, first, t0) = next_video(&mut session).await;
    assert!(key && first.stream == 101);
    for n in 1..120 {
        let (key, mark, t) = next_video(&mut session).await;
        assert_eq!(mark.counter, first.counter + n);
        assert_eq!(key, n % 50 == 0, "frame {n}");
        assert_eq!(t - t0, n as i64 * 1800);
    }
    assert!(sim.frames_sent(1, crate::model::Profile::Main) >= 120);
    assert_eq!(sim.sessions_open(1), 1);
}
