//! What is reported becomes durable, then is told: a group of rows at once, events behind them.

use super::handle::{Ledger, News, State, label};
use crate::archive::Error;
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often gaps that last are looked at: to become one, and to be counted.
const TICK: Duration = Duration::from_millis(500);
/// After a failure of the store the next try waits so long; what is to be written is kept meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl Ledger {
    /// Writes until stopped; what was reported before the stop is written.
    pub(in crate::archive) async fn run(&self, stop: CancellationToken) {
        let mut failed = false;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.0.wake.notified(), if !failed => {}
                () = self.0.clock.sleep(if failed { RETRY_AFTER } else { TICK }) => {}
            }
            self.tick();
            let saved = self.save().await;
            if let Err(error) = &saved
                && !failed
            {
                tracing::warn!(%error, "the ledger of gaps cannot be written, trying again");
            }
            failed = saved.is_err();
        }
        if let Err(error) = self.save().await {
            tracing::warn!(%error, "the ledger of gaps was not written to its end");
        }
    }

    /// Time passes.
    pub(super) fn tick(&self) {
        let now = self.0.clock.wall();
        let mut state = self.state();
        let mut outs = Vec::new();
        for (stream, of_stream) in &mut state.streams {
            if of_stream.line.is_broken() {
                let mut out = Vec::new();
                of_stream.line.tick(now, &mut out);
                outs.push((stream.clone(), out));
            }
        }
        for (stream, out) in outs {
            state.take(&stream, out);
        }
        self.count(&mut state);
    }

    /// A counter only grows: what was counted too much is set off against what comes.
    fn count(&self, state: &mut State) {
        for (cause, micros) in state.lost.iter_mut().filter(|(_, micros)| **micros > 0) {
            self.0.seconds.get_or_create(&label(*cause)).inc_by(*micros as f64 / 1e6);
            *micros = 0;
        }
    }

    /// Writes what is not written yet, and then tells it.
    pub(super) async fn save(&self) -> Result<(), Error> {
        let (batch, news) = {
            let mut state = self.state();
            self.count(&mut state);
            state.saving = std::mem::take(&mut state.unsaved);
            (state.saving.batch(), std::mem::take(&mut state.news))
        };
        let saved = match batch {
            Ok(batch) if batch.is_empty() => Ok(()),
            Ok(batch) => self.0.rows.commit(batch).await,
            Err(error) => Err(error),
        };
        let mut state = self.state();
        let saving = std::mem::take(&mut state.saving);
        if let Err(error) = saved {
            state.unsaved.put_back(saving);
            let newer = std::mem::replace(&mut state.news, news);
            state.news.extend(newer);
            return Err(error);
        }
        drop(state);
        for (stream, news) in news {
            match news {
                News::Opened(gap) => {
                    tracing::info!(%stream, start = %gap.start, cause = gap.cause.as_str(), "gap opened");
                    let data = json!({ "start": gap.start, "cause": gap.cause });
                    self.0.events.emit("gap.opened", &stream, data);
                }
                News::Closed(gap) => {
                    let seconds = gap.end.map_or(0.0, |end| end.micros_since(gap.start) as f64 / 1e6);
                    let cause = gap.cause.as_str();
                    tracing::info!(%stream, start = %gap.start, end = ?gap.end, cause, seconds, "gap closed");
                    let data = json!({ "start": gap.start, "end": gap.end, "cause": gap.cause, "seconds": seconds });
                    self.0.events.emit("gap.closed", &stream, data);
                }
            }
        }
        Ok(())
    }
}
