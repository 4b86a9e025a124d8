//! How far pictures are shown in another order than they are decoded in, by their parameter sets and slice headers.

use super::avc::{self, NalKind};
use crate::model::VideoCodec;

/// The most pictures that either standard lets a decoder hold back.
pub const DEPTH_MAX: usize = 16;
/// Bytes of a slice's NAL unit in which what is read of its header lies.
const SLICE_HEAD_BYTES: usize = 32;

/// Whether a stream's pictures may be shown in another order than they are decoded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reordering {
    /// They are shown as they come.
    Never,
    /// They may be, and the parameter sets say so.
    Allowed,
    /// The parameter sets leave it open: pictures that refer to later ones say so themselves.
    ByPicture,
}

/// What a sample entry's parameter sets say.
pub fn reordering(codec: VideoCodec, sample_entry: &[u8]) -> Reordering {
    let Some(sets) = avc::parameter_sets(sample_entry) else { return Reordering::Never };
    let found = match codec {
        VideoCodec::Mjpeg => Some(false),
        VideoCodec::H264 => {
            avc::nals(&sets).find(|n| head(n) & 0x1f == 7).and_then(|sps| h264(&unescape(sps.get(1..)?)))
        }
        VideoCodec::H265 => {
            avc::nals(&sets).find(|n| head(n) >> 1 & 0x3f == 33).and_then(|sps| h265(&unescape(sps.get(2..)?)))
        }
    };
    match (found, codec) {
        (Some(false), _) => Reordering::Never,
        // In H.265 every picture may be of the sort that refers to two lists: it says nothing of its place.
        (_, VideoCodec::H265) => Reordering::Allowed,
        (_, _) => Reordering::ByPicture,
    }
}

/// The first byte of a NAL unit; 0, which is no kind that is looked for, of an empty one.
fn head(nal: &[u8]) -> u8 {
    nal.first().copied().unwrap_or(0)
}

/// Whether a sample of H.264 has a slice that may refer to pictures shown later.
pub fn is_bipredictive(sample: &[u8]) -> bool {
    let slice = avc::nals(sample).find(|nal| avc::nal_kind(VideoCodec::H264, nal) == NalKind::Slice);
    let kind = slice.and_then(|nal| {
        let head = unescape(&nal[1..nal.len().min(SLICE_HEAD_BYTES)]);
        let mut bits = Bits::new(&head);
        bits.ue()?;
        bits.ue()
    });
    kind.is_some_and(|kind| kind % 5 == 1)
}

/// Whether the picture says that decoding may begin there, or some pictures before it is whole again: a recovery point.
pub fn has_recovery_point(codec: VideoCodec, sample: &[u8]) -> bool {
    let payload = |nal| match codec {
        VideoCodec::H264 if head(nal) & 0x1f == 6 => nal.get(1..),
        VideoCodec::H265 if head(nal) >> 1 & 0x3f == 39 => nal.get(2..),
        _ => None,
    };
    avc::nals(sample).filter_map(payload).any(|payload: &[u8]| {
        let payload = unescape(payload);
        let mut rest = &payload[..];
        // What is left of the last message is its end mark.
        while rest.len() > 2 {
            let Some((kind, after)) = long(rest) else { return false };
            let Some((size, after)) = long(after) else { return false };
            if kind == 6 {
                return true;
            }
            rest = after.get(size..).unwrap_or_default();
        }
        false
    })
}

/// A number of an SEI message: 255s that are added up, and the byte behind them.
fn long(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|b| **b == 0xff).count();
    let last = *bytes.get(full)?;
    Some((full * 255 + usize::from(last), &bytes[full + 1..]))
}

/// Whether an H.264 sequence reorders; None where it does not say.
fn h264(sps: &[u8]) -> Option<bool> {
    let mut b = Bits::new(sps);
    let profile = b.bits(8)?;
    b.bits(16)?;
    b.ue()?;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        h264_high(&mut b)?;
    }
    b.ue()?;
    match b.ue()? {
        0 => {
            b.ue()?;
        }
        1 => {
            b.bits(1)?;
            b.ue()?;
            b.ue()?;
            for _ in 0..b.ue()?.min(255) {
                b.ue()?;
            }
        }
        // Shown in the order of decoding.
        _ => return Some(false),
    }
    if profile == 66 {
        return Some(false);
    }
    b.ue()?;
    b.bits(1)?;
    b.ue()?;
    b.ue()?;
    if b.bits(1)? == 0 {
        b.bits(1)?;
    }
    b.bits(1)?;
    if b.bits(1)? == 1 {
        for _ in 0..4 {
            b.ue()?;
        }
    }
    if b.bits(1)? == 0 { None } else { h264_vui(&mut b) }
}

fn h264_high(b: &mut Bits<'_>) -> Option<()> {
    let chroma = b.ue()?;
    if chroma == 3 {
        b.bits(1)?;
    }
    b.ue()?;
    b.ue()?;
    b.bits(1)?;
    if b.bits(1)? == 1 {
        for n in 0..if chroma == 3 { 12 } else { 8 } {
            if b.bits(1)? == 1 {
                scaling_list(b, if n < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(())
}

fn scaling_list(b: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + b.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn h264_vui(b: &mut Bits<'_>) -> Option<bool> {
    if b.bits(1)? == 1 && b.bits(8)? == 255 {
        b.bits(32)?;
    }
    if b.bits(1)? == 1 {
        b.bits(1)?;
    }
    if b.bits(1)? == 1 {
        b.bits(4)?;
        if b.bits(1)? == 1 {
            b.bits(24)?;
        }
    }
    if b.bits(1)? == 1 {
        b.ue()?;
        b.ue()?;
    }
    if b.bits(1)? == 1 {
        b.bits(32)?;
        b.bits(32)?;
        b.bits(1)?;
    }
    let mut timed = false;
    for _ in 0..2 {
        if b.bits(1)? == 1 {
            timed = true;
            hrd(b)?;
        }
    }
    if timed {
        b.bits(1)?;
    }
    b.bits(1)?;
    if b.bits(1)? == 0 {
        return None;
    }
    b.bits(1)?;
    for _ in 0..4 {
        b.ue()?;
    }
    Some(b.ue()? > 0)
}

fn hrd(b: &mut Bits<'_>) -> Option<()> {
    let count = b.ue()?.min(31) + 1;
    b.bits(8)?;
    for _ in 0..count {
        b.ue()?;
        b.ue()?;
        b.bits(1)?;
    }
    b.bits(20)?;
    Some(())
}

/// Whether an H.265 sequence reorders.
fn h265(sps: &[u8]) -> Option<bool> {
    let mut b = Bits::new(sps);
    b.bits(4)?;
    let layers = b.bits(3)?;
    b.bits(1)?;
    profile_tier_level(&mut b, layers)?;
    b.ue()?;
    if b.ue()? == 3 {
        b.bits(1)?;
    }
    b.ue()?;
    b.ue()?;
    if b.bits(1)? == 1 {
        for _ in 0..4 {
            b.ue()?;
        }
    }
    for _ in 0..3 {
        b.ue()?;
    }
    let first = if b.bits(1)? == 1 { 0 } else { layers };
    let mut most = 0;
    for _ in first..=layers {
        b.ue()?;
        most = most.max(b.ue()?);
        b.ue()?;
    }
    Some(most > 0)
}

fn profile_tier_level(b: &mut Bits<'_>, layers: u32) -> Option<()> {
    b.skip(88)?;
    b.bits(8)?;
    let mut present = [(false, false); 8];
    for layer in present.iter_mut().take(layers as usize) {
        *layer = (b.bits(1)? == 1, b.bits(1)? == 1);
    }
    if layers > 0 {
        b.skip(2 * (8 - layers))?;
    }
    for (profile, level) in present.iter().take(layers as usize) {
        b.skip(if *profile { 88 } else { 0 })?;
        b.skip(if *level { 8 } else { 0 })?;
    }
    Some(())
}

/// Without emulation prevention.
fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for byte in nal {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

/// Reads bits, the highest first. None beyond the end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        self.at += count as usize;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bits(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some(((1u64 << zeros) - 1) as u32 + self.bits(zeros)?)
    }

    fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 { (code + 1) / 2 } else { -code / 2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::fixture::{Options, clip};
    use proptest::prelude::*;

    fn made(codec: VideoCodec, bframes: u32) -> std::sync::Arc<crate::media::fixture::Clip> {
        clip(Options { codec, bframes, seconds: 4, audio_rate: 0, ..Options::default() })
    }

    #[test]
    fn parameter_sets_say_whether_pictures_are_reordered() {
        for codec in [VideoCodec::H264, VideoCodec::H265] {
            let entry = |bframes| made(codec, bframes).format.video.sample_entry.clone();
            assert_eq!(reordering(codec, &entry(0)), Reordering::Never, "{codec:?}");
            assert_ne!(reordering(codec, &entry(2)), Reordering::Never, "{codec:?}");
        }
        assert_eq!(reordering(VideoCodec::H264, &[1, 2, 3]), Reordering::Never);
    }

    #[test]
    fn slices_that_look_ahead_are_told_from_others() {
        let clip = made(VideoCodec::H264, 2);
        let ahead: Vec<bool> = clip.video.iter().map(|(data, _)| is_bipredictive(data)).collect();
        let earlier = clip.shown.windows(2).map(|w| w[1] < w[0]);
        for (n, back) in earlier.enumerate().filter(|(_, back)| *back) {
            assert!(back && ahead[n + 1], "picture {} goes back", n + 1);
        }
        assert!(made(VideoCodec::H264, 0).video.iter().all(|(data, _)| !is_bipredictive(data)));
    }

    #[test]
    fn a_recovery_point_is_found_among_other_messages() {
        let other = [6u8, 5, 3, 1, 2, 3, 0x80];
        let both = [6u8, 5, 3, 1, 2, 3, 6, 1, 0x84, 0x80];
        assert!(!has_recovery_point(VideoCodec::H264, &avc::sample_of([&other[..]])));
        assert!(has_recovery_point(VideoCodec::H264, &avc::sample_of([&other[..], &both[..]])));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (h264(&bytes), h265(&bytes), has_recovery_point(VideoCodec::H264, &bytes), is_bipredictive(&bytes));
            let _ = reordering(VideoCodec::H265, &bytes);
        }
    }
}
