//! Files on disk: the header, and fragments as frames come.

use super::{
    AUDIO_TRACK, FLAGS_DELTA, FLAGS_KEY, Origin, VIDEO_TRACK,
    boxes::Boxes,
    moof::{self, FRAGMENT_BYTES_MAX, Run, Traf},
    track::{self, Track},
};
use crate::{
    base::Wall,
    media::Error,
    model::{SampleTable, StreamFormat, TrackKind, TrackSamples, frame::VIDEO_TIMESCALE, segment::Chunk},
};
use bytes::Bytes;

/// One sample of a fragment to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The coded frame, as in [`crate::model::Frame::data`].
    pub data: Bytes,
    /// Ticks until the next sample of its track.
    pub duration: u32,
    /// Ticks from decoding to showing.
    pub offset: i32,
    /// Decoding can begin here.
    pub key: bool,
}

/// One track's part of a fragment to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FragmentTrack {
    /// Decoding time of the first sample since the file's start, in the track's timescale. For video it must be the
    /// sum of all durations written before.
    pub first_ticks: u64,
    /// The samples, in decoding order.
    pub samples: Vec<Sample>,
}

/// A fragment ready to be appended: `head` and then `body`, in one vectored write.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// `moof` and the header of `mdat`.
    pub head: Vec<u8>,
    /// The media: all video samples, then all audio samples.
    pub body: Vec<Bytes>,
    /// Length of `head` and `body` together.
    pub bytes: u64,
    /// The video samples; chunk offsets count from the fragment's first byte.
    pub video: TrackSamples,
    /// The audio samples, likewise.
    pub audio: TrackSamples,
}

impl Fragment {
    /// The samples of both tracks with chunk offsets counted from the file's first byte, for a fragment that was
    /// written at `file_offset`.
    pub fn samples_at(&self, file_offset: u64) -> (TrackSamples, TrackSamples) {
        let moved = |samples: &TrackSamples| {
            let mut samples = samples.clone();
            samples.chunks.iter_mut().for_each(|c| c.offset += file_offset);
            samples
        };
        (moved(&self.video), moved(&self.audio))
    }
}

/// The header of a file: `ftyp`, `moov` and the origin box.
pub fn init(format: &StreamFormat, origin: &Origin) -> Vec<u8> {
    let table = empty_table(format);
    let mut out = Boxes::with_capacity(2048);
    out.bytes(&init_of_table(&table, origin.start));
    origin.write(&mut out);
    out.into_bytes()
}

/// A sample table without samples, for a file whose header is [`init`] of the same format. `init_bytes` is 0 until
/// the caller knows the header's length.
pub fn empty_table(format: &StreamFormat) -> SampleTable {
    SampleTable {
        init_bytes: 0,
        video_entry: format.video.sample_entry.to_vec(),
        audio_entry: format.audio.as_ref().map(|a| a.sample_entry.to_vec()).unwrap_or_default(),
        width: format.video.width,
        height: format.video.height,
        audio_timescale: format.audio.as_ref().map_or(0, |a| a.sample_rate),
        video: TrackSamples::default(),
        audio: TrackSamples::default(),
    }
}

/// `ftyp` and `moov` of fragments in the format that a table names.
pub fn init_of_table(table: &SampleTable, created: Wall) -> Vec<u8> {
    let has_audio = !table.audio_entry.is_empty();
    let mut out = Boxes::with_capacity(1024 + table.video_entry.len() + table.audio_entry.len());
    track::ftyp(&mut out, b"iso5", &[b"iso5", b"iso6", b"mp41"]);
    out.boxed(b"moov", |b| {
        track::mvhd(b, created, 0, if has_audio { AUDIO_TRACK + 1 } else { VIDEO_TRACK + 1 });
        let video = Track {
            id: VIDEO_TRACK,
            kind: TrackKind::Video,
            width: table.width,
            height: table.height,
            timescale: VIDEO_TIMESCALE,
            media_ticks: 0,
            movie_ticks: 0,
            created,
            edits: &[],
            entries: &[&table.video_entry],
        };
        track::trak(b, &video, track::empty_tables);
        if has_audio {
            let audio = Track {
                id: AUDIO_TRACK,
                kind: TrackKind::Audio,
                width: 0,
                height: 0,
                timescale: table.audio_timescale,
                entries: &[&table.audio_entry],
                ..video
            };
            track::trak(b, &audio, track::empty_tables);
        }
        b.boxed(b"mvex", |b| {
            trex(b, VIDEO_TRACK, FLAGS_DELTA);
            if has_audio {
                trex(b, AUDIO_TRACK, FLAGS_KEY);
            }
        });
    });
    out.into_bytes()
}

/// Builds fragment number `sequence` (from 1) of a file. A track without samples is left out.
pub fn fragment(sequence: u32, video: FragmentTrack, audio: Option<FragmentTrack>) -> Result<Fragment, Error> {
    let audio = audio.unwrap_or_default();
    if video.samples.is_empty() && audio.samples.is_empty() {
        return Err(Error::Empty);
    }
    let (mut video_samples, video_bytes) = samples_of(&video, true)?;
    let (mut audio_samples, audio_bytes) = samples_of(&audio, false)?;
    let mut trafs = Vec::with_capacity(2);
    for (track, samples, media_offset) in [(VIDEO_TRACK, &video_samples, 0), (AUDIO_TRACK, &audio_samples, video_bytes)]
    {
        if !samples.sizes.is_empty() {
            let runs = vec![Run { samples: 0..samples.sizes.len(), media_offset }];
            trafs.push(Traf { track, first_ticks: samples.first_ticks, samples, runs });
        }
    }
    let head = moof::moof(sequence, &trafs, video_bytes + audio_bytes)?;
    let media_at = head.len() as u64;
    place(&mut video_samples, media_at);
    place(&mut audio_samples, media_at + video_bytes);
    let body = video.samples.into_iter().chain(audio.samples).map(|s| s.data).collect();
    let bytes = media_at + video_bytes + audio_bytes;
    Ok(Fragment { head, body, bytes, video: video_samples, audio: audio_samples })
}

fn trex(out: &mut Boxes, track: u32, flags: u32) {
    out.full(b"trex", 0, 0, |b| {
        b.u32(track);
        b.u32(1);
        b.u32(0);
        b.u32(0);
        b.u32(flags);
    });
}

/// The table of a track's samples, without its chunk, and their bytes.
fn samples_of(track: &FragmentTrack, keys: bool) -> Result<(TrackSamples, u64), Error> {
    let mut samples = TrackSamples { first_ticks: track.first_ticks, ..TrackSamples::default() };
    let mut bytes = 0u64;
    for (n, sample) in track.samples.iter().enumerate() {
        bytes += sample.data.len() as u64;
        if bytes > FRAGMENT_BYTES_MAX {
            return Err(Error::TooLarge { what: "a fragment's media", size: bytes, limit: FRAGMENT_BYTES_MAX });
        }
        samples.sizes.push(u32::try_from(sample.data.len()).expect("a sample is at most FRAGMENT_BYTES_MAX"));
        samples.durations.push(sample.duration);
        samples.offsets.push(sample.offset);
        if keys && sample.key {
            samples.keys.push(u32::try_from(n).unwrap_or(u32::MAX));
        }
    }
    if samples.offsets.iter().all(|o| *o == 0) {
        samples.offsets.clear();
    }
    Ok((samples, bytes))
}

fn place(samples: &mut TrackSamples, offset: u64) {
    if !samples.sizes.is_empty() {
        let count = u32::try_from(samples.sizes.len()).unwrap_or(u32::MAX);
        samples.chunks = vec![Chunk { offset, samples: count }];
    }
}
