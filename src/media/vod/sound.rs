//! The audio tracks of a virtual MP4: one for each format of sound, as players do not change it within a track.

use super::{
    pieces::{Piece, scale},
    tables::Tables,
};
use crate::{
    media::fmp4::{
        boxes::Boxes,
        track::{self, Edit, Track},
    },
    model::{SampleTable, TrackKind, frame::VIDEO_TIMESCALE},
};

/// One audio track as it grows, piece by piece.
#[derive(Debug)]
pub(super) struct Sound<'a> {
    entry: &'a [u8],
    timescale: u32,
    /// Where the first sample is heard, in ticks of the track.
    start: Option<u64>,
    pub(super) tables: Tables<'a>,
}

impl<'a> Sound<'a> {
    pub(super) fn new(table: &'a SampleTable) -> Self {
        let mut tables = Tables::default();
        tables.entry(&table.audio_entry);
        Self { entry: &table.audio_entry, timescale: table.audio_timescale, start: None, tables }
    }

    /// Whether the sound of that table is of this track's format.
    pub(super) fn takes(&self, table: &SampleTable) -> bool {
        self.entry == table.audio_entry && self.timescale == table.audio_timescale
    }

    /// Adds a piece's sound. It lies where it was heard, counted from the first shown frame of its piece, which is
    /// shown after `shown_before` ticks of video.
    pub(super) fn add(&mut self, piece: &Piece, table: &SampleTable, shown_before: u64) {
        let piece_at = scale(shown_before, VIDEO_TIMESCALE, self.timescale);
        let skipped = scale(piece.shown_ticks, VIDEO_TIMESCALE, self.timescale);
        let at = (piece_at + piece.audio_ticks).saturating_sub(skipped);
        let start = *self.start.get_or_insert(at);
        self.tables.end_last_at(at.saturating_sub(start));
        let samples = piece.audio.clone();
        self.tables.push_samples(
            &table.audio.sizes[samples.clone()],
            &table.audio.durations[samples],
            &[],
            std::iter::empty(),
        );
    }

    /// How long the track lasts, with the silence before it, in the movie's ticks.
    pub(super) fn movie_ticks(&self) -> u64 {
        self.silence() + self.heard()
    }

    fn silence(&self) -> u64 {
        scale(self.start.unwrap_or(0), self.timescale, VIDEO_TIMESCALE)
    }

    fn heard(&self) -> u64 {
        scale(self.tables.ticks, self.timescale, VIDEO_TIMESCALE)
    }

    /// Writes `trak` number `id`; `like` gives what it has in common with the others. Gives back where the chunk
    /// offsets stand.
    pub(super) fn write(&self, out: &mut Boxes, id: u32, like: &Track<'_>, wide: bool) -> usize {
        let silence = Edit { movie_ticks: self.silence(), media_ticks: None };
        let edits = [silence, Edit { movie_ticks: self.heard(), media_ticks: Some(0) }];
        let track = Track {
            id,
            kind: TrackKind::Audio,
            width: 0,
            height: 0,
            timescale: self.timescale,
            media_ticks: self.tables.ticks,
            movie_ticks: self.movie_ticks(),
            created: like.created,
            edits: if silence.movie_ticks == 0 { &[] } else { &edits },
            entries: &self.tables.entries,
        };
        let mut chunks_at = 0;
        track::trak(out, &track, |b| chunks_at = self.tables.write(b, false, wide));
        chunks_at
    }
}
