//! What the ledger says of an interval: gaps between footage, and how much of what was wanted is there. Pure.
//!
//! Footage itself says where something is missing, to the frame; rows only say why. So the answer is exact even where a
//! crash left a row unwritten or the store was lost: what no row explains is `unknown`. A silence alone may lie within
//! footage.

use crate::{
    base::Wall,
    model::{Gap, GapCause, Range, span::JOIN_MICROS_MAX},
};

/// What is said of one stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// By start, end to end where the cause changed; those in full that have any moment in common with the interval, as
    /// far as rows say where they begin and end.
    pub gaps: Vec<Gap>,
    /// Time in which it should have been recorded, within the interval.
    pub wanted_micros: i64,
    /// Of that, time without footage.
    pub missing_micros: i64,
}

impl Told {
    /// Part of the wanted time that was recorded; 1 where nothing was wanted.
    pub fn coverage(&self) -> f64 {
        coverage(self.wanted_micros, self.missing_micros)
    }
}

/// Part of the wanted time that is not missing; 1 where nothing was wanted.
pub fn coverage(wanted_micros: i64, missing_micros: i64) -> f64 {
    match wanted_micros {
        ..=0 => 1.0,
        wanted => ((wanted - missing_micros) as f64 / wanted as f64).clamp(0.0, 1.0),
    }
}

/// Runs of footage, put together as they come by start.
#[derive(Debug, Default)]
pub struct Spans(Vec<(Wall, Wall)>);

impl Spans {
    /// One more piece, not before the last one's start. `continues`: nothing is missing before it, whatever clocks say.
    pub fn push(&mut self, start: Wall, end: Wall, continues: bool) {
        match self.0.last_mut() {
            Some(last) if continues || start.micros_since(last.1) <= JOIN_MICROS_MAX => last.1 = last.1.max(end),
            _ => self.0.push((start, end)),
        }
    }

    /// The same, but for time within them in which the camera was silent.
    fn without_silences(&self, rows: &[Gap]) -> Vec<(Wall, Wall)> {
        let mut rest = Vec::with_capacity(self.0.len());
        let silent = |row: &&Gap| row.cause == GapCause::Silence;
        let mut silences = rows.iter().filter(silent).filter_map(|row| Some((row.start, row.end?))).peekable();
        for &(start, end) in &self.0 {
            let mut at = start;
            while let Some((from, to)) = silences.next_if(|silence| silence.1 <= end) {
                if from > at {
                    rest.push((at, from));
                    at = to;
                }
            }
            rest.push((at, end));
        }
        rest
    }
}

/// `known`: from when to when the stream is known at all. `rows`: by start, each that has any moment in common with the
/// interval; one without an end lasts until the end of `known`.
pub fn tell(range: Range, known: Range, spans: &Spans, rows: &[Gap]) -> Told {
    let (from, to) = (range.from.max(known.from), range.to.min(known.to));
    let mut told = Told::default();
    if from >= to {
        return told;
    }
    let mut pieces = Vec::new();
    let mut at = from;
    for (start, end) in spans.without_silences(rows).into_iter().chain([(to, to)]) {
        let until = start.min(to);
        // At an edge of the interval a short piece may be the end of a long gap.
        if until.micros_since(at) > JOIN_MICROS_MAX || (until > at && (at == from || until == to)) {
            explain(rows, at, until, &mut pieces);
        }
        at = at.max(end);
        if at >= to {
            break;
        }
    }
    told.wanted_micros = to.micros_since(from);
    for piece in &pieces {
        let micros = piece.end.micros_since(piece.start);
        match piece.cause.counts() {
            true => told.missing_micros += micros,
            false => told.wanted_micros -= micros,
        }
    }
    let shown = pieces.iter().filter(|piece| piece.cause != GapCause::Removed);
    told.gaps = shown.map(|piece| piece.in_full(from, to)).collect();
    told
}

/// A part of a gap, within the interval.
struct Piece<'a> {
    start: Wall,
    end: Wall,
    cause: GapCause,
    row: Option<&'a Gap>,
}

impl Piece<'_> {
    /// With the part of its row that lies outside the interval.
    fn in_full(&self, from: Wall, to: Wall) -> Gap {
        let row = |cut: bool| self.row.filter(|_| cut);
        Gap {
            start: row(self.start == from).map_or(self.start, |row| row.start.min(from)),
            end: row(self.end == to).map_or(Some(self.end), |row| row.end.map(|end| end.max(to))),
            cause: self.cause,
        }
    }
}

/// Splits `[from, to)`, which has no footage, by the rows that lie in it. Rows are written by other clocks than frames:
/// a sliver beside a row belongs to it.
fn explain<'a>(rows: &'a [Gap], from: Wall, to: Wall, pieces: &mut Vec<Piece<'a>>) {
    let (first, mut at) = (pieces.len(), from);
    let unknown = |start, end| Piece { start, end, cause: GapCause::Unknown, row: None };
    let of_it = |row: &&Gap| row.start < to && row.end.is_none_or(|end| end > from);
    for row in rows.iter().filter(of_it) {
        let end = row.end.map_or(to, |end| end.min(to));
        if end <= at {
            continue;
        }
        if row.start.micros_since(at) > JOIN_MICROS_MAX {
            pieces.push(unknown(at, row.start));
            at = row.start;
        }
        pieces.push(Piece { start: at, end, cause: row.cause, row: Some(row) });
        at = end;
    }
    let rest = to.micros_since(at);
    match pieces[first..].last_mut() {
        Some(last) if rest <= JOIN_MICROS_MAX => last.end = to,
        _ if rest > JOIN_MICROS_MAX => pieces.push(unknown(at, to)),
        _ => {}
    }
}
