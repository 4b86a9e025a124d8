//! A session description in Hikvision's form: absolute controls, `x-dimensions`, a proprietary `Media_header`, and,
//! where asked for, a `profile-level-id` that has nothing to do with the stream.

use crate::model::VideoCodec;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

/// Payload type of video.
pub const VIDEO_PAYLOAD_TYPE: u8 = 96;
/// Payload type of AAC.
pub const AUDIO_PAYLOAD_TYPE: u8 = 104;
/// Payload type of ONVIF metadata.
pub const METADATA_PAYLOAD_TYPE: u8 = 107;
/// What every Hikvision device claims of its H.264.
const LYING_PROFILE: &str = "420029";

/// What a stream consists of.
#[derive(Clone, Debug)]
pub struct Description {
    /// The URL that controls are built on, without a slash at its end.
    pub url: String,
    /// What stands behind the controls of tracks: a question mark and more, or nothing.
    pub query: String,
    /// `None` describes a stream without video.
    pub video: Option<Video>,
    /// Sound.
    pub audio: Option<Audio>,
    /// ONVIF metadata as a further track.
    pub metadata: bool,
}

/// The video track.
#[derive(Clone, Debug)]
pub struct Video {
    /// The codec.
    pub codec: VideoCodec,
    /// H.264: SPS, PPS. H.265: VPS, SPS, PPS. Whole NAL units.
    pub parameter_sets: Vec<Bytes>,
    /// Pixels.
    pub size: (u16, u16),
    /// Claim [`LYING_PROFILE`] in place of the truth.
    pub lying_profile: bool,
}

/// The audio track.
#[derive(Clone, Debug)]
pub struct Audio {
    /// Its number in RTP.
    pub payload_type: u8,
    /// `PCMA/8000`, for example.
    pub rtpmap: String,
    /// What a decoder needs besides.
    pub fmtp: Option<String>,
}

impl Audio {
    /// AAC-LC with this AudioSpecificConfig.
    pub fn aac(sample_rate: u32, channels: u8, config: &[u8]) -> Self {
        let config: String = config.iter().map(|b| format!("{b:02x}")).collect();
        let fmtp = format!(
            "profile-level-id=15; streamtype=5; mode=AAC-hbr; config={config};\
             SizeLength=13; IndexLength=3; IndexDeltaLength=3; Profile=1;"
        );
        let rtpmap = format!("mpeg4-generic/{sample_rate}/{channels}");
        Self { payload_type: AUDIO_PAYLOAD_TYPE, rtpmap, fmtp: Some(fmtp) }
    }
}

/// The last path segment of a track's control URL.
pub fn track_name(number: u8) -> String {
    format!("trackID={number}")
}

impl Description {
    /// The text of the description.
    pub fn to_text(&self) -> String {
        let url = &self.url;
        let mut lines = vec![
            "v=0".to_owned(),
            "o=- 1109162014219182 1109162014219182 IN IP4 0.0.0.0".to_owned(),
            "s=Media Presentation".to_owned(),
            "e=NONE".to_owned(),
            "b=AS:5050".to_owned(),
            "t=0 0".to_owned(),
            format!("a=control:{url}/"),
        ];
        lines.extend(self.media_lines());
        if self.metadata {
            lines.push(format!("m=application 0 RTP/AVP {METADATA_PAYLOAD_TYPE}"));
            lines.push("c=IN IP4 0.0.0.0".to_owned());
            lines.push(format!("a=control:{url}/{}", track_name(3)));
            lines.push(format!("a=rtpmap:{METADATA_PAYLOAD_TYPE} vnd.onvif.metadata/90000"));
        }
        lines.push(format!("a=Media_header:MEDIAINFO=494D4B48{};", "0".repeat(72)));
        lines.push("a=appversion:1.0".to_owned());
        lines.join("\r\n") + "\r\n"
    }

    /// The lines of video and audio, for a description with a head of one's own.
    pub fn media_lines(&self) -> Vec<String> {
        let video = self.video.iter().flat_map(|video| self.video_lines(video));
        video.chain(self.audio.iter().flat_map(|audio| self.audio_lines(audio))).collect()
    }

    fn control(&self, number: u8) -> String {
        format!("{}/{}{}", self.url, track_name(number), self.query)
    }

    fn video_lines(&self, video: &Video) -> Vec<String> {
        let pt = VIDEO_PAYLOAD_TYPE;
        let sets: Vec<String> = video.parameter_sets.iter().map(|nal| BASE64_STANDARD.encode(nal)).collect();
        let (name, parameters) = match video.codec {
            VideoCodec::H264 => ("H264", h264_parameters(video, &sets)),
            VideoCodec::H265 => ("H265", h265_parameters(&sets)),
            VideoCodec::Mjpeg => ("JPEG", String::new()),
        };
        let mut lines = vec![
            format!("m=video 0 RTP/AVP {pt}"),
            "c=IN IP4 0.0.0.0".to_owned(),
            "b=AS:5000".to_owned(),
            "a=recvonly".to_owned(),
            format!("a=x-dimensions:{},{}", video.size.0, video.size.1),
            format!("a=control:{}", self.control(1)),
            format!("a=rtpmap:{pt} {name}/90000"),
        ];
        if !parameters.is_empty() {
            lines.push(format!("a=fmtp:{pt} {parameters}"));
        }
        lines
    }

    fn audio_lines(&self, audio: &Audio) -> Vec<String> {
        let pt = audio.payload_type;
        let mut lines = vec![
            format!("m=audio 0 RTP/AVP {pt}"),
            "c=IN IP4 0.0.0.0".to_owned(),
            "b=AS:50".to_owned(),
            "a=recvonly".to_owned(),
            format!("a=control:{}", self.control(2)),
            format!("a=rtpmap:{pt} {}", audio.rtpmap),
        ];
        lines.extend(audio.fmtp.as_ref().map(|fmtp| format!("a=fmtp:{pt} {fmtp}")));
        lines
    }
}

fn h264_parameters(video: &Video, sets: &[String]) -> String {
    let told = video.parameter_sets.first().and_then(|sps| sps.get(1..4));
    let profile = match told {
        Some([profile, flags, level]) if !video.lying_profile => format!("{profile:02X}{flags:02X}{level:02X}"),
        _ => LYING_PROFILE.to_owned(),
    };
    let mut parameters = format!("profile-level-id={profile}; packetization-mode=1");
    if !sets.is_empty() {
        parameters += &format!("; sprop-parameter-sets={}", sets.join(","));
    }
    parameters
}

fn h265_parameters(sets: &[String]) -> String {
    let names = ["sprop-vps", "sprop-sps", "sprop-pps"];
    names.iter().zip(sets).map(|(name, set)| format!("{name}={set}")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_reads_as_hikvisions() {
        let video = Video {
            codec: VideoCodec::H264,
            parameter_sets: vec![Bytes::from_static(&[0x67, 77, 0, 30]), Bytes::from_static(&[0x68, 1])],
            size: (640, 352),
            lying_profile: true,
        };
        let audio = Audio::aac(16_000, 1, &[0x14, 0x08]);
        let mut d = Description {
            url: "rtsp://h:554/Streaming/Channels/101".into(),
            query: String::new(),
            video: Some(video),
            audio: Some(audio),
            metadata: true,
        };
        let text = d.to_text();
        for line in [
            "a=control:rtsp://h:554/Streaming/Channels/101/\r\n",
            "a=control:rtsp://h:554/Streaming/Channels/101/trackID=2\r\n",
            "a=fmtp:96 profile-level-id=420029; packetization-mode=1; sprop-parameter-sets=Z00AHg==,aAE=\r\n",
            "config=1408;",
            "m=application 0 RTP/AVP 107\r\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        d.video.as_mut().unwrap().lying_profile = false;
        assert!(d.to_text().contains("profile-level-id=4D001E;"));
        d.video = None;
        assert!(!d.to_text().contains("m=video"));
    }
}
