//! The last seconds of a stream: segments, their parts, and which of them are listed. Pure.

use super::cutter::{Lengths, Made, Part};
use crate::base::Wall;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Segments that a playlist lists, the one under way not counted: 16 s.
const LISTED_MAX: usize = 8;
/// What was listed is kept for a while longer: who has just fetched the playlist still fetches what it named.
const KEPT_MAX: usize = 12;
/// Bytes of one show, beyond which the oldest segments go: 24 s at 16 Mb/s.
const BYTES_MAX: usize = 48 << 20;
/// Segments that are listed whatever they weigh; RFC 8216 asks for three target durations.
const LISTED_MIN: usize = 4;

/// A segment, whole or under way.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Its number in the playlist.
    pub(super) number: u64,
    /// When its first picture was taken.
    pub(super) wall: Wall,
    /// Time or format do not go on from the segment before.
    pub(super) discontinuity: bool,
    /// How it is coded: the number of an init segment.
    pub(super) init: u32,
    pub(super) parts: Vec<Part>,
    /// All of it, once no more parts will come: made once, and the same for all who ask.
    all: Option<Bytes>,
}

impl Segment {
    /// How long it lasts, at 90 kHz.
    pub(super) fn ticks(&self) -> u64 {
        self.parts.iter().map(|part| part.ticks).sum()
    }

    /// Whether no more parts will come.
    pub(super) fn is_whole(&self) -> bool {
        self.all.is_some()
    }

    /// All of it, once it is whole.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        self.all.clone()
    }

    /// No more parts will come. From now on they lie in one piece of memory, which is that of all of it.
    fn end(&mut self) {
        let mut all = BytesMut::with_capacity(self.len());
        self.parts.iter().for_each(|part| all.extend_from_slice(&part.bytes));
        let all = all.freeze();
        let mut at = 0;
        for part in &mut self.parts {
            let end = at + part.bytes.len();
            part.bytes = all.slice(at..end);
            at = end;
        }
        self.all = Some(all);
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.bytes.len()).sum()
    }
}

/// What of a stream is in memory.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) lengths: Lengths,
    /// The last one may be under way.
    segments: VecDeque<Segment>,
    inits: VecDeque<(u32, Bytes)>,
    next_number: u64,
    next_init: u32,
    /// Discontinuities of segments that are not kept any more.
    gone_discontinuities: u64,
    bytes: usize,
}

impl Window {
    /// Nothing yet; the first segment will have this number.
    pub(super) fn new(lengths: Lengths, first_number: u64) -> Self {
        Self {
            lengths,
            segments: VecDeque::new(),
            inits: VecDeque::new(),
            next_number: first_number,
            next_init: 0,
            gone_discontinuities: 0,
            bytes: 0,
        }
    }

    /// Takes in what was made.
    pub(super) fn add(&mut self, made: Made) {
        match made {
            Made::Begin { wall, discontinuity, init } => {
                if let Some(init) = init {
                    self.inits.push_back((self.next_init, init));
                    self.next_init += 1;
                }
                let init = self.next_init.saturating_sub(1);
                let number = self.next_number;
                self.next_number += 1;
                self.segments.push_back(Segment { number, wall, discontinuity, init, parts: Vec::new(), all: None });
                self.trim();
            }
            Made::Part(part) => {
                if let Some(segment) = self.segments.back_mut() {
                    self.bytes += part.bytes.len();
                    segment.parts.push(part);
                }
            }
            Made::End => {
                if let Some(segment) = self.segments.back_mut() {
                    segment.end();
                }
            }
        }
    }

    fn trim(&mut self) {
        let over = |w: &Self| w.segments.len() > KEPT_MAX || (w.bytes > BYTES_MAX && w.segments.len() > LISTED_MIN);
        while over(self) {
            let Some(gone) = self.segments.pop_front() else { break };
            self.bytes -= gone.len();
            self.gone_discontinuities += u64::from(gone.discontinuity);
        }
        let oldest = self.segments.front().map_or(0, |segment| segment.init);
        self.inits.retain(|(number, _)| *number >= oldest);
    }

    /// The segments of the playlist, the one under way among them.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().skip(self.unlisted())
    }

    fn unlisted(&self) -> usize {
        let whole = self.segments.iter().filter(|segment| segment.is_whole()).count();
        whole.saturating_sub(LISTED_MAX)
    }

    /// Discontinuities before the first segment of the playlist.
    pub(super) fn discontinuities(&self) -> u64 {
        let kept = self.segments.iter().take(self.unlisted()).filter(|segment| segment.discontinuity).count();
        self.gone_discontinuities + kept as u64
    }

    /// How many segments are in memory.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.segments.len()
    }

    /// A segment that is kept.
    pub(super) fn segment(&self, number: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.number == number)
    }

    /// An init segment that is kept.
    pub(super) fn init(&self, number: u32) -> Option<Bytes> {
        self.inits.iter().find(|(n, _)| *n == number).map(|(_, bytes)| bytes.clone())
    }

    /// What comes next: the number of a segment, and of a part in it.
    pub(super) fn next(&self) -> (u64, usize) {
        match self.segments.back() {
            Some(segment) if !segment.is_whole() => (segment.number, segment.parts.len()),
            _ => (self.next_number, 0),
        }
    }

    /// Whether a playlist would have something in it for every player.
    pub(super) fn has_some(&self) -> bool {
        self.segments.iter().any(Segment::is_whole)
    }
}
