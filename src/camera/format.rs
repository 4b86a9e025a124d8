//! What the camera describes, as the format of a stream. Only tracks that can be recorded are chosen.

use crate::model::{AudioFormat, StreamFormat, VideoCodec, VideoFormat};
use retina::{client::Stream, codec::ParametersRef};

/// Samples in one AAC frame.
const AAC_FRAME_TICKS: u32 = 1024;

/// The tracks of a session that are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tracks {
    /// Index of the picture track.
    pub video: usize,
    /// Index of the sound track.
    pub audio: Option<usize>,
}

/// Chooses the first H.264 or H.265 track and, where wanted, the first AAC track. Anything else that a camera offers
/// (metadata, G.711, back channels) is not set up: a track that cannot be depacketized would fail the session.
pub(super) fn choose(streams: &[Stream], audio: bool) -> Result<Tracks, String> {
    let video = streams.iter().position(|s| s.media() == "video" && codec(s.encoding_name()).is_some());
    let Some(video) = video else {
        let offered: Vec<_> = streams.iter().map(|s| format!("{} {}", s.media(), s.encoding_name())).take(8).collect();
        return Err(match offered.is_empty() {
            true => "it describes no track at all".to_owned(),
            false => format!("it describes no H.264 or H.265 video, only {}", offered.join(", ")),
        });
    };
    let audio = streams.iter().position(|s| audio && s.media() == "audio" && audio_format(s).is_some());
    Ok(Tracks { video, audio })
}

/// The format in force; None while the camera has not sent the parameter sets yet.
pub(super) fn build(streams: &[Stream], tracks: Tracks) -> Result<Option<StreamFormat>, String> {
    let Some(ParametersRef::Video(parameters)) = streams[tracks.video].parameters() else { return Ok(None) };
    let codec = codec(streams[tracks.video].encoding_name()).ok_or("its codec changed")?;
    let (width, height) = parameters.pixel_dimensions();
    let side = |pixels: u32| u16::try_from(pixels).ok().filter(|p| *p > 0);
    let (Some(width), Some(height)) = (side(width), side(height)) else {
        return Err(format!("its pictures are {width} × {height} pixels, which cannot be"));
    };
    let entry = parameters.mp4_sample_entry().build().map_err(|e| e.to_string())?;
    Ok(Some(StreamFormat {
        video: VideoFormat {
            codec,
            rfc6381: parameters.rfc6381_codec().to_owned(),
            width,
            height,
            sample_entry: entry.into(),
        },
        audio: tracks.audio.and_then(|i| audio_format(&streams[i])),
    }))
}

fn codec(encoding_name: &str) -> Option<VideoCodec> {
    match encoding_name {
        "h264" => Some(VideoCodec::H264),
        "h265" => Some(VideoCodec::H265),
        _ => None,
    }
}

fn audio_format(stream: &Stream) -> Option<AudioFormat> {
    let Some(ParametersRef::Audio(parameters)) = stream.parameters() else { return None };
    // Succeeds for AAC alone, which is what is recorded.
    let entry = parameters.mp4_sample_entry().build().ok()?;
    let sample_rate = parameters.clock_rate();
    let rfc6381 = parameters.rfc6381_codec()?.to_owned();
    (sample_rate > 0).then(|| AudioFormat {
        rfc6381,
        sample_rate,
        frame_ticks: AAC_FRAME_TICKS,
        sample_entry: entry.into(),
    })
}
