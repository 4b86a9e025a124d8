//! A child that panics is logged, counted and started again alone, less and less eagerly.

use super::meters::Meters;
use crate::base::{Backoff, TaskGroup, task::End};
use std::{future::Future, time::Duration};
use tokio_util::sync::CancellationToken;

/// First wait after a panic.
const RESTART_FIRST: Duration = Duration::from_secs(1);
/// Longest wait after panics without end.
const RESTART_MOST: Duration = Duration::from_secs(60);

/// Runs what `start` makes until it returns or `stop`; after a panic, runs it anew.
pub(super) async fn supervise<F: Future<Output = ()> + Send + 'static>(
    group: &TaskGroup,
    name: &'static str,
    stop: &CancellationToken,
    meters: &Meters,
    mut start: impl FnMut() -> F,
) {
    let mut backoff = Backoff::new(RESTART_FIRST, RESTART_MOST);
    loop {
        match group.spawn(name, start()).await {
            Ok(End::Panicked(_)) if !stop.is_cancelled() => meters.restarted(),
            _ => return,
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.next(rand::random())) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Metrics;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_child_that_panics_is_counted_and_started_again() {
        let (group, metrics) = (TaskGroup::new(), Metrics::default());
        let meters = Meters::new(&metrics);
        let starts = std::sync::Arc::new(AtomicU32::new(0));
        let counted = starts.clone();
        supervise(&group, "child", &group.stop_token(), &meters, move || {
            let n = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(n >= 2, "not yet") }
        })
        .await;
        assert_eq!(starts.load(Ordering::Relaxed), 3);
        assert!(metrics.render().contains("skyvis_camera_task_restarts_total 2"), "{}", metrics.render());
    }
}
