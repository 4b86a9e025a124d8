//! Who falls silent, by a clock that a test turns: hours pass in a moment, over real sockets.

use super::{Deps, serve};
use crate::{
    base::{Clock, Metrics, TaskGroup, Wall},
    disk::Disk,
    events::Events,
    live::Hub,
    media::fixture::{Options, clip},
    model::{Frame, Range, SampleTable, Segment, StreamKey, TrackKind, VideoCodec},
    playback::{Error, Footage},
    serve::BoxFuture,
};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::Instant,
};

const KEY: &str = "nvr1/3/main";
const PICTURE: Duration = Duration::from_millis(40);

/// Nothing was recorded.
struct Nothing;

impl Footage for Nothing {
    fn segments<'a>(&'a self, _: &'a StreamKey, _: Range, _: usize) -> BoxFuture<'a, Result<Vec<Segment>, Error>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn segment<'a>(&'a self, _: &'a StreamKey, _: Wall) -> BoxFuture<'a, Result<Option<Segment>, Error>> {
        Box::pin(async { Ok(None) })
    }

    fn version(&self, _: &StreamKey) -> crate::archive::Version {
        (0, 0)
    }

    fn table<'a>(&'a self, _: &'a Segment) -> BoxFuture<'a, Result<Arc<SampleTable>, Error>> {
        Box::pin(async { Err(Error::Gone) })
    }

    fn path(&self, _: &Segment) -> PathBuf {
        PathBuf::new()
    }
}

/// A server with a camera that sends a picture each 40 ms.
struct World {
    address: SocketAddr,
    group: TaskGroup,
    metrics: Metrics,
}

async fn world() -> World {
    let start: Wall = "2026-11-21T08:30:00Z".parse().unwrap();
    let (clock, group, metrics, hub) = (Clock::simulated(start), TaskGroup::new(), Metrics::default(), Hub::default());
    let clip = clip(Options { codec: VideoCodec::H264, ..Options::default() });
    let mut pictures = clip.frames(1, start);
    pictures.retain(|frame| frame.track == TrackKind::Video);
    let publisher = hub.publisher(&KEY.parse().unwrap());
    let (turning, count) = (clock.clone(), pictures.len());
    let send = async move {
        for n in 0i64.. {
            let like = &pictures[usize::try_from(n).unwrap() % count];
            publisher.publish(Frame { ticks: n * 3_600, wall: turning.wall(), ..like.clone() });
            turning.sleep(PICTURE).await;
        }
    };
    group.spawn("camera", group.stop_token().run_until_cancelled_owned(send));
    let deps = Deps {
        token: None,
        node: "host".into(),
        footage: Arc::new(Nothing),
        hub,
        events: Events::discard(),
        group: group.clone(),
        disk: Disk::real(1),
        clock: clock.clone(),
        metrics: metrics.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    group.spawn("rtsp", serve(listener, deps));
    World { address, group, metrics }
}

impl World {
    fn cut(&self, reason: &str) -> bool {
        self.metrics.render_plain().contains(&format!("skyvis_rtsp_cut_total{{reason=\"{reason}\"}} 1\n"))
    }
}

/// A client that says what it is told to.
struct Client {
    socket: TcpStream,
    number: u32,
    session: String,
}

impl Client {
    async fn to(world: &World) -> Self {
        Self { socket: TcpStream::connect(world.address).await.unwrap(), number: 0, session: String::new() }
    }

    /// The head of the answer; packets before it are thrown away.
    async fn ask(&mut self, method: &str, more: &str) -> String {
        self.number += 1;
        let session = if self.session.is_empty() { String::new() } else { format!("Session: {}\r\n", self.session) };
        let track = if method == "SETUP" { "/trackID=1" } else { "" };
        let text = format!("{method} rtsp://h/{KEY}{track} RTSP/1.0\r\nCSeq: {}\r\n{session}{more}\r\n", self.number);
        self.socket.write_all(text.as_bytes()).await.unwrap();
        loop {
            let first = self.socket.read_u8().await.unwrap();
            if first == b'$' {
                let _channel = self.socket.read_u8().await.unwrap();
                let len = self.socket.read_u16().await.unwrap();
                self.socket.read_exact(&mut vec![0; usize::from(len)]).await.unwrap();
                continue;
            }
            let mut head = vec![first];
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.socket.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.starts_with("RTSP/1.0 200 "), "{method}: {head}");
            return head;
        }
    }

    /// Sets up the pictures; what is said of how often something must be heard.
    async fn set_up(&mut self, transport: &str) -> String {
        let head = self.ask("SETUP", &format!("Transport: {transport}\r\n")).await;
        let value =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{head}"));
        let (id, timeout) = value("Session: ").split_once(';').unwrap();
        self.session = id.to_owned();
        assert_eq!(timeout, "timeout=60");
        head
    }

    /// Reads for so long. False: it ended.
    async fn reads_for(&mut self, time: Duration) -> bool {
        let mut bytes = vec![0; 65_536];
        let reading = async { while self.socket.read(&mut bytes).await.is_ok_and(|n| n > 0) {} };
        tokio::time::timeout(time, reading).await.is_err()
    }
}

/// Two ports of a client.
async fn ports() -> (UdpSocket, UdpSocket, String) {
    let (rtp, rtcp) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let text = format!(
        "RTP/AVP;unicast;client_port={}-{}",
        rtp.local_addr().unwrap().port(),
        rtcp.local_addr().unwrap().port()
    );
    (rtp, rtcp, text)
}

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(80);

#[tokio::test(start_paused = true)]
async fn who_gets_datagrams_and_falls_silent_is_ended_and_nothing_more_is_sent_to_it() {
    let world = world().await;
    let mut client = Client::to(&world).await;
    let (rtp, _rtcp, transport) = ports().await;
    client.set_up(&transport).await;
    client.ask("PLAY", "").await;
    let began = Instant::now();
    let mut packet = [0; 2000];
    // Pictures come, and nothing is said.
    for _ in 0..500 {
        rtp.recv(&mut packet).await.unwrap();
    }
    assert!(!client.reads_for(HOUR).await, "the server ends it");
    let took = began.elapsed();
    assert!(PATIENCE.contains(&took), "{took:?}");
    assert!(world.cut("silent"), "{}", world.metrics.render_plain());
    while rtp.try_recv(&mut packet).is_ok() {}
    let more = tokio::time::timeout(Duration::from_secs(60), rtp.recv(&mut packet)).await;
    assert!(more.is_err(), "pictures go on to who is gone");
    world.group.stop(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn who_gets_datagrams_stays_by_its_reports_or_its_requests() {
    let world = world().await;
    for by_reports in [true, false] {
        let mut client = Client::to(&world).await;
        let (rtp, rtcp, transport) = ports().await;
        let head = client.set_up(&transport).await;
        let server: u16 = head.split("server_port=").nth(1).unwrap().split('-').next().unwrap().parse().unwrap();
        client.ask("PLAY", "").await;
        let mut packet = [0; 2000];
        for _ in 0..20 {
            assert!(client.reads_for(Duration::from_secs(30)).await, "by reports: {by_reports}");
            while rtp.try_recv(&mut packet).is_ok() {}
            if by_reports {
                // An empty receiver report.
                rtcp.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 1], ("127.0.0.1", server + 1)).await.unwrap();
            } else {
                client.ask("GET_PARAMETER", "").await;
            }
        }
        assert!(rtp.recv(&mut packet).await.is_ok(), "after ten minutes it still comes");
        client.ask("TEARDOWN", "").await;
    }
    assert!(!world.cut("silent"));
    world.group.stop(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_of_somebody_else_keeps_nobody() {
    let world = world().await;
    let mut client = Client::to(&world).await;
    let (_rtp, _rtcp, transport) = ports().await;
    let head = client.set_up(&transport).await;
    let server: u16 = head.split("server_port=").nth(1).unwrap().split('-').next().unwrap().parse().unwrap();
    client.ask("PLAY", "").await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let began = Instant::now();
    while client.reads_for(Duration::from_secs(10)).await {
        let _ = stranger.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 1], ("127.0.0.1", server + 1)).await;
        assert!(began.elapsed() < HOUR, "a stranger's reports keep it");
    }
    assert!(PATIENCE.contains(&began.elapsed()), "{:?}", began.elapsed());
    world.group.stop(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn who_takes_pictures_within_the_connection_need_say_nothing() {
    let world = world().await;
    let mut client = Client::to(&world).await;
    client.set_up("RTP/AVP/TCP;unicast;interleaved=0-1").await;
    client.ask("PLAY", "").await;
    assert!(client.reads_for(Duration::from_secs(600)).await);
    // Paused, nothing is taken, and nothing is said.
    client.ask("PAUSE", "").await;
    let began = Instant::now();
    assert!(!client.reads_for(HOUR).await);
    assert!(PATIENCE.contains(&began.elapsed()), "{:?}", began.elapsed());
    world.group.stop(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_for_nothing_and_a_request_that_does_not_end_are_ended() {
    let world = world().await;
    let mut idle = Client::to(&world).await;
    let began = Instant::now();
    assert!(!idle.reads_for(HOUR).await);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(29) && took < Duration::from_secs(35), "{took:?}");
    let mut slow = Client::to(&world).await;
    slow.socket.write_all(b"OPTIONS * RTSP/1.0\r\n").await.unwrap();
    let began = Instant::now();
    while slow.reads_for(Duration::from_secs(1)).await {
        slow.socket.write_all(b"X: y\r\n").await.unwrap();
        assert!(began.elapsed() < HOUR, "byte by byte, for ever");
    }
    assert!((9..13).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(world.cut("slow request"), "{}", world.metrics.render_plain());
    world.group.stop(Duration::from_secs(5)).await;
}
