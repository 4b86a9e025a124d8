//! Pictures and sound to messages, one for each picture. Pure.

use super::{
    super::sounds::{Sounds, is_alike},
    Maker, backlog,
};
use crate::{
    base::Wall,
    media::{
        Error,
        fmp4::{
            moof,
            write::{self, FragmentTrack, Sample, empty_table, init_of_table},
        },
    },
    model::{Frame, SessionId, StreamFormat, TrackKind, VideoFormat},
    serve::websocket,
};
use bytes::Bytes;
use std::sync::Arc;

/// How long a picture is taken to last, at 90 kHz, as long as nothing is known of it: to wait for the next one would cost
/// the time between them, and the next one says exactly when it begins.
const TICKS_DEFAULT: u64 = 3_600;
/// No picture is taken to last longer: a hole is none that a picture lasts.
const TICKS_MAX: u64 = 90_000;

/// What goes to all who watch: how it is coded, as the message of text and that of `ftyp moov`; and the message of one
/// picture and of the sound since the one before.
pub(super) type Made = backlog::Made<Bytes, Bytes>;

/// The state of one stream.
#[derive(Default)]
pub(in crate::playback) struct Muxer {
    run: Option<Run>,
    /// Where the next run begins, so that times never go back.
    base: u64,
    format: Option<Arc<StreamFormat>>,
    sequence: u32,
}

/// Pictures that follow one another.
struct Run {
    session: SessionId,
    format: Arc<StreamFormat>,
    /// Ticks of the first one.
    zero: i64,
    last: i64,
    /// From the last but one to the last.
    interval: u64,
    sounds: Sounds,
}

impl Maker for Muxer {
    type Format = Bytes;
    type Content = Bytes;

    fn push(&mut self, frame: Frame) -> Result<Option<Made>, Error> {
        match frame.track {
            TrackKind::Audio => {
                if let Some(run) = &mut self.run {
                    run.sounds.push(frame);
                }
                Ok(None)
            }
            TrackKind::Video => self.picture(frame),
        }
    }

    fn interrupt(&mut self) {
        if let Some(run) = self.run.take() {
            self.base += run.last.abs_diff(run.zero) + run.interval;
        }
    }
}

impl Muxer {
    fn picture(&mut self, frame: Frame) -> Result<Option<Made>, Error> {
        let follows =
            |run: &Run| run.session == frame.session && frame.ticks > run.last && is_alike(&run.format, &frame.format);
        if self.run.as_ref().is_some_and(|run| !follows(run)) {
            self.interrupt();
        }
        let run = match &mut self.run {
            Some(run) => {
                run.interval = frame.ticks.abs_diff(run.last).min(TICKS_MAX);
                run.last = frame.ticks;
                run
            }
            // Nobody can begin anywhere else.
            None if !frame.key => return Ok(None),
            none => none.insert(Run {
                session: frame.session,
                format: frame.format.clone(),
                zero: frame.ticks,
                last: frame.ticks,
                interval: TICKS_DEFAULT,
                sounds: Sounds::default(),
            }),
        };
        let at = self.base + run.last.abs_diff(run.zero);
        let same = self.format.as_ref().is_some_and(|format| is_alike(format, &frame.format));
        let format = (!same).then(|| opening(&frame.format, frame.wall));
        self.format = Some(frame.format.clone());
        let duration = u32::try_from(run.interval).unwrap_or(u32::MAX);
        let sample = Sample { data: frame.data, duration, offset: frame.offset, key: frame.key };
        let audio = run.sounds.take(&run.format, run.zero, self.base);
        self.sequence = self.sequence.wrapping_add(1);
        let fragment = write::fragment(self.sequence, FragmentTrack { first_ticks: at, samples: vec![sample] }, audio)?;
        let time = if frame.key { moof::reference_time(frame.wall, at) } else { Vec::new() };
        let mut pieces = vec![&time[..], &fragment.head];
        pieces.extend(fragment.body.iter().map(|piece| &piece[..]));
        let content = websocket::binary(&pieces);
        Ok(Some(Made { format, bytes: content.len(), content, key: frame.key, at }))
    }
}

/// What says how pictures are coded.
fn opening(format: &StreamFormat, wall: Wall) -> Bytes {
    let init = init_of_table(&empty_table(format), wall);
    [websocket::text(&mime(format)), websocket::binary(&[&init])].concat().into()
}

/// As `MediaSource.isTypeSupported` takes it.
fn mime(StreamFormat { video: VideoFormat { rfc6381, .. }, audio }: &StreamFormat) -> String {
    let sound = audio.as_ref().map(|audio| format!(",{}", audio.rfc6381)).unwrap_or_default();
    format!("video/mp4; codecs=\"{rfc6381}{sound}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        fixture::{Options, clip, run},
        tests::decoded_frames,
    };

    fn start() -> Wall {
        "2026-11-21T08:30:00Z".parse().unwrap()
    }

    /// The content of a framed message.
    fn content(message: &Bytes) -> Bytes {
        let head = match message[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        message.slice(head..)
    }

    #[test]
    fn every_picture_and_sound_is_sent_once_and_decodes() {
        for reordered in [false, true] {
            let clip = clip(Options { bframes: if reordered { 2 } else { 0 }, ..Options::default() });
            let mut muxer = Muxer::default();
            let mut file = Vec::new();
            let mut at = Vec::new();
            for frame in clip.frames(9, start()) {
                let Some(made) = muxer.push(frame).unwrap() else { continue };
                assert_eq!(made.format.is_some(), at.is_empty());
                if let Some(format) = &made.format {
                    let text = content(format);
                    let text_len = usize::from(format[1]);
                    assert!(text[..text_len].starts_with(b"video/mp4; codecs=\"avc1."), "{text:?}");
                    file.extend_from_slice(&content(&format.slice(2 + text_len..)));
                }
                let picture = content(&made.content);
                let begin: &[u8; 4] = if made.key { b"prft" } else { b"moof" };
                assert_eq!(&picture[4..8], begin);
                file.extend_from_slice(&picture);
                at.push(made.at);
            }
            assert_eq!((at.len(), at[0]), (clip.video.len(), 0));
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("live.mp4");
            std::fs::write(&path, file).unwrap();
            assert_eq!(decoded_frames(&path), clip.video.len());
            let count =
                ["-v", "error", "-select_streams", "a", "-count_packets", "-show_entries", "stream=nb_read_packets"];
            let sounds = run("ffprobe", &[&count[..], &["-of", "csv=p=0", path.to_str().unwrap()]].concat());
            let sounds: usize = sounds.trim().parse().unwrap();
            assert!(sounds + 30 >= clip.audio.len() && sounds <= clip.audio.len(), "{sounds} of {}", clip.audio.len());
        }
    }

    #[test]
    fn behind_a_break_times_go_on_with_a_key_frame_and_another_format_is_told() {
        let (a, b) = (clip(Options::default()), clip(Options { width: 64, height: 48, ..Options::default() }));
        let mut muxer = Muxer::default();
        let mut made = Vec::new();
        for (session, clip) in [(1, &a), (2, &a), (3, &b)] {
            let frames = clip.frames(session, start());
            made.extend(frames.into_iter().filter_map(|frame| muxer.push(frame).unwrap()));
            muxer.interrupt();
        }
        assert_eq!(made.len(), 2 * a.video.len() + b.video.len());
        assert!(made.windows(2).all(|pair| pair[0].at < pair[1].at && pair[1].at - pair[0].at <= 2 * TICKS_DEFAULT));
        let told: Vec<usize> = made.iter().enumerate().filter(|(_, m)| m.format.is_some()).map(|(n, _)| n).collect();
        assert_eq!(told, [0, 2 * a.video.len()]);
        // Without its key frame a picture is nothing.
        let mut muxer = Muxer::default();
        let late: Vec<Frame> = a.frames(1, start()).into_iter().skip_while(|frame| frame.key).collect();
        assert!(!late[0].key && muxer.push(late[0].clone()).unwrap().is_none());
    }
}
