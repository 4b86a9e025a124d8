//! The two embedded clips, H.265 in two sizes and a tone in AAC, taken apart for looping.

use crate::rtsp::sdp;
use bytes::Bytes;

const MAIN_H265: &[u8] = include_bytes!("assets/main.h265");
const SUB_H265: &[u8] = include_bytes!("assets/sub.h265");
const TONE_AAC: &[u8] = include_bytes!("assets/tone.aac");

const H265_VPS: u8 = 32;
const H265_PPS: u8 = 34;
/// Types 16 to 23 are pictures that decoding can begin at.
const H265_IRAP: std::ops::Range<u8> = 16..24;
const ADTS_HEAD_BYTES: usize = 7;
/// Frames at the tone's begin that hold the encoder's silence, and as many at its end.
const TONE_EDGE_FRAMES: usize = 2;

/// Samples in one AAC frame.
pub(super) const AAC_FRAME_SAMPLES: u64 = 1024;
/// The tone's sample rate.
pub(super) const TONE_SAMPLE_RATE: u32 = 16_000;

/// A video that can be looped: it begins with a key frame.
#[derive(Clone, Debug)]
pub(super) struct Clip {
    /// VPS, SPS, PPS.
    pub parameter_sets: Vec<Bytes>,
    /// `(key, slice)` of each frame.
    pub frames: Vec<(bool, Bytes)>,
    pub size: (u16, u16),
}

impl Clip {
    /// The clip of a main stream.
    pub fn main() -> Self {
        Self::of(MAIN_H265, (640, 360))
    }

    /// The clip of a sub stream.
    pub fn sub() -> Self {
        Self::of(SUB_H265, (320, 180))
    }

    fn of(stream: &'static [u8], size: (u16, u16)) -> Self {
        let mut clip = Self { parameter_sets: Vec::new(), frames: Vec::new(), size };
        for nal in nals(stream) {
            let kind = nal[0] >> 1 & 0x3f;
            if (H265_VPS..=H265_PPS).contains(&kind) {
                // They are the same before each key frame; once is enough.
                if clip.frames.is_empty() {
                    clip.parameter_sets.push(nal);
                }
            } else {
                clip.frames.push((H265_IRAP.contains(&kind), nal));
            }
        }
        clip
    }
}

/// The NAL units of an Annex B stream.
fn nals(stream: &'static [u8]) -> Vec<Bytes> {
    let mut starts: Vec<usize> = Vec::new();
    for (at, window) in stream.windows(3).enumerate() {
        if window == [0, 0, 1] {
            starts.push(at + 3);
        }
    }
    let ends = starts.iter().skip(1).map(|next| next - 3).chain([stream.len()]);
    let trimmed = |start: usize, end: usize| {
        let mut end = end;
        while end > start && stream[end - 1] == 0 {
            end -= 1;
        }
        Bytes::from_static(&stream[start..end])
    };
    starts.iter().zip(ends).map(|(&start, end)| trimmed(start, end)).filter(|nal| nal.len() > 2).collect()
}

/// The raw AAC frames of a tone that can be looped.
pub(super) fn tone() -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut rest = TONE_AAC;
    while let Some(&[_, _, _, a, b, c, _]) = rest.first_chunk::<ADTS_HEAD_BYTES>() {
        let len = usize::from(a & 3) << 11 | usize::from(b) << 3 | usize::from(c >> 5);
        let Some((frame, tail)) = rest.split_at_checked(len.max(ADTS_HEAD_BYTES)) else { break };
        frames.push(Bytes::from_static(&frame[ADTS_HEAD_BYTES..]));
        rest = tail;
    }
    let inner = TONE_EDGE_FRAMES..frames.len().saturating_sub(TONE_EDGE_FRAMES);
    frames.get(inner).map(<[Bytes]>::to_vec).unwrap_or_default()
}

/// How the tone is described in an SDP: AAC-LC, 16 kHz, one channel.
pub(super) fn tone_description() -> sdp::Audio {
    sdp::Audio::aac(TONE_SAMPLE_RATE, 1, &[0x14, 0x08])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_are_whole_and_begin_with_a_key_frame() {
        for clip in [Clip::main(), Clip::sub()] {
            let keys: Vec<usize> = (0..clip.frames.len()).filter(|n| clip.frames[*n].0).collect();
            assert_eq!((clip.frames.len(), keys), (50, vec![0, 25]));
            assert_eq!(clip.parameter_sets.iter().map(|n| n[0] >> 1).collect::<Vec<_>>(), [32, 33, 34]);
        }
        let tone = tone();
        assert!(tone.len() > 25 && tone.iter().all(|f| (8..1000).contains(&f.len())), "{}", tone.len());
    }
}
