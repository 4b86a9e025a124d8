//! Keeps the record of views up to date, and forgets what is over.

use super::{
    Plays,
    book::is_told,
    rows::{PLAYS, VIEWS},
};
use crate::store::{self, Batch};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How much of a view's count a crash may cost.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// Views that are kept, of all plays together: about 50 MB. The oldest go first.
pub(super) const VIEWS_MAX: usize = 100_000;
/// Views that go at once.
const TRIM_MAX: usize = 1_000;
/// A play that is over is remembered for so long, so that its link says what became of it.
pub(super) const ENDED_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The room's own task.
pub struct PlaysTask {
    plays: Plays,
    views_max: usize,
}

impl PlaysTask {
    pub(super) fn new(plays: Plays) -> Self {
        Self { plays, views_max: VIEWS_MAX }
    }

    #[cfg(test)]
    pub(super) fn keeping(plays: Plays, views_max: usize) -> Self {
        Self { plays, views_max }
    }

    /// Runs until `stop` fires, and then writes down what is left.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.plays.sleep(WRITE_EVERY)).await.is_some() {
            self.tend().await;
        }
        self.tend().await;
    }

    /// One round.
    pub(super) async fn tend(&self) {
        let over = self.plays.with(|state, mono| state.places.sweep(mono));
        let done = async {
            self.plays.write(&over).await?;
            self.plays.write_down().await?;
            self.forget().await?;
            self.trim().await
        };
        if let Err(error) = done.await
            && is_told(&error)
        {
            tracing::warn!(%error, "views of plays could not be written down; it is tried again");
        }
    }

    async fn forget(&self) -> Result<(), store::Error> {
        let gone = self.plays.expire(ENDED_KEPT);
        if gone.is_empty() {
            return Ok(());
        }
        let batch = gone.iter().fold(Batch::new(), |batch, id| batch.delete(&PLAYS, id.as_str().as_bytes()));
        self.plays.store().commit(batch).await.map(drop)
    }

    /// Deletes the oldest views over the limit.
    async fn trim(&self) -> Result<(), store::Error> {
        let store = self.plays.store();
        let count = usize::try_from(store.count(&VIEWS)).unwrap_or(usize::MAX);
        let over = count.saturating_sub(self.views_max).min(TRIM_MAX);
        if over == 0 {
            return Ok(());
        }
        let mut batch = Batch::new();
        for key in self.plays.oldest_views(over).await? {
            batch = batch.delete(&VIEWS, &key);
        }
        store.commit(batch).await.map(drop)
    }
}
