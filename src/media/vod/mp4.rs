//! A range of time as one progressive MP4: `ftyp moov mdat`, with all sample tables in front.

use super::{
    Source,
    layout::{INSERTED, Layout, Slice, Slices},
    pieces::{Piece, pieces},
    sound::Sound,
    tables::Tables,
};
use crate::{
    media::{
        Error, avc,
        fmp4::{
            AUDIO_TRACK, VIDEO_TRACK,
            boxes::Boxes,
            track::{self, Edit, Track},
        },
    },
    model::{self, SampleTable, TrackKind, TrackSamples, frame::VIDEO_TIMESCALE},
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

/// What lies between two chunks in a file, the head of a fragment, is sent with them where it is so much less than they are:
/// a segment then goes out in one piece, and a file gets longer by less than a thirtieth.
const BRIDGE_PER_BYTE_MAX: u64 = 32;

/// Plans `range` of `sources` as one MP4. Every frame whose time lies in the range is shown once and in order; those
/// that only help to decode the first are hidden by an edit list. Where nothing was recorded, play goes on with the
/// next footage.
pub fn plan_mp4(sources: &[Source], range: model::Range) -> Result<Layout, Error> {
    let pieces = pieces(sources, range)?;
    bound(&pieces)?;
    one_codec(sources, &pieces)?;
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

/// Players read all sample entries of a track by the codec of the first.
fn one_codec(sources: &[Source], pieces: &[Piece]) -> Result<(), Error> {
    let codec = |piece: &Piece| sources[piece.source].table.video_entry.get(4..8).map(String::from_utf8_lossy);
    for pair in pieces.windows(2) {
        let (before, after) = (codec(&pair[0]).unwrap_or_default(), codec(&pair[1]).unwrap_or_default());
        if before != after {
            let at = sources[pair[1].source].segment.start;
            return Err(Error::Mixed { before: before.into_owned(), after: after.into_owned(), at });
        }
    }
    Ok(())
}

struct Plan<'a> {
    sources: &'a [Source],
    video: Tables<'a>,
    sounds: Vec<Sound<'a>>,
    edits: Vec<Edit>,
    /// Video shown so far, in 90 kHz ticks.
    shown_ticks: u64,
    slices: Slices,
    /// Parameter sets that slices put in front of key frames.
    inserts: Vec<u8>,
    /// Whether the pieces' formats differ. Browsers look at one sample entry only: then every key frame brings its
    /// parameter sets along.
    mixed: bool,
    width: u16,
    height: u16,
}

impl<'a> Plan<'a> {
    fn new(sources: &'a [Source], pieces: &[Piece]) -> Self {
        let mut plan = Self {
            sources,
            video: Tables::default(),
            sounds: Vec::new(),
            edits: Vec::new(),
            shown_ticks: 0,
            slices: Slices::default(),
            inserts: Vec::new(),
            mixed: pieces
                .windows(2)
                .any(|p| sources[p[0].source].table.video_entry != sources[p[1].source].table.video_entry),
            width: 0,
            height: 0,
        };
        plan.video.reserve(pieces.iter().map(|p| p.video.len()).sum());
        plan
    }

    fn add(&mut self, piece: &Piece) {
        let table = &*self.sources[piece.source].table;
        (self.width, self.height) = (self.width.max(table.width), self.height.max(table.height));
        let shown_before = self.shown_ticks;
        let insert = self.insert_for(&table.video_entry);
        self.add_video(piece, &table.video, insert.len);
        let sound = (!piece.audio.is_empty()).then(|| self.sound_for(table));
        if let Some(sound) = sound {
            self.sounds[sound].add(piece, table, shown_before);
        }
        let video_entry = self.video.entry(&table.video_entry);
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
            let Some(chunk) = (if video_first { video.next() } else { audio.next() }) else { break };
            let inserted = video_first && insert.len > 0;
            if !inserted {
                self.slices.bridge(piece.source, chunk.offset, chunk.bytes / BRIDGE_PER_BYTE_MAX);
            }
            match sound {
                Some(sound) if !video_first => {
                    self.sounds[sound].tables.push_chunk(self.slices.len(), chunk.samples, 1);
                }
                _ => self.video.push_chunk(self.slices.len(), chunk.samples, video_entry),
            }
            if inserted {
                self.slice_with_inserts(piece.source, &table.video, &chunk, insert);
            } else {
                self.slices.push(Slice { source: piece.source, offset: chunk.offset, len: chunk.bytes });
            }
        }
    }

    /// Number of the audio track for the sound of that table.
    fn sound_for(&mut self, table: &'a SampleTable) -> usize {
        self.sounds.iter().position(|s| s.takes(table)).unwrap_or_else(|| {
            self.sounds.push(Sound::new(table));
            self.sounds.len() - 1
        })
    }

    /// The parameter sets to be put in front of each key frame of a format; empty where all formats are one.
    fn insert_for(&mut self, entry: &[u8]) -> Slice {
        let sets = if self.mixed { avc::parameter_sets(entry) } else { None };
        let sets = sets.unwrap_or_default();
        let insert = Slice { source: INSERTED, offset: self.inserts.len() as u64, len: sets.len() as u64 };
        self.inserts.extend_from_slice(&sets);
        insert
    }

    /// The slices of a chunk with `insert` in front of each of its key frames.
    fn slice_with_inserts(&mut self, source: usize, track: &TrackSamples, chunk: &ClippedChunk, insert: Slice) {
        let samples = chunk.first..chunk.first + chunk.samples as usize;
        let mut offset = chunk.offset;
        for n in samples {
            if track.keys.binary_search(&u32::try_from(n).unwrap_or(u32::MAX)).is_ok() {
                self.slices.push(insert);
            }
            let len = u64::from(track.sizes[n]);
            self.slices.push(Slice { source, offset, len });
            offset += len;
        }
    }

    fn add_video(&mut self, piece: &Piece, track: &TrackSamples, insert_bytes: u64) {
        let hidden = piece.shown_ticks - piece.start_ticks;
        if self.edits.is_empty() || hidden > 0 {
            let media_ticks = Some(self.video.ticks + hidden);
            self.edits.push(Edit { movie_ticks: 0, media_ticks });
        }
        let keys = track.keys.partition_point(|k| (*k as usize) < piece.video.start)
            ..track.keys.partition_point(|k| (*k as usize) < piece.video.end);
        let first = u32::try_from(piece.video.start).unwrap_or(u32::MAX);
        let before = self.video.ticks;
        let keys = track.keys[keys].iter().map(|k| k - first);
        let durations = &track.durations[piece.video.clone()];
        let sizes = &track.sizes[piece.video.clone()];
        let offsets = track.offsets.get(piece.video.clone()).unwrap_or_default();
        if insert_bytes == 0 {
            self.video.push_samples(sizes, durations, offsets, keys);
        } else {
            let mut sizes = sizes.to_vec();
            let more = u32::try_from(insert_bytes).unwrap_or(0);
            keys.clone().for_each(|k| sizes[k as usize] = sizes[k as usize].saturating_add(more));
            self.video.push_samples(&sizes, durations, offsets, keys);
        }
        let shown = self.video.ticks - before - hidden;
        if let Some(edit) = self.edits.last_mut() {
            edit.movie_ticks += shown;
        }
        self.shown_ticks += shown;
    }

    fn finish(self, created: crate::base::Wall, tag: String) -> Layout {
        let media_bytes = self.slices.len();
        let wide = media_bytes > NARROW_MEDIA_BYTES_MAX;
        let sound_bytes: usize = self.sounds.iter().map(|s| s.tables.bytes_bound()).sum();
        let mut out = Boxes::with_capacity(4096 + self.video.bytes_bound() + sound_bytes);
        track::ftyp(&mut out, b"isom", &[b"isom", b"iso2", b"mp41"]);
        let (mut video_at, mut sounds_at) = (0, Vec::new());
        out.boxed(b"moov", |b| {
            let movie_ticks = self.sounds.iter().map(Sound::movie_ticks).fold(self.shown_ticks, u64::max);
            let tracks = u32::try_from(self.sounds.len()).expect("there are no more tracks than sources");
            track::mvhd(b, created, movie_ticks, AUDIO_TRACK + tracks);
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
            for (id, sound) in (AUDIO_TRACK..).zip(&self.sounds) {
                sounds_at.push(sound.write(b, id, &video, wide));
            }
        });
        mdat_header(&mut out, media_bytes);
        let media_at = out.len() as u64;
        self.video.place_media(&mut out, video_at, media_at, wide);
        for (sound, at) in self.sounds.iter().zip(sounds_at) {
            sound.tables.place_media(&mut out, at, media_at, wide);
        }
        let mut layout = Layout::new(out.into_bytes().into(), self.slices.into_vec(), tag);
        layout.inserts = self.inserts.into();
        layout
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
    hash.update(b"vod.mp4 2");
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
