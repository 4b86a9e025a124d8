//! What is done with a session's sound: kept as it is, stored without loss as FLAC, or left out, and why.

use super::snapshot::{AudioHandling, AudioView};
use crate::{
    media::{
        self,
        sound::{Coding, Decoder, flac},
    },
    model::AudioFormat,
};
use bytes::Bytes;
use retina::{
    client::Stream as Described,
    codec::{AudioFrame, ParametersRef},
};

/// Samples in one AAC frame.
const AAC_FRAME_TICKS: u32 = 1024;
/// Packets of telephone sound usually hold a fiftieth of a second.
const PACKETS_PER_SECOND: u32 = 50;
/// retina's clock rate for the static payload types 10 and 11, and what RFC 3551 says.
const STATIC_L16_CLOCK_HZ: (u32, u32) = (441_000, 44_100);
/// Packets of sound that cannot be understood, in a row, until the sound is given up.
const BAD_PACKETS_MAX: u32 = 50;

/// A session's sound.
#[derive(Debug)]
pub(super) struct Sound {
    how: How,
    view: Option<AudioView>,
    bad_packets: u32,
}

#[derive(Debug)]
enum How {
    Nothing,
    Copy,
    Store(Store),
}

#[derive(Debug)]
struct Store {
    decoder: Decoder,
    encoder: flac::Encoder,
    channels: usize,
    ticks_per_tick: i64,
    format: AudioFormat,
}

impl Sound {
    /// None at all.
    pub(super) fn none() -> Self {
        Self { how: How::Nothing, view: None, bad_packets: 0 }
    }

    /// The track that is fetched, if any, and what is done with it. `sdp` is the session's description as it came.
    pub(super) fn choose(streams: &[Described], sdp: &[u8], wanted: bool) -> (Option<usize>, Self) {
        let back = back_channels(sdp);
        let ours = |s: &Described| {
            let is_back = s.control().is_some_and(|url| back.iter().any(|control| url.as_str().ends_with(control)));
            s.media() == "audio" && !is_back
        };
        let mut dropped = None;
        for (n, stream) in streams.iter().enumerate().filter(|(_, s)| ours(s)) {
            let codec = name(stream);
            let view = |handling, reason: Option<String>| Some(AudioView { codec: codec.clone(), handling, reason });
            if !wanted {
                let reason = "the configuration says audio = false".to_owned();
                return (None, Self { view: view(AudioHandling::Off, Some(reason)), ..Self::none() });
            }
            match how(stream) {
                Ok(How::Copy) => {
                    let sound = Self { how: How::Copy, view: view(AudioHandling::Copy, None), bad_packets: 0 };
                    return (Some(n), sound);
                }
                Ok(how) => {
                    let reason = "players take it from no MP4; FLAC holds the same samples".to_owned();
                    let view = view(AudioHandling::Flac, Some(reason));
                    return (Some(n), Self { how, view, bad_packets: 0 });
                }
                Err(reason) => {
                    dropped.get_or_insert(Self { view: view(AudioHandling::Dropped, Some(reason)), ..Self::none() });
                }
            }
        }
        (None, dropped.unwrap_or_else(Self::none))
    }

    /// Whether it could be had if its name were put right.
    pub(super) fn wants_relay(&self) -> bool {
        matches!(&self.view, Some(view) if view.handling == AudioHandling::Dropped && view.codec == "pcm")
    }

    /// What is shown of it.
    pub(super) fn view(&self) -> Option<&AudioView> {
        self.view.as_ref()
    }

    /// The format of its frames.
    pub(super) fn format(&self, track: Option<&Described>) -> Option<AudioFormat> {
        match &self.how {
            How::Nothing => None,
            How::Copy => track.and_then(aac_format),
            How::Store(store) => Some(store.format.clone()),
        }
    }

    /// A packet as frames to be stored, each with its time in ticks of the format.
    pub(super) fn frames(&mut self, frame: &AudioFrame) -> Vec<(i64, Bytes)> {
        self.bad_packets = 0;
        let raw = frame.timestamp().timestamp();
        match &mut self.how {
            How::Nothing => Vec::new(),
            How::Copy => vec![(raw, Bytes::copy_from_slice(frame.data()))],
            How::Store(store) => {
                let samples = store.decoder.decode(frame.data());
                let (channels, first) = (store.channels, raw.saturating_mul(store.ticks_per_tick));
                let parts = samples.chunks(flac::FRAME_SAMPLES_MAX * channels).filter(|p| p.len() >= channels);
                let at = |n: usize| first.saturating_add((n * flac::FRAME_SAMPLES_MAX) as i64);
                parts.enumerate().map(|(n, part)| (at(n), store.encoder.frame(part))).collect()
            }
        }
    }

    /// A packet could not be understood. True where the sound is given up for it, which then shows.
    pub(super) fn is_bad(&mut self, why: &str) -> bool {
        self.bad_packets += 1;
        let given_up = self.bad_packets == BAD_PACKETS_MAX;
        if given_up && let Some(view) = &mut self.view {
            view.handling = AudioHandling::Dropped;
            view.reason = Some(format!("its packets cannot be understood: {why}"));
        }
        given_up
    }
}

/// `g711a`, `aac`: as people name it.
fn name(stream: &Described) -> String {
    match stream.encoding_name() {
        "mpeg4-generic" => "aac".to_owned(),
        "pcma" => "g711a".to_owned(),
        "pcmu" => "g711u".to_owned(),
        "mpa" => "mp2".to_owned(),
        // It comes from outside and goes into an answer.
        other => other.chars().filter(|c| c.is_ascii_graphic()).take(32).collect(),
    }
}

fn how(stream: &Described) -> Result<How, String> {
    let coding = match stream.encoding_name() {
        "mpeg4-generic" if aac_format(stream).is_some() => return Ok(How::Copy),
        "mpeg4-generic" => return Err("its description says too little of how it is coded".to_owned()),
        "pcmu" => Coding::Ulaw,
        "pcma" => Coding::Alaw,
        "g722" => Coding::G722,
        "g726-16" => Coding::G726(2),
        "g726-24" => Coding::G726(3),
        "g726-32" => Coding::G726(4),
        "g726-40" => Coding::G726(5),
        "l16" => Coding::L16(None),
        "pcm" => return Err("its name is no standard's, and is put right over TCP alone".to_owned()),
        "mpa" => return Err("MPEG layer 2 plays from an MP4 in no browser; set the camera to AAC or G.711".to_owned()),
        _ => return Err("this version neither stores nor decodes it; set the camera to AAC or G.711".to_owned()),
    };
    if stream.parameters().is_none() {
        return Err("the RTSP client does not take it out of its packets; set the camera to AAC or G.711".to_owned());
    }
    let channels = stream.channels().map_or(1, |c| u8::try_from(c.get()).unwrap_or(u8::MAX));
    let clock = match stream.clock_rate_hz() {
        rate if rate == STATIC_L16_CLOCK_HZ.0 => STATIC_L16_CLOCK_HZ.1,
        rate => rate,
    };
    let rate = clock.saturating_mul(coding.samples_per_tick());
    let sample_entry = flac::sample_entry(channels, rate).map_err(|e: media::Error| e.to_string())?;
    Ok(How::Store(Store {
        decoder: Decoder::new(coding),
        encoder: flac::Encoder::new(channels, rate),
        channels: usize::from(channels),
        ticks_per_tick: i64::from(coding.samples_per_tick()),
        format: AudioFormat {
            rfc6381: "flac".to_owned(),
            sample_rate: rate,
            frame_ticks: (rate / PACKETS_PER_SECOND).max(1),
            sample_entry,
        },
    }))
}

fn aac_format(stream: &Described) -> Option<AudioFormat> {
    let Some(ParametersRef::Audio(parameters)) = stream.parameters() else { return None };
    // Succeeds for AAC alone.
    let entry = parameters.mp4_sample_entry().build().ok()?;
    let sample_rate = parameters.clock_rate();
    let rfc6381 = parameters.rfc6381_codec()?.to_owned();
    let format = AudioFormat { rfc6381, sample_rate, frame_ticks: AAC_FRAME_TICKS, sample_entry: entry.into() };
    (sample_rate > 0).then_some(format)
}

/// The control values of tracks that go the other way, from us to a loudspeaker: ONVIF marks them `sendonly`.
pub(super) fn back_channels(sdp: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(sdp);
    let mut found = Vec::new();
    for section in text.split("\nm=").skip(1) {
        let value = |name: &str| section.lines().find_map(|l| l.trim_end().strip_prefix(name).map(str::to_owned));
        if section.lines().any(|l| l.trim_end() == "a=sendonly") {
            found.extend(value("a=control:").filter(|control| !control.is_empty()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_that_go_the_other_way_are_told_by_their_direction() {
        let sdp = b"v=0\r\nm=audio 0 RTP/AVP 8\r\na=control:rtsp://h/1/trackID=2\r\na=recvonly\r\n\
            m=audio 0 RTP/AVP 0\r\na=sendonly\r\na=control:trackID=4\r\n";
        assert_eq!(back_channels(sdp), ["trackID=4"]);
        assert!(back_channels(&[0xff, 0x0a, b'm', b'=']).is_empty());
    }
}
