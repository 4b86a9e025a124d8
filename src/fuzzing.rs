//! What comes from outside and is read by code of our own, as functions of any bytes: none may panic, hang or take
//! memory out of proportion. `fuzz/` drives them for as long as one likes; the tests replay its corpora and some
//! thousand mutants of them.
//!
//! No part of the daemon stands on this.

use crate::{
    archive,
    base::Wall,
    camera, hikvision,
    media::{
        avc, entry, fmp4,
        order::{self, Reordering},
        sound::{Coding, Decoder, Order, decode_flac, flac},
    },
    model::{Segment, SessionId, StreamKey, Sum, VideoCodec},
    playback,
    proxy::{self, h1},
    rtsp::{
        digest::Credentials,
        message::{Item, Parser},
    },
    serve,
};
use bytes::Bytes;

/// One thing to feed with bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its corpus and its binary.
    pub name: &'static str,
    /// Panics where something is wrong.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "isapi_xml", run: hikvision::fuzz::xml },
    Target { name: "isapi_json", run: hikvision::fuzz::json },
    Target { name: "challenges", run: hikvision::fuzz::challenges },
    Target { name: "sdp", run: camera::fuzz::sdp },
    Target { name: "rtsp", run: rtsp },
    Target { name: "stamps", run: camera::fuzz::stamps },
    Target { name: "parameter_sets", run: parameter_sets },
    Target { name: "mp4", run: mp4 },
    Target { name: "rows", run: archive::fuzz::rows },
    Target { name: "sound", run: sound },
    Target { name: "texts", run: texts },
    Target { name: "http_requests", run: h1::fuzz::requests },
    Target { name: "http_responses", run: h1::fuzz::responses },
    Target { name: "http_chunks", run: h1::fuzz::chunks },
    Target { name: "http_paths", run: h1::fuzz::paths },
    Target { name: "proxy_protocol", run: h1::fuzz::preludes },
    Target { name: "routes", run: proxy::table::fuzz::routes },
    Target { name: "static_files", run: proxy::files::fuzz::run },
    Target { name: "plays", run: playback::fuzz },
    Target { name: "whep", run: playback::whep::fuzz },
    Target { name: "websocket", run: serve::websocket::fuzz },
    Target { name: "tls_hello", run: proxy::tcp::fuzz::run },
];

/// Bytes of an RTSP connection, in pieces; and what a login in them says.
pub fn rtsp(data: &[u8]) {
    let mut parser = Parser::default();
    // Whole and in pieces it is the same.
    for piece in data.chunks(usize::from(data.first().copied().unwrap_or(0)) + 1) {
        parser.buffer().extend_from_slice(piece);
        while let Ok(Some(item)) = parser.take() {
            if let Item::Request(request) = item {
                playback::rtsp::fuzz(&request);
            }
        }
    }
    if let Some(credentials) = std::str::from_utf8(data).ok().and_then(Credentials::parse) {
        credentials.algorithm();
        credentials.proves("PLAY", "admin", "IP Camera", "password");
    }
}

/// A parameter set, a sample or a sample entry of each codec.
pub fn parameter_sets(data: &[u8]) {
    for nal in avc::annex_b_nals(data) {
        assert!(!nal.is_empty(), "a NAL unit has a header");
    }
    let nals: Vec<&[u8]> = avc::nals(data).collect();
    let sample = avc::sample_of(nals.iter().copied());
    assert_eq!(avc::nals(&sample).collect::<Vec<_>>(), nals, "what is taken apart is put together again");
    avc::to_annex_b(data);
    let _ = (entry::audio(data), entry::video_codec(data), entry::parameter_sets(data));
    order::is_bipredictive(data);
    order::has_recovery_point(VideoCodec::H264, data);
    order::has_recovery_point(VideoCodec::H265, data);
    for codec in [VideoCodec::H264, VideoCodec::H265, VideoCodec::Mjpeg] {
        nals.iter().for_each(|nal| drop(format!("{:?}", avc::nal_kind(codec, nal))));
        order::reordering(codec, data);
    }
    let _ = avc::avc_rfc6381(data);
    if let Ok(entry) = avc::avc1_entry(data, &[0x68, 1], 640, 360) {
        let sets = avc::parameter_sets(&entry).expect("an entry of our own making");
        assert_eq!(avc::nals(&sets).next(), Some(data));
        assert_ne!(order::reordering(VideoCodec::H264, &entry), Reordering::Allowed, "H.264 says so by picture");
    }
    order::reordering(VideoCodec::H265, &hvc1(data));
}

/// The least `hvc1` box around one sequence parameter set.
fn hvc1(sps: &[u8]) -> Vec<u8> {
    let sps = &sps[..sps.len().min(1000)];
    let array = [&[33, 0, 1][..], &(sps.len() as u16).to_be_bytes(), sps].concat();
    let config = [&[0; 22][..], &[1], &array].concat();
    let hvcc = [&(config.len() as u32 + 8).to_be_bytes()[..], b"hvcC", &config].concat();
    let inner = [&[0; 78][..], &hvcc].concat();
    [&(inner.len() as u32 + 8).to_be_bytes()[..], b"hvc1", &inner].concat()
}

/// A file of footage, and playback of what it seems to hold.
pub fn mp4(data: &[u8]) {
    let scanned = fmp4::read::scan(data.len() as u64, |at, buffer: &mut [u8]| {
        let at = usize::try_from(at).map_err(|_| "beyond the file")?;
        let end = at.checked_add(buffer.len()).filter(|end| *end <= data.len()).ok_or("beyond the file")?;
        buffer.copy_from_slice(&data[at..end]);
        Ok::<(), &str>(())
    });
    let Ok(scanned) = scanned else { return };
    assert!(scanned.whole_bytes <= data.len() as u64, "no more than there is");
    for track in [&scanned.table.video, &scanned.table.audio] {
        let chunks: u64 = track.chunks.iter().map(|c| u64::from(c.samples)).sum();
        assert_eq!(chunks, track.sizes.len() as u64, "every sample lies in a chunk");
        assert_eq!(track.sizes.len(), track.durations.len());
    }
    let segment = Segment {
        stream: scanned.origin.stream,
        start: scanned.origin.start,
        duration_ticks: scanned.table.video.duration_ticks(),
        bytes: scanned.whole_bytes,
        frames: u32::try_from(scanned.table.video.sizes.len()).unwrap_or(u32::MAX),
        session: SessionId(1),
        index: 0,
        name_suffix: 0,
        closed: true,
        sum: Sum::None,
    };
    archive::fuzz::play(segment, scanned.table);
}

/// Packets of telephone sound, behind a byte that says how they are coded: decoded, and stored as FLAC.
pub fn sound(data: &[u8]) {
    let Some((kind, payload)) = data.split_first() else { return };
    let coding = match kind % 11 {
        0 => Coding::Ulaw,
        1 => Coding::Alaw,
        2 => Coding::G722,
        n @ 3..=6 => Coding::G726(n - 1),
        7 => Coding::L16(None),
        8 => Coding::L16(Some(Order::Big)),
        9 => Coding::L16(Some(Order::Little)),
        _ => Coding::G726(kind / 11),
    };
    decode_flac(payload);
    let mut decoder = Decoder::new(coding);
    let mut encoders = [flac::Encoder::new(1, 8000), flac::Encoder::new(2, 48_000)];
    for packet in payload.chunks(usize::from(*kind) + 1) {
        let samples = decoder.decode(packet);
        assert!(samples.len() <= packet.len() * 8, "{coding:?}");
        for (channels, encoder) in (1..).zip(&mut encoders) {
            // As the camera room does it: whole samples of each channel.
            if samples.len() < channels {
                continue;
            }
            let frame: Bytes = encoder.frame(&samples);
            assert!(frame.len() <= samples.len() * 4 + 64, "{} bytes of {} samples", frame.len(), samples.len());
            let whole = samples.len().min(flac::FRAME_SAMPLES_MAX * channels) / channels * channels;
            assert_eq!(decode_flac(&frame), Some((samples[..whole].to_vec(), channels)), "what was stored comes back");
        }
    }
}

/// Words of URLs, names of files.
pub fn texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = text.parse::<StreamKey>() {
        assert_eq!(key.to_string().parse(), Ok(key), "a key is spelled in one way");
    }
    if let Ok(wall) = text.parse::<Wall>() {
        assert_eq!(wall.to_string().parse::<Wall>().map(Wall::millis), Ok(wall.millis()));
    }
    let hour = archive::layout::Hour::of(Wall::from_micros(1_795_249_800_500_000));
    archive::layout::classify(hour, text);
    let parts: Vec<&str> = text.split('/').collect();
    if let Ok(parts) = <[&str; 4]>::try_from(parts) {
        archive::layout::Hour::parse(parts);
    }
}
