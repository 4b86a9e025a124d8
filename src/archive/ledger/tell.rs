//! What the ledger says of an interval: gaps between footage, and how much of what was wanted is there. Pure.
//!
//! Footage itself says where something is missing, to the frame; rows only say why. So the answer is exact even where a
//! crash left a row unwritten or the store was lost: what no row explains is `unknown`. A silence alone may lie within
//! footage.

use crate::{
    base::Wall,
    model::{Gap, GapCause, Range, span::JOIN_MICROS_MAX},
};
use std::collections::BTreeMap;

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
    let (mut pieces, reach) = (Vec::new(), reach(rows));
    let mut at = from;
    for (start, end) in spans.without_silences(rows).into_iter().chain([(to, to)]) {
        let until = start.min(to);
        // At an edge of the interval a short piece may be the end of a long gap.
        if until.micros_since(at) > JOIN_MICROS_MAX || (until > at && (at == from || until == to)) {
            explain(near(rows, &reach, at, until), at, until, &mut pieces);
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

/// How far each row and those before it reach.
fn reach(rows: &[Gap]) -> Vec<Wall> {
    let furthest = |reach: &mut Wall, row: &Gap| {
        *reach = row.end.unwrap_or(Range::ALL.to).max(*reach);
        Some(*reach)
    };
    rows.iter().scan(Range::ALL.from, furthest).collect()
}

/// The rows that may lie in `[from, to)`. A camera that fails once a minute has as many holes as rows: not every row is
/// looked at for every hole.
fn near<'a>(rows: &'a [Gap], reach: &[Wall], from: Wall, to: Wall) -> &'a [Gap] {
    let first = reach.partition_point(|end| *end <= from);
    let end = rows.partition_point(|row| row.start < to);
    rows.get(first..end).unwrap_or_default()
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
    for Layer { start, end, row } in layers(rows, from, to) {
        if end <= at {
            continue;
        }
        if start.micros_since(at) > JOIN_MICROS_MAX {
            pieces.push(unknown(at, start));
            at = start;
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

/// A part of a row that no other row lies over.
struct Layer<'a> {
    start: Wall,
    end: Wall,
    row: &'a Gap,
}

impl Layer<'_> {
    /// Whether it is a sliver that another row leaves of its row within an interval: the other one's, as beside any row.
    fn is_rest(&self, from: Wall, to: Wall) -> bool {
        let whole = (self.row.start.max(from), self.row.end.map_or(to, |end| end.min(to)));
        (self.start, self.end) != whole && self.end.micros_since(self.start) <= JOIN_MICROS_MAX
    }
}

/// Rows within `[from, to)`, one at each moment. They lie over one another where the clock was set: ahead, which makes a
/// row as long as that, and back again, so that what came then lies within it. What a step made gives way to whatever
/// else is known of a moment, and the longer story to what began later.
fn layers(rows: &[Gap], from: Wall, to: Wall) -> Vec<Layer<'_>> {
    let of_it = |row: &&Gap| row.start < to && row.end.is_none_or(|end| end > from);
    let mut edges = Vec::new();
    for row in rows.iter().filter(of_it) {
        edges.extend([(row.start.max(from), true, row), (row.end.map_or(to, |end| end.min(to)), false, row)]);
    }
    edges.sort_by_key(|(at, ..)| *at);
    let (mut layers, mut on, mut at) = (Vec::<Layer>::new(), BTreeMap::<_, &Gap>::new(), from);
    for (edge, begins, row) in edges {
        if let Some((_, row)) = on.last_key_value().filter(|_| edge > at) {
            match layers.last_mut() {
                Some(last) if last.end == at && last.row.start == row.start => last.end = edge,
                _ => layers.push(Layer { start: at, end: edge, row }),
            }
        }
        at = edge;
        let rank = (row.cause != GapCause::ClockStep, row.start);
        match begins {
            true => on.insert(rank, row),
            false => on.remove(&rank),
        };
    }
    layers.retain(|layer| !layer.is_rest(from, to));
    layers
}
