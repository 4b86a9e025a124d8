//! Which samples of which files lie in a range of time.

use super::Source;
use crate::{
    base::Wall,
    media::Error,
    model::{self, SampleTable, TrackSamples, frame::VIDEO_TIMESCALE},
};
use std::ops::Range;

/// What one source gives to a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Number of the source.
    pub(super) source: usize,
    /// Video samples, from the key frame at or before the first that is shown.
    pub(super) video: Range<usize>,
    /// The first sample that is shown: those before it only help to decode.
    pub(super) shown: usize,
    /// Decoding times, in 90 kHz ticks since the source's start: of `video.start`, of `shown`, of the end.
    pub(super) start_ticks: u64,
    pub(super) shown_ticks: u64,
    pub(super) end_ticks: u64,
    /// Audio samples.
    pub(super) audio: Range<usize>,
    /// Decoding time of `audio.start` since the source's start, in the source's audio timescale.
    pub(super) audio_ticks: u64,
}

/// The piece of each source that has a frame in the range, in order.
pub(super) fn pieces(sources: &[Source], range: model::Range) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::with_capacity(sources.len());
    for (n, source) in sources.iter().enumerate() {
        check(source)?;
        pieces.extend(piece(n, source, range));
    }
    if pieces.is_empty() { Err(Error::NoFrames) } else { Ok(pieces) }
}

fn piece(n: usize, source: &Source, range: model::Range) -> Option<Piece> {
    let table = &source.table;
    let start = source.segment.start;
    let from = ticks_at(range.from, start, VIDEO_TIMESCALE);
    let to = ticks_at(range.to, start, VIDEO_TIMESCALE);
    let (shown, shown_ticks) = seek(&table.video, 0, table.video.first_ticks, from);
    let (end, end_ticks) = seek(&table.video, shown, shown_ticks, to);
    if shown == end {
        return None;
    }
    let first = key_at_or_before(&table.video, shown);
    let lead_in: u64 = table.video.durations[first..shown].iter().map(|d| u64::from(*d)).sum();
    // Sound begins with the first frame that is shown; of a file that is taken from its start, nothing is left out.
    let sound_from = if shown == 0 { 0 } else { scale_up(shown_ticks, VIDEO_TIMESCALE, table.audio_timescale) };
    let sound_to = ticks_at(range.to, start, table.audio_timescale);
    let (audio_first, audio_ticks) = seek(&table.audio, 0, table.audio.first_ticks, sound_from);
    let (audio_end, _) = seek(&table.audio, audio_first, audio_ticks, sound_to);
    Some(Piece {
        source: n,
        video: first..end,
        shown,
        start_ticks: shown_ticks - lead_in,
        shown_ticks,
        end_ticks,
        audio: audio_first..audio_end,
        audio_ticks,
    })
}

/// A table whose parts contradict each other must not be planned from.
pub(super) fn check(source: &Source) -> Result<(), Error> {
    let fault = |what| Error::Table { start: source.segment.start, what };
    let SampleTable { video, audio, audio_entry, audio_timescale, video_entry, .. } = &*source.table;
    for track in [video, audio] {
        let chunked: u64 = track.chunks.iter().map(|c| u64::from(c.samples)).sum();
        if track.sizes.len() != track.durations.len() || chunked != track.sizes.len() as u64 {
            return Err(fault("sizes, durations and chunks differ in number"));
        }
    }
    if !video.offsets.is_empty() && video.offsets.len() != video.sizes.len() {
        return Err(fault("sizes and offsets differ in number"));
    }
    if video_entry.is_empty() || (!audio.sizes.is_empty() && (audio_entry.is_empty() || *audio_timescale == 0)) {
        return Err(fault("a track has no sample entry"));
    }
    if !video.keys.is_sorted() || video.keys.last().is_some_and(|k| *k as usize >= video.sizes.len()) {
        return Err(fault("a key frame lies outside the track"));
    }
    Ok(())
}

/// The first sample from number `from` on, which begins at `ticks`, that begins at or after `target`; and its time.
pub(super) fn seek(track: &TrackSamples, from: usize, mut ticks: u64, target: u64) -> (usize, u64) {
    for (n, duration) in track.durations.iter().enumerate().skip(from) {
        if ticks >= target {
            return (n, ticks);
        }
        ticks += u64::from(*duration);
    }
    (track.durations.len(), ticks)
}

/// Number of the key frame at or before sample `n`; the first sample where there is none.
pub(super) fn key_at_or_before(track: &TrackSamples, n: usize) -> usize {
    let after = track.keys.partition_point(|k| *k as usize <= n);
    after.checked_sub(1).map_or(0, |at| track.keys[at] as usize)
}

/// The least number of ticks after `start` whose moment, rounded down to microseconds, is not before `at`.
pub(super) fn ticks_at(at: Wall, start: Wall, timescale: u32) -> u64 {
    let micros = u64::try_from(at.micros_since(start)).unwrap_or(0);
    scale_up(micros, 1_000_000, timescale)
}

/// Ticks of one timescale in another, rounded down.
pub(super) fn scale(ticks: u64, from: u32, to: u32) -> u64 {
    if from == to {
        return ticks;
    }
    u64::try_from(u128::from(ticks) * u128::from(to) / u128::from(from.max(1))).unwrap_or(u64::MAX)
}

/// Ticks of one timescale in another, rounded up.
pub(super) fn scale_up(ticks: u64, from: u32, to: u32) -> u64 {
    let scaled = (u128::from(ticks) * u128::from(to)).div_ceil(u128::from(from.max(1)));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
