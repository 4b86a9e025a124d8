//! Intervals of time, and runs of footage without a gap.

use super::Segment;
use crate::base::Wall;
use serde::{Deserialize, Serialize};

/// A half-open interval of time: `from` is in it, `to` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// First moment.
    pub from: Wall,
    /// First moment after it.
    pub to: Wall,
}

impl Range {
    /// All of time.
    pub const ALL: Range = Range { from: Wall::from_micros(i64::MIN), to: Wall::from_micros(i64::MAX) };

    /// Whether `[start, end)` has any moment in common with it.
    pub fn overlaps(&self, start: Wall, end: Wall) -> bool {
        start < self.to && end > self.from
    }
}

/// A run of segments with no gap between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Span {
    /// Start of the first frame.
    pub start: Wall,
    /// End of the last frame.
    pub end: Wall,
    /// Bytes on disk.
    pub bytes: u64,
    /// Number of files.
    pub segments: u32,
    /// Where it lies: `local`.
    pub tier: String,
    /// `video`, or `image` where it is single pictures.
    pub kind: String,
}

/// Two segments of different sessions belong to one span where less than this lies between them: a reconnect
/// that lost nothing a person would see.
pub const JOIN_MICROS_MAX: i64 = 250_000;

/// Joins segments, which must be sorted by start, into spans.
pub fn spans_of<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut last: Option<&Segment> = None;
    for segment in segments {
        let joined = last.is_some_and(|l| joins(l, segment));
        match spans.last_mut().filter(|_| joined) {
            Some(span) => {
                span.end = span.end.max(segment.end());
                span.bytes += segment.bytes;
                span.segments += 1;
            }
            None => spans.push(Span {
                start: segment.start,
                end: segment.end(),
                bytes: segment.bytes,
                segments: 1,
                tier: "local".into(),
                kind: if segment.is_picture() { "image" } else { "video" }.into(),
            }),
        }
        last = Some(segment);
    }
    spans
}

/// Whether `next` plays on from `last` with nothing missing between.
pub fn joins(last: &Segment, next: &Segment) -> bool {
    next.continues(last)
        || next.is_picture() == last.is_picture() && next.start.micros_since(last.end()).abs() <= JOIN_MICROS_MAX
}
