//! Somebody who watches by WebRTC, as a library for it does: by datagrams or by a connection, reading or not.

use crate::{
    media::avc,
    outbound::{Address, Client, Limits},
    sim::Mark,
    tests::harness::PATIENCE,
};
use bytes::Bytes;
use std::{collections::VecDeque, net::SocketAddr, time::Duration};
use str0m::{
    Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig,
    change::SdpAnswer,
    media::{Direction, KeyframeRequestKind, MediaKind, Mid},
    net::{Protocol, Receive, TcpType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
    time::Instant,
};

/// A picture that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) counter: u64,
    pub(super) key: bool,
}

/// What carries packets.
enum Way {
    Datagrams(UdpSocket),
    Connection(TcpStream),
}

/// One session.
pub(super) struct Watcher {
    rtc: Rtc,
    way: Way,
    local: SocketAddr,
    video: Mid,
    buffer: Vec<u8>,
    pictures: VecDeque<Picture>,
    pub(super) sounds: Vec<Vec<u8>>,
    pub(super) ended: bool,
    /// How long it does nothing after each packet of a connection.
    pub(super) rests: Duration,
    pub(super) session: String,
    pub(super) sound: String,
}

/// What is answered to a request.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
}

pub(super) async fn ask(to: SocketAddr, method: &str, path: &str, kind: &str, body: impl Into<Bytes>) -> Answer {
    let client = Client::new(Address::Tcp { host: to.ip().to_string(), port: to.port() }, Limits::default());
    let request = http::Request::builder().method(method).uri(path).header("content-type", kind).body(body.into());
    let answer = client.request(request.unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

pub(super) async fn offer(to: SocketAddr, path: &str, offer: impl Into<Bytes>) -> Answer {
    ask(to, "POST", path, "application/sdp", offer).await
}

impl Watcher {
    /// Offers by UDP and is answered.
    pub(super) async fn open(to: SocketAddr, path: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = socket.local_addr().unwrap();
        Self::by(to, path, Candidate::host(local, "udp").unwrap(), local, async |_| Way::Datagrams(socket)).await
    }

    /// Offers to call by TCP, and calls.
    pub(super) async fn connect(to: SocketAddr, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Little is taken on behalf of who does not read.
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let local = socket.local_addr().unwrap();
        let candidate = Candidate::builder().tcp().host(local).tcptype(TcpType::Active).build().unwrap();
        let called = async |at| Way::Connection(socket.connect(at).await.unwrap());
        Self::by(to, path, candidate, local, called).await
    }

    async fn by(
        to: SocketAddr,
        path: &str,
        candidate: Candidate,
        local: SocketAddr,
        way: impl AsyncFnOnce(SocketAddr) -> Way,
    ) -> Self {
        let mut config = RtcConfig::new().clear_codecs().enable_pcmu(true, false).enable_pcma(true, false);
        config = config.enable_h264(true).enable_h265(true);
        let mut rtc = config.build(Instant::now().into_std());
        rtc.add_local_candidate(candidate);
        let mut changes = rtc.sdp_api();
        let video = changes.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        changes.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        let (offered, pending) = changes.apply().unwrap();
        let Answer { status, headers, body } = offer(to, path, offered.to_sdp_string()).await;
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!((status, &headers["content-type"]), (201, &"application/sdp".parse().unwrap()), "{text}");
        let at = text.lines().find(|line| line.contains(" tcp ")).unwrap();
        let at: Vec<&str> = at.split(' ').collect();
        let at = format!("{}:{}", at[4], at[5]).parse().unwrap();
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&text).unwrap()).unwrap();
        let header = |name| headers[name].to_str().unwrap().to_owned();
        Self {
            rtc,
            way: way(at).await,
            local,
            video,
            buffer: Vec::new(),
            pictures: VecDeque::new(),
            sounds: Vec::new(),
            ended: false,
            rests: Duration::ZERO,
            session: header("location"),
            sound: header("x-skyvis-sound"),
        }
    }

    /// The next picture; None at the end of the session.
    pub(super) async fn next(&mut self) -> Option<Picture> {
        let deadline = Instant::now() + PATIENCE;
        while self.pictures.is_empty() && !self.ended {
            assert!(Instant::now() < deadline, "no picture comes");
            self.step().await;
        }
        self.pictures.pop_front()
    }

    /// Runs to the end of the session.
    pub(super) async fn end(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.ended {
            assert!(Instant::now() < deadline, "it goes on and on");
            self.step().await;
        }
    }

    /// Says that pictures were lost.
    pub(super) fn ask_for_a_key_frame(&mut self) {
        let mut writer = self.rtc.writer(self.video).unwrap();
        writer.request_keyframe(None, KeyframeRequestKind::Pli).unwrap();
    }

    async fn step(&mut self) {
        let due = loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => break Instant::from_std(at),
                Output::Transmit(packet) => match &mut self.way {
                    Way::Datagrams(socket) => drop(socket.send_to(&packet.contents, packet.destination).await),
                    Way::Connection(socket) => {
                        let len = (packet.contents.len() as u16).to_be_bytes();
                        self.ended |= socket.write_all(&[&len, &packet.contents[..]].concat()).await.is_err();
                    }
                },
                Output::Event(event) => self.learn(event),
            }
        };
        let (proto, source, packet) = tokio::select! {
            () = tokio::time::sleep_until(due) => {
                return self.rtc.handle_input(Input::Timeout(Instant::now().into_std())).unwrap();
            }
            got = receive(&mut self.way, &mut self.buffer) => match got {
                Some(got) => got,
                None => return self.ended = true,
            },
        };
        tokio::time::sleep(self.rests).await;
        let receive = Receive { proto, source, destination: self.local, contents: packet[..].try_into().unwrap() };
        self.rtc.handle_input(Input::Receive(Instant::now().into_std(), receive)).unwrap();
    }

    fn learn(&mut self, event: Event) {
        match event {
            Event::MediaData(media) if media.mid == self.video => {
                let mark = Mark::all_in_annex_b(&media.data).into_iter().next().expect("every picture is marked");
                let h265 = media.params.spec().codec == str0m::format::Codec::H265;
                let key = avc::annex_b_nals(&media.data).iter().any(|nal| match h265 {
                    true => (16..24).contains(&(nal[0] >> 1)),
                    false => nal[0] & 0x1f == 5,
                });
                self.pictures.push_back(Picture { counter: mark.counter, key });
            }
            Event::MediaData(media) => self.sounds.push(media.data.to_vec()),
            Event::Closed | Event::IceConnectionStateChange(IceConnectionState::Disconnected) => self.ended = true,
            _ => {}
        }
    }
}

/// The next packet; None at the end of a connection. It can be given up at any time.
async fn receive(way: &mut Way, buffer: &mut Vec<u8>) -> Option<(Protocol, SocketAddr, Vec<u8>)> {
    match way {
        Way::Datagrams(socket) => loop {
            let mut packet = vec![0; 2_000];
            if let Ok((len, source)) = socket.recv_from(&mut packet).await {
                packet.truncate(len);
                return Some((Protocol::Udp, source, packet));
            }
        },
        Way::Connection(socket) => loop {
            if let Some(head) = buffer.first_chunk::<2>() {
                let end = 2 + usize::from(u16::from_be_bytes(*head));
                if buffer.len() >= end {
                    let rest = buffer.split_off(end);
                    let packet = std::mem::replace(buffer, rest).split_off(2);
                    return Some((Protocol::Tcp, socket.peer_addr().ok()?, packet));
                }
            }
            if socket.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
        },
    }
}
