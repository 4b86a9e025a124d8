//! What is needed of H.264 and H.265 outside a decoder: NAL units, their framing, parameter sets.

use super::{
    Error,
    fmp4::{
        boxes::Boxes,
        parse::{self, children},
    },
};
use crate::model::VideoCodec;
use bytes::Bytes;

/// Bytes of the length in front of each NAL unit of a sample.
pub const LENGTH_BYTES: usize = 4;
/// Bytes of a visual sample entry in front of its inner boxes.
const VISUAL_FIELDS_BYTES: usize = 78;

/// Splits a sample into its NAL units. Ends at the first length that does not fit.
pub fn nals(sample: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = sample;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let (nal, after) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after;
        Some(nal)
    })
}

/// Splits an Annex B byte stream at its start codes.
pub fn annex_b_nals(stream: &[u8]) -> Vec<&[u8]> {
    let mut nals = Vec::new();
    let mut start = None;
    let mut at = 0;
    while at + 3 <= stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            push_nal(&mut nals, stream, start, at);
            start = Some(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    push_nal(&mut nals, stream, start, stream.len());
    nals
}

fn push_nal<'a>(nals: &mut Vec<&'a [u8]>, stream: &'a [u8], start: Option<usize>, end: usize) {
    let Some(start) = start else { return };
    // A NAL unit never ends in zero: zeros in front of the next start code belong to that.
    let end = stream[start..end].iter().rposition(|b| *b != 0).map_or(start, |last| start + last + 1);
    if end > start {
        nals.push(&stream[start..end]);
    }
}

/// Puts NAL units into one sample, each behind its length.
pub fn sample_of<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = Vec::new();
    for nal in nals {
        out.extend_from_slice(&u32::try_from(nal.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(nal);
    }
    out.into()
}

/// Puts the NAL units of a sample into an Annex B byte stream.
pub fn to_annex_b(sample: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sample.len());
    for nal in nals(sample) {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(nal);
    }
    out
}

/// What a NAL unit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalKind {
    /// A slice of a picture at which decoding can begin.
    KeySlice,
    /// A slice of another picture.
    Slice,
    /// A video, sequence or picture parameter set.
    ParameterSet,
    /// Anything else.
    Other,
}

/// What a NAL unit is for, by its header.
pub fn nal_kind(codec: VideoCodec, nal: &[u8]) -> NalKind {
    let Some(first) = nal.first() else { return NalKind::Other };
    match codec {
        VideoCodec::H264 => match first & 0x1f {
            5 => NalKind::KeySlice,
            // 2 to 4 are parts of slices of a profile that no camera has: what looks so is another codec's.
            1 => NalKind::Slice,
            7 | 8 | 13 => NalKind::ParameterSet,
            _ => NalKind::Other,
        },
        VideoCodec::H265 => match first >> 1 & 0x3f {
            16..=23 => NalKind::KeySlice,
            0..=15 => NalKind::Slice,
            32..=34 => NalKind::ParameterSet,
            _ => NalKind::Other,
        },
        VideoCodec::Mjpeg => NalKind::Other,
    }
}

/// The parameter sets that an `avc1` or `hvc1` box holds, as NAL units behind their lengths: what a key frame can be
/// preceded by where a decoder is to change over without looking at the box. None where the box cannot be read.
pub fn parameter_sets(sample_entry: &[u8]) -> Option<Vec<u8>> {
    let entry = children(sample_entry).next()?.ok()?;
    let inner = entry.content.get(VISUAL_FIELDS_BYTES..)?;
    let mut out = Vec::new();
    if let Some(config) = parse::child(inner, b"avcC") {
        let mut rest = config.get(5..)?;
        for mask in [0x1f, 0xff] {
            let (count, after) = rest.split_first()?;
            rest = copy_sets(after, usize::from(count & mask), &mut out)?;
        }
    } else {
        let config = parse::child(inner, b"hvcC")?;
        let (arrays, mut rest) = config.get(22..)?.split_first()?;
        for _ in 0..*arrays {
            let count = usize::from(parse::u16_at(rest, 1)?);
            rest = copy_sets(rest.get(3..)?, count, &mut out)?;
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Copies `count` NAL units, each behind a 16-bit length, and gives back what follows them.
fn copy_sets<'a>(mut rest: &'a [u8], count: usize, out: &mut Vec<u8>) -> Option<&'a [u8]> {
    for _ in 0..count {
        let len = parse::u16_at(rest, 0)?;
        let (nal, after) = rest.get(2..)?.split_at_checked(usize::from(len))?;
        out.extend_from_slice(&u32::from(len).to_be_bytes());
        out.extend_from_slice(nal);
        rest = after;
    }
    Some(rest)
}

/// The body of an `avcC` box for one sequence and one picture parameter set, with 4-byte lengths.
pub fn avc_config(sps: &[u8], pps: &[u8]) -> Result<Vec<u8>, Error> {
    let [_, profile, constraints, level, ..] = *sps else {
        return Err(Error::ParameterSet("the SPS is too short"));
    };
    let length = |set: &[u8]| u16::try_from(set.len()).map_err(|_| Error::ParameterSet("longer than 65535 bytes"));
    let mut out = vec![1, profile, constraints, level, 0xff, 0xe1];
    out.extend_from_slice(&length(sps)?.to_be_bytes());
    out.extend_from_slice(sps);
    out.push(1);
    out.extend_from_slice(&length(pps)?.to_be_bytes());
    out.extend_from_slice(pps);
    if matches!(profile, 100 | 110 | 122 | 144) {
        // 4:2:0 with 8 bits, no SPS extension: what cameras send, and what our own encoder makes.
        out.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    Ok(out)
}

/// The complete `avc1` box for one sequence and one picture parameter set.
pub fn avc1_entry(sps: &[u8], pps: &[u8], width: u16, height: u16) -> Result<Bytes, Error> {
    let config = avc_config(sps, pps)?;
    let mut out = Boxes::default();
    out.boxed(b"avc1", |b| {
        visual_fields(b, width, height);
        b.boxed(b"avcC", |b| b.bytes(&config));
    });
    Ok(out.into_bytes().into())
}

/// RFC 6381 name of an H.264 stream, by its sequence parameter set.
pub fn avc_rfc6381(sps: &[u8]) -> Result<String, Error> {
    match sps {
        [_, profile, constraints, level, ..] => Ok(format!("avc1.{profile:02X}{constraints:02X}{level:02X}")),
        _ => Err(Error::ParameterSet("the SPS is too short")),
    }
}

/// The complete `mp4a` box for AAC with this AudioSpecificConfig.
pub fn mp4a_entry(audio_specific_config: &[u8], channels: u16, sample_rate: u32) -> Result<Bytes, Error> {
    let config = audio_specific_config;
    let len = u8::try_from(config.len()).ok().filter(|len| *len < 64);
    let len = len.ok_or(Error::ParameterSet("the AudioSpecificConfig is longer than 63 bytes"))?;
    let mut out = Boxes::default();
    out.boxed(b"mp4a", |b| {
        b.zeros(6);
        b.u16(1);
        b.zeros(8);
        b.u16(channels);
        b.u16(16);
        b.zeros(4);
        b.u32(u32::from(u16::try_from(sample_rate).unwrap_or(0)) << 16);
        b.full(b"esds", 0, 0, |b| {
            // ES descriptor > decoder config (AAC, audio stream) > decoder-specific info; then the SL config.
            b.bytes(&[0x03, 23 + len, 0, 0, 0, 0x04, 15 + len, 0x40, 0x15, 0, 0, 0]);
            b.zeros(8);
            b.bytes(&[0x05, len]);
            b.bytes(config);
            b.bytes(&[0x06, 1, 2]);
        });
    });
    Ok(out.into_bytes().into())
}

fn visual_fields(out: &mut Boxes, width: u16, height: u16) {
    out.zeros(6);
    out.u16(1);
    out.zeros(16);
    out.u16(width);
    out.u16(height);
    out.u32(0x0048_0000);
    out.u32(0x0048_0000);
    out.u32(0);
    out.u16(1);
    out.zeros(32);
    out.u16(0x18);
    out.u16(0xffff);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn start_codes_of_both_lengths_split_and_trailing_zeros_belong_to_nobody() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 0, 1, 0x65, 0, 0, 3, 9];
        assert_eq!(annex_b_nals(&stream), [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 0, 0, 3, 9]]);
        assert!(annex_b_nals(&[1, 2, 3]).is_empty());
        assert!(annex_b_nals(&[0, 0, 1]).is_empty());
    }

    #[test]
    fn an_entry_gives_back_its_parameter_sets() {
        let (sps, pps) = ([0x67, 0x64, 0, 0x29, 7], [0x68, 1, 2]);
        let entry = avc1_entry(&sps, &pps, 64, 48).unwrap();
        assert_eq!(parameter_sets(&entry).unwrap(), sample_of([&sps[..], &pps]));
        for cut in 0..entry.len() {
            assert!(parameter_sets(&entry[..cut]).is_none());
        }
    }

    #[test]
    fn kinds_of_nals() {
        assert_eq!(nal_kind(VideoCodec::H264, &[0x65]), NalKind::KeySlice);
        assert_eq!(nal_kind(VideoCodec::H264, &[0x41]), NalKind::Slice);
        assert_eq!(nal_kind(VideoCodec::H264, &[0x67]), NalKind::ParameterSet);
        assert_eq!(nal_kind(VideoCodec::H265, &[19 << 1, 1]), NalKind::KeySlice);
        assert_eq!(nal_kind(VideoCodec::H265, &[1 << 1, 1]), NalKind::Slice);
        assert_eq!(nal_kind(VideoCodec::H265, &[33 << 1, 1]), NalKind::ParameterSet);
        assert_eq!(nal_kind(VideoCodec::H264, &[]), NalKind::Other);
    }

    proptest! {
        #[test]
        fn a_sample_splits_into_what_it_was_made_of(nals_in in proptest::collection::vec(proptest::collection::vec(1u8.., 1..40), 0..8)) {
            let sample = sample_of(nals_in.iter().map(Vec::as_slice));
            prop_assert_eq!(nals(&sample).map(<[u8]>::to_vec).collect::<Vec<_>>(), nals_in.clone());
            let stream = to_annex_b(&sample);
            prop_assert_eq!(annex_b_nals(&stream).into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), nals_in);
        }

        #[test]
        fn nonsense_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = nals(&bytes).count();
            let _ = annex_b_nals(&bytes);
            let _ = avc1_entry(&bytes, &bytes, 16, 16);
            let _ = mp4a_entry(&bytes, 1, 8000);
            let _ = parameter_sets(&bytes);
        }
    }
}
