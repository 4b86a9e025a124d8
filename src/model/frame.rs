//! A frame in flight and the format that it is in.

use crate::base::Wall;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which of a stream's two tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// Video codecs that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// AVC, ISO/IEC 14496-10.
    H264,
    /// HEVC, ISO/IEC 23008-2.
    H265,
    /// Motion JPEG: every picture stands for itself.
    Mjpeg,
}

/// How a stream's pictures are coded. Its clock is always 90 kHz.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFormat {
    /// The codec.
    pub codec: VideoCodec,
    /// RFC 6381, for example `avc1.4D0029`, `mp4v.6C`.
    pub rfc6381: String,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// The complete `avc1`, `hvc1` or `mp4v` box for the MP4 sample description.
    pub sample_entry: Bytes,
}

/// How a stream's sound is coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    /// RFC 6381, for example `mp4a.40.2`, `flac`.
    pub rfc6381: String,
    /// Ticks per second of audio timestamps, and samples per second.
    pub sample_rate: u32,
    /// How many samples a frame usually holds: how long the last one of a run lasts.
    pub frame_ticks: u32,
    /// The complete `mp4a` or `fLaC` box for the MP4 sample description.
    pub sample_entry: Bytes,
}

/// What is needed to decode a run of frames. Two frames with the same `Arc` are decoded alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFormat {
    /// Always there.
    pub video: VideoFormat,
    /// None where the camera sends no sound that is recorded.
    pub audio: Option<AudioFormat>,
}

/// Names one RTSP session of one stream. Within a session, ticks are continuous; across sessions they are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// Ticks per second of video timestamps.
pub const VIDEO_TIMESCALE: u32 = 90_000;

/// One access unit (video) or one audio frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The session that it came by.
    pub session: SessionId,
    /// Video or audio.
    pub track: TrackKind,
    /// Decoding time since the session began, in the track's timescale: 90 kHz, or the audio sample rate.
    /// Grows strictly within a track.
    pub ticks: i64,
    /// From decoding to showing, in the same ticks. Not 0 only where pictures are shown in another order than they are
    /// decoded in; then below 0 too, since decoding times are spread like showing times, beginning with the same.
    pub offset: i32,
    /// When the camera took it, in UTC, as well as is known.
    pub wall: Wall,
    /// Decoding can begin here. Always true for audio.
    pub key: bool,
    /// Video: NAL units, each behind its length in 4 bytes, without parameter sets; or one JPEG. Audio: one raw AAC or
    /// FLAC frame.
    pub data: Bytes,
    /// The format it is in.
    pub format: Arc<StreamFormat>,
}

impl StreamFormat {
    /// Ticks per second of one track.
    pub fn timescale(&self, track: TrackKind) -> u32 {
        match track {
            TrackKind::Video => VIDEO_TIMESCALE,
            TrackKind::Audio => self.audio.as_ref().map_or(VIDEO_TIMESCALE, |a| a.sample_rate),
        }
    }
}

impl VideoCodec {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Mjpeg => "mjpeg",
        }
    }
}
