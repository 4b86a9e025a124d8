//! Reads boxes that are in memory. Bounded by what is there: nothing is believed, nothing recurses.

use crate::media::Error;

/// A box: its kind, where its first byte lies in the slice that is walked, and its content.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Four letters.
    pub kind: [u8; 4],
    /// First byte of the whole box.
    pub at: usize,
    /// First byte of the content.
    pub content_at: usize,
    /// What is in it.
    pub content: &'a [u8],
}

/// Walks the boxes that lie one behind the other in `bytes`. Ends with an error at the first that does not fit.
#[derive(Debug)]
pub struct Children<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The boxes in `bytes`.
pub fn children(bytes: &[u8]) -> Children<'_> {
    Children { bytes, at: 0 }
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<Found<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|r| !r.is_empty())?;
        let at = self.at;
        let found = header(rest).and_then(|h| {
            let end = at.checked_add(usize::try_from(h.bytes).ok()?)?;
            let content_at = at + h.header_bytes;
            let content = self.bytes.get(content_at..end)?;
            self.at = end;
            Some(Found { kind: h.kind, at, content_at, content })
        });
        if found.is_none() {
            self.at = self.bytes.len();
        }
        Some(found.ok_or(Error::NotOurs { what: "a box does not fit where it stands", offset: at as u64 }))
    }
}

/// The first child of that kind.
pub fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    children(bytes).map_while(Result::ok).find(|b| b.kind == *kind).map(|b| b.content)
}

/// The content at the end of a path of kinds.
pub fn at_path<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |inner, kind| child(inner, kind))
}

/// What a box's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Four letters.
    pub kind: [u8; 4],
    /// 8, or 16 where the size is written in 64 bits.
    pub header_bytes: usize,
    /// Length of the whole box.
    pub bytes: u64,
}

/// Reads a box header from the first 8 or 16 bytes. None where there are too few or the size cannot be.
pub fn header(bytes: &[u8]) -> Option<Header> {
    let short = u64::from(u32_at(bytes, 0)?);
    let kind: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    let (header_bytes, size) = if short == 1 { (16, u64_at(bytes, 8)?) } else { (8, short) };
    (size >= header_bytes as u64).then_some(Header { kind, header_bytes, bytes: size })
}

/// Big-endian, 16 bits.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Big-endian, 32 bits.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Big-endian, 64 bits.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
