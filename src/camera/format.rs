//! What the camera describes, as the format of a stream. Only tracks that can be recorded are chosen.

use super::sound::Sound;
use crate::model::{StreamFormat, VideoCodec, VideoFormat};
use retina::{client::Stream, codec::ParametersRef};

/// The tracks of a session that are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tracks {
    /// Index of the picture track.
    pub video: usize,
    /// Index of the sound track.
    pub audio: Option<usize>,
}

/// Chooses the first picture track that can be recorded and, where wanted, the first sound. Anything else that a camera
/// offers (metadata, back channels, codecs that nobody here knows) is not set up: a track that cannot be depacketized
/// would fail the session.
pub(super) fn choose(streams: &[Stream], sdp: &[u8], audio: bool) -> Result<(Tracks, Sound), String> {
    let video = streams.iter().position(|s| s.media() == "video" && codec(s.encoding_name()).is_some());
    let Some(video) = video else {
        let offered: Vec<_> = streams.iter().map(|s| format!("{} {}", s.media(), s.encoding_name())).take(8).collect();
        return Err(match offered.is_empty() {
            true => "it describes no track at all".to_owned(),
            false => format!("it describes no H.264, H.265 or MJPEG video, only {}", offered.join(", ")),
        });
    };
    let (audio, sound) = Sound::choose(streams, sdp, audio);
    Ok((Tracks { video, audio }, sound))
}

/// The format in force; None while the camera has not sent the parameter sets yet. What its description claims of
/// profile and level does not count: the parameter sets do.
pub(super) fn build(streams: &[Stream], tracks: Tracks, sound: &Sound) -> Result<Option<StreamFormat>, String> {
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
        audio: sound.format(tracks.audio.map(|i| &streams[i])),
    }))
}

fn codec(encoding_name: &str) -> Option<VideoCodec> {
    match encoding_name {
        "h264" => Some(VideoCodec::H264),
        "h265" => Some(VideoCodec::H265),
        "jpeg" => Some(VideoCodec::Mjpeg),
        _ => None,
    }
}
