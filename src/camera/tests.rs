//! The whole room against simulated devices.

mod carried;
mod floods;
mod gateway;
mod login;
mod odd_answers;

use super::*;
use crate::{
    base::{Clock, Metrics, Secret, TaskGroup},
    events::Events,
    live::{Delivery, Hub, Reader},
    model::{DeviceId, Frame, Presence, Profile, StreamKey, StreamState, TrackKind, VideoCodec},
    sim::{self, ChannelFault, DeviceFault, Options, Running, Simulator},
};
use std::{
    future::Future,
    io::{BufRead, BufReader, Write},
    sync::Arc,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

struct Site {
    cameras: Cameras,
    hub: Hub,
    metrics: Metrics,
    sim: Running,
    config: Config,
    room: TaskGroup,
    _devices: TaskGroup,
}

fn device(id: &str, sim: &Running, kind: DeviceKind, audio: bool) -> DeviceConfig {
    DeviceConfig {
        id: id.parse().unwrap(),
        kind,
        host: sim.http_addr.ip().to_string(),
        http_port: sim.http_addr.port(),
        rtsp_port: Some(sim.rtsp_addr.port()),
        audio,
        ..a_device()
    }
}

/// A device that nobody asks.
pub(super) fn a_device() -> DeviceConfig {
    DeviceConfig {
        id: id("d1"),
        kind: DeviceKind::Camera,
        host: "192.0.2.1".into(),
        http_port: 80,
        tls: None,
        rtsp_port: None,
        user: "admin".into(),
        password: Options::default().password,
        channels: Vec::new(),
        profiles: vec![Profile::Main],
        transport: Transport::Tcp,
        audio: false,
        transcoded: Vec::new(),
        enabled: true,
    }
}

impl Site {
    async fn start(options: Options) -> Self {
        Self::start_with(options, |_| {}).await
    }

    async fn start_with(options: Options, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(options, |config, _| change(config)).await
    }

    async fn start_at(options: Options, change: impl FnOnce(&mut Config, &Running)) -> Self {
        let devices = TaskGroup::new();
        let kind = match options.kind {
            sim::DeviceKind::Camera => DeviceKind::Camera,
            sim::DeviceKind::Nvr => DeviceKind::Nvr,
            sim::DeviceKind::Gateway => DeviceKind::Gateway,
        };
        let audio = options.audio;
        let sim = Simulator::start(options, &devices).await.unwrap();
        let mut config = Config {
            devices: vec![device("d1", &sim, kind, audio)],
            poll_interval: Duration::from_millis(300),
            age_out: Duration::from_millis(500),
            timeout: Duration::from_secs(5),
        };
        change(&mut config, &sim);
        let (hub, metrics, room) = (Hub::default(), Metrics::default(), TaskGroup::new());
        let deps = Deps {
            hub: hub.clone(),
            sources: Hub::default(),
            events: Events::discard(),
            clock: Clock::real(),
            metrics: metrics.clone(),
            group: room.clone(),
            store: None,
        };
        let (cameras, task) = build(config.clone(), deps);
        room.spawn("cameras", task.run(room.stop_token()));
        Self { cameras, hub, metrics, sim, config, room, _devices: devices }
    }

    /// Polls of the device with that outcome.
    fn polls(&self, outcome: &str) -> u64 {
        let metrics = self.metrics.render();
        let start = format!("skyvis_device_polls_total{{device=\"d1\",outcome=\"{outcome}\"}} ");
        metrics.lines().find_map(|l| l.strip_prefix(&start)).map_or(0, |n| n.parse().unwrap())
    }

    /// Waits for that many more polls with that outcome; they may change nothing that is shown.
    async fn until_polled(&self, outcome: &str, more: u64) {
        let before = self.polls(outcome);
        let polled = async {
            while self.polls(outcome) < before + more {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("polled again", polled).await;
    }

    async fn until(&self, what: &str, is: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut watch = self.cameras.watch();
        let seen = tokio::time::timeout(PATIENCE, watch.wait_for(|s| is(s))).await.map(|s| s.unwrap().clone());
        seen.unwrap_or_else(|_| panic!("{what}: not in time; now {:#?}", self.cameras.watch().borrow()))
    }

    async fn until_state(&self, key: &str, state: StreamState) -> StreamView {
        let snapshot =
            self.until(&format!("{key} {state:?}"), |s| view(s, key).is_some_and(|v| v.state == state)).await;
        view(&snapshot, key).unwrap().clone()
    }

    async fn reader(&self, key: &str) -> Reader {
        let key: StreamKey = key.parse().unwrap();
        let mut streams = self.hub.streams();
        within("publisher", streams.wait_for(|s| s.contains(&key))).await.unwrap();
        self.hub.reader(&key).unwrap()
    }

    async fn stop(self) {
        assert!(self.room.stop(PATIENCE).await, "stops in time");
        assert_eq!(self.room.panics(), 0);
    }
}

fn view<'a>(snapshot: &'a Snapshot, key: &str) -> Option<&'a StreamView> {
    snapshot.streams.iter().find(|s| s.key.to_string() == key)
}

fn presence(snapshot: &Snapshot) -> Option<Presence> {
    snapshot.devices.first().map(|d| d.presence)
}

fn id(text: &str) -> DeviceId {
    text.parse().unwrap()
}

/// The next picture.
async fn picture(reader: &mut Reader) -> Frame {
    loop {
        match within("picture", reader.next()).await.expect("the stream goes on") {
            Delivery::Frame(f) if f.track == TrackKind::Video => return f,
            _ => {}
        }
    }
}

/// The next session's end.
/// What the simulator counted on a picture.
fn counter(frame: &Frame) -> u64 {
    sim::Mark::find(&frame.data).expect("every picture of the simulator is marked").counter
}

async fn end_of_session(reader: &mut Reader) -> String {
    loop {
        if let Delivery::Break(reason) = within("break", reader.next()).await.expect("the stream goes on") {
            return reason.to_string();
        }
    }
}

fn nvr(channels: u32) -> Options {
    Options { kind: sim::DeviceKind::Nvr, channels, ..Options::default() }
}

#[tokio::test]
async fn a_camera_is_found_and_its_frames_arrive_in_order_and_it_is_told_goodbye() {
    let site = Site::start(Options { audio: true, ..Options::default() }).await;
    let mut reader = site.reader("d1/1/main").await;
    let mut last: Option<Frame> = None;
    let mut sounds: Vec<i64> = Vec::new();
    let mut pictures = 0;
    while pictures < 60 || sounds.len() < 20 {
        let Some(Delivery::Frame(f)) = within("frame", reader.next()).await else { panic!("frames without a gap") };
        if f.track == TrackKind::Audio {
            assert_eq!(f.format.audio.as_ref().unwrap().rfc6381, "mp4a.40.2");
            sounds.push(f.ticks);
            continue;
        }
        match &last {
            None => assert!(f.key && f.ticks == 0, "begins at a key frame"),
            Some(l) => {
                assert_eq!((l.session, f.ticks - l.ticks), (f.session, 3600));
                assert!((f.wall.micros_since(l.wall) - 40_000).abs() <= 21, "no jump");
            }
        }
        assert!((Clock::real().wall().micros_since(f.wall)).abs() < 5_000_000, "true time");
        pictures += 1;
        last = Some(f);
    }
    assert!(sounds.windows(2).all(|w| w[1] > w[0]));
    let shown = site.until_state("d1/1/main", StreamState::Running).await;
    assert_eq!((shown.codec, shown.width, shown.height), (Some(VideoCodec::H264), Some(640), Some(352)));
    let snapshot = site.until("url", |s| !s.media_urls.is_empty()).await;
    let row = &snapshot.media_urls[0];
    assert_eq!(row.media_url, format!("rtsp://{}/Streaming/Channels/101", site.sim.rtsp_addr));
    assert_eq!((row.task.as_str(), row.presence), ("d1/1/main", Presence::Online));
    assert!(snapshot.devices[0].model.is_some());
    assert_eq!(site.sim.logins_failed(), 0);
    let sim = site.sim.clone();
    assert!(site.metrics.render().contains("skyvis_stream_frames_total{stream=\"d1/1/main\"}"));
    assert!(site.metrics.render().contains("skyvis_device_polls_total{device=\"d1\",outcome=\"ok\"}"));
    site.stop().await;
    assert_eq!((sim.sessions_open(1), sim.teardowns()), (0, 1));
}

#[tokio::test]
async fn h265_is_taken_too() {
    let site = Site::start(Options { codec: VideoCodec::H265, ..Options::default() }).await;
    let mut reader = site.reader("d1/1/main").await;
    let frame = picture(&mut reader).await;
    assert_eq!(frame.format.video.codec, VideoCodec::H265);
    assert!(frame.key && frame.format.video.rfc6381.starts_with("hvc1"), "{}", frame.format.video.rfc6381);
    site.stop().await;
}

#[tokio::test]
async fn a_channel_goes_offline_and_comes_back_and_its_neighbour_never_notices() {
    let site = Site::start(nvr(2)).await;
    let mut neighbour = site.reader("d1/2/main").await;
    let before = picture(&mut neighbour).await;
    let mut reader = site.reader("d1/1/main").await;
    picture(&mut reader).await;
    site.sim.channel(1, ChannelFault::Offline).unwrap();
    let off = site.until_state("d1/1/main", StreamState::Offline).await;
    assert!(off.reason.is_some());
    site.until("row of an offline channel ages out", |s| s.media_urls.len() == 1).await;
    site.sim.channel(1, ChannelFault::Online).unwrap();
    let on = site.until_state("d1/1/main", StreamState::Running).await;
    assert_eq!((on.reconnects, on.reason), (1, None));
    end_of_session(&mut reader).await;
    assert!(picture(&mut reader).await.key);
    for _ in 0..10 {
        let after = picture(&mut neighbour).await;
        assert_eq!(after.session, before.session, "the neighbour's session goes on");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_deleted_channel_leaves_and_a_new_one_is_found() {
    let site = Site::start(nvr(2)).await;
    site.until_state("d1/2/main", StreamState::Running).await;
    site.sim.channel(2, ChannelFault::Delete).unwrap();
    site.until("deleted", |s| view(s, "d1/2/main").is_none() && s.media_urls.len() == 1).await;
    site.sim.channel(2, ChannelFault::Restore).unwrap();
    site.until_state("d1/2/main", StreamState::Running).await;
    site.stop().await;
}

#[tokio::test]
async fn a_wrong_password_costs_two_logins_at_most_and_a_right_one_ends_the_lock() {
    let wrong = |c: &mut Config| c.devices[0].password = Secret::new("nope");
    let site = Site::start_with(Options { wrong_logins_max: 5, ..nvr(8) }, wrong).await;
    let snapshot = site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    let error = snapshot.devices[0].error.clone().unwrap();
    assert!(error.contains("refused") && !error.contains("nope"), "{error}");
    // Several polls later nothing more was spent.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(site.sim.logins_failed(), 2);
    // A reload that changes something else makes the password no better.
    let mut config = site.config.clone();
    config.devices[0].profiles = vec![Profile::Main, Profile::Sub];
    site.cameras.apply(config).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    assert_eq!(site.sim.logins_failed(), 2);
    site.cameras
        .apply(Config { devices: vec![device("d1", &site.sim, DeviceKind::Nvr, false)], ..site.config.clone() })
        .await
        .unwrap();
    for n in 1..=8 {
        site.until_state(&format!("d1/{n}/main"), StreamState::Running).await;
    }
    assert_eq!(site.sim.logins_failed(), 2);
    site.stop().await;
}

#[tokio::test]
async fn a_password_changed_under_running_streams_leaves_them_and_locks_no_account() {
    let site = Site::start(nvr(4)).await;
    for n in 1..=4 {
        site.until_state(&format!("d1/{n}/main"), StreamState::Running).await;
    }
    let mut reader = site.reader("d1/3/main").await;
    let before = picture(&mut reader).await;
    site.sim.device(DeviceFault::Password(Secret::new("New-pass-1")));
    site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    assert_eq!(picture(&mut reader).await.session, before.session);
    site.sim.channel(1, ChannelFault::Drop).unwrap();
    site.until_state("d1/1/main", StreamState::Locked).await;
    assert!(site.sim.logins_failed() <= 2, "{}", site.sim.logins_failed());
    site.sim.device(DeviceFault::Password(Options::default().password));
    site.cameras.reconnect(&id("d1")).await.unwrap();
    site.until_state("d1/1/main", StreamState::Running).await;
    assert_eq!(site.cameras.reconnect(&id("d2")).await, Err(Error::UnknownDevice(id("d2"))));
    site.stop().await;
}

#[tokio::test]
async fn an_account_that_others_locked_is_seen_without_a_login_and_waited_out() {
    let options = Options { wrong_logins_max: 1, lock: Duration::from_secs(600), ..Options::default() };
    let wrong = |c: &mut Config| c.devices[0].password = Secret::new("nope");
    let site = Site::start_with(options, wrong).await;
    site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    let spent = site.sim.logins_failed();
    assert_eq!(spent, 1);
    // The right password meets the lock and does not touch it.
    site.cameras
        .apply(Config { devices: vec![device("d1", &site.sim, DeviceKind::Camera, false)], ..site.config.clone() })
        .await
        .unwrap();
    let snapshot = site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    assert!(snapshot.devices[0].error.as_ref().unwrap().contains("waits it out"), "{snapshot:?}");
    assert_eq!(site.sim.logins_failed(), spent);
    site.sim.device(DeviceFault::Unlock);
    site.cameras.reconnect(&id("d1")).await.unwrap();
    site.until_state("d1/1/main", StreamState::Running).await;
    site.stop().await;
}

#[tokio::test]
async fn a_dropped_connection_is_a_break_and_a_new_session() {
    let site = Site::start(Options::default()).await;
    let mut reader = site.reader("d1/1/main").await;
    let before = picture(&mut reader).await;
    site.sim.channel(1, ChannelFault::Drop).unwrap();
    end_of_session(&mut reader).await;
    let after = picture(&mut reader).await;
    assert!(after.key && after.session != before.session && after.wall > before.wall);
    let shown = site.until("reconnect", |s| view(s, "d1/1/main").is_some_and(|v| v.reconnects == 1)).await;
    assert_eq!(presence(&shown), Some(Presence::Online));
    site.stop().await;
}

#[tokio::test]
async fn a_silent_camera_is_left_and_fetched_again() {
    let site = Site::start(Options::default()).await;
    site.until_state("d1/1/main", StreamState::Running).await;
    let mut reader = site.reader("d1/1/main").await;
    picture(&mut reader).await;
    site.sim.channel(1, ChannelFault::Silence).unwrap();
    let reason = end_of_session(&mut reader).await;
    assert!(reason.contains("no frame came for"), "{reason}");
    site.sim.channel(1, ChannelFault::Resume).unwrap();
    picture(&mut reader).await;
    site.stop().await;
}

#[tokio::test]
async fn a_device_that_reboots_is_recorded_again() {
    let site = Site::start(nvr(2)).await;
    site.until_state("d1/1/main", StreamState::Running).await;
    site.sim.device(DeviceFault::Offline);
    site.until_state("d1/1/main", StreamState::Offline).await;
    site.until("offline", |s| presence(s) == Some(Presence::Offline)).await;
    site.sim.device(DeviceFault::Online);
    site.until_state("d1/2/main", StreamState::Running).await;
    assert_eq!(site.sim.logins_failed(), 0);
    site.stop().await;
}

#[tokio::test]
async fn nonsense_from_isapi_is_named_and_leaves_running_streams_alone() {
    let site = Site::start(nvr(1)).await;
    let mut reader = site.reader("d1/1/main").await;
    let before = picture(&mut reader).await;
    for (fault, word) in [(DeviceFault::Garbage, "makes no sense"), (DeviceFault::Huge, "limit")] {
        site.sim.device(fault);
        site.until(word, |s| s.devices.first().and_then(|d| d.error.as_ref()).is_some_and(|e| e.contains(word))).await;
        site.sim.device(DeviceFault::Sane);
        site.until("sane", |s| s.devices.first().is_some_and(|d| d.error.is_none())).await;
    }
    assert_eq!(picture(&mut reader).await.session, before.session);
    site.stop().await;
}

#[tokio::test]
async fn timestamps_that_jump_end_no_session_and_lose_no_picture() {
    let site = Site::start(nvr(1)).await;
    let mut reader = site.reader("d1/1/main").await;
    let mut last = picture(&mut reader).await;
    let faults = [
        ChannelFault::Jump(-60_000),
        ChannelFault::Jump(3_600_000),
        ChannelFault::Jump(i64::from(i32::MAX)),
        ChannelFault::Pace(-160_000),
        ChannelFault::Stray { every: 7, ms: 7_200_000 },
    ];
    for fault in faults {
        site.sim.channel(1, fault).unwrap();
        for _ in 0..40 {
            let next = picture(&mut reader).await;
            assert_eq!(next.session, last.session);
            assert_eq!(counter(&next), counter(&last) + 1);
            let passed = next.wall.micros_since(last.wall);
            assert!((1..1_000_000).contains(&passed), "{fault:?}: {passed} µs");
            last = next;
        }
    }
    site.stop().await;
}

#[tokio::test]
async fn a_timestamp_that_wraps_is_one_like_any_other() {
    let site = Site::start(nvr(1)).await;
    // A second before 2^32.
    site.sim.channel(1, ChannelFault::RtpStart(u32::MAX - 90_000)).unwrap();
    site.sim.channel(1, ChannelFault::Drop).unwrap();
    let mut reader = site.reader("d1/1/main").await;
    let mut last = picture(&mut reader).await;
    let mut together = 0;
    while together < 75 {
        let next = picture(&mut reader).await;
        together = if next.session == last.session { together + 1 } else { 0 };
        if together > 0 {
            assert_eq!(counter(&next), counter(&last) + 1);
            assert!((3597..=3603).contains(&(next.ticks - last.ticks)), "{} {}", last.ticks, next.ticks);
        }
        last = next;
    }
    site.stop().await;
}

#[tokio::test]
async fn descriptions_without_video_are_named() {
    let site = Site::start(nvr(2)).await;
    site.sim.channel(2, ChannelFault::NoVideo).unwrap();
    site.sim.channel(2, ChannelFault::Drop).unwrap();
    let bad = |s: &Snapshot| {
        let reason = view(s, "d1/2/main").and_then(|v| v.reason.as_ref());
        reason.is_some_and(|r| r.contains("has no video"))
    };
    site.until("no video", bad).await;
    site.until_state("d1/1/main", StreamState::Running).await;
    site.stop().await;
}

#[tokio::test]
async fn a_picture_that_changes_its_size_is_a_new_format_in_the_same_session() {
    let site = Site::start(Options::default()).await;
    let mut reader = site.reader("d1/1/main").await;
    let before = picture(&mut reader).await;
    site.sim.channel(1, ChannelFault::Resize(320, 192)).unwrap();
    loop {
        let after = picture(&mut reader).await;
        assert_eq!(after.session, before.session);
        if Arc::ptr_eq(&after.format, &before.format) {
            continue;
        }
        assert!(after.key);
        assert_eq!((after.format.video.width, after.format.video.height), (320, 192));
        break;
    }
    site.stop().await;
}

#[tokio::test]
async fn a_camera_that_is_away_from_the_start_is_shown_with_its_stream() {
    let unreachable = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::start_with(Options::default(), |config| {
        config.devices[0].kind = DeviceKind::Camera;
        config.devices[0].http_port = unreachable.port();
    })
    .await;
    let shown = site.until_state("d1/1/main", StreamState::Offline).await;
    assert!(shown.reason.is_some_and(|reason| reason.contains("connect")));
    site.stop().await;
}

#[tokio::test]
async fn a_reload_touches_the_changed_device_alone() {
    let site = Site::start(Options::default()).await;
    let mut reader = site.reader("d1/1/main").await;
    let before = picture(&mut reader).await;
    let mut config = site.config.clone();
    config.poll_interval = Duration::from_millis(400);
    config.devices.push(device("d2", &site.sim, DeviceKind::Camera, false));
    config.devices.push(DeviceConfig { enabled: false, ..device("d3", &site.sim, DeviceKind::Camera, false) });
    site.cameras.apply(config.clone()).await.unwrap();
    site.until_state("d2/1/main", StreamState::Running).await;
    let shown = site.cameras.watch().borrow().clone();
    assert_eq!(shown.devices[2].error.as_deref(), Some("switched off in the configuration"));
    let off = shown.devices[2].clone();
    assert!(site.metrics.render().contains("d2/1/main"));
    config.devices[1].profiles = vec![Profile::Sub];
    site.cameras.apply(config.clone()).await.unwrap();
    site.until_state("d2/1/sub", StreamState::Running).await;
    assert!(!site.metrics.render().contains("d2/1/main"));
    assert_eq!(site.cameras.watch().borrow().devices[2].since, off.since, "it is off since then, not since the reload");
    config.devices.truncate(1);
    site.cameras.apply(config).await.unwrap();
    let shown = site.cameras.watch().borrow().clone();
    assert_eq!((shown.devices.len(), shown.streams.len()), (1, 1));
    let metrics = site.metrics.render();
    assert!(!metrics.contains("\"d2") && metrics.contains("d1/1/main"), "what is gone is not counted:\n{metrics}");
    for _ in 0..5 {
        assert_eq!(picture(&mut reader).await.session, before.session);
    }
    site.stop().await;
}

#[tokio::test]
async fn a_camera_clock_that_is_ahead_is_shown_and_not_believed_where_it_is_mad() {
    let site = Site::start(Options { clock_skew_ms: 3_600_000, ..Options::default() }).await;
    let skew = |s: &Snapshot| view(s, "d1/1/main").and_then(|v| v.clock_skew_ms);
    let snapshot = site.until("skew", |s| skew(s).is_some()).await;
    let skew = skew(&snapshot).unwrap();
    assert!((skew - 3_600_000).abs() < 5_000, "{skew}");
    let mut reader = site.reader("d1/1/main").await;
    let frame = picture(&mut reader).await;
    assert!(Clock::real().wall().micros_since(frame.wall).abs() < 5_000_000);
    site.stop().await;
}

/// A camera whose RTSP answers as it should, and which then sends reports of its clock as fast as they go, and no
/// picture. It floods from a thread of its own until its peer has gone; the port that it listens on.
fn flooding_rtsp() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for peer in listener.incoming() {
            std::thread::spawn(move || serve_flood(&mut peer.unwrap()));
        }
    });
    port
}

fn serve_flood(peer: &mut std::net::TcpStream) -> Option<()> {
    let sdp = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
               m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1\r\n";
    let mut lines = BufReader::new(peer.try_clone().unwrap()).lines();
    loop {
        let request: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
        let cseq = request.iter().find(|l| l.to_ascii_lowercase().starts_with("cseq"))?.clone();
        let (more, body) = match request[0].split(' ').next()? {
            "DESCRIBE" => (format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", sdp.len()), sdp),
            "SETUP" => ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n".to_owned(), ""),
            _ => (String::new(), ""),
        };
        write!(peer, "RTSP/1.0 200 OK\r\n{cseq}\r\nSession: 1\r\n{more}\r\n{body}").ok()?;
        if request[0].starts_with("PLAY") {
            break;
        }
    }
    // Interleaved on channel 1: a sender report of 28 bytes.
    let mut report = vec![b'$', 1, 0, 28, 0x80, 200, 0, 6];
    report.resize(32, 1);
    let many = report.repeat(2000);
    loop {
        peer.write_all(&many).ok()?;
    }
}

#[tokio::test]
async fn a_camera_that_floods_us_and_sends_no_picture_is_left_in_time() {
    let port = flooding_rtsp();
    let change = |c: &mut Config| {
        c.devices[0].rtsp_port = Some(port);
        c.timeout = Duration::from_secs(1);
    };
    let site = Site::start_with(Options::default(), change).await;
    let left = |s: &Snapshot| {
        let reason = view(s, "d1/1/main").and_then(|v| v.reason.as_ref());
        reason.is_some_and(|r| r.contains("no frame came within"))
    };
    site.until("left", left).await;
    site.stop().await;
}
