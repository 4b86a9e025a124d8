//! Devices that send without end: what is held of it is bounded from the first session on, by whatever way it comes; the
//! session ends, says so and is counted.

use super::{
    Options, PATIENCE, Site,
    odd_answers::{PLAIN, answer, bench},
};
use crate::{
    base::TaskGroup,
    camera::{Transport, failure::FailureKind, session},
    model::VideoCodec,
    rtsp::{
        message::{Item, Parser},
        packet::Packetiser,
    },
};
use bytes::Bytes;
use retina::bounds::{HEAD_BYTES_MAX, HELD_BYTES_MAX, HELD_TOO_MUCH};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

/// What two sockets of this host hold between them at most, with room to spare.
const KERNEL_BYTES: usize = 24 << 20;
/// Datagrams that a socket takes before its reader must have looked.
const DATAGRAMS_AT_ONCE: usize = 16;

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
}

/// Serves every connection so, and counts the bytes that were taken.
async fn serve(flood: Flood, group: &TaskGroup) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent: Arc<AtomicUsize> = Arc::default();
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

async fn converse(mut socket: TcpStream, flood: Flood, sent: &AtomicUsize) -> std::io::Result<()> {
    let device = match flood {
        Flood::Sound => PLAIN.with_sound(),
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
                ("SETUP", Flood::Datagrams) => {
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
                    Some(datagrams) => by_datagrams(&datagrams, sent).await,
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

async fn interleaved(mut socket: TcpStream, flood: Flood, sent: &AtomicUsize) -> std::io::Result<()> {
    let (mut pictures, mut sounds) = (Packetiser::new(0, 96, 9, 7), Packetiser::new(2, 0, 9, 7));
    let mut out = parts(&mut pictures);
    for n in 0_u32.. {
        socket.write_all(&out).await?;
        sent.fetch_add(out.len(), Ordering::Relaxed);
        if flood == Flood::Picture {
            out = parts(&mut pictures);
        } else {
            out.clear();
            sounds.sound(&[0x7f; 1200], n * 1200, &mut out);
        }
    }
    Ok(())
}

async fn by_datagrams(socket: &UdpSocket, sent: &AtomicUsize) -> std::io::Result<()> {
    let mut packets = Packetiser::new(0, 96, 9, 7);
    loop {
        for packet in parts(&mut packets).chunks_exact(1216) {
            // Refused once whoever is flooded has gone.
            socket.send(&packet[4..]).await?;
            sent.fetch_add(packet.len(), Ordering::Relaxed);
        }
        // Whoever reads is on this very thread.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn endless(mut socket: TcpStream, flood: Flood, cseq: &str, sent: &AtomicUsize) -> std::io::Result<()> {
    let length = if flood == Flood::Body { "Content-Length: 4000000000\r\n\r\n" } else { "X: " };
    socket.write_all(format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n{length}").as_bytes()).await?;
    let more = if flood == Flood::Headers { "y\r\nX: ".repeat(10_000) } else { "y".repeat(60_000) };
    loop {
        socket.write_all(more.as_bytes()).await?;
        sent.fetch_add(more.len(), Ordering::Relaxed);
    }
}

async fn flooded_by(flood: Flood, bound: usize, said: &str) {
    let group = TaskGroup::new();
    let (port, sent) = serve(flood, &group).await;
    let url = format!("rtsp://127.0.0.1:{port}/Streaming/Channels/101");
    let (mut stream, publisher) = bench();
    let transport = if flood == Flood::Datagrams { Transport::Udp } else { Transport::Tcp };
    stream.transport = transport;
    let session = session::attempt(&stream, &publisher, &url, Duration::from_millis(40));
    let failure = tokio::time::timeout(PATIENCE, session).await.unwrap_or_else(|_| panic!("{flood:?} has no end"));
    assert_eq!((failure.kind, failure.text.as_str()), (FailureKind::Flood, said), "{flood:?}");
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent <= bound + KERNEL_BYTES, "{flood:?}: {sent} bytes were taken");
    group.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_picture_without_an_end_ends_the_first_session_at_the_bound() {
    flooded_by(Flood::Picture, HELD_BYTES_MAX, HELD_TOO_MUCH).await;
}

#[tokio::test]
async fn a_picture_without_an_end_by_datagrams_does_too() {
    flooded_by(Flood::Datagrams, HELD_BYTES_MAX, HELD_TOO_MUCH).await;
}

#[tokio::test]
async fn sound_within_a_picture_without_an_end_does_too() {
    flooded_by(Flood::Sound, HELD_BYTES_MAX, HELD_TOO_MUCH).await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_waited_for() {
    flooded_by(Flood::Line, HEAD_BYTES_MAX, "the head of an answer is longer than 16 KiB").await;
    flooded_by(Flood::Headers, HEAD_BYTES_MAX, "the head of an answer is longer than 16 KiB").await;
    flooded_by(Flood::Body, HEAD_BYTES_MAX, "an answer is longer than 256 KiB").await;
}

#[tokio::test]
async fn a_flood_is_counted_and_shown() {
    let group = TaskGroup::new();
    let (port, _) = serve(Flood::Picture, &group).await;
    let site = Site::start_with(Options::default(), |c| c.devices[0].rtsp_port = Some(port)).await;
    let reason = |s: &super::Snapshot| s.streams.iter().find_map(|v| v.reason.clone()).unwrap_or_default();
    site.until("told", |s| reason(s) == HELD_TOO_MUCH).await;
    let metrics = site.metrics.render();
    let line = metrics.lines().find(|l| l.starts_with("skyvis_stream_floods_total{stream=\"d1/1/main\"}"));
    assert!(line.is_some_and(|l| !l.ends_with(" 0")), "{line:?}");
    group.stop(Duration::from_secs(5)).await;
    site.stop().await;
}
