//! What a stream consists of, as RTP has it: by its sample entries, and by how its sound is heard. Pure.

use crate::{
    media::{
        entry::{self, Audio},
        sound::{decode_flac, encode_alaw, encode_ulaw, is_alaw, is_ulaw},
    },
    model::VideoCodec,
    rtsp::sdp,
};
use bytes::Bytes;

/// Telephone sound has a number of its own in RTP at this rate alone.
const TELEPHONE_HZ: u32 = 8_000;
const ULAW_PAYLOAD_TYPE: u8 = 0;
const ALAW_PAYLOAD_TYPE: u8 = 8;
/// Whatever sound has no number of its own.
const SOUND_PAYLOAD_TYPE: u8 = 97;
/// As cameras that are recorded have it: a stereo pair at most.
const CHANNELS_MAX: u8 = 2;

/// Pictures, and sound where there is some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) codec: VideoCodec,
    /// What decoders need of them before the first picture.
    pub(super) sets: Vec<Bytes>,
    pub(super) size: (u16, u16),
    pub(super) speech: Option<Speech>,
}

/// How sound goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Speech {
    pub(super) coding: Coding,
    /// Samples a second, and ticks of its RTP clock.
    pub(super) rate: u32,
    pub(super) channels: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is kept, with its AudioSpecificConfig.
    Aac(Bytes),
    /// As the camera sent it before it was kept without loss.
    Alaw,
    Ulaw,
    /// The samples as they are.
    L16,
}

impl Shape {
    /// None where RTP has no way for the pictures.
    pub(super) fn of(video_entry: &[u8], size: (u16, u16), speech: Option<Speech>) -> Option<Self> {
        let codec = entry::video_codec(video_entry).filter(|codec| *codec != VideoCodec::Mjpeg)?;
        Some(Self { codec, sets: entry::parameter_sets(video_entry), size, speech })
    }

    /// Whether who was told of `self` understands what is of the shape `other`: parameter sets go with the pictures.
    pub(super) fn takes(&self, other: &Shape) -> bool {
        self.codec == other.codec && (self.speech.is_none() || self.speech == other.speech)
    }

    /// The description's lines of both tracks.
    pub(super) fn media_lines(&self, url: &str, query: &str) -> Vec<String> {
        let video =
            sdp::Video { codec: self.codec, parameter_sets: self.sets.clone(), size: self.size, lying_profile: false };
        let audio = self.speech.as_ref().map(Speech::describe);
        let (url, query) = (url.to_owned(), query.to_owned());
        sdp::Description { url, query, video: Some(video), audio, metadata: false }.media_lines()
    }
}

impl Speech {
    /// By the sample entry and, of what is kept as FLAC, by what is heard of it at first: if each sample is one that a law
    /// of telephones can say, that was the camera's, and its codes lose nothing.
    pub(super) fn of<'a>(entry: &[u8], rate: u32, heard: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let (coding, channels) = match entry::audio(entry)? {
            Audio::Aac { config, channels } => (Coding::Aac(config), channels),
            Audio::Flac { channels } => (law(heard), channels),
        };
        ((1..=CHANNELS_MAX).contains(&channels) && rate > 0).then_some(Self { coding, rate, channels })
    }

    pub(super) fn payload_type(&self) -> u8 {
        match &self.coding {
            Coding::Aac(_) => sdp::AUDIO_PAYLOAD_TYPE,
            Coding::Alaw if self.is_telephone() => ALAW_PAYLOAD_TYPE,
            Coding::Ulaw if self.is_telephone() => ULAW_PAYLOAD_TYPE,
            _ => SOUND_PAYLOAD_TYPE,
        }
    }

    fn is_telephone(&self) -> bool {
        (self.rate, self.channels) == (TELEPHONE_HZ, 1)
    }

    fn describe(&self) -> sdp::Audio {
        let name = match &self.coding {
            Coding::Aac(config) => return sdp::Audio::aac(self.rate, self.channels, config),
            Coding::Alaw => "PCMA",
            Coding::Ulaw => "PCMU",
            Coding::L16 => "L16",
        };
        let channels = if self.channels == 1 { String::new() } else { format!("/{}", self.channels) };
        let rtpmap = format!("{name}/{}{channels}", self.rate);
        sdp::Audio { payload_type: self.payload_type(), rtpmap, fmtp: None }
    }

    /// A frame as it is kept, as it goes: the bytes, and how many of them a moment of all channels takes. None where it
    /// cannot be read; AAC is left as it is.
    pub(super) fn samples(&self, frame: &[u8]) -> Option<(Vec<u8>, usize)> {
        let (samples, channels) = decode_flac(frame)?;
        Some(match &self.coding {
            Coding::Aac(_) => return None,
            Coding::Alaw => (samples.into_iter().map(encode_alaw).collect(), channels),
            Coding::Ulaw => (samples.into_iter().map(encode_ulaw).collect(), channels),
            Coding::L16 => (samples.into_iter().flat_map(i16::to_be_bytes).collect(), 2 * channels),
        })
    }
}

/// Silence of raw samples could be µ-law's, too: then the samples go as they are, which loses nothing whatever follows.
fn law<'a>(heard: impl IntoIterator<Item = &'a [u8]>) -> Coding {
    let (mut alaw, mut ulaw, mut any) = (true, true, false);
    for (samples, _) in heard.into_iter().filter_map(decode_flac) {
        any |= samples.iter().any(|s| *s != 0);
        alaw &= samples.iter().all(|s| is_alaw(*s));
        ulaw &= samples.iter().all(|s| is_ulaw(*s));
    }
    match (any, alaw, ulaw) {
        (true, true, _) => Coding::Alaw,
        (true, false, true) => Coding::Ulaw,
        _ => Coding::L16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        avc,
        sound::{Coding as Coded, Decoder, flac},
    };

    fn heard(coding: Coded, payload: &[u8]) -> (Speech, Bytes) {
        let samples = Decoder::new(coding).decode(payload);
        let frame = flac::Encoder::new(1, 8000).frame(&samples);
        let entry = flac::sample_entry(1, 8000).unwrap();
        (Speech::of(&entry, 8000, [&frame[..]]).unwrap(), frame)
    }

    #[test]
    fn telephone_sound_goes_as_it_came() {
        let codes: Vec<u8> = (0..=255).chain((0..64).map(|n| n * 3)).collect();
        for (coding, wanted, number) in [(Coded::Alaw, Coding::Alaw, 8), (Coded::Ulaw, Coding::Ulaw, 0)] {
            let (speech, frame) = heard(coding, &codes);
            assert_eq!((&speech.coding, speech.payload_type()), (&wanted, number));
            let (bytes, each) = speech.samples(&frame).unwrap();
            let decode = |bytes: &[u8]| Decoder::new(coding).decode(bytes);
            assert_eq!((decode(&bytes), each), (decode(&codes), 1));
        }
        let noise: Vec<u8> = (0..640u32).map(|n| (n * n * 31 / 8) as u8).collect();
        let (speech, frame) = heard(Coded::L16(Some(crate::media::sound::Order::Big)), &noise);
        assert_eq!((speech.describe().rtpmap.as_str(), speech.payload_type()), ("L16/8000", 97));
        assert_eq!(speech.samples(&frame).unwrap(), (noise, 2));
        let (speech, _) = heard(Coded::Ulaw, &[0xff; 160]);
        assert_eq!(speech.coding, Coding::L16, "silence may be anything's");
    }

    #[test]
    fn motion_jpeg_has_no_shape_and_who_was_told_of_no_sound_misses_none() {
        let sets: [&[u8]; 2] = [&[0x67, 0x64, 0, 0x29, 7], &[0x68, 1, 2]];
        let entry = avc::avc1_entry(sets[0], sets[1], 64, 48).unwrap();
        let silent = Shape::of(&entry, (64, 48), None).unwrap();
        let aac = Speech::of(&avc::mp4a_entry(&[0x14, 0x08], 1, 16_000).unwrap(), 16_000, []);
        let loud = Shape::of(&entry, (64, 48), aac).unwrap();
        assert!(silent.takes(&loud) && !loud.takes(&silent) && loud.takes(&loud));
        let lines = loud.media_lines("rtsp://h/n/1/main", "?starttime=x").join("\n");
        for line in [
            "a=control:rtsp://h/n/1/main/trackID=2?starttime=x",
            "profile-level-id=640029;",
            "mpeg4-generic/16000/1",
            "config=1408;",
        ] {
            assert!(lines.contains(line), "{line} in {lines}");
        }
        let mut jpeg = entry.to_vec();
        jpeg[4..8].copy_from_slice(b"mp4v");
        assert_eq!(Shape::of(&jpeg, (64, 48), None), None);
    }
}
