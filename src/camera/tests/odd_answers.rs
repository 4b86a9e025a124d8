//! What devices in the field answer, word for word, through the real RTSP client: each oddity is a fixture with its name.
//!
//! A fixture is the text of the answers of one device; where it says nothing, a plain device answers. `{base}` stands for
//! the address that was asked for.

use crate::{
    base::{Clock, Metrics, TaskGroup},
    camera::{
        AudioHandling, StreamView, Timings, Transport,
        board::Board,
        budget::tests::budget,
        failure::{Failure, FailureKind},
        meters::Meters,
        session,
        stream::{Shared, Stream},
    },
    events::Events,
    live::{Delivery, Hub, Publisher},
    media::{avc, fixture},
    model::{Frame, StreamKey, TrackKind, VideoCodec},
    rtsp::{
        message::{Item, Parser, Request},
        packet::Packetiser,
    },
};
use bytes::Bytes;
use futures_util::future::join_all;
use retina::client::Credentials;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Pictures that a fixture has to deliver.
const PICTURES: usize = 30;
const PUBLIC: &str = "OPTIONS, DESCRIBE, PLAY, PAUSE, SETUP, TEARDOWN, SET_PARAMETER, GET_PARAMETER";

/// The answers of one device.
#[derive(Clone)]
pub(super) struct Device {
    name: &'static str,
    codec: VideoCodec,
    /// What DESCRIBE says of the address that tracks are relative to.
    content_base: &'static str,
    /// What follows the session's lines.
    tracks: &'static str,
    /// Headers of the answers, besides CSeq.
    setup: &'static str,
    play: &'static str,
    every: &'static str,
    public: &'static str,
    /// Statuses other than 200.
    statuses: &'static [(&'static str, &'static str)],
    packing: Packing,
    /// Pictures go out before PLAY is answered.
    hasty: bool,
    /// Parameter sets come before each key frame.
    inband: bool,
    /// After so many pictures it goes on with units of another codec, under the old description.
    turns_after: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Packing {
    /// One unit a packet, large ones in pieces.
    Plain,
    /// Small units of a picture in one packet, large ones in pieces.
    Aggregated,
}

const TRACK: &str = "m=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\na=control:{base}/trackID=1\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 profile-level-id=420029; packetization-mode=1; sprop-parameter-sets={sprop}\r\n";
pub(super) const PLAIN: Device = Device {
    name: "a plain device",
    codec: VideoCodec::H264,
    content_base: "Content-Base: {base}/\r\n",
    tracks: TRACK,
    setup: "Session: 1;timeout=60\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=00000009;mode=\"play\"\r\n",
    play: "Session: 1\r\nRTP-Info: url={base}/trackID=1;seq=7;rtptime=0\r\n",
    every: "",
    public: PUBLIC,
    statuses: &[],
    packing: Packing::Plain,
    hasty: false,
    inband: true,
    turns_after: usize::MAX,
};

impl Device {
    /// With a second track.
    pub(super) fn with_sound(self) -> Self {
        let tracks = "m=video 0 RTP/AVP 96\r\na=control:{base}/trackID=1\r\na=rtpmap:96 H264/90000\r\n\
                      m=audio 0 RTP/AVP 0\r\na=control:{base}/trackID=2\r\na=rtpmap:0 PCMU/8000\r\n";
        // The client asks for the next two channels where the answer names none.
        Self { tracks, setup: "Session: 1;timeout=60\r\nTransport: {transport}\r\n", ..self }
    }
}

/// Devices whose pictures must come, whatever they say.
const ODD_ONES: &[Device] = &[
    PLAIN,
    Device {
        name: "the session's name behind many blanks, the SSRC behind one, a date that is none",
        setup: "Session:        708345999;timeout=60\r\n\
                Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc= 0000009;mode=\"play\"\r\n",
        play: "Session:        708345999\r\nRTP-Info: url={base}/trackID=1;seq=7;rtptime=0\r\n",
        every: "Date:  Wed, May 05 2021 10:11:12 GMT\r\n",
        ..PLAIN
    },
    Device {
        name: "absolute controls with a query, and a metadata track",
        tracks: "a=control:{base}/\r\nm=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\nb=AS:5000\r\na=recvonly\r\n\
                a=x-dimensions:128,96\r\na=control:{base}/trackID=1?transportmode=unicast&profile=Profile_1\r\n\
                a=rtpmap:96 H264/90000\r\n\
                a=fmtp:96 profile-level-id=420029; packetization-mode=1; sprop-parameter-sets={sprop}\r\n\
                m=application 0 RTP/AVP 107\r\nc=IN IP4 0.0.0.0\r\n\
                a=control:{base}/trackID=3?transportmode=unicast&profile=Profile_1\r\n\
                a=rtpmap:107 vnd.onvif.metadata/90000\r\na=Media_header:MEDIAINFO=494D4B48010100000400010000;\r\n\
                a=appversion:1.0\r\n",
        play: "Session: 1\r\nRTP-Info: url={base}/trackID=1?transportmode=unicast&profile=Profile_1;seq=7;rtptime=0,\
                url={base}/trackID=3;seq=0;rtptime=0\r\n",
        ..PLAIN
    },
    Device {
        name: "HIK Media Server 3.1.3: c=IN twice, packetization-mode 0, controls by name",
        tracks: "c=IN c=IN IP4 0.0.0.0\r\nm=video 0 RTP/AVP 96\r\na=control:trackID=video\r\n\
                a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=0\r\n",
        play: "Session: 1\r\nRTP-Info: url=trackID=video;seq=7;rtptime=0\r\n",
        ..PLAIN
    },
    Device { name: "no base at all", content_base: "", ..PLAIN },
    Device {
        name: "a base without a slash, and a control relative to it",
        content_base: "Content-Base: {base}\r\n",
        tracks: "m=video 0 RTP/AVP 96\r\na=control:trackID=1\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n",
        ..PLAIN
    },
    Device {
        name: "a first number of 0 that is not true",
        play: "Session: 1\r\nRTP-Info: url={base}/trackID=1;seq=0;rtptime=0\r\n",
        ..PLAIN
    },
    Device { name: "no RTP-Info", play: "Session: 1\r\n", ..PLAIN },
    Device { name: "pictures before the answer to PLAY", hasty: true, ..PLAIN },
    Device { name: "aggregated and fragmented packets", packing: Packing::Aggregated, ..PLAIN },
    Device {
        name: "an empty sprop-parameter-sets",
        tracks: "m=video 0 RTP/AVP 96\r\na=control:{base}/trackID=1\r\na=rtpmap:96 H264/90000\r\n\
                a=fmtp:96 packetization-mode=1; sprop-parameter-sets=\r\n",
        ..PLAIN
    },
    Device {
        name: "no fmtp at all",
        tracks: "m=video 0 RTP/AVP 96\r\na=control:{base}/trackID=1\r\na=rtpmap:96 H264/90000\r\n",
        ..PLAIN
    },
    Device {
        name: "H.265 with a vps alone in its description",
        codec: VideoCodec::H265,
        tracks: "m=video 0 RTP/AVP 96\r\na=control:{base}/trackID=1\r\na=rtpmap:96 H265/90000\r\n\
                a=fmtp:96 sprop-vps=QAEMAf//AWAAAAMAkAAAAwAAAwAelZgJ\r\n",
        ..PLAIN
    },
    Device { name: "parameter sets in the description alone", inband: false, ..PLAIN },
    Device {
        name: "a session's end that is answered with 500, and no date",
        statuses: &[("TEARDOWN", "500 Internal Server Error")],
        ..PLAIN
    },
    Device {
        name: "a track to a loudspeaker, and sound that is not taken",
        tracks: "m=video 0 RTP/AVP 96\r\na=control:{base}/trackID=1\r\na=rtpmap:96 H264/90000\r\n\
                m=audio 0 RTP/AVP 0\r\na=control:{base}/trackID=4\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\n\
                m=audio 0 RTP/AVP 14\r\na=control:{base}/trackID=2\r\na=rtpmap:14 MPA/90000\r\na=recvonly\r\n",
        ..PLAIN
    },
];

/// Serves one device; gives its address and the methods that it was asked.
async fn serve(device: Device, group: &TaskGroup) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (heard, inner) = (asked.clone(), group.clone());
    group.spawn("odd device", async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (device, heard) = (device.clone(), heard.clone());
            inner.spawn("odd connection", async move {
                // Whoever asked may be gone.
                let _ = converse(socket, &device, &heard).await;
            });
        }
    });
    // Firmware 5.1 and older knows its first channel by this address.
    (format!("rtsp://{address}/Streaming/Channels/1"), asked)
}

fn pictures_of(codec: VideoCodec) -> Arc<fixture::Clip> {
    fixture::clip(fixture::Options { codec, seconds: 2, audio_rate: 0, ..Default::default() })
}

async fn converse(mut socket: TcpStream, device: &Device, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let clip = pictures_of(device.codec);
    let sets = avc::parameter_sets(&clip.format.video.sample_entry).unwrap();
    let sets: Vec<Bytes> = avc::nals(&sets).map(Bytes::copy_from_slice).collect();
    let mut parser = Parser::default();
    let mut packets = Packetiser::new(0, 96, 9, 7);
    let mut playing = None;
    loop {
        while let Some(item) = parser.take().unwrap() {
            let Item::Request(request) = item else { continue };
            heard.lock().unwrap().push(request.method.clone());
            let plays = request.method == "PLAY";
            if plays && device.hasty {
                socket.write_all(&unit(device, &clip, &sets, 0, &mut packets)).await?;
                playing = Some(1);
            }
            socket.write_all(answer(device, &request, &sets).as_bytes()).await?;
            if plays && !device.statuses.iter().any(|(method, _)| *method == "PLAY") {
                playing.get_or_insert(0);
            }
        }
        let due = async {
            match playing {
                Some(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = socket.read_buf(parser.buffer()) => if read? == 0 { return Ok(()) },
            () = due => if let Some(n) = &mut playing {
                let bytes = unit(device, &clip, &sets, *n, &mut packets);
                *n += 1;
                socket.write_all(&bytes).await?;
            },
        }
    }
}

/// One picture as packets.
fn unit(device: &Device, clip: &fixture::Clip, sets: &[Bytes], n: usize, packets: &mut Packetiser) -> Vec<u8> {
    let (data, key) = &clip.video[n % clip.video.len()];
    let mut nals = if *key && device.inband { sets.to_vec() } else { Vec::new() };
    nals.extend(avc::nals(data).map(Bytes::copy_from_slice));
    if n >= device.turns_after {
        // The begin of H.265's pictures in pieces; H.264 reads a part of a picture that cameras never send.
        nals = vec![Bytes::from_static(&[0x62, 0x01, 0x93, 0x80])];
    }
    let mut out = Vec::new();
    if device.packing == Packing::Aggregated {
        let small: Vec<Bytes> = nals.iter().take_while(|nal| nal.len() < 300).cloned().collect();
        if small.len() > 1 && small.len() < nals.len() {
            let mut together = vec![24];
            for nal in &small {
                together.extend_from_slice(&(nal.len() as u16).to_be_bytes());
                together.extend_from_slice(nal);
            }
            nals.splice(..small.len(), [Bytes::from(together)]);
        }
    }
    packets.video(device.codec, &nals, (n as u32) * 3600, &mut out);
    out
}

pub(super) fn answer(device: &Device, request: &Request, sets: &[Bytes]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let status = device.statuses.iter().find(|(method, _)| *method == request.method).map_or("200 OK", |(_, s)| *s);
    let cseq = request.header("CSeq").unwrap_or_default();
    let head = format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{}", device.every);
    let base = request.uri.split("/trackID").next().unwrap().trim_end_matches('/');
    let sprop = sets.iter().map(|nal| BASE64_STANDARD.encode(nal)).collect::<Vec<_>>().join(",");
    let fill = |text: &str| text.replace("{base}", base).replace("{sprop}", &sprop);
    if status != "200 OK" {
        return format!("{head}\r\n");
    }
    match request.method.as_str() {
        "OPTIONS" => format!("{head}Public: {}\r\n\r\n", device.public),
        "DESCRIBE" => {
            let session = "v=0\r\no=- 1109162014219182 1109162014219182 IN IP4 0.0.0.0\r\ns=Media Presentation\r\n\
                e=NONE\r\nb=AS:5050\r\n";
            // Lines of the session come before the time line or after it, as the fixture's tracks begin.
            let (before, after) = match device.tracks.starts_with("c=") {
                true => device.tracks.split_once("m=").map(|(c, m)| (c, format!("m={m}"))).unwrap(),
                false => ("", device.tracks.to_owned()),
            };
            let sdp = fill(&format!("{session}{before}t=0 0\r\n{after}"));
            let base = fill(device.content_base);
            format!("{head}{base}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len())
        }
        "SETUP" => {
            let asked = request.header("Transport").unwrap_or_default();
            format!("{head}{}\r\n", fill(device.setup).replace("{transport}", asked))
        }
        "PLAY" => format!("{head}{}\r\n", fill(device.play)),
        _ => format!("{head}\r\n"),
    }
}

/// A stream that nobody has fetched yet.
pub(super) fn bench() -> (Stream, Publisher) {
    let key: StreamKey = "d1/1/main".parse().unwrap();
    let hub = Hub::default();
    let publisher = hub.publisher(&key);
    // No test ends by it: the pace of the host is nobody's fault.
    let limit = PATIENCE * 2;
    let timings = watch::channel(Timings { poll_interval: limit, age_out: limit, timeout: limit }).1;
    let board = Arc::new(Board::new(Events::discard(), Clock::real()));
    board.add_stream(&key);
    let shared = Arc::new(Shared::new(board, hub, timings, budget()));
    let credentials = Credentials { username: "admin".into(), password: "pw".into() };
    let counters = Meters::new(&Metrics::default()).stream(&key);
    (Stream::new(key, credentials, (true, Transport::Tcp), shared, counters), publisher)
}

/// What a device's stream came to: its pictures, or why there are none.
struct Seen {
    pictures: Vec<Frame>,
    failure: Option<Failure>,
    view: StreamView,
    asked: Vec<String>,
}

/// Runs one session against a device until it has delivered `pictures`, or ended.
async fn watch(device: Device, pictures: usize) -> Seen {
    let group = TaskGroup::new();
    let name = device.name;
    // Made by ffmpeg the first time, which holds this thread up: not while a session counts the seconds.
    pictures_of(device.codec);
    let (url, asked) = serve(device, &group).await;
    let (stream, publisher) = bench();
    let mut reader = stream.shared.hub.reader(&stream.key).unwrap();
    let mut seen = Vec::new();
    let mut failure = None;
    {
        let session = session::attempt(&stream, &publisher, &url, Duration::from_millis(40));
        tokio::pin!(session);
        let collect = async {
            while seen.len() < pictures {
                match reader.next().await {
                    Some(Delivery::Frame(frame)) if frame.track == TrackKind::Video => seen.push(frame),
                    Some(_) => {}
                    None => return,
                }
            }
        };
        tokio::select! {
            ended = &mut session => failure = Some(ended),
            () = collect => {}
            () = tokio::time::sleep(PATIENCE) => panic!("{name}: neither pictures nor a failure"),
        }
    }
    let view = stream.shared.board.snapshot(|_| Vec::new()).streams.remove(0);
    group.stop(Duration::from_secs(5)).await;
    let asked = asked.lock().unwrap().clone();
    Seen { pictures: seen, failure, view, asked }
}

#[tokio::test]
async fn pictures_come_whatever_a_device_says() {
    let all = join_all(ODD_ONES.iter().map(|device| watch(device.clone(), PICTURES))).await;
    for (device, seen) in ODD_ONES.iter().zip(all) {
        let (name, codec) = (device.name, device.codec);
        assert!(seen.failure.is_none(), "{name}: {:?}", seen.failure);
        assert!(seen.pictures[0].key, "{name}");
        let format = &seen.pictures[0].format.video;
        assert_eq!((format.codec, format.width, format.height), (codec, 128, 96), "{name}");
        // The description's profile is a constant; the parameter set's counts.
        assert_ne!(format.rfc6381, "avc1.420029", "{name}");
        let steps: Vec<i64> = seen.pictures.windows(2).map(|w| w[1].ticks - w[0].ticks).collect();
        // None is missing. When they come, on a busy host, is not when they say, which is followed slowly.
        assert!(steps.iter().all(|s| (3_400..=3_800).contains(s)), "{name}: {steps:?}");
    }
}

#[tokio::test]
async fn a_loudspeakers_track_is_not_taken_for_sound() {
    let device = ODD_ONES[ODD_ONES.len() - 1].clone();
    let seen = watch(device, PICTURES).await;
    let audio = seen.view.audio.unwrap();
    assert_eq!((audio.codec.as_str(), audio.handling), ("mp2", AudioHandling::Dropped), "{:?}", audio.reason);
    assert_eq!(seen.asked.iter().filter(|m| *m == "SETUP").count(), 1, "{:?}", seen.asked);
}

#[tokio::test]
async fn a_track_that_turns_into_something_else_is_asked_for_anew() {
    let seen = watch(Device { name: "another codec", turns_after: PICTURES, ..PLAIN }, 2 * PICTURES).await;
    let failure = seen.failure.unwrap();
    assert!(failure.text.contains("not what it described"), "{}", failure.text);
    // The last may still be on its way to the reader when the session ends.
    assert_eq!(failure.kind, FailureKind::Lost);
    assert!((PICTURES - 1..=PICTURES).contains(&seen.pictures.len()), "{}", seen.pictures.len());
}

#[tokio::test]
async fn refusals_say_what_they_mean() {
    let refusals: [(&'static [(&str, &str)], &str, FailureKind); 7] = [
        (&[("PLAY", "453 Not Enough Bandwidth")], "no bandwidth left", FailureKind::Other),
        (&[("SETUP", "453 Not Enough Bandwidth")], "no bandwidth left", FailureKind::Other),
        (&[("SETUP", "500 Internal Server Error")], "RTSP 500 to SETUP", FailureKind::Other),
        (&[("SETUP", "503 Service Unavailable")], "too busy", FailureKind::Other),
        (&[("SETUP", "461 Unsupported Transport")], "refuses this transport", FailureKind::Other),
        (&[("PLAY", "454 Session Not Found")], "forgotten the session", FailureKind::Lost),
        (&[("DESCRIBE", "404 Not Found")], "no such stream", FailureKind::NoSuchStream),
    ];
    for (statuses, said, kind) in refusals {
        let seen = watch(Device { name: said, statuses, ..PLAIN }, 1).await;
        let failure = seen.failure.unwrap_or_else(|| panic!("{said}: it was not refused, {:?}", seen.asked));
        assert!(failure.text.contains(said), "{}", failure.text);
        assert_eq!(failure.kind, kind, "{}", failure.text);
    }
}

#[tokio::test]
async fn a_session_is_kept_alive_by_what_the_device_knows() {
    for (public, method) in [
        (PUBLIC, "GET_PARAMETER"),
        ("OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, SET_PARAMETER", "SET_PARAMETER"),
        ("OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN", "OPTIONS"),
    ] {
        // Half of the timeout passes between two of them; the first asks what the device knows.
        let device = Device {
            name: method,
            public,
            setup: "Session: 1;timeout=2\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=00000009\r\n",
            ..PLAIN
        };
        let seen = watch(device, 300).await;
        assert!(seen.failure.is_none(), "{method}: {:?}", seen.failure);
        assert!(seen.asked.iter().filter(|m| *m == method).count() > 0, "{method}: {:?}", seen.asked);
    }
}
