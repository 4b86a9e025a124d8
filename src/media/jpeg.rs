//! Single pictures: what a JPEG says of itself, the mark that we put into one, and its sample entry in MP4.
//!
//! A picture on disk is the camera's JPEG with one comment added (a COM segment, which every viewer passes over). It says
//! whose picture it is, when it was taken and how long it stands, so that the index can be rebuilt from files alone; the
//! rest is as the camera sent it, byte by byte.

use super::{
    Error,
    fmp4::{Origin, boxes::Boxes},
};
use crate::{
    base::Wall,
    model::{SampleTable, SessionId, TrackSamples, VideoCodec, VideoFormat, segment::Chunk},
};

/// The longest picture that is taken: three times what a camera of 12 megapixels sends.
pub const PICTURE_BYTES_MAX: usize = 8 << 20;
/// So many bytes of a file hold the mark.
pub const MARK_WITHIN_BYTES: usize = 1024;
/// What begins our comment. The figure is the version of what follows.
const MARK: &str = "skyvis-origin 1 ";
/// The longest comment that is read.
const MARK_BYTES_MAX: usize = 512;
/// Bytes of `JFIF` that stand in front of all else, where there is such a segment.
const JFIF_BYTES_MAX: usize = 256;

const SOI: [u8; 2] = [0xff, 0xd8];
const EOI: [u8; 2] = [0xff, 0xd9];
const APP0: u8 = 0xe0;
const COM: u8 = 0xfe;
const SOS: u8 = 0xda;

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whose picture it is, and when it was taken.
    pub origin: Origin,
    /// How long it stands, in 90 kHz ticks.
    pub ticks: u32,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
}

/// Width and height of a whole JPEG; says what is wrong with what is none.
pub fn size(bytes: &[u8]) -> Result<(u16, u16), Error> {
    let wrong = |what| Err(Error::Picture(what));
    if bytes.len() > PICTURE_BYTES_MAX {
        return wrong("it is too long");
    }
    if !bytes.starts_with(&SOI) {
        return wrong("it does not begin as a JPEG does");
    }
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    if !bytes[..end].ends_with(&EOI) {
        return wrong("it is cut off");
    }
    for (kind, content) in segments(bytes) {
        // Frame headers of all kinds of coding, without the tables that lie between them.
        if matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc) {
            let side = |at: usize| content.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
            return match (side(3), side(1)) {
                (Some(width), Some(height)) if width > 0 && height > 0 => Ok((width, height)),
                _ => wrong("it has no size"),
            };
        }
    }
    wrong("it has no frame")
}

/// The segments up to the first scan.
fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 2;
    std::iter::from_fn(move || {
        while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        let [0xff, kind, high, low] = *bytes.get(at..at + 4)? else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let content = bytes.get(at + 4..(at + 2).checked_add(length)?)?;
        at += 2 + length;
        (kind != SOS).then_some((kind, content))
    })
}

/// Where our comment goes: behind `JFIF`, which must come first.
fn mark_at(bytes: &[u8]) -> usize {
    match segments(bytes).next() {
        Some((APP0, content)) if content.len() <= JFIF_BYTES_MAX => 2 + 4 + content.len(),
        _ => 2,
    }
}

/// The comment that marks a picture, and where it goes into it.
pub fn mark(bytes: &[u8], mark: &Mark) -> (usize, Vec<u8>) {
    let Mark { origin, ticks, width, height } = mark;
    let Origin { stream, start, session, index } = origin;
    let text = format!("{MARK}{stream} {} {} {index} {ticks} {width}x{height}", start.micros(), session.0);
    let mut comment = vec![0xff, COM];
    let length = u16::try_from(text.len() + 2).expect("a stream key is short");
    comment.extend_from_slice(&length.to_be_bytes());
    comment.extend_from_slice(text.as_bytes());
    (mark_at(bytes), comment)
}

/// The mark in a picture's first bytes.
pub fn read_mark(begin: &[u8]) -> Result<Mark, Error> {
    let none = Error::Picture("it has no mark of skyvis");
    if !begin.starts_with(&SOI) {
        return Err(none);
    }
    let comment = segments(begin).take(2).find(|(kind, _)| *kind == COM).map(|(_, content)| content);
    let text = comment.filter(|c| c.len() <= MARK_BYTES_MAX).and_then(|c| std::str::from_utf8(c).ok());
    let mut fields = text.and_then(|t| t.strip_prefix(MARK)).ok_or(none)?.split(' ');
    let mut read = || {
        let stream = fields.next()?.parse().ok()?;
        let start = Wall::from_micros(fields.next()?.parse().ok()?);
        let session = SessionId(fields.next()?.parse().ok()?);
        let index = fields.next()?.parse().ok()?;
        let ticks = fields.next()?.parse().ok()?;
        let (width, height) = fields.next()?.split_once('x')?;
        let (width, height) = (width.parse().ok()?, height.parse().ok()?);
        let origin = Origin { stream, start, session, index };
        fields.next().is_none().then_some(Mark { origin, ticks, width, height })
    };
    read().ok_or(Error::Picture("its mark cannot be read"))
}

/// Whether a file's last bytes are those of a whole picture.
pub fn is_whole(end: &[u8]) -> bool {
    let last = end.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    end[..last].ends_with(&EOI)
}

/// The table of a file that is one picture.
pub fn table(mark: &Mark, bytes: u32) -> SampleTable {
    SampleTable {
        video_entry: sample_entry(mark.width, mark.height),
        width: mark.width,
        height: mark.height,
        video: TrackSamples {
            sizes: vec![bytes],
            durations: vec![mark.ticks],
            keys: vec![0],
            chunks: vec![Chunk { offset: 0, samples: 1 }],
            ..TrackSamples::default()
        },
        ..SampleTable::default()
    }
}

/// How pictures of this size are coded.
pub fn video_format(width: u16, height: u16) -> VideoFormat {
    let sample_entry = sample_entry(width, height).into();
    VideoFormat { codec: VideoCodec::Mjpeg, rfc6381: "mp4v.6C".into(), width, height, sample_entry }
}

/// `mp4v` with the object type of JPEG, as common players take it.
fn sample_entry(width: u16, height: u16) -> Vec<u8> {
    /// ISO/IEC 14496-1: JPEG, a visual stream.
    const JPEG: u8 = 0x6c;
    const VISUAL: u8 = 0x04 << 2 | 1;
    let mut out = Boxes::with_capacity(160);
    out.boxed(b"mp4v", |b| {
        b.zeros(6);
        b.u16(1);
        b.zeros(16);
        b.u16(width);
        b.u16(height);
        b.u32(0x0048_0000);
        b.u32(0x0048_0000);
        b.u32(0);
        b.u16(1);
        b.zeros(32);
        b.u16(24);
        b.u16(0xffff);
        b.full(b"esds", 0, 0, |b| {
            // ES_Descriptor, DecoderConfigDescriptor, SLConfigDescriptor.
            b.bytes(&[0x03, 3 + 2 + 13 + 3, 0, 1, 0]);
            b.bytes(&[0x04, 13, JPEG, VISUAL, 0, 0, 0]);
            b.zeros(8);
            b.bytes(&[0x06, 1, 2]);
        });
    });
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::fixture::run;
    use proptest::prelude::*;

    fn jpeg() -> &'static [u8] {
        static MADE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        MADE.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.jpg");
            let source = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x48:duration=1", "-frames:v", "1"];
            run("ffmpeg", &[&source[..], &["-update", "1", path.to_str().unwrap()]].concat());
            std::fs::read(path).unwrap()
        })
    }

    fn a_mark() -> Mark {
        let origin = Origin {
            stream: "nvr1/3/main".parse().unwrap(),
            start: Wall::from_micros(1_795_262_400_000_123),
            session: SessionId(u64::MAX),
            index: 7,
        };
        Mark { origin, ticks: 2_700_000, width: 64, height: 48 }
    }

    fn marked(bytes: &[u8]) -> Vec<u8> {
        let (at, comment) = mark(bytes, &a_mark());
        [&bytes[..at], &comment, &bytes[at..]].concat()
    }

    #[test]
    fn a_marked_picture_is_the_cameras_with_one_comment() {
        let bytes = marked(jpeg());
        assert_eq!(size(&bytes).unwrap(), (64, 48));
        assert_eq!(read_mark(&bytes[..MARK_WITHIN_BYTES]).unwrap(), a_mark());
        let dir = tempfile::tempdir().unwrap();
        let pixels = |bytes: &[u8], name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            run("ffmpeg", &["-v", "error", "-i", path.to_str().unwrap(), "-f", "framemd5", "-"])
        };
        assert_eq!(pixels(&bytes, "marked.jpg"), pixels(jpeg(), "as_it_was.jpg"));
        // One that had our comment already is marked in front of it.
        assert_eq!(read_mark(&marked(&bytes)).unwrap(), a_mark());
    }

    #[test]
    fn what_is_no_whole_picture_is_told() {
        let whole = jpeg();
        for (bytes, what) in [
            (&b"<?xml version=\"1.0\"?><ResponseStatus/>"[..], "does not begin"),
            (&whole[..whole.len() - 2], "cut off"),
            (&[0xff, 0xd8, 0xff, 0xd9], "no frame"),
            (&[], "does not begin"),
            (&vec![0xff; PICTURE_BYTES_MAX + 1], "too long"),
        ] {
            let error = size(bytes).unwrap_err().to_string();
            assert!(error.contains(what), "{what}: {error}");
        }
        assert_eq!(size(&[whole, &[0, 0, 0]].concat()).unwrap(), (64, 48), "padding is no harm");
        assert!(read_mark(whole).is_err());
    }

    proptest! {
        #[test]
        fn nonsense_never_panics(at in 0usize..2000, byte: u8, cut in 0usize..2000) {
            let mut bytes = marked(jpeg());
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            let _ = (size(&bytes), read_mark(&bytes), is_whole(&bytes), mark(&bytes, &a_mark()));
        }
    }
}
