//! Streams and footage by RTSP, as players see them: ffmpeg, GStreamer, retina, and a client that is written here.

mod crowd;
mod footage;
mod players;
mod protocol;

use super::harness::{Api, PATIENCE, Site};
use crate::{app::Daemon, model::VideoCodec, sim::Mark};
use std::{net::SocketAddr, path::Path, process::Stdio};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const KEY: &str = "nvr/1/main";

/// A daemon that serves players, with more in `[playback]`.
async fn open(site: &Site, more: &str) -> (Daemon, Api, SocketAddr) {
    let daemon = site.daemon(&format!("[playback]\nrtsp_listen = '127.0.0.1:0'\n{more}")).await;
    let address = daemon.rtsp_address().unwrap();
    let api = site.api();
    api.until_state(KEY, "running").await;
    (daemon, api, address)
}

/// Runs a player that ends well; what it wrote.
async fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let out = ended(program, args).await;
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// Runs a player to its end.
async fn ended(program: &str, args: &[&str]) -> std::process::Output {
    let player = tokio::process::Command::new(program).args(args).stdin(Stdio::null()).kill_on_drop(true).output();
    tokio::time::timeout(PATIENCE, player).await.expect("a player that ends").unwrap()
}

/// The numbers of the pictures that ffmpeg is given, unchanged.
async fn counters_by_ffmpeg(transport: &str, url: &str, codec: VideoCodec, more: &[&str]) -> Vec<u64> {
    let format = if codec == VideoCodec::H264 { "h264" } else { "hevc" };
    let args = ["-v", "error", "-rtsp_transport", transport, "-i", url];
    let out = run("ffmpeg", &[&args, more, &["-map", "0:v", "-c", "copy", "-f", format, "-"]].concat()).await;
    Mark::all_in_annex_b(&out).iter().map(|mark| mark.counter).collect()
}

/// The numbers of so many pictures that GStreamer is given.
async fn counters_by_gstreamer(protocol: &str, url: &str, codec: VideoCodec, pictures: u32, dir: &Path) -> Vec<u64> {
    let file = dir.join(format!("gst-{protocol}"));
    let kind = if codec == VideoCodec::H264 { "h264" } else { "h265" };
    let pipeline = format!(
        "-q rtspsrc location={url} protocols={protocol} latency=500 ! application/x-rtp,media=video ! rtp{kind}depay ! \
         {kind}parse ! video/x-{kind},stream-format=byte-stream,alignment=au ! identity eos-after={pictures} ! \
         filesink location={}",
        file.display()
    );
    // How it ends says nothing: it may ask for a pause of a connection that it has closed.
    let out = ended("gst-launch-1.0", &pipeline.split_whitespace().collect::<Vec<_>>()).await;
    println!("gstreamer by {protocol}: {} {}", out.status, String::from_utf8_lossy(&out.stderr));
    Mark::all_in_annex_b(&std::fs::read(file).unwrap()).iter().map(|mark| mark.counter).collect()
}

/// A client that says what it is told to.
struct Talk {
    socket: TcpStream,
    buffer: Vec<u8>,
    sequence: u32,
    session: Option<String>,
    /// Channel and packet of what came between answers.
    packets: Vec<(u8, Vec<u8>)>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).into_iter().next()
    }

    fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// Where the tracks are.
    fn controls(&self) -> Vec<String> {
        let all = self.body.lines().filter_map(|line| line.strip_prefix("a=control:"));
        all.filter(|control| control.contains("trackID=")).map(str::to_owned).collect()
    }
}

impl Talk {
    async fn to(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        Self { socket, buffer: Vec::new(), sequence: 0, session: None, packets: Vec::new() }
    }

    async fn ask(&mut self, method: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
        self.sequence += 1;
        let mut text = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n", self.sequence);
        if let Some(session) = &self.session {
            text += &format!("Session: {session}\r\n");
        }
        headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        self.socket.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
        let answer = self.answer().await.expect("an answer");
        assert_eq!(answer.header("CSeq"), Some(self.sequence.to_string().as_str()));
        answer
    }

    /// More of what the server sends; false at its end.
    async fn more(&mut self) -> bool {
        let mut part = vec![0; 65_536];
        let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut part)).await.expect("something in time");
        let len = read.unwrap_or(0);
        self.buffer.extend_from_slice(&part[..len]);
        len > 0
    }

    /// Takes whole packets out of what came.
    fn take_packets(&mut self) {
        while let [b'$', channel, high, low, ..] = self.buffer[..] {
            let len = usize::from(u16::from_be_bytes([high, low]));
            if self.buffer.len() < 4 + len {
                return;
            }
            let frame: Vec<u8> = self.buffer.drain(..4 + len).collect();
            self.packets.push((channel, frame[4..].to_vec()));
        }
    }

    async fn answer(&mut self) -> Option<Answer> {
        loop {
            self.take_packets();
            let end = self.buffer.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(end) = end.filter(|_| self.buffer.first() != Some(&b'$')) {
                let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
                let mut answer =
                    Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body: String::new() };
                let len = answer.header("Content-Length").map_or(0, |len| len.parse().unwrap());
                while self.buffer.len() < end + 4 + len {
                    assert!(self.more().await);
                }
                let bytes: Vec<u8> = self.buffer.drain(..end + 4 + len).collect();
                answer.body = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
                return Some(answer);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Describes, sets up all tracks within the connection, and plays.
    async fn play(&mut self, url: &str, headers: &[(&str, &str)]) -> Answer {
        let described = self.ask("DESCRIBE", url, &[]).await;
        assert_eq!(described.status, 200, "{}", described.body);
        for (n, control) in described.controls().iter().enumerate() {
            let transport = format!("RTP/AVP/TCP;unicast;interleaved={}-{}", 2 * n, 2 * n + 1);
            self.set_up(control, &transport).await;
        }
        self.ask("PLAY", url, headers).await
    }

    async fn set_up(&mut self, control: &str, transport: &str) -> Answer {
        let answer = self.ask("SETUP", control, &[("Transport", transport)]).await;
        assert_eq!(answer.status, 200, "{transport}");
        let session = answer.header("Session").unwrap().split(';').next().unwrap().to_owned();
        self.session = Some(session);
        answer
    }

    /// Reads until packets fulfil something; what came by then.
    async fn until(&mut self, enough: impl Fn(&[(u8, Vec<u8>)]) -> bool) -> &[(u8, Vec<u8>)] {
        self.take_packets();
        while !enough(&self.packets) {
            assert!(self.more().await, "the server goes on");
            self.take_packets();
        }
        &self.packets
    }
}

/// RTP timestamps of a channel's packets, each once.
fn timestamps(packets: &[(u8, Vec<u8>)], channel: u8) -> Vec<u32> {
    let of = packets.iter().filter(|(c, _)| *c == channel).map(|(_, p)| u32::from_be_bytes([p[4], p[5], p[6], p[7]]));
    let mut all: Vec<u32> = of.collect();
    all.dedup();
    all
}

/// Whether both tracks, or the one there is, have said goodbye.
fn said_goodbye(packets: &[(u8, Vec<u8>)], tracks: usize) -> bool {
    let is_bye =
        |(channel, packet): &&(u8, Vec<u8>)| channel % 2 == 1 && packet.len() >= 8 && packet[packet.len() - 7] == 203;
    packets.iter().filter(is_bye).count() >= tracks
}
