//! The `moov` boxes that files on disk and virtual files have in common.

use super::boxes::Boxes;
use crate::{
    base::Wall,
    model::{TrackKind, frame::VIDEO_TIMESCALE},
};

/// Ticks per second of the movie header: the video clock, so that edit lists are exact.
pub const MOVIE_TIMESCALE: u32 = VIDEO_TIMESCALE;
/// Seconds from MP4's epoch, 1904, to 1970.
const EPOCH_1904_S: i64 = 2_082_844_800;
/// No rotation, no scaling.
const UNITY_MATRIX: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];
/// ISO 639 `und`.
const LANGUAGE_UNDETERMINED: u16 = 0x55c4;

/// One entry of an edit list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// How long it lasts, in [`MOVIE_TIMESCALE`].
    pub movie_ticks: u64,
    /// Where in the media it begins, in the track's timescale; None shows nothing.
    pub media_ticks: Option<u64>,
}

/// What the boxes around a sample table say.
#[derive(Clone, Debug)]
pub struct Track<'a> {
    /// Number of the track.
    pub id: u32,
    /// Video or audio.
    pub kind: TrackKind,
    /// Pixels; 0 for audio.
    pub width: u16,
    /// Pixels; 0 for audio.
    pub height: u16,
    /// Ticks per second.
    pub timescale: u32,
    /// Length of the media, in `timescale`.
    pub media_ticks: u64,
    /// Length as shown, in [`MOVIE_TIMESCALE`].
    pub movie_ticks: u64,
    /// When the first frame was taken.
    pub created: Wall,
    /// Empty: the media is shown from its start.
    pub edits: &'a [Edit],
    /// Complete sample entries, each a box.
    pub entries: &'a [&'a [u8]],
}

/// `ftyp` with the brands of a file of that kind.
pub fn ftyp(out: &mut Boxes, major: &[u8; 4], compatible: &[&[u8; 4]]) {
    out.boxed(b"ftyp", |b| {
        b.bytes(major);
        b.u32(0x200);
        compatible.iter().for_each(|brand| b.bytes(*brand));
    });
}

/// `mvhd`.
pub fn mvhd(out: &mut Boxes, created: Wall, movie_ticks: u64, next_track: u32) {
    out.full(b"mvhd", 1, 0, |b| {
        b.u64(seconds_since_1904(created));
        b.u64(seconds_since_1904(created));
        b.u32(MOVIE_TIMESCALE);
        b.u64(movie_ticks);
        b.u32(0x0001_0000);
        b.u16(0x0100);
        b.zeros(10);
        UNITY_MATRIX.iter().for_each(|v| b.u32(*v));
        b.zeros(24);
        b.u32(next_track);
    });
}

/// `trak`; `tables` writes what follows `stsd` in `stbl`.
pub fn trak(out: &mut Boxes, track: &Track<'_>, tables: impl FnOnce(&mut Boxes)) {
    out.boxed(b"trak", |b| {
        tkhd(b, track);
        if !track.edits.is_empty() {
            b.boxed(b"edts", |b| elst(b, track.edits));
        }
        b.boxed(b"mdia", |b| {
            mdhd(b, track);
            hdlr(b, track.kind);
            b.boxed(b"minf", |b| {
                media_header(b, track.kind);
                dinf(b);
                b.boxed(b"stbl", |b| {
                    stsd(b, track.entries);
                    tables(b);
                });
            });
        });
    });
}

/// The sample tables of a track whose samples are all in fragments.
pub fn empty_tables(out: &mut Boxes) {
    out.full(b"stts", 0, 0, |b| b.u32(0));
    out.full(b"stsc", 0, 0, |b| b.u32(0));
    out.full(b"stsz", 0, 0, |b| b.u64(0));
    out.full(b"stco", 0, 0, |b| b.u32(0));
}

fn tkhd(out: &mut Boxes, track: &Track<'_>) {
    // Enabled, in the movie, in the preview.
    out.full(b"tkhd", 1, 7, |b| {
        b.u64(seconds_since_1904(track.created));
        b.u64(seconds_since_1904(track.created));
        b.u32(track.id);
        b.u32(0);
        b.u64(track.movie_ticks);
        b.zeros(8);
        b.u32(0);
        b.u16(if track.kind == TrackKind::Audio { 0x0100 } else { 0 });
        b.u16(0);
        UNITY_MATRIX.iter().for_each(|v| b.u32(*v));
        b.u32(u32::from(track.width) << 16);
        b.u32(u32::from(track.height) << 16);
    });
}

fn elst(out: &mut Boxes, edits: &[Edit]) {
    out.full(b"elst", 1, 0, |b| {
        b.count(edits.len());
        for edit in edits {
            b.u64(edit.movie_ticks);
            b.u64(edit.media_ticks.unwrap_or(u64::MAX));
            b.u32(0x0001_0000);
        }
    });
}

fn mdhd(out: &mut Boxes, track: &Track<'_>) {
    out.full(b"mdhd", 1, 0, |b| {
        b.u64(seconds_since_1904(track.created));
        b.u64(seconds_since_1904(track.created));
        b.u32(track.timescale);
        b.u64(track.media_ticks);
        b.u16(LANGUAGE_UNDETERMINED);
        b.u16(0);
    });
}

fn hdlr(out: &mut Boxes, kind: TrackKind) {
    let (handler, name) = match kind {
        TrackKind::Video => (b"vide", b"video\0"),
        TrackKind::Audio => (b"soun", b"audio\0"),
    };
    out.full(b"hdlr", 0, 0, |b| {
        b.u32(0);
        b.bytes(handler);
        b.zeros(12);
        b.bytes(name);
    });
}

fn media_header(out: &mut Boxes, kind: TrackKind) {
    match kind {
        TrackKind::Video => out.full(b"vmhd", 0, 1, |b| b.zeros(8)),
        TrackKind::Audio => out.full(b"smhd", 0, 0, |b| b.zeros(4)),
    }
}

fn dinf(out: &mut Boxes) {
    out.boxed(b"dinf", |b| {
        b.full(b"dref", 0, 0, |b| {
            b.u32(1);
            // The media is in this very file.
            b.full(b"url ", 0, 1, |_| {});
        });
    });
}

fn stsd(out: &mut Boxes, entries: &[&[u8]]) {
    out.full(b"stsd", 0, 0, |b| {
        b.count(entries.len());
        entries.iter().for_each(|entry| b.bytes(entry));
    });
}

fn seconds_since_1904(at: Wall) -> u64 {
    u64::try_from(at.micros().div_euclid(1_000_000).saturating_add(EPOCH_1904_S)).unwrap_or(0)
}
