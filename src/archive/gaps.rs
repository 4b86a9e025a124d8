//! Gaps and coverage of streams: footage of the index and what grows, explained by the ledger.

use super::{
    Archive, Error,
    ledger::{self, Spans, Told, coverage},
};
use crate::{
    base::Wall,
    model::{Gap, Range, Segment, StreamKey},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is said of one stream or of many.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gaps {
    /// By stream, then by start.
    pub gaps: Vec<(StreamKey, Gap)>,
    /// Time in which they should have been recorded, summed over streams.
    pub wanted_micros: i64,
    /// Of that, time without footage.
    pub missing_micros: i64,
}

impl Gaps {
    /// Part of the wanted time that was recorded; 1 where nothing was wanted.
    pub fn coverage(&self) -> f64 {
        coverage(self.wanted_micros, self.missing_micros)
    }

    /// Adds what is said of one more stream.
    pub fn add(&mut self, stream: &StreamKey, told: Told) {
        self.gaps.extend(told.gaps.into_iter().map(|gap| (stream.clone(), gap)));
        self.wanted_micros += told.wanted_micros;
        self.missing_micros += told.missing_micros;
    }
}

impl Archive {
    /// Streams that have footage, or gaps, or should have some.
    pub async fn ledger_streams(&self) -> Result<BTreeSet<StreamKey>, Error> {
        let rows = self.ledger().rows().clone();
        let mut streams = self.disk().run(move |_| rows.streams()).await??;
        streams.extend(self.streams());
        streams.extend(self.ledger().expected());
        Ok(streams)
    }

    /// The gaps of a stream that have a moment in common with the range, and how much of what was wanted in it is
    /// there.
    pub async fn gaps(&self, stream: &StreamKey, range: Range) -> Result<Told, Error> {
        // Before the rows that are written: what becomes one meanwhile is in both, and in neither never.
        let unsaved = self.ledger().unsaved();
        let (rows, index, of) = (self.ledger().rows().clone(), self.index().clone(), stream.clone());
        let (mut gaps, ends, oldest, newest) = self
            .disk()
            .run(move |_| -> Result<_, Error> {
                let oldest = index.oldest(&of, 1)?.0.pop().map(|(_, segment)| segment);
                Ok((rows.overlapping(&of, range)?, rows.ends(&of)?, oldest, index.newest(&of)?))
            })
            .await??;
        unsaved(stream, range, &mut gaps);
        let mut all: BTreeMap<Wall, Gap> = ends.into_iter().flat_map(|(a, b)| [(a.start, a), (b.start, b)]).collect();
        unsaved(stream, Range::ALL, &mut all);
        let growing = self.growing().of(stream);
        let Some(known) = known(oldest.iter().chain(&newest).chain(&growing), all.into_values(), self.clock().wall())
        else {
            return Ok(Told::default());
        };
        let mut spans = Spans::default();
        self.spans(stream, range).await?.iter().for_each(|span| spans.push(span.start, span.end, false));
        let gaps: Vec<Gap> = gaps.into_values().collect();
        Ok(ledger::tell(range, known, &spans, &gaps))
    }
}

/// From when to when a stream is known: from its first footage or gap to its last; up to now while one lasts.
fn known<'a>(footage: impl Iterator<Item = &'a Segment>, rows: impl Iterator<Item = Gap>, now: Wall) -> Option<Range> {
    let footage = footage.map(|segment| (segment.start, segment.end()));
    let rows = rows.map(|gap| (gap.start, gap.end.unwrap_or(now.max(gap.start))));
    let all = footage.chain(rows).map(|(from, to)| Range { from, to });
    all.reduce(|a, b| Range { from: a.from.min(b.from), to: a.to.max(b.to) })
}
