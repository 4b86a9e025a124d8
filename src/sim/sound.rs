//! The sound of a stream: a looped tone in AAC, or a tone made as samples and coded as telephones do. Each frame's place
//! follows from its number, so that sound is the same whoever listens.

use super::clip;
use crate::{
    media::sound::{encode_alaw, encode_ulaw},
    rtsp::sdp,
};
use bytes::Bytes;

/// Frames of telephone sound in a second.
const FRAMES_PER_SECOND: u64 = 50;
/// The tone, and how loud it is.
const TONE_HZ: f64 = 440.0;
const LOUD: f64 = 8_000.0;

/// How a simulated device codes its sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sound {
    /// AAC-LC at 16 kHz.
    #[default]
    Aac,
    /// G.711 A-law.
    Alaw,
    /// G.711 µ-law.
    Ulaw,
    /// Raw samples with the low byte first, under the name of the standard that puts the high one first.
    L16,
    /// Raw samples as some devices describe them: `rtpmap:11 PCM/16000`.
    Pcm,
    /// MPEG-1 layer 2: described, and frames sent that hold nothing.
    Mp2,
}

impl std::str::FromStr for Sound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "aac" => Ok(Self::Aac),
            "alaw" => Ok(Self::Alaw),
            "ulaw" => Ok(Self::Ulaw),
            "l16" => Ok(Self::L16),
            "pcm" => Ok(Self::Pcm),
            "mp2" => Ok(Self::Mp2),
            _ => Err(format!("`{text}` is none of aac, alaw, ulaw, l16, pcm, mp2")),
        }
    }
}

impl Sound {
    /// Ticks a second of its RTP clock.
    pub(super) fn clock_hz(self) -> u64 {
        match self {
            Self::Aac => u64::from(clip::TONE_SAMPLE_RATE),
            Self::Alaw | Self::Ulaw => 8_000,
            Self::L16 | Self::Pcm => 16_000,
            Self::Mp2 => 90_000,
        }
    }

    /// Its number in RTP: that of the standards, where they give one.
    pub(super) fn payload_type(self) -> u8 {
        match self {
            Self::Aac => sdp::AUDIO_PAYLOAD_TYPE,
            Self::Alaw => 8,
            Self::Ulaw => 0,
            Self::L16 => 98,
            Self::Pcm => 11,
            Self::Mp2 => 14,
        }
    }

    /// How a session description says it.
    pub(super) fn description(self) -> sdp::Audio {
        let hz = self.clock_hz();
        let (rtpmap, fmtp) = match self {
            Self::Aac => return clip::tone_description(),
            Self::Alaw => (format!("PCMA/{hz}"), None),
            Self::Ulaw => (format!("PCMU/{hz}"), None),
            Self::L16 => (format!("L16/{hz}/1"), None),
            Self::Pcm => (format!("PCM/{hz}"), None),
            Self::Mp2 => (format!("MPA/{hz}"), None),
        };
        sdp::Audio { payload_type: self.payload_type(), rtpmap, fmtp }
    }

    fn ticks_per_frame(self) -> u64 {
        match self {
            Self::Aac => clip::AAC_FRAME_SAMPLES,
            _ => self.clock_hz() / FRAMES_PER_SECOND,
        }
    }
}

/// Makes the frames of one stream.
pub(super) struct Tone {
    sound: Sound,
    looped: Vec<Bytes>,
    next: u64,
}

impl Tone {
    /// From the first frame at or after this time.
    pub fn from(sound: Sound, micros: u64) -> Self {
        let next = (micros * sound.clock_hz()).div_ceil(sound.ticks_per_frame() * 1_000_000);
        let looped = if sound == Sound::Aac { clip::tone() } else { Vec::new() };
        Self { sound, looped, next }
    }

    /// The frames up to this time, with their positions in ticks.
    pub fn up_to(&mut self, micros: u64) -> Vec<(Bytes, u64)> {
        let mut out = Vec::new();
        loop {
            let ticks = self.next * self.sound.ticks_per_frame();
            let at = ticks * 1_000_000 / self.sound.clock_hz();
            let Some(frame) = (at <= micros).then(|| self.frame(ticks)).flatten() else { return out };
            out.push((frame, ticks));
            self.next += 1;
        }
    }

    fn frame(&self, ticks: u64) -> Option<Bytes> {
        let hz = self.sound.clock_hz() as f64;
        let at = |n: u64| ((n as f64 / hz * TONE_HZ * std::f64::consts::TAU).sin() * LOUD) as i16;
        let samples = (ticks..ticks + self.sound.ticks_per_frame()).map(at);
        match self.sound {
            Sound::Aac if self.looped.is_empty() => None,
            Sound::Aac => Some(self.looped[(self.next % self.looped.len() as u64) as usize].clone()),
            Sound::Alaw => Some(samples.map(encode_alaw).collect()),
            Sound::Ulaw => Some(samples.map(encode_ulaw).collect()),
            Sound::L16 | Sound::Pcm => Some(samples.flat_map(i16::to_le_bytes).collect()),
            Sound::Mp2 => Some(Bytes::from_static(&[0; 64])),
        }
    }
}
