//! Rows age out with the footage that they lie between, and there are never more than so many of one stream.

use super::Ledger;
use crate::{
    archive::{Archive, Error},
    base::Wall,
    model::StreamKey,
};
use std::time::Duration;
use tokio::time::Instant;

/// Rows of one stream that are kept; of more, the oldest go. A camera that fails every ten seconds for five days makes
/// as many. Time whose rows went is `unknown` while there is footage around it.
const ROWS_MAX: usize = 50_000;
/// Rows that are taken out of one stream at once.
const BATCH_MAX: usize = 4096;
/// How often rows are looked at of streams whose footage does not age.
const AGE_EVERY: Duration = Duration::from_secs(600);

impl Ledger {
    /// Whether it is time to look at the rows of all streams.
    pub(in crate::archive) fn is_to_age(&self, now: Instant) -> bool {
        let mut state = self.state();
        let due = state.aged.is_none_or(|aged| now.saturating_duration_since(aged) >= AGE_EVERY);
        if due {
            state.aged = Some(now);
        }
        due
    }

    /// Limits have changed: rows are looked at with the next sweep.
    pub(in crate::archive) fn age_anew(&self) {
        self.state().aged = None;
    }

    /// Removes rows of a stream that ended before `cutoff`. Answers how many.
    pub(in crate::archive) async fn age_out(
        &self,
        archive: &Archive,
        stream: &StreamKey,
        cutoff: Wall,
    ) -> Result<usize, Error> {
        let (rows, of) = (self.0.rows.clone(), stream.clone());
        let outdated = archive.disk().run(move |_| rows.outdated(&of, cutoff, ROWS_MAX, BATCH_MAX)).await??;
        let mut state = self.state();
        for start in &outdated {
            state.unsaved.gap(stream, *start, None);
        }
        // A stream that is expected no more, and of which nothing is left, is forgotten.
        let gone = state.streams.get(stream).filter(|s| !s.expected).and_then(|s| s.line.open());
        if let Some(gap) = gone.filter(|gap| gap.start <= cutoff && !archive.usage().contains_key(stream)) {
            state.unsaved.gap(stream, gap.start, None);
            state.streams.remove(stream);
        }
        drop(state);
        self.0.wake.notify_one();
        Ok(outdated.len())
    }
}
