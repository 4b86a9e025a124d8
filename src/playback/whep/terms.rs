//! What is agreed on with a viewer: how pictures and sound are coded, where to call, and the answer that says so. The one
//! file, beside the session, that knows the library's words.

use super::{
    Error,
    offer::Offer,
    shots::{Coded, Law},
};
use crate::model::VideoCodec;
use std::{net::SocketAddr, sync::Arc};
use str0m::{
    Candidate, Rtc, RtcConfig, RtcError,
    change::SdpOffer,
    config::{CryptoProvider, DtlsCert},
    format::{Codec, FormatParams, PayloadParams},
    media::{Mid, Pt},
    net::TcpType,
    rtp::{Extension, ExtensionMap},
};
use tokio::time::Instant;

/// H.264 as offers know it, whose payload may be cut into packets: the numbers that it would have if we offered it, and
/// profile, constraints and level. What is sent is as the camera coded it.
const H264: [(u8, u8, u32); 5] = [
    (108, 109, 0x42_e0_1f),
    (127, 121, 0x42_00_1f),
    (123, 119, 0x4d_00_1f),
    (114, 115, 0x64_00_1f),
    (112, 113, 0x64_0c_1f),
];

/// What keys are made of, and the certificate that all sessions show: it is made at each start.
#[derive(Clone)]
pub(super) struct Keys {
    provider: Arc<CryptoProvider>,
    certificate: DtlsCert,
}

/// A session as it was agreed on.
pub(super) struct Agreed {
    pub(super) rtc: Rtc,
    pub(super) answer: String,
    /// What datagrams call the session by.
    pub(super) name: String,
    pub(super) video: (Mid, Pt),
    pub(super) audio: Option<Voice>,
}

/// How sound is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice {
    pub(super) mid: Mid,
    alaw: Option<Pt>,
    ulaw: Option<Pt>,
}

impl Voice {
    pub(super) fn payload_type(&self, law: Law) -> Option<Pt> {
        match law {
            Law::Alaw => self.alaw,
            Law::Ulaw => self.ulaw,
        }
    }
}

impl Keys {
    pub(super) fn new() -> Result<Self, Error> {
        let provider = str0m::crypto::from_feature_flags();
        let certificate = provider.dtls_provider.generate_certificate();
        let certificate = certificate.ok_or_else(|| Error::Failed("no certificate could be made".into()))?;
        Ok(Self { provider: Arc::new(provider), certificate })
    }
}

/// Answers an offer.
pub(super) fn agree(
    keys: &Keys,
    offer: &Offer,
    coded: &Coded,
    candidates: &[SocketAddr],
    now: Instant,
) -> Result<Agreed, Error> {
    if coded.reordered {
        return Err(Error::Reordered);
    }
    let mut rtc = config(keys, coded).build(now.into_std());
    for at in candidates {
        let udp = Candidate::builder().udp().host(*at).build();
        let tcp = Candidate::builder().tcp().host(*at).tcptype(TcpType::Passive).build();
        for candidate in [udp, tcp] {
            rtc.add_local_candidate(candidate.map_err(|error| Error::Failed(error.to_string()))?);
        }
    }
    let malformed = |error: RtcError| Error::Malformed(error.to_string());
    let sdp = SdpOffer::from_sdp_string(&offer.text).map_err(|error| Error::Malformed(error.to_string()))?;
    let answer = rtc.sdp_api().accept_offer(sdp).map_err(malformed)?.to_sdp_string();
    let mid = Mid::from(offer.video.as_str());
    let number = pick_video(&payload_types(&mut rtc, mid), coded).ok_or(Error::Codec(coded.codec))?;
    let audio = offer.audio.as_deref().map(|name| {
        let mid = Mid::from(name);
        let all = payload_types(&mut rtc, mid);
        let of = |codec| all.iter().find(|params| params.spec().codec == codec).map(PayloadParams::pt);
        Voice { mid, alaw: of(Codec::PCMA), ulaw: of(Codec::PCMU) }
    });
    let name = rtc.direct_api().local_ice_credentials().ufrag;
    Ok(Agreed { rtc, answer, name, video: (mid, number), audio })
}

fn config(keys: &Keys, coded: &Coded) -> RtcConfig {
    let mut extensions = ExtensionMap::empty();
    extensions.set(4, Extension::RtpMid);
    extensions.set(6, Extension::PlayoutDelay);
    let mut config = RtcConfig::new()
        .set_crypto_provider(keys.provider.clone())
        .set_dtls_cert(keys.certificate.clone())
        .set_ice_lite(true)
        .set_extension_map(extensions)
        .clear_codecs()
        .enable_pcmu(true, false)
        .enable_pcma(true, false);
    match coded.codec {
        VideoCodec::H264 => {
            for (number, again, profile) in H264 {
                config.codec_config().add_h264(number.into(), Some(again.into()), true, profile);
            }
            config
        }
        VideoCodec::H265 => config.enable_h265(true),
        VideoCodec::Mjpeg => config,
    }
}

/// What a track may be coded in; nothing where it is none that we send.
fn payload_types(rtc: &mut Rtc, mid: Mid) -> Vec<PayloadParams> {
    if !rtc.media(mid).is_some_and(|media| media.direction().is_sending()) {
        return Vec::new();
    }
    rtc.writer(mid).map(|writer| writer.payload_params().copied().collect()).unwrap_or_default()
}

/// The number by which the stream's own profile goes, or else any: decoders look at the pictures.
fn pick_video(all: &[PayloadParams], coded: &Coded) -> Option<Pt> {
    let wanted = if coded.codec == VideoCodec::H265 { Codec::H265 } else { Codec::H264 };
    let of_codec = || all.iter().filter(|params| params.spec().codec == wanted);
    let profile = |format: &FormatParams| format.profile_level_id.map(|id| (id >> 16) as u8);
    let own =
        of_codec().find(|params| coded.profile.is_some_and(|[idc, ..]| profile(&params.spec().format) == Some(idc)));
    own.or_else(|| of_codec().next()).map(PayloadParams::pt)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{offer::tests::PLAYER, shots::Sound},
        *,
    };

    pub(in crate::playback::whep) fn coded(codec: VideoCodec, sound: Sound) -> Coded {
        let profile = (codec == VideoCodec::H264).then_some([0x4d, 0, 0x29]);
        Coded { codec, profile, sound, reordered: false }
    }

    fn agreed(coded: &Coded) -> Result<Agreed, Error> {
        let offer = Offer::read(PLAYER.as_bytes(), coded.sound == Sound::Telephone).unwrap();
        let at = ["192.0.2.1:8189".parse().unwrap()];
        agree(&Keys::new().unwrap(), &offer, coded, &at, Instant::now())
    }

    #[test]
    fn a_browser_is_answered_by_one_that_sends_and_says_where_to_call() {
        let loud = agreed(&coded(VideoCodec::H264, Sound::Telephone)).unwrap();
        for line in [
            "a=ice-lite\r\n",
            "a=sendonly\r\n",
            " udp ",
            " tcp ",
            "192.0.2.1 8189 typ host",
            "tcptype passive",
            "playout-delay",
            "PCMA/8000",
        ] {
            assert!(loud.answer.contains(line), "{line} in {}", loud.answer);
        }
        assert!(loud.answer.contains(&format!("a=ice-ufrag:{}\r\n", loud.name)));
        let voice = loud.audio.unwrap();
        assert_eq!((voice.payload_type(Law::Alaw), voice.payload_type(Law::Ulaw)), (Some(8.into()), Some(0.into())));
        let number = format!("a=fmtp:{} ", *loud.video.1);
        let line = loud.answer.lines().find(|line| line.starts_with(&number)).unwrap();
        assert!(line.contains("profile-level-id=4d") && line.contains("packetization-mode=1"), "{line}");
        let silent = agreed(&coded(VideoCodec::H264, Sound::None)).unwrap();
        assert!(silent.audio.is_none() && silent.answer.contains("a=inactive"), "{}", silent.answer);
    }

    #[test]
    fn what_a_browser_cannot_be_shown_is_told() {
        // This one's offer has no H.265.
        assert!(!PLAYER.contains("H265"));
        let refused = agreed(&coded(VideoCodec::H265, Sound::None)).err().unwrap();
        assert!(matches!(refused, Error::Codec(VideoCodec::H265)));
        let reordered = Coded { reordered: true, ..coded(VideoCodec::H264, Sound::None) };
        assert!(matches!(agreed(&reordered), Err(Error::Reordered)));
    }
}
