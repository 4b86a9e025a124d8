//! What sample entries say to who sends their samples by other ways than an MP4: which codec, and what a decoder is told.

use super::{
    avc,
    fmp4::parse::{self, children},
};
use crate::model::VideoCodec;
use bytes::Bytes;

/// Bytes of an audio sample entry in front of its inner boxes.
const AUDIO_FIELDS_BYTES: usize = 28;
/// Where the number of channels stands in them.
const CHANNELS_AT: usize = 16;
/// Tags of MPEG-4 descriptors, each inside of the one before, and what stands in front of the inner one.
const DESCRIPTORS: [(u8, usize); 3] = [(3, 3), (4, 13), (5, 0)];
/// The length of a descriptor takes so many bytes at most.
const LENGTH_BYTES_MAX: usize = 4;

/// What an audio sample entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audio {
    /// AAC with this AudioSpecificConfig.
    Aac {
        /// As decoders want it.
        config: Bytes,
        /// How many.
        channels: u8,
    },
    /// FLAC.
    Flac {
        /// How many.
        channels: u8,
    },
}

/// The codec of a video sample entry.
pub fn video_codec(entry: &[u8]) -> Option<VideoCodec> {
    match &children(entry).next()?.ok()?.kind {
        b"avc1" | b"avc3" => Some(VideoCodec::H264),
        b"hvc1" | b"hev1" => Some(VideoCodec::H265),
        b"mp4v" => Some(VideoCodec::Mjpeg),
        _ => None,
    }
}

/// The parameter sets of a video sample entry, each a NAL unit; none where it has none.
pub fn parameter_sets(entry: &[u8]) -> Vec<Bytes> {
    let sets = Bytes::from(avc::parameter_sets(entry).unwrap_or_default());
    avc::nals(&sets).map(|nal| sets.slice_ref(nal)).collect()
}

/// Reads an audio sample entry; None where it is of another codec, or cannot be read.
pub fn audio(entry: &[u8]) -> Option<Audio> {
    let entry = children(entry).next()?.ok()?;
    let channels = u8::try_from(parse::u16_at(entry.content, CHANNELS_AT)?).ok()?;
    let inner = entry.content.get(AUDIO_FIELDS_BYTES..)?;
    match &entry.kind {
        b"fLaC" => Some(Audio::Flac { channels }),
        b"mp4a" => {
            let config = decoder_config(parse::child(inner, b"esds")?.get(4..)?)?;
            let told = told_channels(config).unwrap_or(channels);
            Some(Audio::Aac { config: Bytes::copy_from_slice(config), channels: told })
        }
        _ => None,
    }
}

/// What lies in the innermost descriptor.
fn decoder_config(mut bytes: &[u8]) -> Option<&[u8]> {
    for (tag, skipped) in DESCRIPTORS {
        let (found, mut rest) = bytes.split_first()?;
        let mut len = 0usize;
        for _ in 0..LENGTH_BYTES_MAX {
            let (byte, after) = rest.split_first()?;
            len = len << 7 | usize::from(byte & 0x7f);
            rest = after;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if *found != tag {
            return None;
        }
        bytes = rest.get(..len)?.get(skipped..)?;
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// The channels that an AudioSpecificConfig tells, where it is one of the usual form.
fn told_channels(config: &[u8]) -> Option<u8> {
    let [first, second, ..] = *config else { return None };
    let (kind, frequency) = (first >> 3, (first & 7) << 1 | second >> 7);
    let channels = second >> 3 & 0xf;
    (kind < 31 && frequency < 15 && (1..=7).contains(&channels)).then_some(if channels == 7 { 8 } else { channels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sound::flac;

    #[test]
    fn entries_of_our_making_are_read() {
        let config = [0x14, 0x08];
        let entry = avc::mp4a_entry(&config, 1, 16_000).unwrap();
        assert_eq!(audio(&entry), Some(Audio::Aac { config: Bytes::copy_from_slice(&config), channels: 1 }));
        assert_eq!(audio(&flac::sample_entry(2, 48_000).unwrap()), Some(Audio::Flac { channels: 2 }));
        let sets: [&[u8]; 2] = [&[0x67, 0x64, 0, 0x29, 7], &[0x68, 1, 2]];
        let video = avc::avc1_entry(sets[0], sets[1], 64, 48).unwrap();
        assert_eq!(
            (video_codec(&video), parameter_sets(&video)),
            (Some(VideoCodec::H264), sets.map(Bytes::copy_from_slice).to_vec())
        );
        assert_eq!((audio(&video), video_codec(&entry)), (None, None));
        for cut in 0..entry.len() {
            assert_eq!(audio(&entry[..cut]), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), at in 0usize..60, byte: u8) {
            let _ = (audio(&bytes), video_codec(&bytes), parameter_sets(&bytes));
            let mut entry = avc::mp4a_entry(&[0x14, 0x08], 1, 16_000).unwrap().to_vec();
            let len = entry.len();
            entry[at % len] = byte;
            let _ = audio(&entry);
        }
    }
}
