//! Pictures and sounds to packets, made once for all who get them. Pure but for the random numbers that RTP begins with.

use super::shape::{Coding, Shape, Speech};
use crate::{
    base::Wall,
    media::avc,
    model::{TrackKind, VideoCodec, frame::VIDEO_TIMESCALE},
    rtsp::{packet::Packetiser, sdp},
};
use bytes::Bytes;

/// The usual channels of interleaved RTP: pictures on the first, sound on the third; RTCP on the one behind each.
pub(super) const fn channel(track: TrackKind) -> u8 {
    match track {
        TrackKind::Video => 0,
        TrackKind::Audio => 2,
    }
}

/// The packets of one picture or sound, as interleaved frames on the usual channels.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) track: TrackKind,
    /// Decoding can begin here.
    pub(super) key: bool,
    pub(super) bytes: Bytes,
    pub(super) packets: u32,
    /// Of payload.
    pub(super) octets: u32,
    /// Of the first packet.
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    /// When it was taken.
    pub(super) wall: Wall,
    /// When it is shown, on the line of time that its timestamps lie on.
    pub(super) micros: i64,
}

/// Where a track's packets go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) ssrc: u32,
    /// Of the next packet.
    pub(super) sequence: u16,
    /// Where the line of time begins.
    pub(super) base: u32,
}

impl Mark {
    pub(super) fn random() -> Self {
        Self { ssrc: rand::random(), sequence: rand::random(), base: rand::random() }
    }
}

/// Makes the packets of one stream.
#[derive(Debug)]
pub(super) struct Press {
    codec: VideoCodec,
    speech: Option<Speech>,
    video: Packetiser,
    audio: Packetiser,
    bases: [u32; 2],
}

impl Press {
    /// From these marks on, of pictures and of sound.
    pub(super) fn new(shape: &Shape, [video, audio]: [Mark; 2]) -> Self {
        let speech = shape.speech.clone();
        let payload_type = speech.as_ref().map_or(sdp::AUDIO_PAYLOAD_TYPE, Speech::payload_type);
        let packets = |track, number, mark: Mark| Packetiser::new(channel(track), number, mark.ssrc, mark.sequence);
        Self {
            codec: shape.codec,
            speech,
            video: packets(TrackKind::Video, sdp::VIDEO_PAYLOAD_TYPE, video),
            audio: packets(TrackKind::Audio, payload_type, audio),
            bases: [video.base, audio.base],
        }
    }

    /// Ticks a second of a track's clock.
    pub(super) fn rate(&self, track: TrackKind) -> u32 {
        match track {
            TrackKind::Video => VIDEO_TIMESCALE,
            TrackKind::Audio => self.speech.as_ref().map_or(VIDEO_TIMESCALE, |speech| speech.rate),
        }
    }

    /// A picture that is shown at `ticks` of the line, with its parameter sets where it is a key frame.
    pub(super) fn picture(&mut self, sample: &Bytes, sets: Option<&[Bytes]>, ticks: i64, wall: Wall) -> Chunk {
        let mut nals: Vec<Bytes> = sets.unwrap_or_default().to_vec();
        nals.extend(avc::nals(sample).filter(|nal| nal.len() > 2).map(|nal| sample.slice_ref(nal)));
        let timestamp = self.bases[0].wrapping_add(ticks as u32);
        let (before, sequence) = (self.video.sent(), self.video.next_sequence());
        let mut out = Vec::with_capacity(sample.len() + sample.len() / 32 + 256);
        self.video.video(self.codec, &nals, timestamp, &mut out);
        let micros = micros_of(ticks, VIDEO_TIMESCALE);
        let key = sets.is_some();
        chunk(TrackKind::Video, key, out, (before, self.video.sent()), sequence, timestamp, wall, micros)
    }

    /// A sound that is heard at `ticks` of the line; None where it cannot be read, or none goes.
    pub(super) fn sound(&mut self, frame: &[u8], ticks: i64, wall: Wall) -> Option<Chunk> {
        let speech = self.speech.as_ref()?;
        let timestamp = self.bases[1].wrapping_add(ticks as u32);
        let (before, sequence) = (self.audio.sent(), self.audio.next_sequence());
        let mut out = Vec::with_capacity(frame.len() * 4);
        match &speech.coding {
            Coding::Aac(_) => self.audio.aac(frame, timestamp, &mut out),
            _ => {
                let (samples, each) = speech.samples(frame)?;
                self.audio.samples(&samples, each, timestamp, &mut out);
            }
        }
        let micros = micros_of(ticks, speech.rate);
        Some(chunk(TrackKind::Audio, false, out, (before, self.audio.sent()), sequence, timestamp, wall, micros))
    }
}

pub(super) const fn index(track: TrackKind) -> usize {
    match track {
        TrackKind::Video => 0,
        TrackKind::Audio => 1,
    }
}

pub(super) fn micros_of(ticks: i64, rate: u32) -> i64 {
    i64::try_from(i128::from(ticks) * 1_000_000 / i128::from(rate.max(1))).unwrap_or(i64::MAX)
}

#[expect(clippy::too_many_arguments, reason = "the fields, in one place")]
fn chunk(
    track: TrackKind,
    key: bool,
    out: Vec<u8>,
    (before, after): ((u32, u32), (u32, u32)),
    sequence: u16,
    timestamp: u32,
    wall: Wall,
    micros: i64,
) -> Chunk {
    let (packets, octets) = (after.0.wrapping_sub(before.0), after.1.wrapping_sub(before.1));
    Chunk { track, key, bytes: out.into(), packets, octets, sequence, timestamp, wall, micros }
}

/// Interleaved frames one by one: the channel and the packet of each.
pub(super) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let (packet, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
        bytes = after;
        Some((head[1], packet))
    })
}

/// The same frames on another channel.
pub(super) fn moved(bytes: &Bytes, to: u8) -> Bytes {
    let mut out = bytes.to_vec();
    let mut at = 0;
    while let Some([_, _, high, low]) = out.get(at..at + 4) {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        out[at + 1] = to;
        at += 4 + len;
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::avc::{mp4a_entry, sample_of};

    fn shape() -> Shape {
        let speech = Speech::of(&mp4a_entry(&[0x14, 0x08], 1, 16_000).unwrap(), 16_000, []);
        let sets = vec![Bytes::from_static(&[0x67, 1, 2]), Bytes::from_static(&[0x68, 3, 4])];
        Shape { codec: VideoCodec::H264, sets, size: (64, 48), speech }
    }

    #[test]
    fn a_key_frame_brings_its_parameter_sets_and_numbers_go_on() {
        let mark = |ssrc| Mark { ssrc, sequence: 65_534, base: u32::MAX - 10 };
        let mut press = Press::new(&shape(), [mark(1), mark(2)]);
        let sample = sample_of([&[0x65u8; 3000][..]]);
        let wall = Wall::from_micros(5);
        let key = press.picture(&sample, Some(&shape().sets), 3600, wall);
        assert_eq!((key.packets, key.sequence, key.timestamp, key.micros), (5, 65_534, 3589, 40_000));
        let parts: Vec<(u8, usize, u8)> = frames(&key.bytes).map(|(c, p)| (c, p.len(), p[12] & 0x1f)).collect();
        assert_eq!(parts.iter().map(|p| p.2).collect::<Vec<_>>(), [7, 8, 28, 28, 28]);
        assert_eq!(parts.iter().map(|p| p.1 as u32 - 12).sum::<u32>(), key.octets);
        assert!(parts.iter().all(|p| p.0 == 0));
        let next = press.picture(&sample, None, 7200, wall);
        assert_eq!((next.packets, next.sequence, next.key), (3, 3, false));
        let sound = press.sound(&[1; 100], 1024, wall).unwrap();
        assert_eq!((sound.sequence, sound.timestamp, sound.micros), (65_534, 1013, 64_000));
        let moved = moved(&key.bytes, 6);
        assert!(frames(&moved).all(|(c, _)| c == 6) && frames(&moved).map(|f| f.1).eq(frames(&key.bytes).map(|f| f.1)));
    }
}
