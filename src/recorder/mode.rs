//! Which of the two ways a stream is recorded, as the settings say: one after the other, never both.

use super::{
    Mode,
    metrics::StreamCounts,
    stills::Stills,
    stream::{self, Orders, Shared},
};
use crate::model::StreamKey;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Records a stream until it ends or `stop`.
pub async fn record(
    shared: Shared,
    stream: StreamKey,
    mut orders: watch::Receiver<Orders>,
    counts: StreamCounts,
    stop: CancellationToken,
) {
    loop {
        let mode = orders.borrow_and_update().settings.mode;
        let other = stop.child_token();
        let (shared, counts) = (shared.clone(), counts.clone());
        let work = async {
            match mode {
                Mode::Video => stream::record(shared, stream.clone(), orders.clone(), counts, other.clone()).await,
                Mode::Image => Stills::new(shared, stream.clone(), orders.clone(), counts).run(other.clone()).await,
            }
        };
        let mut watched = orders.clone();
        let other_mode = async { watched.wait_for(|o| o.settings.mode != mode).await.is_ok() };
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            () = &mut work => return,
            changed = other_mode => if !changed {
                return work.await;
            },
        }
        // What is held is written before the other way begins.
        other.cancel();
        work.await;
        if stop.is_cancelled() {
            return;
        }
    }
}
