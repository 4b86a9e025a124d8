//! A range of time as HLS: parts of footage files, each a `moof mdat` made when it is asked for.

use super::{
    Source,
    layout::{Layout, Slice, Slices},
    mp4::{Clipped, hex},
    pieces::{check, key_at_or_before, scale, scale_up, seek, ticks_at},
};
use crate::{
    base::Wall,
    media::{
        Error,
        fmp4::{
            AUDIO_TRACK, VIDEO_TRACK,
            moof::{self, Run, Traf},
            write,
        },
    },
    model::{self, SampleTable, TrackSamples, frame::VIDEO_TIMESCALE, segment::ticks_to_micros},
};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Where parts may end. In 90 kHz ticks from the part's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// At the first key frame after so many ticks.
    key_ticks: u64,
    /// At the end of the first fragment after so many, key frame or not.
    any_ticks: u64,
    /// Whether what is left at the end of a file that still grows is a part already.
    rest: bool,
}

impl Cut {
    /// For footage that is there: long parts that begin at key frames.
    pub const WHOLE: Cut = Cut { key_ticks: 4 * 90_000, any_ticks: 12 * 90_000, rest: true };
    /// For a playlist that follows a stream: parts of about a second, never changed once listed.
    pub const GROWING: Cut = Cut { key_ticks: 36_000, any_ticks: 72_000, rest: false };
}

/// Which samples of a footage file make a part. What its address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRange {
    /// Start of the segment.
    pub segment: Wall,
    /// Video samples.
    pub video: Range<u32>,
    /// Audio samples.
    pub audio: Range<u32>,
    /// Decoding time of the first video sample in the playlist's time, at 90 kHz.
    pub ticks: u64,
}

/// One line of a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Number of the source.
    pub source: usize,
    /// What its address says.
    pub range: PartRange,
    /// How long it lasts, at 90 kHz.
    pub duration_ticks: u64,
    /// When its first video frame was taken.
    pub wall: Wall,
    /// Time or format do not go on from the part before.
    pub discontinuity: bool,
    /// The first part of its file.
    pub begins_file: bool,
}

/// How long before the range's start the playlist's time begins: room for the frames that lead in.
const LEAD_IN_MICROS: i64 = 600_000_000;

/// Cuts `range` of `sources` into parts. The first begins at the key frame at or before `range.from`.
pub fn plan_hls_playlist(sources: &[Source], range: model::Range, cut: Cut) -> Result<Vec<Part>, Error> {
    let epoch = range.from.plus_micros(-LEAD_IN_MICROS);
    let mut parts: Vec<Part> = Vec::new();
    let mut last: Option<usize> = None;
    for (n, source) in sources.iter().enumerate() {
        check(source)?;
        let before = parts.len();
        let follows = last.map(|l| &sources[l]).is_some_and(|l| goes_on(l, source));
        let wall_ticks = ticks_at(source.segment.start, epoch, VIDEO_TIMESCALE);
        let run_ticks = parts.last().filter(|_| follows).map(|p| p.range.ticks + p.duration_ticks);
        parts.extend(parts_of(n, source, range, cut));
        let Some(first) = parts.get(before) else { continue };
        let first_ticks = first.range.ticks;
        for part in &mut parts[before..] {
            part.range.ticks = match run_ticks {
                Some(run) => run + (part.range.ticks - first_ticks),
                None => wall_ticks + part.range.ticks,
            };
        }
        parts[before].discontinuity = last.is_some() && !follows;
        parts[before].begins_file = true;
        last = Some(n);
    }
    if parts.is_empty() { Err(Error::NoFrames) } else { Ok(parts) }
}

/// Whether `next` plays on from `last` in time and format.
fn goes_on(last: &Source, next: &Source) -> bool {
    next.segment.continues(&last.segment) && init_hash(&last.table) == init_hash(&next.table)
}

/// The parts of one file; their `ticks` count from the file's start until the caller knows better.
fn parts_of(n: usize, source: &Source, range: model::Range, cut: Cut) -> Vec<Part> {
    let table = &*source.table;
    let start = source.segment.start;
    let (shown, shown_ticks) =
        seek(&table.video, 0, table.video.first_ticks, ticks_at(range.from, start, VIDEO_TIMESCALE));
    let (end, _) = seek(&table.video, shown, shown_ticks, ticks_at(range.to, start, VIDEO_TIMESCALE));
    if shown == end {
        return Vec::new();
    }
    let first = key_at_or_before(&table.video, shown);
    let whole = cut.rest || source.segment.closed;
    let fragments = fragment_ends(table);
    let mut walk = Walk::new(table, first);
    let mut parts = Vec::new();
    for boundary in boundaries(table, &fragments, first, end) {
        walk.video_to(boundary.sample);
        let long = walk.ticks - walk.part_ticks;
        if (boundary.key && long >= cut.key_ticks) || (boundary.fragment_end && long >= cut.any_ticks) {
            let audio_end = walk.audio_by_time().min(boundary.audio);
            parts.push(walk.part(n, start, audio_end));
        }
    }
    walk.video_to(end);
    if whole && walk.ticks > walk.part_ticks {
        let ends_at_file = end == table.video.sizes.len();
        let audio_end = if ends_at_file { table.audio.sizes.len() } else { walk.audio_by_time() };
        parts.push(walk.part(n, start, audio_end));
    }
    parts
}

/// How many samples of either track are in the file once a fragment is in it.
#[derive(Clone, Copy)]
struct FragmentEnd {
    video: usize,
    audio: usize,
}

fn fragment_ends(table: &SampleTable) -> Vec<FragmentEnd> {
    let mut ends = Vec::with_capacity(table.video.chunks.len());
    let mut end = FragmentEnd { video: 0, audio: 0 };
    let mut audio = table.audio.chunks.iter().peekable();
    for chunk in &table.video.chunks {
        let samples = end.video..end.video + chunk.samples as usize;
        end.video = samples.end;
        // The sound of a fragment lies right behind its pictures.
        let sound_at = chunk.offset + table.video.sizes[samples].iter().map(|s| u64::from(*s)).sum::<u64>();
        while let Some(sound) = audio.next_if(|a| a.offset <= sound_at) {
            end.audio += sound.samples as usize;
        }
        ends.push(end);
    }
    ends
}

/// A sample in front of which a part may end.
struct Boundary {
    sample: usize,
    key: bool,
    fragment_end: bool,
    /// How many audio samples are in the file once the sample before the boundary is: a part that is listed must not
    /// get more of them later.
    audio: usize,
}

/// Key frames and fragment ends behind `first` and up to `end`, in order.
fn boundaries(table: &SampleTable, fragments: &[FragmentEnd], first: usize, end: usize) -> Vec<Boundary> {
    let keys = table.video.keys.iter().map(|k| *k as usize);
    let both = keys.chain(fragments.iter().map(|f| f.video));
    let mut all: Vec<usize> = both.filter(|s| (first + 1..=end).contains(s)).collect();
    all.sort_unstable();
    all.dedup();
    let boundary = |sample: usize| {
        let fragment = fragments[fragments.partition_point(|f| f.video < sample)];
        Boundary {
            sample,
            key: u32::try_from(sample).is_ok_and(|s| table.video.keys.binary_search(&s).is_ok()),
            fragment_end: fragment.video == sample,
            audio: fragment.audio,
        }
    };
    all.into_iter().map(boundary).collect()
}

/// Walks both tracks of a file side by side.
struct Walk<'a> {
    table: &'a SampleTable,
    sample: usize,
    ticks: u64,
    /// Where the part in hand begins.
    part_sample: usize,
    part_ticks: u64,
    part_audio: usize,
    /// The first audio sample that is not heard before the video's next frame was reached by this walk, and its time.
    audio: (usize, u64),
}

impl<'a> Walk<'a> {
    fn new(table: &'a SampleTable, first: usize) -> Self {
        let mut walk = Self {
            table,
            sample: 0,
            ticks: table.video.first_ticks,
            part_sample: first,
            part_ticks: 0,
            part_audio: 0,
            audio: (0, table.audio.first_ticks),
        };
        walk.video_to(first);
        walk.part_ticks = walk.ticks;
        if first > 0 {
            walk.part_audio = walk.audio_by_time();
        }
        walk
    }

    fn video_to(&mut self, sample: usize) {
        self.ticks += self.table.video.durations[self.sample..sample].iter().map(|d| u64::from(*d)).sum::<u64>();
        self.sample = sample;
    }

    /// The first audio sample that is not heard before the video's next frame.
    fn audio_by_time(&mut self) -> usize {
        let target = scale_up(self.ticks, VIDEO_TIMESCALE, self.table.audio_timescale);
        self.audio = seek(&self.table.audio, self.audio.0, self.audio.1, target);
        self.audio.0
    }

    /// Ends the part in hand here, its sound at `audio_end`, and begins the next.
    fn part(&mut self, source: usize, start: Wall, audio_end: usize) -> Part {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let part = Part {
            source,
            range: PartRange {
                segment: start,
                video: number(self.part_sample)..number(self.sample),
                audio: number(self.part_audio)..number(audio_end.max(self.part_audio)),
                ticks: self.part_ticks,
            },
            duration_ticks: self.ticks - self.part_ticks,
            wall: start.plus_micros(ticks_to_micros(self.part_ticks, VIDEO_TIMESCALE)),
            discontinuity: false,
            begins_file: false,
        };
        (self.part_sample, self.part_ticks) = (self.sample, self.ticks);
        self.part_audio = self.part_audio.max(audio_end);
        part
    }
}

/// `ftyp moov` in front of the parts of files in this format.
pub fn init_segment(table: &SampleTable) -> Bytes {
    // Without a time, so that all files of one format have the same.
    write::init_of_table(table, Wall::default()).into()
}

/// Names a format: the same for two files whose parts play on from each other.
pub fn init_hash(table: &SampleTable) -> String {
    let mut hash = Sha256::new();
    hash.update(b"init 1");
    for field in [&table.video_entry, &table.audio_entry] {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.update(table.width.to_be_bytes());
    hash.update(table.height.to_be_bytes());
    hash.update(table.audio_timescale.to_be_bytes());
    hex(&hash.finalize()[..8])
}

/// Plans one part as `moof mdat`. The range comes from outside: it is checked.
pub fn plan_hls_segment(source: &Source, range: &PartRange) -> Result<Layout, Error> {
    check(source)?;
    let table = &*source.table;
    let (video, audio) = (&table.video, &table.audio);
    let inside = |r: &Range<u32>, track: &TrackSamples| r.start <= r.end && r.end as usize <= track.sizes.len();
    if !inside(&range.video, video) || !inside(&range.audio, audio) || range.video.is_empty() {
        return Err(Error::NoFrames);
    }
    let usizes = |r: &Range<u32>| r.start as usize..r.end as usize;
    let (video_range, audio_range) = (usizes(&range.video), usizes(&range.audio));
    let mut slices = Slices::default();
    let mut runs = [Vec::new(), Vec::new()];
    let tracks = [Clipped::new(video, video_range.clone()), Clipped::new(audio, audio_range.clone())];
    let mut chunks: Vec<_> =
        (0..).zip(tracks).flat_map(|(t, clipped)| clipped.map(move |c| (c.offset, t, c))).collect();
    chunks.sort_unstable_by_key(|(offset, ..)| *offset);
    for (_, track, chunk) in chunks {
        let track: usize = track;
        runs[track]
            .push(Run { samples: chunk.first..chunk.first + chunk.samples as usize, media_offset: slices.len() });
        slices.push(Slice { source: 0, offset: chunk.offset, len: chunk.bytes });
    }
    let [video_runs, audio_runs] = runs;
    let start_of = |track: &TrackSamples, n: usize| {
        track.first_ticks + track.durations[..n].iter().map(|d| u64::from(*d)).sum::<u64>()
    };
    let mut trafs = vec![Traf { track: VIDEO_TRACK, first_ticks: range.ticks, samples: video, runs: video_runs }];
    if !audio_range.is_empty() {
        let rate = table.audio_timescale;
        let here = scale(start_of(video, video_range.start), VIDEO_TIMESCALE, rate);
        let heard = start_of(audio, audio_range.start);
        let first_ticks = scale(range.ticks, VIDEO_TIMESCALE, rate).saturating_add(heard).saturating_sub(here);
        trafs.push(Traf { track: AUDIO_TRACK, first_ticks, samples: audio, runs: audio_runs });
    }
    let head = moof::moof(range.video.start.saturating_add(1), &trafs, slices.len())?;
    Ok(Layout::new(head.into(), slices.into_vec(), part_tag(source, range)))
}

fn part_tag(source: &Source, range: &PartRange) -> String {
    let mut hash = Sha256::new();
    hash.update(b"part 1");
    hash.update(format!("{} {} {range:?}", source.segment.stream, source.segment.session.0));
    hex(&hash.finalize()[..16])
}
