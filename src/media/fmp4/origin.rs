//! The box that says where a file's footage comes from.

use super::boxes::Boxes;
use crate::{
    base::Wall,
    model::{SessionId, StreamKey},
};

/// The `uuid` under which the origin stands in the file.
pub const ORIGIN_UUID: [u8; 16] = *b"skyvis-origin\0\0\x01";
/// The only layout so far.
const VERSION: u8 = 1;
/// Bytes before the key's text.
const FIXED_BYTES: usize = 4 + 8 + 8 + 4 + 2;

/// Where a file's footage comes from: with the sample table, all that an index row needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The stream.
    pub stream: StreamKey,
    /// When the first video frame was taken.
    pub start: Wall,
    /// The RTSP session that it was recorded from.
    pub session: SessionId,
    /// Its place in that session, from 0.
    pub index: u32,
}

impl Origin {
    /// Writes the whole box.
    pub fn write(&self, out: &mut Boxes) {
        let key = self.stream.to_string();
        out.boxed(b"uuid", |b| {
            b.bytes(&ORIGIN_UUID);
            b.u32(u32::from(VERSION) << 24);
            b.bytes(&self.start.micros().to_be_bytes());
            b.u64(self.session.0);
            b.u32(self.index);
            b.u16(u16::try_from(key.len()).expect("a stream key is short"));
            b.bytes(key.as_bytes());
        });
    }

    /// Reads a `uuid` box's content. None where it is another's box; the error says what is wrong with ours.
    pub fn parse(content: &[u8]) -> Option<Result<Self, &'static str>> {
        let ours = content.strip_prefix(&ORIGIN_UUID)?;
        Some(Self::parse_body(ours))
    }

    fn parse_body(body: &[u8]) -> Result<Self, &'static str> {
        let (fixed, key) = body.split_at_checked(FIXED_BYTES).ok_or("the origin box is too short")?;
        if fixed[0] != VERSION {
            return Err("the origin box has a version that this program does not know");
        }
        let u64_at = |at: usize| fixed[at..at + 8].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let index = u32::from_be_bytes([fixed[20], fixed[21], fixed[22], fixed[23]]);
        let key_len = usize::from(u16::from_be_bytes([fixed[24], fixed[25]]));
        let key = key.get(..key_len).ok_or("the origin box is too short")?;
        let stream = std::str::from_utf8(key).ok().and_then(|k| k.parse().ok());
        Ok(Self {
            stream: stream.ok_or("the origin box names no stream")?,
            start: Wall::from_micros(u64_at(4).cast_signed()),
            session: SessionId(u64_at(12)),
            index,
        })
    }
}
