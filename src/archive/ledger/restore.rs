//! What an earlier process left: the gaps that lasted when it ended, and the one that its end made.

use super::{
    Ledger,
    handle::OfStream,
    line::{Line, Out},
    rows::Rows,
};
use crate::{
    archive::{Error, index::Index},
    base::Wall,
    model::{Gap, GapCause, Range, Segment, StreamKey},
};
use std::collections::BTreeSet;

/// What is found of one stream.
struct Left {
    stream: StreamKey,
    expected: bool,
    /// Its row without an end.
    open: Option<Gap>,
    /// Its last footage.
    newest: Option<Segment>,
    /// The first footage behind the begin of the open row.
    after: Option<Segment>,
    /// Rows that begin behind all footage, and are over.
    beyond: Vec<Wall>,
}

impl Ledger {
    /// Takes up where an earlier process ended; call it once footage is recovered. A process that was stopped has left
    /// rows that say so; what one that crashed was recording has none, and gets it here.
    pub(in crate::archive) async fn restore(&self, index: &Index, disk: &crate::disk::Disk) -> Result<(), Error> {
        let (rows, index) = (self.0.rows.clone(), index.clone());
        let now = self.0.clock.wall();
        let found = disk.run(move |_| survey(&rows, &index, now)).await??;
        let mut state = self.state();
        for left in found {
            let (of_stream, out) = left.into_line(now);
            let (stream, of_stream) = of_stream;
            state.streams.insert(stream.clone(), of_stream);
            state.take(&stream, out);
        }
        drop(state);
        self.0.wake.notify_one();
        Ok(())
    }
}

/// Blocks.
fn survey(rows: &Rows, index: &Index, now: Wall) -> Result<Vec<Left>, Error> {
    let expected = rows.expected()?;
    let streams: BTreeSet<StreamKey> = expected.iter().cloned().chain(rows.streams()?).collect();
    let mut found = Vec::new();
    for stream in streams {
        let open = rows.ends(&stream)?.map(|(_, last)| last).filter(|last| last.end.is_none());
        // Where all of it is ahead of a clock that begins in 1970, the last of it was recorded last.
        let newest = index.newest_by(&stream, now)?.map_or_else(|| index.newest(&stream), |row| Ok(Some(row)))?;
        let after = match open {
            Some(gap) => {
                let behind = Range { from: gap.start.plus_micros(1), to: Range::ALL.to };
                index.overlapping(&stream, behind, 2)?.into_iter().find(|s| s.start >= gap.start)
            }
            None => None,
        };
        let beyond = match (open, index.newest(&stream)?.as_ref().map(Segment::end)) {
            (None, Some(end)) => {
                let behind = rows.overlapping(&stream, Range { from: end, to: Range::ALL.to })?;
                behind.into_keys().filter(|start| *start > end).collect()
            }
            _ => Vec::new(),
        };
        let expected = expected.contains(&stream);
        if expected || open.is_some() {
            found.push(Left { stream, expected, open, newest, after, beyond });
        }
    }
    Ok(found)
}

impl Left {
    fn into_line(self, now: Wall) -> ((StreamKey, OfStream), Vec<Out>) {
        let mut out = Vec::new();
        let end = self.newest.as_ref().map(Segment::end);
        let mut line = Line::restore(self.open, end, now);
        if let (Some(first), Some(end)) = (&self.after, end) {
            // Footage had begun again, and the crash came before that was written.
            line.begun(first.start, end, false, &mut out);
        }
        if let Some(end) = end.filter(|_| self.expected && !line.is_broken()) {
            // What was told of pictures that the crash took with it lies within what is missing now.
            out.extend(self.beyond.iter().map(|start| Out::Drop(*start)));
            line.absent(GapCause::Crash, end, &mut out);
            line.settle(&mut out);
        }
        let last = self.newest.map(|segment| (segment.session, segment.index));
        ((self.stream, OfStream { line, expected: self.expected, last }), out)
    }
}
