//! Rows of gaps that cannot be right, and what makes them right. Deciding is pure; reindex does it, verify tells it.
//!
//! Footage is the truth, rows only explain: a row over footage explains nothing and harms nothing, so it is no fault. Rows
//! that lie over each other are, but where the host's clock was set back: then footage of two sessions lies in one hour too.

use super::{Ledger, rows::Rows};
use crate::{
    archive::{Error, check::Fault, index::Index},
    base::Wall,
    model::{Gap, GapCause, Segment, StreamKey, span::JOIN_MICROS_MAX},
};
use std::collections::BTreeMap;

/// What is known of a stream's footage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Footage {
    /// Where it ends; None where there is none.
    end: Option<Wall>,
    /// Some of it lies over other footage.
    overlaps: bool,
}

impl Footage {
    /// One more segment, by start.
    pub fn push(&mut self, segment: &Segment) {
        let before = self.end.filter(|end| segment.start.plus_micros(JOIN_MICROS_MAX) < *end);
        self.overlaps |= before.is_some();
        self.end = self.end.max(Some(segment.end()));
    }
}

/// One row that is not right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Its start, or that of the row that nobody can read.
    pub start: Wall,
    pub fault: Fault,
    pub what: String,
    /// The row as it should be; None: it should not be.
    pub right: Option<Gap>,
}

/// What is wrong with the rows of a stream, which come by start; None where one cannot be read.
pub fn flaws(rows: &[(Wall, Option<Gap>)], footage: Footage) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut gaps = Vec::new();
    for (start, row) in rows {
        match row {
            Some(gap) => gaps.push(*gap),
            None => flaws.push(Flaw {
                start: *start,
                fault: Fault::GapUnreadable,
                what: format!("the gap of {start} cannot be read"),
                right: None,
            }),
        }
    }
    for (n, gap) in gaps.iter().enumerate() {
        let (start, next) = (gap.start, gaps.get(n + 1));
        let flaw = |fault, what, right| Flaw { start, fault, what, right };
        let (from, cause) = (start, gap.cause.as_str());
        // What a clock skipped that was ahead for a while is recorded, or missed, once it is right again.
        let lies_over = footage.overlaps || gap.cause == GapCause::ClockStep;
        match (gap.end, next) {
            (Some(end), _) if end <= start => {
                flaws.push(flaw(Fault::GapOverlap, format!("the gap of {from}, {cause}, ends at {end}"), None));
            }
            (end, Some(next)) if !lies_over && end.is_none_or(|end| end > next.start) => {
                let what = format!("the gap of {from}, {cause}, lies over that of {}", next.start);
                let right = Gap { end: Some(next.start), ..*gap };
                flaws.push(flaw(Fault::GapOverlap, what, Some(right)));
            }
            (Some(end), None) if footage.end.is_some_and(|last| end.micros_since(last) > JOIN_MICROS_MAX) => {
                let what = format!("the gap of {from}, {cause}, ends at {end}, and there is no footage from there on");
                // It lasts until footage comes, as the next start takes it up.
                flaws.push(flaw(Fault::GapBeyond, what, Some(Gap { end: None, ..*gap })));
            }
            _ => {}
        }
    }
    flaws
}

impl Ledger {
    /// What is wrong with the rows of a stream now, as far as they are written and last no more.
    pub(in crate::archive) async fn flaws(
        &self,
        stream: &StreamKey,
        index: &Index,
        growing: Vec<Segment>,
        disk: &crate::disk::Disk,
    ) -> Result<Vec<Flaw>, Error> {
        let unsaved = self.unsaved();
        let (rows, index, of): (Rows, _, _) = (self.rows().clone(), index.clone(), stream.clone());
        let (mut rows, mut footage) = disk
            .run(move |_| -> Result<_, Error> {
                let mut footage = Footage::default();
                for segment in index.rows(&of) {
                    footage.push(&segment?);
                }
                Ok((rows.all(&of)?, footage))
            })
            .await??;
        growing.iter().for_each(|segment| footage.push(segment));
        let mut known: BTreeMap<Wall, Gap> = rows.iter().filter_map(|(start, gap)| Some((*start, (*gap)?))).collect();
        unsaved(stream, crate::model::Range::ALL, &mut known);
        rows.retain(|(start, gap)| gap.is_none() && !known.contains_key(start));
        rows.extend(known.into_iter().map(|(start, gap)| (start, Some(gap))));
        rows.sort_by_key(|(start, _)| *start);
        Ok(flaws(&rows, footage))
    }

    /// Puts right what is wrong with the rows of a stream, but for the gap that lasts. Answers how many rows that were.
    pub(in crate::archive) fn mend(&self, stream: &StreamKey, flaws: &[Flaw]) -> u64 {
        let mut state = self.state();
        let lasts = state.streams.get(stream).and_then(|s| s.line.begun_at());
        let mut mended = 0;
        for flaw in flaws.iter().filter(|flaw| lasts.is_none_or(|begin| flaw.start < begin)) {
            tracing::warn!(%stream, what = flaw.what, "a row of a gap is put right");
            state.unsaved.gap(stream, flaw.start, flaw.right);
            mended += 1;
        }
        drop(state);
        self.0.wake.notify_one();
        mended
    }
}
