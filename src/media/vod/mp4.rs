//! A range of time as one progressive MP4: `ftyp moov mdat`, with all sample tables in front.

use super::{
    Source,
    layout::{Layout, Slice, Slices},
    pieces::{Piece, pieces, scale},
    tables::Tables,
};
use crate::{
    media::{
        Error,
        fmp4::{
            AUDIO_TRACK, VIDEO_TRACK,
            boxes::Boxes,
            track::{self, Edit, Track},
        },
    },
    model::{self, TrackKind, TrackSamples, frame::VIDEO_TIMESCALE},
};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// The most footage that one virtual file holds, in 90 kHz ticks: 48 hours, so that its header stays below what a
/// client waits for.
pub const FOOTAGE_TICKS_MAX: u64 = 48 * 3600 * VIDEO_TIMESCALE as u64;
/// The most samples of one track in one virtual file.
pub const PLAN_SAMPLES_MAX: u64 = 16 << 20;
/// Files with more media than this have 64-bit chunk offsets: what is left to 4 GiB is more than any header.
const NARROW_MEDIA_BYTES_MAX: u64 = 3 << 30;

/// Plans `range` of `sources` as one MP4. Every frame whose time lies in the range is shown once and in order; those
/// that only help to decode the first are hidden by an edit list. Where nothing was recorded, play goes on with the
/// next footage.
pub fn plan_mp4(sources: &[Source], range: model::Range) -> Result<Layout, Error> {
    let pieces = pieces(sources, range)?;
    bound(&pieces)?;
    let mut plan = Plan::new(sources, &pieces);
    for piece in &pieces {
        plan.add(piece);
    }
    let tag = tag(sources, &pieces);
    let created = sources[pieces[0].source].segment.start;
    let created = created.plus_micros(model::segment::ticks_to_micros(pieces[0].shown_ticks, VIDEO_TIMESCALE));
    Ok(plan.finish(created, tag))
}

fn bound(pieces: &[Piece]) -> Result<(), Error> {
    let ticks: u64 = pieces.iter().map(|p| p.end_ticks - p.shown_ticks).sum();
    if ticks > FOOTAGE_TICKS_MAX {
        let second = u64::from(VIDEO_TIMESCALE);
        return Err(Error::TooLarge {
            what: "the footage in the range, in seconds,",
            size: ticks / second,
            limit: FOOTAGE_TICKS_MAX / second,
        });
    }
    for samples in [
        pieces.iter().map(|p| p.video.len() as u64).sum::<u64>(),
        pieces.iter().map(|p| p.audio.len() as u64).sum::<u64>(),
    ] {
        if samples > PLAN_SAMPLES_MAX {
            return Err(Error::TooLarge { what: "the number of frames", size: samples, limit: PLAN_SAMPLES_MAX });
        }
    }
    Ok(())
}

struct Plan<'a> {
    sources: &'a [Source],
    video: Tables<'a>,
    audio: Tables<'a>,
    /// Ticks per second of the audio track: those of the first source with sound.
    audio_timescale: u32,
    /// Where the first audio sample is heard, in ticks of the audio track.
    audio_start: Option<u64>,
    edits: Vec<Edit>,
    /// Video shown so far, in 90 kHz ticks.
    shown_ticks: u64,
    slices: Slices,
    width: u16,
    height: u16,
}

impl<'a> Plan<'a> {
    fn new(sources: &'a [Source], pieces: &[Piece]) -> Self {
        let heard = pieces.iter().find(|p| !p.audio.is_empty());
        let mut plan = Self {
            sources,
            video: Tables::default(),
            audio: Tables::default(),
            audio_timescale: heard.map_or(0, |p| sources[p.source].table.audio_timescale),
            audio_start: None,
            edits: Vec::new(),
            shown_ticks: 0,
            slices: Slices::default(),
            width: 0,
            height: 0,
        };
        plan.video.reserve(pieces.iter().map(|p| p.video.len()).sum());
        plan.audio.reserve(pieces.iter().map(|p| p.audio.len()).sum());
        plan
    }

    fn add(&mut self, piece: &Piece) {
        let table = &*self.sources[piece.source].table;
        (self.width, self.height) = (self.width.max(table.width), self.height.max(table.height));
        let shown_before = self.shown_ticks;
        self.add_video(piece, &table.video);
        if !piece.audio.is_empty() {
            self.add_audio(piece, &table.audio, table.audio_timescale, shown_before);
        }
        let video_entry = self.video.entry(&table.video_entry);
        let audio_entry = if piece.audio.is_empty() { 0 } else { self.audio.entry(&table.audio_entry) };
        // In the order of the file, so that what lies together is read together.
        let mut video = Clipped::new(&table.video, piece.video.clone()).peekable();
        let mut audio = Clipped::new(&table.audio, piece.audio.clone()).peekable();
        loop {
            let video_first = match (video.peek(), audio.peek()) {
                (Some(v), Some(a)) => v.offset <= a.offset,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let (chunks, tables, entry) = match video_first {
                true => (&mut video, &mut self.video, video_entry),
                false => (&mut audio, &mut self.audio, audio_entry),
            };
            let Some(chunk) = chunks.next() else { break };
            tables.push_chunk(self.slices.len(), chunk.samples, entry);
            self.slices.push(Slice { source: piece.source, offset: chunk.offset, len: chunk.bytes });
        }
    }

    fn add_video(&mut self, piece: &Piece, track: &TrackSamples) {
        let hidden = piece.shown_ticks - piece.start_ticks;
        if self.edits.is_empty() || hidden > 0 {
            let media_ticks = Some(self.video.ticks + hidden);
            self.edits.push(Edit { movie_ticks: 0, media_ticks });
        }
        let keys = track.keys.partition_point(|k| (*k as usize) < piece.video.start)
            ..track.keys.partition_point(|k| (*k as usize) < piece.video.end);
        let first = u32::try_from(piece.video.start).unwrap_or(u32::MAX);
        let before = self.video.ticks;
        self.video.push_samples(
            &track.sizes[piece.video.clone()],
            &track.durations[piece.video.clone()],
            track.keys[keys].iter().map(|k| k - first),
        );
        let shown = self.video.ticks - before - hidden;
        if let Some(edit) = self.edits.last_mut() {
            edit.movie_ticks += shown;
        }
        self.shown_ticks += shown;
    }

    /// Sound lies where it was heard, counted from the first shown frame of its piece, which is shown after
    /// `shown_before` ticks of video.
    fn add_audio(&mut self, piece: &Piece, track: &TrackSamples, timescale: u32, shown_before: u64) {
        let rate = self.audio_timescale;
        let piece_at = scale(shown_before, VIDEO_TIMESCALE, rate);
        let skipped = scale(piece.shown_ticks, VIDEO_TIMESCALE, rate);
        let at = (piece_at + scale(piece.audio_ticks, timescale, rate)).saturating_sub(skipped);
        let start = *self.audio_start.get_or_insert(at);
        self.audio.end_last_at(at.saturating_sub(start));
        let durations = &track.durations[piece.audio.clone()];
        let sizes = &track.sizes[piece.audio.clone()];
        if timescale == rate {
            self.audio.push_samples(sizes, durations, std::iter::empty());
        } else {
            let scaled = |d: &u32| u32::try_from(scale(u64::from(*d), timescale, rate)).unwrap_or(u32::MAX);
            let durations: Vec<u32> = durations.iter().map(scaled).collect();
            self.audio.push_samples(sizes, &durations, std::iter::empty());
        }
    }

    fn finish(self, created: crate::base::Wall, tag: String) -> Layout {
        let media_bytes = self.slices.len();
        let wide = media_bytes > NARROW_MEDIA_BYTES_MAX;
        let mut out = Boxes::with_capacity(4096 + self.video.bytes_bound() + self.audio.bytes_bound());
        track::ftyp(&mut out, b"isom", &[b"isom", b"iso2", b"mp41"]);
        let (mut video_at, mut audio_at) = (0, 0);
        out.boxed(b"moov", |b| {
            let (has_audio, audio_movie_ticks, audio_edits) = self.audio_edits();
            track::mvhd(b, created, self.shown_ticks.max(audio_movie_ticks), AUDIO_TRACK + 1);
            let whole = self.edits.len() == 1 && self.edits[0].media_ticks == Some(0);
            let video = Track {
                id: VIDEO_TRACK,
                kind: TrackKind::Video,
                width: self.width,
                height: self.height,
                timescale: VIDEO_TIMESCALE,
                media_ticks: self.video.ticks,
                movie_ticks: self.shown_ticks,
                created,
                edits: if whole { &[] } else { &self.edits },
                entries: &self.video.entries,
            };
            track::trak(b, &video, |b| video_at = self.video.write(b, true, wide));
            if has_audio {
                let audio = Track {
                    id: AUDIO_TRACK,
                    kind: TrackKind::Audio,
                    width: 0,
                    height: 0,
                    timescale: self.audio_timescale,
                    media_ticks: self.audio.ticks,
                    movie_ticks: audio_movie_ticks,
                    edits: &audio_edits,
                    entries: &self.audio.entries,
                    ..video
                };
                track::trak(b, &audio, |b| audio_at = self.audio.write(b, false, wide));
            }
        });
        mdat_header(&mut out, media_bytes);
        let media_at = out.len() as u64;
        self.video.place_media(&mut out, video_at, media_at, wide);
        self.audio.place_media(&mut out, audio_at, media_at, wide);
        Layout::new(out.into_bytes().into(), self.slices.into_vec(), tag)
    }

    /// Whether there is sound, how long its track lasts, and the edits that let it begin where it was heard.
    fn audio_edits(&self) -> (bool, u64, Vec<Edit>) {
        if self.audio.samples() == 0 {
            return (false, 0, Vec::new());
        }
        let lead = scale(self.audio_start.unwrap_or(0), self.audio_timescale, VIDEO_TIMESCALE);
        let heard = scale(self.audio.ticks, self.audio_timescale, VIDEO_TIMESCALE);
        let edits = if lead == 0 {
            Vec::new()
        } else {
            let silence = Edit { movie_ticks: lead, media_ticks: None };
            vec![silence, Edit { movie_ticks: heard, media_ticks: Some(0) }]
        };
        (true, lead + heard, edits)
    }
}

/// The header of an `mdat`, with a 64-bit size where it takes one.
fn mdat_header(out: &mut Boxes, media_bytes: u64) {
    match u32::try_from(media_bytes + 8) {
        Ok(size) => {
            out.u32(size);
            out.bytes(b"mdat");
        }
        Err(_) => {
            out.u32(1);
            out.bytes(b"mdat");
            out.u64(media_bytes + 16);
        }
    }
}

/// A run of samples that lie one behind the other in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClippedChunk {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) samples: u32,
    /// Number of its first sample.
    pub(super) first: usize,
}

/// The chunks of a track, cut to a range of its samples.
pub(super) struct Clipped<'a> {
    track: &'a TrackSamples,
    range: Range<usize>,
    chunk: usize,
    /// Number of the first sample of `chunk`.
    sample: usize,
}

impl<'a> Clipped<'a> {
    pub(super) fn new(track: &'a TrackSamples, range: Range<usize>) -> Self {
        Self { track, range, chunk: 0, sample: 0 }
    }
}

impl Iterator for Clipped<'_> {
    type Item = ClippedChunk;

    fn next(&mut self) -> Option<ClippedChunk> {
        while self.sample < self.range.end {
            let chunk = self.track.chunks.get(self.chunk)?;
            let all = self.sample..self.sample + chunk.samples as usize;
            (self.chunk, self.sample) = (self.chunk + 1, all.end);
            let taken = all.start.max(self.range.start)..all.end.min(self.range.end);
            if taken.is_empty() {
                continue;
            }
            let bytes = |samples: Range<usize>| self.track.sizes[samples].iter().map(|s| u64::from(*s)).sum::<u64>();
            return Some(ClippedChunk {
                offset: chunk.offset + bytes(all.start..taken.start),
                bytes: bytes(taken.clone()),
                samples: u32::try_from(taken.len()).unwrap_or(u32::MAX),
                first: taken.start,
            });
        }
        None
    }
}

/// Names the bytes of the plan: which samples of which files. What stands in the header follows from those.
fn tag(sources: &[Source], pieces: &[Piece]) -> String {
    let mut hash = Sha256::new();
    hash.update(b"vod.mp4 1");
    for piece in pieces {
        let segment = &sources[piece.source].segment;
        hash.update(segment.stream.to_string());
        hash.update(segment.start.micros().to_be_bytes());
        hash.update(segment.session.0.to_be_bytes());
        for n in [
            u64::from(segment.index),
            u64::from(segment.name_suffix),
            piece.video.start as u64,
            piece.shown as u64,
            piece.video.end as u64,
            piece.audio.start as u64,
            piece.audio.end as u64,
        ] {
            hash.update(n.to_be_bytes());
        }
    }
    hex(&hash.finalize()[..16])
}

/// Bytes as lower-case hexadecimal figures.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
