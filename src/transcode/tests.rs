//! The room with real ffmpeg, and with programs that only pretend to be one.

use super::{Config, Deps, Settings, State, Status, Transcoder, build, config::Limits};
use crate::{
    base::{Clock, Metrics, TaskGroup, Wall},
    events::Events,
    live::{Delivery, Hub, Publisher, Reader},
    media::fixture::{Clip, Options, clip},
    model::{Frame, Profile, StreamKey, TrackKind, VideoCodec},
};
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn settings(video: VideoCodec) -> Settings {
    Settings {
        streams: vec![Profile::Main],
        video,
        size: None,
        bits_per_second: None,
        fps: None,
        preset: "veryfast".to_owned(),
    }
}

fn small(video: VideoCodec) -> Settings {
    Settings { size: Some((64, 48)), bits_per_second: Some(200_000), ..settings(video) }
}

/// A room, with a camera's publisher on one side and a reader on the other.
struct Bench {
    key: StreamKey,
    camera: Option<Publisher>,
    out: Reader,
    transcoder: Transcoder,
    metrics: Metrics,
    group: TaskGroup,
    sources: Hub,
}

fn start(wanted: Settings) -> Config {
    let devices = BTreeMap::from([("cam".parse().unwrap(), wanted)]);
    Config { devices, ..Config::default() }
}

impl Bench {
    async fn new(config: Config) -> Self {
        let key: StreamKey = "cam/1/main".parse().unwrap();
        let (sources, hub) = (Hub::default(), Hub::default());
        let (clock, events, metrics) = (Clock::real(), Events::discard(), Metrics::default());
        let deps = Deps { sources: sources.clone(), hub: hub.clone(), clock, events, metrics: metrics.clone() };
        let (transcoder, task) = build(config, deps);
        let group = TaskGroup::new();
        group.spawn("transcode", task.run(group.stop_token()));
        let camera = sources.publisher(&key);
        let mut streams = hub.streams();
        streams.wait_for(|live| live.contains(&key)).await.unwrap();
        let out = hub.reader(&key).unwrap();
        // Whoever publishes before the room reads is not heard.
        while sources.readers(&key) == 0 {
            tokio::task::yield_now().await;
        }
        Self { key, camera: Some(camera), out, transcoder, metrics, group, sources }
    }

    fn give(&self, frames: &[Frame]) {
        frames.iter().for_each(|frame| self.camera.as_ref().unwrap().publish(frame.clone()));
    }

    /// The next frames, until there are so many pictures.
    async fn pictures(&mut self, count: usize) -> Vec<Frame> {
        let mut got: Vec<Frame> = Vec::new();
        while got.iter().filter(|f| f.track == TrackKind::Video).count() < count {
            match tokio::time::timeout(PATIENCE, self.out.next()).await {
                Ok(Some(Delivery::Frame(frame))) => got.push(frame),
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended after {} frames", got.len()),
                Err(_) => panic!("{} frames within {PATIENCE:?}, {:?}", got.len(), self.status()),
            }
        }
        got
    }

    /// All that comes until the stream ends, the camera having left.
    async fn rest(&mut self) -> Vec<Frame> {
        self.camera = None;
        let mut got = Vec::new();
        while let Some(delivery) = tokio::time::timeout(PATIENCE, self.out.next()).await.expect("an end") {
            if let Delivery::Frame(frame) = delivery {
                got.push(frame);
            }
        }
        got
    }

    fn status(&self) -> Status {
        self.transcoder.watch().borrow().get(&self.key).cloned().unwrap_or_default()
    }

    async fn until(&self, what: &str, is: impl Fn(&Status) -> bool) {
        let mut watch = self.transcoder.watch();
        let seen = watch.wait_for(|all| all.get(&self.key).is_some_and(&is));
        assert!(tokio::time::timeout(PATIENCE, seen).await.is_ok(), "{what}: {:?}", self.status());
    }

    async fn end(mut self) {
        self.camera = None;
        assert!(self.group.stop(PATIENCE).await);
    }
}

fn noon() -> Wall {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn walls(frames: &[Frame], track: TrackKind) -> Vec<Wall> {
    frames.iter().filter(|f| f.track == track).map(|f| f.wall).collect()
}

/// A program in the place of ffmpeg: `script` is its shell text, in which `$dir` is a directory to leave notes in.
fn program(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("program");
    let version = "[ \"$1\" = -version ] && { echo ffmpeg version 5.1 of a test; exit; }";
    std::fs::write(&path, format!("#!/bin/sh\ndir='{}'\n{version}\n{script}\n", dir.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// ffmpeg that leaves its number behind.
const NOTED: &str = "echo $$ >> $dir/pids; exec ffmpeg \"$@\"";

fn pids(dir: &Path) -> Vec<rustix::process::Pid> {
    let text = std::fs::read_to_string(dir.join("pids")).unwrap_or_default();
    text.lines().filter_map(|l| rustix::process::Pid::from_raw(l.parse().ok()?)).collect()
}

fn assert_is_small(frames: &[Frame], codec: VideoCodec) {
    for frame in frames {
        let video = &frame.format.video;
        assert_eq!((video.codec, video.width, video.height), (codec, 64, 48), "{}", video.rfc6381);
    }
}

#[tokio::test]
async fn every_picture_comes_out_once_with_its_time_and_the_sound_beside_it() {
    for (from, to) in [
        (VideoCodec::H264, VideoCodec::H264),
        (VideoCodec::H265, VideoCodec::H264),
        (VideoCodec::H264, VideoCodec::H265),
    ] {
        let clip = clip(Options { codec: from, ..Options::default() });
        let frames = clip.frames(1, noon());
        let mut bench = Bench::new(start(small(to))).await;
        bench.give(&frames);
        let out = bench.rest().await;
        assert_eq!(walls(&out, TrackKind::Video), walls(&frames, TrackKind::Video), "{from:?} to {to:?}");
        assert_eq!(walls(&out, TrackKind::Audio), walls(&frames, TrackKind::Audio));
        assert_is_small(&out, to);
        let ticks: Vec<i64> = out.iter().filter(|f| f.track == TrackKind::Video).map(|f| f.ticks).collect();
        assert!(ticks.windows(2).all(|w| w[1] - w[0] == 3600), "a picture each 40 ms");
        assert!(out.iter().all(|f| f.session == out[0].session), "one session");
        assert_key_every_two_seconds(&out);
        bench.end().await;
    }
}

fn assert_key_every_two_seconds(out: &[Frame]) {
    let keys: Vec<Wall> = out.iter().filter(|f| f.key && f.track == TrackKind::Video).map(|f| f.wall).collect();
    let apart: Vec<i64> = keys.windows(2).map(|w| w[1].micros_since(w[0])).collect();
    assert!(keys.len() >= 4 && apart.iter().all(|d| *d <= 2_000_000), "{apart:?}");
}

#[tokio::test]
async fn fewer_pictures_keep_the_times_of_those_that_they_were_made_of() {
    let clip = clip(Options { audio_rate: 0, ..Options::default() });
    let frames = clip.frames(1, noon());
    let mut bench = Bench::new(start(Settings { fps: Some(10), ..small(VideoCodec::H264) })).await;
    bench.give(&frames);
    let out = bench.rest().await;
    assert_eq!(out.len(), 80, "8 s of 10");
    let given = walls(&frames, TrackKind::Video);
    assert!(out.iter().all(|f| given.contains(&f.wall)));
    bench.end().await;
}

#[tokio::test]
async fn a_killed_ffmpeg_is_begun_anew_and_no_picture_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(Options::default());
    let frames = clip.frames(1, noon());
    let (first, second) = frames.split_at(frames.len() / 2);
    let config = Config { ffmpeg: Some(program(dir.path(), NOTED)), ..start(small(VideoCodec::H264)) };
    let mut bench = Bench::new(config).await;
    bench.give(first);
    let mut out = bench.pictures(1).await;
    rustix::process::kill_process(pids(dir.path())[0], rustix::process::Signal::KILL).unwrap();
    bench.give(second);
    bench.until("a new process", |s| s.restarts == 1).await;
    assert!(bench.metrics.render().contains("skyvis_transcode_restarts_total{stream=\"cam/1/main\"} 1"));
    out.extend(bench.rest().await);
    assert_eq!(walls(&out, TrackKind::Video), walls(&frames, TrackKind::Video));
    assert_eq!(walls(&out, TrackKind::Audio), walls(&frames, TrackKind::Audio));
    assert_eq!(pids(dir.path()).len(), 2);
    bench.end().await;
}

#[tokio::test]
async fn one_that_hangs_is_killed_and_begun_anew_without_loss() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(Options { audio_rate: 0, ..Options::default() });
    let frames = clip.frames(1, noon());
    let limits = Limits { silence: Duration::from_secs(3), ..Limits::default() };
    let config = Config { ffmpeg: Some(program(dir.path(), NOTED)), limits, ..start(small(VideoCodec::H264)) };
    let mut bench = Bench::new(config).await;
    bench.give(&frames[..50]);
    // ffmpeg answers a picture once the next one is there.
    let mut out = bench.pictures(49).await;
    let pid = pids(dir.path())[0];
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    // A camera goes on all the while: without pictures that wait, nothing hangs.
    let mut rest = frames[50..].chunks(5);
    while pids(dir.path()).len() < 2 {
        rest.next().into_iter().for_each(|some| bench.give(some));
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    rest.for_each(|some| bench.give(some));
    out.extend(bench.rest().await);
    assert_eq!(walls(&out, TrackKind::Video), walls(&frames, TrackKind::Video));
    assert!(rustix::process::test_kill_process(pid).is_err(), "a stopped process is killed too");
    bench.end().await;
}

#[tokio::test]
async fn where_ffmpeg_is_missing_fails_or_talks_nonsense_the_original_goes_on_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(Options::default());
    let frames = clip.frames(1, noon());
    let limits = Limits { retry_first: Duration::from_millis(1), ..Limits::default() };
    for (what, script, reason, detail) in [
        ("missing", None, "no_ffmpeg", "is not installed"),
        ("fails", Some("echo no such encoder >&2; exit 3"), "ffmpeg_failed", "exit status: 3): no such encoder"),
        ("nonsense", Some("yes skyvis; cat >/dev/null"), "ffmpeg_failed", "cannot be read"),
        ("silent", Some("cat >/dev/null"), "ffmpeg_failed", "ended"),
        ("zeros", Some("head -c 100000 /dev/zero; cat >/dev/null"), "ffmpeg_failed", "cannot be read"),
        ("huge", Some("printf '\\377\\377\\377\\377mdat'; cat /dev/zero"), "ffmpeg_failed", "more than"),
    ] {
        let ffmpeg = script.map_or_else(|| dir.path().join("nowhere"), |script| program(dir.path(), script));
        let silence = Limits { silence: Duration::from_millis(300), ..limits };
        let limits = if what == "silent" { silence } else { limits };
        let mut bench = Bench::new(Config { ffmpeg: Some(ffmpeg), limits, ..start(small(VideoCodec::H264)) }).await;
        if what == "silent" {
            // It takes pictures for as long as the watchdog waits, and ends with the source.
            bench.give(&frames);
            bench.camera = None;
            assert!(bench.rest().await.is_empty(), "it took all and answered nothing");
            bench.end().await;
            continue;
        }
        bench.give(&frames);
        bench.until(what, |s| s.state == State::Original).await;
        let status = bench.status();
        assert_eq!(status.reason, Some(reason), "{what}");
        assert!(status.detail.as_ref().is_some_and(|d| d.contains(detail)), "{what}: {status:?}");
        let out = bench.rest().await;
        assert_eq!(walls(&out, TrackKind::Video), walls(&frames, TrackKind::Video), "{what}");
        assert!(out.iter().all(|f| f.format == clip.format), "{what}");
        bench.end().await;
    }
}

#[tokio::test]
async fn a_program_that_answers_nothing_hangs_and_the_original_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(Options { audio_rate: 0, ..Options::default() });
    let frames = clip.frames(1, noon());
    let limits =
        Limits { silence: Duration::from_millis(300), retry_first: Duration::from_millis(1), ..Limits::default() };
    // The pipe fills up, and the write into it waits.
    let config =
        Config { ffmpeg: Some(program(dir.path(), "exec sleep 1000")), limits, ..start(small(VideoCodec::H264)) };
    let mut bench = Bench::new(config).await;
    let large: Vec<Frame> = frames.iter().map(|f| Frame { data: vec![0; 8192].into(), ..f.clone() }).collect();
    bench.give(&large);
    bench.until("the original", |s| s.state == State::Original && s.reason == Some("ffmpeg_failed")).await;
    assert!(bench.status().detail.unwrap().contains("no picture for"), "{:?}", bench.status());
    assert_eq!(bench.rest().await.len(), 200, "none was lost");
    bench.end().await;
}

#[tokio::test]
async fn a_format_that_changes_begins_a_new_process_and_loses_nothing() {
    let (one, other) = (clip(Options::default()), clip(Options { width: 192, height: 128, ..Options::default() }));
    let mut bench = Bench::new(start(small(VideoCodec::H264))).await;
    let (first, second) = (one.frames(1, noon()), other.frames(1, noon().plus_micros(8_000_000)));
    let moved = |f: &Frame| {
        let ticks = f.ticks + 8 * i64::from(f.format.timescale(f.track));
        Frame { ticks, ..f.clone() }
    };
    let second: Vec<Frame> = second.iter().map(moved).collect();
    let all = [first, second].concat();
    bench.give(&all);
    let out = bench.rest().await;
    assert_eq!(walls(&out, TrackKind::Video), walls(&all, TrackKind::Video));
    assert_is_small(&out, VideoCodec::H264);
    bench.end().await;
}

#[tokio::test]
async fn no_more_processes_run_than_may_and_what_waits_is_recorded_as_it_comes() {
    let clip: Arc<Clip> = clip(Options { audio_rate: 0, ..Options::default() });
    let frames = clip.frames(1, noon());
    let mut bench = Bench::new(Config { processes_max: 1, ..start(small(VideoCodec::H264)) }).await;
    bench.give(&frames);
    bench.pictures(1).await;
    let second: StreamKey = "cam/2/main".parse().unwrap();
    let other = bench.sources.publisher(&second);
    while bench.sources.readers(&second) == 0 {
        tokio::task::yield_now().await;
    }
    frames.iter().for_each(|f| other.publish(f.clone()));
    let mut watch = bench.transcoder.watch();
    let limited = watch.wait_for(|all| all.get(&second).is_some_and(|s| s.reason == Some("ffmpeg_limit")));
    assert!(tokio::time::timeout(PATIENCE, limited).await.is_ok());
    assert!(bench.metrics.render().contains("skyvis_transcode_processes 1"), "{}", bench.metrics.render());
    drop(other);
    bench.end().await;
}

#[tokio::test]
async fn other_settings_are_taken_without_loss() {
    let clip = clip(Options { audio_rate: 0, ..Options::default() });
    let frames = clip.frames(1, noon());
    let mut bench = Bench::new(start(settings(VideoCodec::H264))).await;
    bench.give(&frames[..100]);
    let mut out = bench.pictures(99).await;
    assert_eq!(out[0].format.video.width, 128, "its own size");
    bench.transcoder.apply(start(small(VideoCodec::H264)));
    // The one that runs ends at a key frame, whenever it hears of it.
    bench.give(&frames[100..150]);
    out.extend(bench.pictures(40).await);
    bench.give(&frames[150..]);
    out.extend(bench.rest().await);
    assert_eq!(walls(&out, TrackKind::Video), walls(&frames, TrackKind::Video));
    assert_is_small(&out[175..], VideoCodec::H264);
    bench.end().await;
}
