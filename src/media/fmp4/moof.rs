//! Writes `moof` and the header of the `mdat` behind it.

use super::{FLAGS_DELTA, FLAGS_KEY, VIDEO_TRACK, boxes::Boxes};
use crate::{base::Wall, media::Error, model::TrackSamples};
use std::ops::Range;

/// The most media that one fragment holds, in bytes: `trun` counts offsets in 31 bits.
pub const FRAGMENT_BYTES_MAX: u64 = 1 << 30;
/// Bytes of an `mdat` header in front of the media.
pub const MDAT_HEADER_BYTES: u64 = 8;

/// One track's part of a fragment: runs of the samples of a table.
#[derive(Clone, Debug)]
pub struct Traf<'a> {
    /// Number of the track.
    pub track: u32,
    /// Decoding time of the first sample, in the track's timescale.
    pub first_ticks: u64,
    /// The table that `runs` point into.
    pub samples: &'a TrackSamples,
    /// Runs, in decoding order.
    pub runs: Vec<Run>,
}

/// Samples that lie one behind the other in the fragment's media.
#[derive(Clone, Debug)]
pub struct Run {
    /// Their numbers in the table.
    pub samples: Range<usize>,
    /// Where the first begins, counted from the first byte of media.
    pub media_offset: u64,
}

/// Seconds from NTP's epoch, 1900, to 1970.
const EPOCH_1900_S: i64 = 2_208_988_800;

/// `prft`: when the picture of the video track was taken whose decoding time is `media_ticks`.
pub fn reference_time(wall: Wall, media_ticks: u64) -> Vec<u8> {
    let micros = wall.micros();
    let seconds = u64::try_from(micros.div_euclid(1_000_000).saturating_add(EPOCH_1900_S)).unwrap_or(0);
    let fraction = (micros.rem_euclid(1_000_000).cast_unsigned() << 32) / 1_000_000;
    let mut out = Boxes::with_capacity(32);
    out.full(b"prft", 1, 0, |b| {
        b.u32(VIDEO_TRACK);
        b.u64(seconds << 32 | fraction);
        b.u64(media_ticks);
    });
    out.into_bytes()
}

/// `moof` and the `mdat` header for `media_bytes` of media.
pub fn moof(sequence: u32, trafs: &[Traf<'_>], media_bytes: u64) -> Result<Vec<u8>, Error> {
    if media_bytes > FRAGMENT_BYTES_MAX {
        return Err(Error::TooLarge { what: "a fragment's media", size: media_bytes, limit: FRAGMENT_BYTES_MAX });
    }
    let samples: usize = trafs.iter().flat_map(|t| &t.runs).map(|r| r.samples.len()).sum();
    let mut out = Boxes::with_capacity(samples * 16 + 256);
    let mut offsets = Vec::new();
    out.boxed(b"moof", |b| {
        b.full(b"mfhd", 0, 0, |b| b.u32(sequence));
        trafs.iter().for_each(|t| traf(b, t, &mut offsets));
    });
    let media_at = out.len() as u64 + MDAT_HEADER_BYTES;
    for (at, media_offset) in offsets {
        let offset = media_at + media_offset;
        let limit = i32::MAX as u64;
        let checked = u32::try_from(offset).ok().filter(|o| u64::from(*o) <= limit);
        out.patch_u32(at, checked.ok_or(Error::TooLarge { what: "a fragment", size: offset, limit })?);
    }
    out.u32(u32::try_from(media_bytes + MDAT_HEADER_BYTES).expect("media is at most FRAGMENT_BYTES_MAX"));
    out.bytes(b"mdat");
    Ok(out.into_bytes())
}

fn traf(out: &mut Boxes, traf: &Traf<'_>, offsets: &mut Vec<(usize, u64)>) {
    const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
    const DEFAULT_FLAGS: u32 = 0x20;
    let video = traf.track == VIDEO_TRACK;
    out.boxed(b"traf", |b| {
        b.full(b"tfhd", 0, DEFAULT_BASE_IS_MOOF | DEFAULT_FLAGS, |b| {
            b.u32(traf.track);
            b.u32(if video { FLAGS_DELTA } else { FLAGS_KEY });
        });
        b.full(b"tfdt", 1, 0, |b| b.u64(traf.first_ticks));
        for run in &traf.runs {
            trun(b, traf.samples, run, video, offsets);
        }
    });
}

fn trun(out: &mut Boxes, table: &TrackSamples, run: &Run, video: bool, offsets: &mut Vec<(usize, u64)>) {
    const OFFSET: u32 = 0x1;
    const DURATION: u32 = 0x100;
    const SIZE: u32 = 0x200;
    const FLAGS: u32 = 0x400;
    const COMPOSITION: u32 = 0x800;
    let reordered = run.samples.clone().any(|n| table.offset(n) != 0);
    let with = |flag: u32, wanted: bool| if wanted { flag } else { 0 };
    let flags = OFFSET | DURATION | SIZE | with(FLAGS, video) | with(COMPOSITION, reordered);
    // Version 1: composition offsets have a sign.
    out.full(b"trun", u8::from(reordered), flags, |b| {
        b.count(run.samples.len());
        offsets.push((b.len(), run.media_offset));
        b.u32(0);
        let mut key = table.keys.partition_point(|k| (*k as usize) < run.samples.start);
        for n in run.samples.clone() {
            b.u32(table.durations[n]);
            b.u32(table.sizes[n]);
            if video {
                let is_key = table.keys.get(key).is_some_and(|k| *k as usize == n);
                key += usize::from(is_key);
                b.u32(if is_key { FLAGS_KEY } else { FLAGS_DELTA });
            }
            if reordered {
                b.u32(table.offset(n).cast_unsigned());
            }
        }
    });
}
