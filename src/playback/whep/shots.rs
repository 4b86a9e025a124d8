//! Pictures and sounds as WebRTC takes them, made once for all who watch: pictures as a byte stream with their parameter
//! sets in front of key frames, sound as telephones have it. Pure.

use super::super::{
    live::{Made, Maker},
    rtsp::Line,
};
use crate::{
    base::Wall,
    media::{
        self, avc, entry,
        sound::{decode_flac, encode_alaw, encode_ulaw, is_alaw, is_ulaw},
    },
    model::{Frame, StreamFormat, TrackKind, VideoCodec, frame::VIDEO_TIMESCALE},
};
use std::sync::Arc;

/// Telephone sound has numbers of its own at this rate alone.
pub(super) const TELEPHONE_HZ: u32 = 8_000;

/// How a stream is coded, as far as it decides who can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coded {
    pub(super) codec: VideoCodec,
    /// Of H.264: profile, constraints and level.
    pub(super) profile: Option<[u8; 3]>,
    pub(super) sound: Sound,
    /// Pictures are sent in another order than they are shown in.
    pub(super) reordered: bool,
}

impl Coded {
    /// Whether who was answered for this can be sent what is coded like `next`: parameter sets go with the pictures.
    pub(super) fn goes_on_as(&self, next: &Self) -> bool {
        self.codec == next.codec && !next.reordered
    }
}

/// What becomes of the sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    /// There is none.
    None,
    Telephone,
    /// It is coded so that no browser takes it by this way, or not without its being coded anew.
    LeftOut(String),
}

/// By which law a sample of telephone sound is one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Law {
    Alaw,
    Ulaw,
}

/// One picture or sound.
#[derive(Clone, Debug)]
pub(super) struct Shot {
    pub(super) what: What,
    /// When it is shown or heard, on a line of time that goes on through all sessions with the camera, by its own clock.
    pub(super) ticks: u64,
    /// When it was taken.
    pub(super) wall: Wall,
    pub(super) data: Arc<[u8]>,
}

/// What a shot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Picture { key: bool },
    Sound(Law),
}

/// The state of one stream.
#[derive(Default)]
pub(super) struct Shots {
    line: Line,
    format: Option<Arc<StreamFormat>>,
    /// Parameter sets of the format, as a byte stream.
    sets: Vec<u8>,
    coded: Option<Coded>,
    told: Option<Coded>,
    /// What followed one another did so from a key frame on.
    begun: bool,
    law: Option<Law>,
}

impl Maker for Shots {
    type Format = Coded;
    type Content = Shot;

    fn push(&mut self, frame: Frame) -> Result<Option<Made<Coded, Shot>>, media::Error> {
        let begins = frame.track == TrackKind::Video && frame.key;
        if !(self.begun || begins) {
            return Ok(None);
        }
        self.begun = true;
        if !self.format.as_ref().is_some_and(|format| Arc::ptr_eq(format, &frame.format)) {
            self.take_format(&frame.format);
        }
        let Some(coded) = &mut self.coded else { return Ok(None) };
        let ticks = u64::try_from(self.line.place(&frame)).unwrap_or(0);
        let (what, data, at) = match frame.track {
            TrackKind::Video => {
                coded.reordered |= frame.offset != 0;
                let picture = avc::to_annex_b(&frame.data);
                let sets: &[u8] = if frame.key { &self.sets } else { &[] };
                (What::Picture { key: frame.key }, [sets, &picture].concat(), ticks)
            }
            TrackKind::Audio if coded.sound == Sound::Telephone => {
                let Some((samples, 1)) = decode_flac(&frame.data) else { return Ok(None) };
                let law = law(&samples, self.law);
                self.law = Some(law);
                let encode = if law == Law::Alaw { encode_alaw } else { encode_ulaw };
                let at = ticks * u64::from(VIDEO_TIMESCALE) / u64::from(TELEPHONE_HZ);
                (What::Sound(law), samples.into_iter().map(encode).collect(), at)
            }
            TrackKind::Audio => return Ok(None),
        };
        let format = (self.told.as_ref() != Some(coded)).then(|| coded.clone());
        self.told.clone_from(&self.coded);
        let key = matches!(what, What::Picture { key: true });
        let bytes = data.len();
        Ok(Some(Made { format, content: Shot { what, ticks, wall: frame.wall, data: data.into() }, bytes, key, at }))
    }

    fn interrupt(&mut self) {
        self.begun = false;
    }
}

impl Shots {
    fn take_format(&mut self, format: &Arc<StreamFormat>) {
        let video = &format.video;
        self.sets = avc::parameter_sets(&video.sample_entry).map(|sets| avc::to_annex_b(&sets)).unwrap_or_default();
        let sets = entry::parameter_sets(&video.sample_entry);
        let profile = (video.codec == VideoCodec::H264).then(|| sets.first()?.get(1..4)?.try_into().ok()).flatten();
        let reordered = self.coded.as_ref().is_some_and(|coded| coded.reordered);
        self.coded = Some(Coded { codec: video.codec, profile, sound: Sound::of(format), reordered });
        self.format = Some(format.clone());
    }
}

impl Sound {
    fn of(format: &StreamFormat) -> Self {
        let Some(audio) = &format.audio else { return Self::None };
        match entry::audio(&audio.sample_entry) {
            Some(entry::Audio::Flac { channels: 1 }) if audio.sample_rate == TELEPHONE_HZ => Self::Telephone,
            Some(entry::Audio::Aac { .. }) => Self::LeftOut("AAC".into()),
            _ => Self::LeftOut(format!("{} at {} Hz", audio.rfc6381, audio.sample_rate)),
        }
    }
}

/// The law that the camera coded samples by, as far as they tell: what could be of either goes on as it was.
fn law(samples: &[i16], before: Option<Law>) -> Law {
    let all = |is: fn(i16) -> bool| samples.iter().all(|sample| is(*sample));
    match before {
        Some(Law::Ulaw) if all(is_ulaw) => Law::Ulaw,
        _ if all(is_alaw) => Law::Alaw,
        _ => Law::Ulaw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        media::{
            fixture::{Options, clip},
            sound::{Coding, Decoder, flac},
        },
        model::{AudioFormat, SessionId},
    };

    fn made(shots: &mut Shots, frames: impl IntoIterator<Item = Frame>) -> Vec<Made<Coded, Shot>> {
        frames.into_iter().filter_map(|frame| shots.push(frame).unwrap()).collect()
    }

    #[test]
    fn every_picture_is_a_byte_stream_and_key_frames_bring_their_parameter_sets() {
        let clip = clip(Options::default());
        let start: Wall = "2026-11-22T08:30:00Z".parse().unwrap();
        let mut shots = Shots::default();
        let frames = clip.frames(1, start);
        let late = made(&mut shots, frames.iter().skip(1).filter(|frame| !frame.key).cloned());
        assert!(late.is_empty(), "without its key frame a picture is nothing");
        let all = made(&mut shots, frames.clone());
        assert_eq!(all.len(), clip.video.len(), "AAC is left out");
        let coded = all[0].format.as_ref().unwrap();
        assert_eq!((coded.codec, &coded.sound), (VideoCodec::H264, &Sound::LeftOut("AAC".into())));
        assert!(coded.profile.is_some() && all.iter().skip(1).all(|made| made.format.is_none()));
        for (made, frame) in all.iter().zip(frames.iter().filter(|frame| frame.track == TrackKind::Video)) {
            let nals = avc::annex_b_nals(&made.content.data);
            let kinds: Vec<u8> = nals.iter().map(|nal| nal[0] & 0x1f).collect();
            assert_eq!(kinds.starts_with(&[7, 8]), frame.key, "{kinds:?}");
            let own = avc::nals(&frame.data).count();
            assert_eq!(nals.len(), own + if frame.key { 2 } else { 0 });
            assert_eq!((made.key, made.at, made.bytes), (frame.key, made.content.ticks, made.content.data.len()));
        }
        // A further session with the camera goes on, begun with a key frame.
        shots.interrupt();
        let more = made(&mut shots, clip.frames(2, start.plus_micros(60_000_000)));
        assert!(more[0].key && more[0].content.ticks > all.last().unwrap().content.ticks && more[0].format.is_none());
    }

    #[test]
    fn telephone_sound_goes_as_it_came_and_the_law_stays_through_silence() {
        for (coding, wanted) in [(Coding::Alaw, Law::Alaw), (Coding::Ulaw, Law::Ulaw)] {
            let clip = clip(Options::default());
            let wall: Wall = "2026-11-22T08:30:00Z".parse().unwrap();
            let key = clip.frames(1, wall).swap_remove(0);
            let audio = AudioFormat {
                rfc6381: "fLaC".into(),
                sample_rate: TELEPHONE_HZ,
                frame_ticks: 160,
                sample_entry: flac::sample_entry(1, TELEPHONE_HZ).unwrap(),
            };
            let format = Arc::new(StreamFormat { video: key.format.video.clone(), audio: Some(audio) });
            let mut encoder = flac::Encoder::new(1, TELEPHONE_HZ);
            let mut sound = |codes: &[u8], ticks| Frame {
                session: SessionId(1),
                track: TrackKind::Audio,
                ticks,
                offset: 0,
                wall,
                key: true,
                data: encoder.frame(&Decoder::new(coding).decode(codes)),
                format: format.clone(),
            };
            let codes: Vec<u8> = (0..160).map(|n| n as u8 ^ 0x55).collect();
            let (first, silence) =
                (sound(&codes, 160), sound(&[if coding == Coding::Alaw { 0xd5 } else { 0xff }; 160], 320));
            let mut shots = Shots::default();
            let all = made(&mut shots, [Frame { format: format.clone(), ..key }, first, silence]);
            assert_eq!(all[0].format.as_ref().unwrap().sound, Sound::Telephone);
            for made in &all[1..] {
                assert_eq!(made.content.what, What::Sound(wanted));
            }
            let decode = |codes: &[u8]| Decoder::new(coding).decode(codes);
            assert_eq!(decode(&all[1].content.data), decode(&codes));
            assert_eq!(all[2].at - all[1].at, 1_800);
        }
    }

    #[test]
    fn pictures_out_of_order_are_told_of() {
        let clip = clip(Options { bframes: 2, ..Options::default() });
        let mut shots = Shots::default();
        let all = made(&mut shots, clip.frames(1, Wall::from_micros(0)));
        let told: Vec<bool> = all.iter().filter_map(|made| Some(made.format.as_ref()?.reordered)).collect();
        assert!(told.last() == Some(&true) && told.len() <= 2, "{told:?}");
    }
}
