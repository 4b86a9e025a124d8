//! Reads a footage file back into its sample table, by its headers alone: media is never read.
//!
//! A crash may have torn the file's tail: what is whole before it counts. A fragment that is damaged in itself is
//! stepped over, so that what plays behind it is not lost.

use super::{
    AUDIO_TRACK, FLAGS_KEY, Origin, VIDEO_TRACK,
    parse::{self, Header, children, u16_at, u32_at, u64_at},
};
use crate::{
    media::Error,
    model::{SampleTable, TrackSamples, frame::VIDEO_TIMESCALE, segment::Chunk},
};

/// The longest `ftyp`, `moov` or origin box that is read, in bytes.
pub const HEADER_BYTES_MAX: u64 = 1 << 20;
/// The longest `moof` that is read, in bytes.
pub const MOOF_BYTES_MAX: u64 = 16 << 20;
/// The most samples that one file's track may have.
pub const SAMPLES_MAX: usize = 1 << 24;
/// The most boxes at the top of a file.
pub const TOP_BOXES_MAX: usize = 1 << 20;

/// What a footage file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Where it comes from.
    pub origin: Origin,
    /// Where its samples lie.
    pub table: SampleTable,
    /// Length of the header and the whole fragments.
    pub whole_bytes: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Whole fragments.
    pub fragments: u32,
    /// Fragments that were stepped over because they contradict themselves.
    pub damaged_fragments: u32,
    /// What stands behind `whole_bytes`.
    pub tail: Tail,
}

/// What stands behind the last whole fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    None,
    /// The beginning of a fragment, or zeros: what a crash leaves. It is safe to cut off.
    Torn,
    /// Something that cannot be understood. It is not known to be worthless.
    Foreign,
}

/// Why a file could not be scanned: reading failed, or it is not footage.
#[derive(Debug, thiserror::Error)]
pub enum ScanError<E> {
    /// Reading failed.
    #[error(transparent)]
    Read(E),
    /// It is not footage that skyvis wrote, or its header is not whole.
    #[error(transparent)]
    Format(#[from] Error),
}

/// Scans a file of `file_bytes`; `read_exact_at` fills its buffer from an offset and is never asked for bytes
/// beyond `file_bytes`.
pub fn scan<E>(
    file_bytes: u64,
    read_exact_at: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<Scanned, ScanError<E>> {
    let mut file = File { file_bytes, read: read_exact_at };
    let ftyp = file.header_box(0, b"ftyp", "the file does not begin with ftyp")?;
    let moov = file.header_box(ftyp.end, b"moov", "there is no moov behind ftyp")?;
    let uuid = file.header_box(moov.end, b"uuid", "there is no origin box behind moov")?;
    let origin = Origin::parse(&uuid.content)
        .unwrap_or(Err("the uuid box is another program's"))
        .map_err(|what| Error::NotOurs { what, offset: moov.end })?;
    let mut table = table_of(&moov.content).map_err(|what| Error::NotOurs { what, offset: ftyp.end })?;
    table.init_bytes = u32::try_from(uuid.end).unwrap_or(u32::MAX);
    let mut scanned = Scanned {
        origin,
        table,
        whole_bytes: uuid.end,
        file_bytes,
        fragments: 0,
        damaged_fragments: 0,
        tail: Tail::None,
    };
    scan_fragments(&mut file, &mut scanned)?;
    Ok(scanned)
}

struct File<R> {
    file_bytes: u64,
    read: R,
}

struct HeaderBox {
    content: Vec<u8>,
    end: u64,
}

impl<E, R: FnMut(u64, &mut [u8]) -> Result<(), E>> File<R> {
    fn bytes(&mut self, at: u64, len: u64) -> Result<Vec<u8>, ScanError<E>> {
        let mut bytes = vec![0; usize::try_from(len).expect("callers bound what is read")];
        (self.read)(at, &mut bytes).map_err(ScanError::Read)?;
        Ok(bytes)
    }

    /// The header of the box at `at`; None where what is there cannot be one.
    fn box_header(&mut self, at: u64) -> Result<Option<Header>, ScanError<E>> {
        let len = self.file_bytes.saturating_sub(at).min(16);
        Ok(parse::header(&self.bytes(at, len)?))
    }

    /// The whole box at `at`, which must be of that kind.
    fn header_box(&mut self, at: u64, kind: &[u8; 4], missing: &'static str) -> Result<HeaderBox, ScanError<E>> {
        let not_ours = |what| Error::NotOurs { what, offset: at };
        let header = self.box_header(at)?.filter(|h| h.kind == *kind).ok_or(not_ours(missing))?;
        if header.bytes > HEADER_BYTES_MAX {
            return Err(not_ours("a box of the header is longer than 1 MiB").into());
        }
        let end = at.saturating_add(header.bytes);
        if end > self.file_bytes {
            return Err(not_ours("the file ends inside its header").into());
        }
        let content_at = at + header.header_bytes as u64;
        Ok(HeaderBox { content: self.bytes(content_at, end - content_at)?, end })
    }
}

/// A fragment whose `moof` was read and whose `mdat` is still to come.
struct Pending {
    video: Option<FragmentRun>,
    audio: Option<FragmentRun>,
}

/// What one `traf` says.
struct FragmentRun {
    samples: TrackSamples,
    /// Where the first sample begins and the last one ends, in the file.
    media: std::ops::Range<u64>,
}

fn scan_fragments<E, R: FnMut(u64, &mut [u8]) -> Result<(), E>>(
    file: &mut File<R>,
    scanned: &mut Scanned,
) -> Result<(), ScanError<E>> {
    let mut at = scanned.whole_bytes;
    // Some(None): a moof was there, but it is damaged.
    let mut pending: Option<Option<Pending>> = None;
    for _ in 0..TOP_BOXES_MAX {
        if at >= file.file_bytes {
            break;
        }
        let left = file.file_bytes - at;
        let Some(header) = file.box_header(at)? else {
            let short = left < 16 || is_zero(file, at)?;
            scanned.tail = if short { Tail::Torn } else { Tail::Foreign };
            return Ok(());
        };
        let expected = if pending.is_some() { header.kind == *b"mdat" } else { header.kind == *b"moof" };
        if !expected || (header.kind == *b"moof" && header.bytes > MOOF_BYTES_MAX) {
            scanned.tail = Tail::Foreign;
            return Ok(());
        }
        if header.bytes > left {
            break;
        }
        let end = at + header.bytes;
        match pending.take() {
            None => {
                let content_at = at + header.header_bytes as u64;
                let content = file.bytes(content_at, end - content_at)?;
                pending = Some(read_moof(&content, at, scanned));
            }
            Some(moof) => {
                let media = at + header.header_bytes as u64..end;
                let taken = moof.is_some_and(|m| take(&mut scanned.table, m, &media));
                scanned.fragments += u32::from(taken);
                scanned.damaged_fragments += u32::from(!taken);
                scanned.whole_bytes = end;
            }
        }
        at = end;
    }
    scanned.tail = if scanned.whole_bytes < file.file_bytes { Tail::Torn } else { Tail::None };
    Ok(())
}

/// Whether the next bytes are zeros: a file system may leave them where data was lost with the power.
fn is_zero<E, R: FnMut(u64, &mut [u8]) -> Result<(), E>>(file: &mut File<R>, at: u64) -> Result<bool, ScanError<E>> {
    let len = (file.file_bytes - at).min(4096);
    Ok(file.bytes(at, len)?.iter().all(|b| *b == 0))
}

/// Adds a fragment to the table, if all of it lies in its media and it follows on what is there.
fn take(table: &mut SampleTable, fragment: Pending, media: &std::ops::Range<u64>) -> bool {
    let fits = |run: &Option<FragmentRun>, samples: &TrackSamples| {
        run.as_ref().is_none_or(|r| {
            r.media.start >= media.start
                && r.media.end <= media.end
                && follows(samples, &r.samples)
                && samples.sizes.len() + r.samples.sizes.len() <= SAMPLES_MAX
        })
    };
    if !fits(&fragment.video, &table.video) || !fits(&fragment.audio, &table.audio) {
        return false;
    }
    for (run, samples) in [(fragment.video, &mut table.video), (fragment.audio, &mut table.audio)] {
        if let Some(run) = run {
            stretch_to(samples, run.samples.first_ticks);
            samples.append(&run.samples);
        }
    }
    true
}

/// Whether `next` can begin where it says: at or behind the start of the last sample, within what a duration holds.
fn follows(samples: &TrackSamples, next: &TrackSamples) -> bool {
    match samples.durations.last() {
        None => true,
        Some(last) => {
            let last_start = end_ticks(samples) - u64::from(*last);
            next.first_ticks.checked_sub(last_start).is_some_and(|d| u32::try_from(d).is_ok())
        }
    }
}

/// Makes the last sample last until `ticks`: decoding times in the file win over durations, so that what follows a
/// damaged fragment keeps its time.
fn stretch_to(samples: &mut TrackSamples, ticks: u64) {
    let end = end_ticks(samples);
    if let Some(last) = samples.durations.last_mut() {
        let last_start = end - u64::from(*last);
        *last = u32::try_from(ticks.saturating_sub(last_start)).unwrap_or(*last);
    }
}

fn end_ticks(samples: &TrackSamples) -> u64 {
    samples.first_ticks.saturating_add(samples.duration_ticks())
}

/// Reads a `moof` that begins at `moof_at` in the file. None where it contradicts itself.
fn read_moof(content: &[u8], moof_at: u64, scanned: &Scanned) -> Option<Pending> {
    let mut pending = Pending { video: None, audio: None };
    for found in children(content) {
        let found = found.ok()?;
        if found.kind != *b"traf" {
            continue;
        }
        let (track, run) = read_traf(found.content, moof_at)?;
        let has_audio = !scanned.table.audio_entry.is_empty();
        let slot = match track {
            VIDEO_TRACK => &mut pending.video,
            AUDIO_TRACK if has_audio => &mut pending.audio,
            _ => return None,
        };
        if slot.replace(run).is_some() {
            return None;
        }
    }
    Some(pending)
}

fn read_traf(traf: &[u8], moof_at: u64) -> Option<(u32, FragmentRun)> {
    let track = u32_at(parse::child(traf, b"tfhd")?, 4)?;
    let first_ticks = u64_at(parse::child(traf, b"tfdt")?, 4)?;
    let trun = parse::child(traf, b"trun")?;
    let (with_flags, with_offsets) = match u32_at(trun, 0)? {
        0x0000_0701 => (true, false),
        0x0000_0301 => (false, false),
        0x0100_0f01 => (true, true),
        _ => return None,
    };
    let count = usize::try_from(u32_at(trun, 4)?).ok()?;
    let offset = u64::from(u32_at(trun, 8)?);
    let entries = trun.get(12..)?;
    let entry_bytes = 8 + if with_flags { 4 } else { 0 } + if with_offsets { 4 } else { 0 };
    if count == 0 || count > SAMPLES_MAX || entries.len() != count * entry_bytes {
        return None;
    }
    let mut samples = TrackSamples { first_ticks, ..TrackSamples::default() };
    let mut bytes = 0u64;
    for (n, entry) in (0u32..).zip(entries.chunks_exact(entry_bytes)) {
        samples.durations.push(u32_at(entry, 0)?);
        let size = u32_at(entry, 4)?;
        samples.sizes.push(size);
        bytes += u64::from(size);
        if with_flags && track == VIDEO_TRACK && u32_at(entry, 8)? == FLAGS_KEY {
            samples.keys.push(n);
        }
        if with_offsets {
            samples.offsets.push(u32_at(entry, 12)?.cast_signed());
        }
    }
    let start = moof_at.checked_add(offset)?;
    samples.chunks.push(Chunk { offset: start, samples: u32::try_from(count).ok()? });
    // Absurd times would overflow sums later on.
    first_ticks.checked_add(samples.duration_ticks()).filter(|end| *end < 1 << 62)?;
    Some((track, FragmentRun { samples, media: start..start.checked_add(bytes)? }))
}

/// What `moov` says of the tracks.
fn table_of(moov: &[u8]) -> Result<SampleTable, &'static str> {
    let mut table = SampleTable::default();
    for found in children(moov) {
        let found = found.map_err(|_| "moov does not hold together")?;
        if found.kind != *b"trak" {
            continue;
        }
        let track = track_of(found.content).ok_or("a track does not hold together")?;
        match (track.id, &track.handler) {
            (VIDEO_TRACK, b"vide") if track.timescale == VIDEO_TIMESCALE => {
                table.video_entry = track.entry;
                table.width = track.width;
                table.height = track.height;
            }
            (AUDIO_TRACK, b"soun") if track.timescale > 0 => {
                table.audio_entry = track.entry;
                table.audio_timescale = track.timescale;
            }
            _ => return Err("a track is neither video at 90 kHz nor audio"),
        }
    }
    if table.video_entry.is_empty() { Err("there is no video track") } else { Ok(table) }
}

struct TrackOf {
    id: u32,
    handler: [u8; 4],
    timescale: u32,
    width: u16,
    height: u16,
    entry: Vec<u8>,
}

fn track_of(trak: &[u8]) -> Option<TrackOf> {
    let tkhd = parse::child(trak, b"tkhd").filter(|t| t.first() == Some(&1))?;
    let mdia = parse::child(trak, b"mdia")?;
    let mdhd = parse::child(mdia, b"mdhd").filter(|m| m.first() == Some(&1))?;
    let stsd = parse::at_path(mdia, &[b"minf", b"stbl", b"stsd"])?;
    let entries = stsd.get(8..)?;
    let first = children(entries).next()?.ok()?;
    Some(TrackOf {
        id: u32_at(tkhd, 20)?,
        handler: parse::child(mdia, b"hdlr")?.get(8..12)?.try_into().ok()?,
        timescale: u32_at(mdhd, 20)?,
        width: u16_at(tkhd, 88)?,
        height: u16_at(tkhd, 92)?,
        entry: entries.get(..first.content_at + first.content.len())?.to_vec(),
    })
}
