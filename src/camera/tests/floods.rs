//! Devices that send without end: the first session ends in its time, says why and is counted; what is held in the
//! sessions after it is bounded, by whatever way it came before.

use super::{
    Options, PATIENCE, Site,
    odd_answers::{PLAIN, answer, bench},
};
use crate::{
    base::TaskGroup,
    camera::{Timings, Transport, failure::FailureKind, session, stream::Stream},
    live::Publisher,
    model::VideoCodec,
    rtsp::{
        message::{Item, Parser},
        packet::Packetiser,
    },
};
use bytes::Bytes;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
};

/// What two sockets of this host hold between them at most, with room to spare.
const KERNEL_BYTES: usize = 24 << 20;
/// Datagrams that a socket takes before its reader must have looked.
const DATAGRAMS_AT_ONCE: usize = 16;
/// The time that a device has for its first picture in the first session.
const LIMIT: Duration = Duration::from_secs(2);
/// Between two parts of the first session's flood, of which nothing else bounds what is held.
const PAUSE: Duration = Duration::from_millis(1);
/// What the relay lets through without a picture, and of an answer.
const FLOW_BYTES_MAX: usize = 32 << 20;
const ANSWER_BYTES_MAX: usize = (16 + 256) << 10;
const ALL_THE_WHILE: &str = ", though the device sent all the while";
const FLOW_SAID: &str = "it sent 32 MiB without a picture";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flood {
    /// A picture of which no packet is the last.
    Picture,
    /// The same, by datagrams.
    Datagrams,
    /// The begin of a picture, and then sound.
    Sound,
    /// A header without an end.
    Line,
    /// Headers without an end.
    Headers,
    /// An answer of 4 GB.
    Body,
    /// None: it answers, and is silent.
    Silence,
    /// None: sound as usual, and the begin of a picture.
    Talk,
}

/// How sessions that begin now are flooded.
#[derive(Default)]
struct Flow {
    /// As fast as it is taken, and counted.
    at_full_speed: AtomicBool,
    bytes: AtomicUsize,
}

/// The same of one session. One that was left behind may still be read until its device sees the end.
struct Sent<'a> {
    flow: &'a Flow,
    at_full_speed: bool,
}

impl Sent<'_> {
    async fn sent(&self, bytes: usize) {
        if self.at_full_speed {
            self.flow.bytes.fetch_add(bytes, Ordering::Relaxed);
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Serves every connection so, and counts the bytes that were taken.
async fn serve(flood: Flood, group: &TaskGroup) -> (u16, Arc<Flow>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent: Arc<Flow> = Arc::default();
    let (count, inner) = (sent.clone(), group.clone());
    group.spawn("flood", async move {
        while let Ok((socket, _)) = listener.accept().await {
            let count = count.clone();
            inner.spawn("connection", async move {
                // Whoever is flooded goes.
                let _ = converse(socket, flood, &count).await;
            });
        }
    });
    (port, sent)
}

async fn converse(mut socket: TcpStream, flood: Flood, flow: &Flow) -> std::io::Result<()> {
    let sent = &Sent { flow, at_full_speed: flow.at_full_speed.load(Ordering::Relaxed) };
    let device = match flood {
        Flood::Sound | Flood::Talk => PLAIN.with_sound(),
        _ => PLAIN,
    };
    let sets = [Bytes::from_static(&[0x67, 1]), Bytes::from_static(&[0x68, 1])];
    let mut parser = Parser::default();
    let mut datagrams = None;
    while socket.read_buf(parser.buffer()).await? > 0 {
        while let Some(Item::Request(request)) = parser.take().unwrap() {
            let mut said = answer(&device, &request, &sets);
            match (request.method.as_str(), flood) {
                ("DESCRIBE", Flood::Line | Flood::Headers | Flood::Body) => {
                    return endless(socket, flood, request.header("CSeq").unwrap_or_default(), sent).await;
                }
                ("SETUP", Flood::Datagrams)
                    if request.header("Transport").is_some_and(|t| t.contains("client_port")) =>
                {
                    let asked = request.header("Transport").unwrap_or_default();
                    let ports = asked.split("client_port=").nth(1).unwrap().to_owned();
                    let to: u16 = ports.split('-').next().unwrap().parse().unwrap();
                    let ours = UdpSocket::bind("127.0.0.1:0").await?;
                    let from = ours.local_addr()?.port();
                    ours.connect(("127.0.0.1", to)).await?;
                    let (head, tail) = said.split_once("Transport: ").unwrap();
                    let tail = tail.split_once("\r\n").unwrap().1;
                    let next = from.wrapping_add(1).max(1);
                    said = format!(
                        "{head}Transport: RTP/AVP;unicast;client_port={ports};server_port={from}-{next};ssrc=00000009\r\n{tail}"
                    );
                    datagrams = Some(ours);
                }
                _ => {}
            }
            socket.write_all(said.as_bytes()).await?;
            if request.method == "PLAY" {
                return match datagrams {
                    Some(datagrams) => by_datagrams(&datagrams).await,
                    None => interleaved(socket, flood, sent).await,
                };
            }
        }
    }
    Ok(())
}

/// Parts of a picture, none of which is the last.
fn parts(packets: &mut Packetiser) -> Vec<u8> {
    let mut out = Vec::new();
    packets.video(VideoCodec::H264, &vec![Bytes::from_static(&[0x41; 1200]); DATAGRAMS_AT_ONCE], 0, &mut out);
    out.chunks_exact_mut(1216).for_each(|packet| packet[5] &= 0x7f);
    out
}

async fn interleaved(mut socket: TcpStream, flood: Flood, sent: &Sent<'_>) -> std::io::Result<()> {
    let (mut pictures, mut sounds) = (Packetiser::new(0, 96, 9, 7), Packetiser::new(2, 0, 9, 7));
    if flood == Flood::Silence {
        return socket.read_u8().await.map(drop);
    }
    let mut out = parts(&mut pictures);
    for n in 0_u32.. {
        socket.write_all(&out).await?;
        sent.sent(out.len()).await;
        match flood {
            Flood::Sound => {
                out.clear();
                (0..64).for_each(|part| sounds.sound(&[0x7f; 400], (64 * n + part) * 400, &mut out));
            }
            Flood::Talk => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                out.clear();
                sounds.sound(&[0x7f; 160], n * 160, &mut out);
            }
            _ => out = parts(&mut pictures),
        }
    }
    Ok(())
}

async fn by_datagrams(socket: &UdpSocket) -> std::io::Result<()> {
    let mut packets = Packetiser::new(0, 96, 9, 7);
    loop {
        for packet in parts(&mut packets).chunks_exact(1216) {
            // Refused once whoever is flooded has gone.
            socket.send(&packet[4..]).await?;
        }
        // Whoever reads is on this very thread.
        tokio::time::sleep(PAUSE).await;
    }
}

async fn endless(mut socket: TcpStream, flood: Flood, cseq: &str, sent: &Sent<'_>) -> std::io::Result<()> {
    let length = if flood == Flood::Body { "Content-Length: 4000000000\r\n\r\n" } else { "X: " };
    socket.write_all(format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n{length}").as_bytes()).await?;
    let more = if flood == Flood::Headers { "y\r\nX: ".repeat(100) } else { "y".repeat(4_000) };
    loop {
        socket.write_all(more.as_bytes()).await?;
        sent.sent(more.len()).await;
    }
}

/// One session with what floods: why it ended, and the bytes that were taken.
async fn ended(
    stream: &Stream,
    publisher: &Publisher,
    (port, sent): &(u16, Arc<Flow>),
) -> (FailureKind, String, usize) {
    let url = format!("rtsp://127.0.0.1:{port}/Streaming/Channels/101");
    let session = session::attempt(stream, publisher, &url, Duration::from_millis(40));
    let failure = tokio::time::timeout(PATIENCE, session).await.expect("it has an end");
    (failure.kind, failure.text, sent.bytes.load(Ordering::Relaxed))
}

/// Lets a device have so long for an answer and its first picture.
fn allow(stream: &mut Stream, limit: Duration) {
    let timings = Timings { poll_interval: limit, age_out: limit, timeout: limit };
    Arc::get_mut(&mut stream.shared).unwrap().timings = watch::channel(timings).1;
}

/// The first session ends for `first`, and the second at the `bound` for `second`.
async fn flooded_by(flood: Flood, first: &str, (second, bound): (&str, usize)) {
    let group = TaskGroup::new();
    let device = serve(flood, &group).await;
    let (mut stream, publisher) = bench();
    allow(&mut stream, LIMIT);
    stream.transport = if flood == Flood::Datagrams { Transport::Udp } else { Transport::Tcp };
    let (kind, said, _) = ended(&stream, &publisher, &device).await;
    assert_eq!((kind, said), (FailureKind::Flood, format!("{first}{ALL_THE_WHILE}")), "{flood:?}");
    assert!(stream.is_relayed() && stream.carrier() == Transport::Tcp, "{flood:?}");
    // However slow the host is, it is the bound that ends it now.
    allow(&mut stream, PATIENCE * 2);
    device.1.at_full_speed.store(true, Ordering::Relaxed);
    let (kind, said, sent) = ended(&stream, &publisher, &device).await;
    assert_eq!((kind, said.as_str()), (FailureKind::Flood, second), "{flood:?}");
    assert!(sent <= bound + KERNEL_BYTES, "{flood:?}: {sent} bytes were taken");
    group.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_picture_without_an_end_ends_the_session_in_its_time_and_the_next_at_the_bound() {
    flooded_by(Flood::Picture, "no frame came within 2s", (FLOW_SAID, FLOW_BYTES_MAX)).await;
}

#[tokio::test]
async fn a_picture_without_an_end_by_datagrams_does_too_and_the_next_session_goes_by_tcp() {
    flooded_by(Flood::Datagrams, "no frame came within 2s", (FLOW_SAID, FLOW_BYTES_MAX)).await;
}

#[tokio::test]
async fn sound_within_a_picture_without_an_end_does_too() {
    flooded_by(Flood::Sound, "no frame came within 2s", (FLOW_SAID, FLOW_BYTES_MAX)).await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_waited_for_and_the_next_is_held_in_bounds() {
    let (first, head) = ("the answer to DESCRIBE has no end", "the head of an answer is longer than 16 KiB");
    flooded_by(Flood::Line, first, (head, ANSWER_BYTES_MAX)).await;
    flooded_by(Flood::Headers, first, (head, ANSWER_BYTES_MAX)).await;
    flooded_by(Flood::Body, first, ("an answer is longer than 256 KiB", ANSWER_BYTES_MAX)).await;
}

#[tokio::test]
async fn silence_and_sound_without_pictures_are_no_flood() {
    for calm in [Flood::Silence, Flood::Talk] {
        let group = TaskGroup::new();
        let device = serve(calm, &group).await;
        let (mut stream, publisher) = bench();
        allow(&mut stream, LIMIT);
        let (kind, said, _) = ended(&stream, &publisher, &device).await;
        assert_eq!((kind, said.as_str()), (FailureKind::Silent, "no frame came within 2s"), "{calm:?}");
        assert!(!stream.is_relayed(), "{calm:?}");
        group.stop(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn a_flood_is_counted_and_shown() {
    let group = TaskGroup::new();
    let (port, sent) = serve(Flood::Picture, &group).await;
    let site = Site::start_with(Options::default(), |c| c.devices[0].rtsp_port = Some(port)).await;
    let reason = |s: &super::Snapshot| s.streams.iter().find_map(|v| v.reason.clone()).unwrap_or_default();
    let counted = || {
        let start = "skyvis_stream_floods_total{stream=\"d1/1/main\"} ";
        let metrics = site.metrics.render();
        metrics.lines().find_map(|l| l.strip_prefix(start)).map_or(0, |n| n.parse::<u64>().unwrap())
    };
    site.until("told", |s| reason(s).ends_with(ALL_THE_WHILE)).await;
    sent.at_full_speed.store(true, Ordering::Relaxed);
    let first = counted();
    assert!(first > 0);
    site.until("bounded", |s| reason(s) == FLOW_SAID).await;
    assert!(counted() > first);
    group.stop(Duration::from_secs(5)).await;
    site.stop().await;
}
