//! Reads the video of a fragmented MP4 piece by piece, as another program writes it into a pipe.
//!
//! Unlike `read`, which knows our own files, this takes what any muxer may write: defaults in `trex` and `tfhd`, several
//! runs a fragment, any timescale. It is bounded and never believes a length that it has not checked; nonsense is an
//! error, after which the stream cannot be read on.

use super::parse::{self, Header, at_path, child, children, u16_at, u32_at, u64_at};
use crate::{
    media::Error,
    model::{VideoCodec, VideoFormat, frame::VIDEO_TIMESCALE},
};
use bytes::{Bytes, BytesMut};
use std::fmt::Write;

/// The longest box that is not media. A fragment's header is some hundred bytes, a file's below 2 KiB.
pub const HEADER_BYTES_MAX: u64 = 1 << 20;
/// The longest media of one fragment: a key frame of the largest cameras has 4 MiB.
pub const MEDIA_BYTES_MAX: u64 = 32 << 20;
/// The most samples of one fragment: four minutes of 60 pictures a second.
pub const SAMPLES_MAX: usize = 1 << 14;

/// Bytes of a visual sample entry in front of its inner boxes.
const VISUAL_FIELDS_BYTES: usize = 78;
/// `sample_is_non_sync_sample` in a sample's flags.
const NON_SYNC: u32 = 0x0001_0000;

/// What was found next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// How all pictures after it are coded.
    Format(VideoFormat),
    /// The next picture, in decoding order.
    Sample(Sample),
}

/// One coded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it is shown, in 90 kHz ticks.
    pub ticks: i64,
    /// Decoding can begin here.
    pub key: bool,
    /// The coded picture.
    pub data: Bytes,
}

/// Defaults of samples that a run does not spell out.
#[derive(Clone, Copy, Debug, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

#[derive(Clone, Copy, Debug)]
struct Track {
    id: u32,
    timescale: u32,
    defaults: Defaults,
}

/// A sample whose media is still to come.
#[derive(Clone, Copy, Debug)]
struct Announced {
    /// Where it begins, counted from the first byte of its `moof`.
    offset: u64,
    size: u32,
    ticks: i64,
    key: bool,
}

/// Reads one stream of bytes.
#[derive(Debug, Default)]
pub struct Demuxer {
    buffer: BytesMut,
    track: Option<Track>,
    /// Bytes of the last `moof`, and what it announced.
    moof_bytes: u64,
    announced: Vec<Announced>,
}

impl Demuxer {
    /// Takes the next bytes and answers what they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, Error> {
        self.buffer.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        while let Some(header) = self.next_header()? {
            let Ok(whole) = usize::try_from(header.bytes) else { return Err(wrong("a box is too long")) };
            if self.buffer.len() < whole {
                break;
            }
            let mut content = self.buffer.split_to(whole).freeze();
            let _ = content.split_to(header.header_bytes);
            self.take(&header, &content, &mut pieces)?;
        }
        Ok(pieces)
    }

    /// Bytes that wait for the rest of their box.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn next_header(&self) -> Result<Option<Header>, Error> {
        if self.buffer.len() < 8 {
            return Ok(None);
        }
        let Some(header) = parse::header(&self.buffer) else {
            // A size of 64 bits may still be on its way.
            let wide = u32_at(&self.buffer, 0) == Some(1) && self.buffer.len() < 16;
            return if wide { Ok(None) } else { Err(wrong("what comes is no box")) };
        };
        let printable = header.kind.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
        let limit = if header.kind == *b"mdat" { MEDIA_BYTES_MAX } else { HEADER_BYTES_MAX };
        match printable {
            false => Err(wrong("what comes is no box")),
            true if header.bytes > limit => {
                Err(Error::TooLarge { what: "a box of a piped MP4", size: header.bytes, limit })
            }
            true => Ok(Some(header)),
        }
    }

    fn take(&mut self, header: &Header, content: &Bytes, pieces: &mut Vec<Piece>) -> Result<(), Error> {
        match &header.kind {
            b"moov" => {
                let (track, format) = movie(content)?;
                self.track = Some(track);
                pieces.push(Piece::Format(format));
            }
            b"moof" => {
                let track = self.track.ok_or(wrong("a fragment comes before the header"))?;
                self.moof_bytes = header.bytes;
                self.announced = fragment(content, &track)?;
            }
            b"mdat" => {
                let begin = self.moof_bytes + header.header_bytes as u64;
                for sample in std::mem::take(&mut self.announced) {
                    let from = sample.offset.checked_sub(begin).and_then(|o| usize::try_from(o).ok());
                    let range = from.and_then(|from| Some(from..from.checked_add(sample.size as usize)?));
                    let range = range.filter(|r| r.end <= content.len()).ok_or(wrong("a sample lies outside"))?;
                    pieces.push(Piece::Sample(Sample {
                        ticks: sample.ticks,
                        key: sample.key,
                        data: content.slice(range),
                    }));
                }
            }
            // Indexes, padding, times of the writer: nothing that is needed.
            _ => {}
        }
        Ok(())
    }
}

fn wrong(what: &'static str) -> Error {
    Error::Piped(what)
}

/// What `moov` says of its video track.
fn movie(moov: &[u8]) -> Result<(Track, VideoFormat), Error> {
    for found in children(moov) {
        let found = found.map_err(|_| wrong("moov does not hold together"))?;
        let handler = at_path(found.content, &[b"mdia", b"hdlr"]).and_then(|h| h.get(8..12));
        if found.kind == *b"trak" && handler == Some(b"vide") {
            let (id, timescale, entry) = video_track(found.content).ok_or(wrong("the video track is not whole"))?;
            let defaults = at_path(moov, &[b"mvex"]).and_then(|mvex| trex(mvex, id)).unwrap_or_default();
            return Ok((Track { id, timescale, defaults }, video_format(entry)?));
        }
    }
    Err(wrong("there is no video track"))
}

fn video_track(trak: &[u8]) -> Option<(u32, u32, &[u8])> {
    let tkhd = child(trak, b"tkhd")?;
    let id = u32_at(tkhd, if tkhd.first() == Some(&1) { 20 } else { 12 })?;
    let mdhd = at_path(trak, &[b"mdia", b"mdhd"])?;
    let timescale = u32_at(mdhd, if mdhd.first() == Some(&1) { 20 } else { 12 })?;
    let stsd = at_path(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?;
    let entries = stsd.get(8..)?;
    let first = children(entries).next()?.ok()?;
    let entry = entries.get(..first.content_at + first.content.len())?;
    (timescale > 0).then_some((id, timescale, entry))
}

fn trex(mvex: &[u8], track: u32) -> Option<Defaults> {
    let mut all = children(mvex).map_while(Result::ok).filter(|b| b.kind == *b"trex").map(|b| b.content);
    let trex = all.find(|t| u32_at(t, 4) == Some(track))?;
    Some(Defaults { duration: u32_at(trex, 12)?, size: u32_at(trex, 16)?, flags: u32_at(trex, 20)? })
}

/// The format that a visual sample entry describes.
pub fn video_format(entry: &[u8]) -> Result<VideoFormat, Error> {
    let kind: [u8; 4] = entry.get(4..8).and_then(|k| k.try_into().ok()).unwrap_or_default();
    let content = entry.get(8..).unwrap_or_default();
    let inner = content.get(VISUAL_FIELDS_BYTES..).unwrap_or_default();
    let named = match &kind {
        b"avc1" | b"avc3" => child(inner, b"avcC").and_then(avc_name).map(|n| (VideoCodec::H264, n)),
        b"hvc1" | b"hev1" => child(inner, b"hvcC").and_then(hevc_name).map(|n| (VideoCodec::H265, n)),
        _ => return Err(wrong("its video is neither H.264 nor H.265")),
    };
    let (codec, parameters) = named.ok_or(wrong("the sample entry has no decoder configuration"))?;
    let side = |at| u16_at(content, at).filter(|n| *n > 0).ok_or(wrong("the picture has no size"));
    Ok(VideoFormat {
        codec,
        rfc6381: format!("{}.{parameters}", String::from_utf8_lossy(&kind)),
        width: side(24)?,
        height: side(26)?,
        sample_entry: Bytes::copy_from_slice(entry),
    })
}

fn avc_name(avcc: &[u8]) -> Option<String> {
    let [_, profile, constraints, level, ..] = avcc else { return None };
    Some(format!("{profile:02X}{constraints:02X}{level:02X}"))
}

/// ISO/IEC 14496-15, annex E.
fn hevc_name(hvcc: &[u8]) -> Option<String> {
    let profile = *hvcc.get(1)?;
    let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let compatible = u32_at(hvcc, 2)?.reverse_bits();
    let mut name = format!("{space}{}.{compatible:X}.{tier}{}", profile & 0x1f, hvcc.get(12)?);
    let constraints = hvcc.get(6..12)?;
    let used = constraints.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        // Writing to a String cannot fail.
        let _ = write!(name, ".{byte:X}");
    }
    Some(name)
}

/// The samples of the video track that a `moof` announces.
fn fragment(moof: &[u8], track: &Track) -> Result<Vec<Announced>, Error> {
    let mut samples = Vec::new();
    for found in children(moof) {
        let found = found.map_err(|_| wrong("moof does not hold together"))?;
        if found.kind == *b"traf" {
            traf(found.content, track, &mut samples).ok_or(wrong("a track fragment does not hold together"))?;
        }
    }
    Ok(samples)
}

fn traf(traf: &[u8], track: &Track, samples: &mut Vec<Announced>) -> Option<()> {
    let mut tfhd = Fields(child(traf, b"tfhd")?);
    let flags = tfhd.u32()? & 0x00ff_ffff;
    if tfhd.u32()? != track.id {
        return Some(());
    }
    // Offsets that count from anything but the fragment cannot be followed in a pipe.
    if flags & 0x01 != 0 {
        return None;
    }
    tfhd.optional(flags & 0x02)?;
    let mut defaults = track.defaults;
    defaults.duration = tfhd.optional(flags & 0x08)?.unwrap_or(defaults.duration);
    defaults.size = tfhd.optional(flags & 0x10)?.unwrap_or(defaults.size);
    defaults.flags = tfhd.optional(flags & 0x20)?.unwrap_or(defaults.flags);
    let tfdt = child(traf, b"tfdt")?;
    let mut time = if tfdt.first() == Some(&1) { u64_at(tfdt, 4)? } else { u64::from(u32_at(tfdt, 4)?) };
    let mut next_offset = None;
    for found in children(traf).map_while(Result::ok).filter(|b| b.kind == *b"trun") {
        trun(found.content, track.timescale, &defaults, &mut time, &mut next_offset, samples)?;
    }
    Some(())
}

fn trun(
    trun: &[u8],
    timescale: u32,
    defaults: &Defaults,
    time: &mut u64,
    next_offset: &mut Option<u64>,
    samples: &mut Vec<Announced>,
) -> Option<()> {
    let mut fields = Fields(trun);
    let flags = fields.u32()? & 0x00ff_ffff;
    let count = fields.u32()? as usize;
    let offset = match fields.optional(flags & 0x01)? {
        Some(offset) => u64::from(offset),
        None => (*next_offset)?,
    };
    let first_flags = fields.optional(flags & 0x04)?;
    if samples.len() + count > SAMPLES_MAX {
        return None;
    }
    let mut at = offset;
    for n in 0..count {
        let duration = fields.optional(flags & 0x100)?.unwrap_or(defaults.duration);
        let size = fields.optional(flags & 0x200)?.unwrap_or(defaults.size);
        let own_flags = fields.optional(flags & 0x400)?;
        let shift = fields.optional(flags & 0x800)?.unwrap_or(0).cast_signed();
        let of_first = first_flags.filter(|_| n == 0);
        let sample_flags = own_flags.or(of_first).unwrap_or(defaults.flags);
        let shown = i64::try_from(*time).ok()?.checked_add(i64::from(shift))?;
        let ticks = i128::from(shown) * i128::from(VIDEO_TIMESCALE) / i128::from(timescale);
        samples.push(Announced {
            offset: at,
            size,
            ticks: i64::try_from(ticks).ok()?,
            key: sample_flags & NON_SYNC == 0,
        });
        *time = time.checked_add(u64::from(duration))?;
        at = at.checked_add(u64::from(size))?;
    }
    *next_offset = Some(at);
    Some(())
}

/// 32-bit fields, one behind the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (field, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*field))
    }

    /// A field that is there where `flag` is set. None at the end of the box.
    fn optional(&mut self, flag: u32) -> Option<Option<u32>> {
        if flag == 0 { Some(None) } else { self.u32().map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Wall,
        media::{
            fixture::{Options, clip, run},
            fmp4::write::{FragmentTrack, Sample as Written, empty_table, fragment as write_fragment, init_of_table},
        },
    };
    use proptest::prelude::*;

    fn all(bytes: &[u8], step: usize) -> Result<Vec<Piece>, Error> {
        let mut demuxer = Demuxer::default();
        let mut pieces = Vec::new();
        for part in bytes.chunks(step) {
            pieces.extend(demuxer.push(part)?);
        }
        Ok(pieces)
    }

    /// What ffmpeg writes into a pipe, of either codec.
    fn by_ffmpeg(codec: &str, tag: &str, more: &[&str]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("piped.mp4");
        let (source, out) = ("testsrc=size=128x96:rate=10:duration=2", path.to_str().unwrap());
        let base = ["-v", "error", "-y", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-c:v", codec, "-bf", "0"];
        let quiet = if codec == "libx265" { &["-x265-params", "log-level=none"][..] } else { &[] };
        run("ffmpeg", &[&base[..], quiet, &["-tag:v", tag, "-f", "mp4"], more, &[out]].concat());
        std::fs::read(path).unwrap()
    }

    #[test]
    fn what_ffmpeg_pipes_is_read_in_pieces_of_any_length() {
        for (codec, tag, name, flags) in [
            ("libx264", "avc1", "avc1.", "empty_moov+default_base_moof+frag_every_frame"),
            ("libx265", "hvc1", "hvc1.1.6.L", "empty_moov+default_base_moof+frag_keyframe"),
        ] {
            let bytes = by_ffmpeg(codec, tag, &["-movflags", flags]);
            let pieces = all(&bytes, bytes.len()).unwrap();
            assert_eq!(pieces, all(&bytes, 7).unwrap());
            let Piece::Format(format) = &pieces[0] else { panic!("{:?}", pieces[0]) };
            assert!(format.rfc6381.starts_with(name), "{}", format.rfc6381);
            assert_eq!((format.width, format.height), (128, 96));
            let ticks: Vec<i64> = pieces[1..]
                .iter()
                .map(|p| if let Piece::Sample(s) = p { s.ticks } else { panic!("one format is enough") })
                .collect();
            assert_eq!(ticks, (0..20).map(|n| n * 9000).collect::<Vec<_>>());
            assert!(matches!(&pieces[1], Piece::Sample(s) if s.key), "the first is a key frame");
            assert!(pieces[2..].iter().any(|p| matches!(p, Piece::Sample(s) if !s.key)));
        }
    }

    #[test]
    fn what_we_write_comes_back() {
        let clip = clip(Options::default());
        let video = clip.video.iter().take(30);
        let samples: Vec<Written> =
            video.map(|(data, key)| Written { data: data.clone(), duration: 3600, offset: 0, key: *key }).collect();
        let mut bytes = init_of_table(&empty_table(&clip.format), Wall::default());
        for (n, sample) in (0u32..).zip(&samples) {
            let track = FragmentTrack { first_ticks: u64::from(n) * 3600, samples: vec![sample.clone()] };
            let fragment = write_fragment(n + 1, track, None).unwrap();
            bytes.extend(&fragment.head);
            fragment.body.iter().for_each(|b| bytes.extend_from_slice(b));
        }
        let pieces = all(&bytes, 1000).unwrap();
        let read: Vec<(i64, bool, Bytes)> = pieces[1..]
            .iter()
            .map(|p| if let Piece::Sample(s) = p { (s.ticks, s.key, s.data.clone()) } else { panic!() })
            .collect();
        let wanted: Vec<_> = (0..).zip(samples).map(|(n, s)| (n * 3600, s.key, s.data)).collect();
        assert_eq!(read, wanted);
    }

    #[test]
    fn nonsense_is_an_error_and_lengths_are_not_believed() {
        for bytes in [
            &b"ffmpeg: not found\n"[..],
            &[0; 64],
            &[0xff; 64],
            b"\0\0\0\x10moof\0\0\0\x08traf",
            &[&u32::MAX.to_be_bytes()[..], b"mdat"].concat(),
            &[&[0, 0, 0, 1][..], b"moov", &u64::MAX.to_be_bytes()].concat(),
        ] {
            assert!(all(bytes, 5).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_that_were_turned_never_panic(at in 0usize..4000, byte: u8, cut in 0usize..4000) {
            static MADE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let made = MADE.get_or_init(|| by_ffmpeg("libx264", "avc1", &["-movflags", "empty_moov+default_base_moof"]));
            let mut bytes = made.clone();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.drain(..cut % 40);
            if let Ok(pieces) = all(&bytes, 997) {
                prop_assert!(pieces.len() <= SAMPLES_MAX);
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = all(&bytes, 11);
        }
    }
}
