//! How long a body is, by what the head says of it. One reading only: what two parsers could read differently is refused.

use super::{
    Refusal, Version,
    field::{Fields, Kind},
    text::{is_token, number},
};

/// What comes behind a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// That many bytes, of which there may be none: `Content-Length: 0` is something that was said.
    Length(u64),
    /// Chunks, until one of no length and a trailer section.
    Chunked,
    /// Whatever comes until the sender closes; responses only.
    UntilClose,
}

impl Body {
    /// Whether bytes may come.
    pub fn is_some(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// What a head says about its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) length: Option<u64>,
    pub(super) is_chunked: bool,
}

/// Reads `Content-Length` and `Transfer-Encoding`, each at most once and never together.
pub(super) fn declared(fields: &Fields, bytes: &[u8], version: Version) -> Result<Declared, Refusal> {
    let mut declared = Declared::default();
    if !fields.has(Kind::ContentLength) && !fields.has(Kind::TransferEncoding) {
        return Ok(declared);
    }
    let (mut lengths, mut codings) = (0, 0);
    let mut fault = None;
    for slot in fields.slots() {
        let value = slot.value.of(bytes);
        match slot.kind {
            Kind::ContentLength => {
                lengths += 1;
                match number(value) {
                    Some(length) => declared.length = Some(length),
                    None => fault = fault.or(Some(Refusal::Length)),
                }
            }
            Kind::TransferEncoding => {
                codings += 1;
                fault = fault.or(coding_fault(value));
                declared.is_chunked = true;
            }
            _ => {}
        }
    }
    match (lengths, codings) {
        (1.., 1..) => Err(Refusal::LengthAndCoding),
        (2.., _) => Err(Refusal::TwoLengths),
        (_, 2..) => Err(Refusal::TwoCodings),
        (_, 1) if version == Version::Http10 => Err(Refusal::CodingInOldVersion),
        _ => fault.map_or(Ok(declared), Err),
    }
}

/// What is wrong with a `Transfer-Encoding`: it is `chunked` and nothing else.
fn coding_fault(value: &[u8]) -> Option<Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return None;
    }
    let mut members = value.split(|b| *b == b',').map(<[u8]>::trim_ascii).peekable();
    while let Some(member) = members.next() {
        let is_early = member.eq_ignore_ascii_case(b"chunked") && members.peek().is_some();
        if is_early || !is_token(member) {
            return Some(Refusal::Coding);
        }
    }
    Some(Refusal::CodingUnknown)
}
