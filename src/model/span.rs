//! Intervals of time, and runs of footage without a gap.

use super::{Segment, SessionId};
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

/// A piece of a span: segments that follow one another, summed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    first: Edge,
    last: Edge,
    end: Wall,
    bytes: u64,
    segments: u32,
}

/// What says whether a segment joins another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    start: Wall,
    end: Wall,
    session: SessionId,
    index: u32,
    picture: bool,
}

impl Run {
    /// Of one segment.
    pub fn of(segment: &Segment) -> Self {
        let Segment { start, session, index, bytes, .. } = *segment;
        let edge = Edge { start, end: segment.end(), session, index, picture: segment.is_picture() };
        Self { first: edge, last: edge, end: edge.end, bytes, segments: 1 }
    }

    /// Start of its first segment.
    pub fn start(&self) -> Wall {
        self.first.start
    }

    /// The latest end of its segments.
    pub fn end(&self) -> Wall {
        self.end
    }

    /// Whether `next` plays on with nothing missing between.
    fn joins(&self, next: &Self) -> bool {
        let (last, next) = (&self.last, &next.first);
        let numbered = next.session == last.session && next.index == last.index.wrapping_add(1);
        let near = next.start.micros_since(last.end).abs() <= JOIN_MICROS_MAX;
        next.picture == last.picture && (near || next.picture && numbered)
    }

    /// Puts `next` behind the runs before it, joined to the last of them where it plays on from that.
    pub fn push(runs: &mut Vec<Self>, next: Self) {
        match runs.last_mut().filter(|last| last.joins(&next)) {
            Some(run) => {
                run.last = next.last;
                run.end = run.end.max(next.end);
                run.bytes += next.bytes;
                run.segments += next.segments;
            }
            None => runs.push(next),
        }
    }
}

impl From<Run> for Span {
    fn from(run: Run) -> Self {
        let Run { first, end, bytes, segments, .. } = run;
        let kind = if first.picture { "image" } else { "video" };
        Self { start: first.start, end, bytes, segments, tier: "local".into(), kind: kind.into() }
    }
}

/// Joins segments, which must be sorted by start, into spans.
pub fn spans_of<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> Vec<Span> {
    let mut runs = Vec::new();
    segments.into_iter().for_each(|segment| Run::push(&mut runs, Run::of(segment)));
    runs.into_iter().map(Span::from).collect()
}
