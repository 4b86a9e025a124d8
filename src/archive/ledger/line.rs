//! One stream's ledger: what is told of it in, rows of gaps out. Pure.
//!
//! What holds: rows of one gap lie end to end, from the end of the last recorded frame to the start of the next one,
//! split where the cause changed; rows of one stream never overlap. What is shorter than [`JOIN_MICROS_MAX`] is no gap,
//! as it is none between two spans of footage.

use crate::{
    base::Wall,
    model::{Gap, GapCause, span::JOIN_MICROS_MAX},
};

/// A symptom that is explained within so long of its begin is put down to the explanation as a whole: a session breaks,
/// and the recorder's next list of states says that the camera is gone.
pub const EXPLAINED_MICROS_MAX: i64 = 10_000_000;
/// Rows that one gap is split into. A camera that fails in turns in two ways, for weeks, must not fill the store: from
/// then on a further cause is part of the last row.
pub const PIECES_MAX: usize = 16;

/// What a report comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// A row as it is now.
    Put(Gap),
    /// There is no row with this start any more.
    Drop(Wall),
    /// For people: a gap began.
    Opened(Gap),
    /// For people: a gap ended.
    Closed(Gap),
    /// So many microseconds more were lost to a cause; fewer where too many were counted before.
    Lost(GapCause, i64),
}

/// The ledger of one stream. Cheap: most streams have no gap now.
#[derive(Clone, Debug, Default)]
pub struct Line {
    covered_to: Option<Wall>,
    open: Option<Open>,
    /// Why frames are missing before those that come next.
    missing: Option<GapCause>,
}

/// A gap that lasts.
#[derive(Clone, Debug)]
struct Open {
    start: Wall,
    /// Rows of this gap that are over: their starts, causes, and how far they were counted.
    before: Vec<Piece>,
    now: Piece,
    /// It has lasted long enough to be one: there are rows of it, and people were told.
    announced: bool,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    start: Wall,
    cause: GapCause,
    counted_to: Wall,
}

impl Line {
    /// As an earlier process left it: a row without an end, and where footage ends.
    pub fn restore(open: Option<Gap>, covered_to: Option<Wall>, now: Wall) -> Self {
        let open = open.map(|gap| {
            // What began as the earlier process ended was counted by nobody.
            let counted_to = if gap.cause == GapCause::Restart { gap.start } else { now.max(gap.start) };
            let piece = Piece { start: gap.start, cause: gap.cause, counted_to };
            Open { start: gap.start, before: Vec::new(), now: piece, announced: true }
        });
        Self { covered_to, open, missing: None }
    }

    /// The gap that lasts, if it has lasted long enough to be one.
    pub fn open(&self) -> Option<Gap> {
        let open = self.open.as_ref().filter(|open| open.announced)?;
        Some(Gap { start: open.now.start, end: None, cause: open.now.cause })
    }

    /// Since when nothing is recorded.
    pub fn begun_at(&self) -> Option<Wall> {
        self.open.as_ref().map(|open| open.start)
    }

    /// Whether nothing is recorded now, for however short a time.
    pub fn is_broken(&self) -> bool {
        self.open.is_some()
    }

    /// Whether what is recorded reaches a moment, with no gap before it.
    pub fn reaches(&self, at: Wall) -> bool {
        self.covered_to.is_some_and(|to| at.micros_since(to) <= JOIN_MICROS_MAX)
    }

    /// Nothing is recorded, at least from `at` on, and this is why.
    pub fn absent(&mut self, cause: GapCause, at: Wall, out: &mut Vec<Out>) {
        self.missing = None;
        let Some(open) = &mut self.open else {
            let start = self.covered_to.unwrap_or(at);
            let now = Piece { start, cause, counted_to: start };
            self.open = Some(Open { start, before: Vec::new(), now, announced: false });
            return;
        };
        if open.now.cause == cause {
            return;
        }
        let at = at.max(open.now.start);
        let same_side = open.now.cause.counts() == cause.counts();
        let young = at.micros_since(open.now.start) < EXPLAINED_MICROS_MAX;
        let explained = open.now.cause.is_symptom() && young && same_side && cause != GapCause::Connecting;
        if explained || at == open.now.start {
            open.relabel(cause, out);
        } else if same_side && (cause == GapCause::Connecting || open.before.len() + 1 >= PIECES_MAX) {
            // Whatever broke it still does; or it has changed too often.
        } else {
            open.split(cause, at, out);
        }
    }

    /// Frames are missing before those that come next, and this is why.
    pub fn missing(&mut self, cause: GapCause) {
        self.missing = Some(cause);
    }

    /// There is nothing in `[start, end)`, whatever was told of it before, and footage goes on behind it or another gap
    /// begins.
    pub fn lost(&self, (start, end): (Wall, Wall), cause: GapCause, out: &mut Vec<Out>) {
        let now = Piece { start, cause, counted_to: start };
        Open { start, before: Vec::new(), now, announced: false }.close(end, out);
    }

    /// A file has its first frames, `[start, end)`. `continues`: nothing is missing before it, whatever its clock says.
    pub fn begun(&mut self, start: Wall, end: Wall, continues: bool, out: &mut Vec<Out>) {
        let missing = self.missing.take();
        if let Some(open) = self.open.take() {
            open.close(start, out);
        } else if let Some(covered_to) = self.covered_to.filter(|_| !continues) {
            let cause = missing.unwrap_or(GapCause::StreamError);
            let now = Piece { start: covered_to, cause, counted_to: covered_to };
            Open { start: covered_to, before: Vec::new(), now, announced: false }.close(start, out);
        }
        self.covered_to = Some(end);
    }

    /// The file that was begun last has more frames, up to `end`.
    pub fn extended(&mut self, end: Wall, out: &mut Vec<Out>) {
        self.covered_to = Some(end);
        if let Some(open) = self.open.as_mut().filter(|open| open.start < end) {
            // It was written after the end was told: the gap begins behind it.
            open.begin_at(end, out);
        }
    }

    /// Frames go to the disk, in the file that was begun last: nothing is missing since its end.
    pub fn present(&mut self, out: &mut Vec<Out>) {
        if let Some(open) = self.open.take() {
            let end = self.covered_to.unwrap_or(open.start);
            open.close(end, out);
        }
    }

    /// Time passes: a gap that has lasted long enough becomes one, and is counted as it grows.
    pub fn tick(&mut self, now: Wall, out: &mut Vec<Out>) {
        let Some(open) = &mut self.open else { return };
        if !open.announced && now.micros_since(open.start) > JOIN_MICROS_MAX {
            open.announce(out);
        }
        if open.announced && now > open.now.counted_to {
            open.now.count(now, out);
        }
    }

    /// The process ends: what lasts is written, however short it is yet.
    pub fn settle(&mut self, out: &mut Vec<Out>) {
        if let Some(open) = self.open.as_mut().filter(|open| !open.announced) {
            open.announce(out);
        }
    }
}

impl Piece {
    fn row(&self, end: Option<Wall>) -> Gap {
        Gap { start: self.start, end, cause: self.cause }
    }

    /// Counts up to a moment, or back to it.
    fn count(&mut self, to: Wall, out: &mut Vec<Out>) {
        let micros = to.micros_since(self.counted_to);
        if micros != 0 {
            out.push(Out::Lost(self.cause, micros));
            self.counted_to = to;
        }
    }
}

impl Open {
    fn announce(&mut self, out: &mut Vec<Out>) {
        self.announced = true;
        let ends: Vec<Wall> = self.before.iter().skip(1).map(|p| p.start).chain([self.now.start]).collect();
        for (piece, end) in self.before.iter_mut().zip(ends) {
            let row = piece.row(Some(end));
            piece.count(end, out);
            out.extend([Out::Put(row), Out::Opened(piece.row(None)), Out::Closed(row)]);
        }
        out.extend([Out::Put(self.now.row(None)), Out::Opened(self.now.row(None))]);
    }

    /// It was something else from the begin of the present row.
    fn relabel(&mut self, cause: GapCause, out: &mut Vec<Out>) {
        let counted_to = self.now.counted_to;
        self.now.count(self.now.start, out);
        self.now.cause = cause;
        self.now.count(counted_to, out);
        if self.announced {
            out.extend([Out::Put(self.now.row(None)), Out::Opened(self.now.row(None))]);
        }
    }

    fn split(&mut self, cause: GapCause, at: Wall, out: &mut Vec<Out>) {
        let mut over = std::mem::replace(&mut self.now, Piece { start: at, cause, counted_to: at });
        if self.announced {
            over.count(at, out);
            let row = over.row(Some(at));
            out.extend([Out::Put(row), Out::Closed(row)]);
            out.extend([Out::Put(self.now.row(None)), Out::Opened(self.now.row(None))]);
        }
        self.before.push(over);
    }

    /// It began later than it was told.
    fn begin_at(&mut self, start: Wall, out: &mut Vec<Out>) {
        self.start = start;
        // Rows that lie before it are none.
        while let Some(first) = self.before.first().copied() {
            let end = self.before.get(1).map_or(self.now.start, |next| next.start);
            if end > start {
                break;
            }
            self.before.remove(0);
            undo(first, self.announced, out);
        }
        let announced = self.announced;
        let end = self.before.get(1).map_or(self.now.start, |next| next.start);
        let (first, end) = match self.before.first_mut() {
            Some(first) => (first, Some(end)),
            None => (&mut self.now, None),
        };
        if first.start >= start {
            return;
        }
        if !announced {
            (first.start, first.counted_to) = (start, start);
            return;
        }
        // The part of it that is none any more is counted back.
        out.extend([Out::Lost(first.cause, -start.micros_since(first.start)), Out::Drop(first.start)]);
        first.start = start;
        out.push(Out::Put(first.row(end)));
    }

    /// It ends where footage begins.
    fn close(mut self, end: Wall, out: &mut Vec<Out>) {
        if end.micros_since(self.start) <= JOIN_MICROS_MAX {
            for piece in self.before.into_iter().chain([self.now]) {
                undo(piece, self.announced, out);
            }
            return;
        }
        // Causes that were told after the first frame was taken explain nothing.
        while self.now.start >= end {
            let Some(before) = self.before.pop() else { break };
            undo(std::mem::replace(&mut self.now, before), self.announced, out);
        }
        if !self.announced {
            self.announce(out);
        }
        self.now.count(end, out);
        let row = self.now.row(Some(end));
        out.extend([Out::Put(row), Out::Closed(row)]);
    }
}

fn undo(mut piece: Piece, announced: bool, out: &mut Vec<Out>) {
    if announced {
        piece.count(piece.start, out);
        out.extend([Out::Drop(piece.start), Out::Closed(piece.row(Some(piece.start)))]);
    }
}
