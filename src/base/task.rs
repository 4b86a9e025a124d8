//! The only place that spawns. Every task has a name, belongs to a group, and is waited for when the group stops.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::lanes::Seat;
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// A set of tasks that stop together. Cheap to clone; children are groups whose stop does not stop the parent.
#[derive(Clone)]
pub struct TaskGroup {
    tracker: TaskTracker,
    stop: CancellationToken,
    panics: Arc<AtomicU64>,
    alive: Arc<AtomicU64>,
    /// Where its tasks run; None: on the runtime that spawns them.
    runtime: Option<Handle>,
}

/// How a task of a group came to an end.
#[derive(Debug, PartialEq, Eq)]
pub enum End<T> {
    /// It returned.
    Done(T),
    /// It panicked with this message; the panic was logged and counted.
    Panicked(String),
}

impl std::fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskGroup").field("alive", &self.alive()).finish_non_exhaustive()
    }
}

impl Default for TaskGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl TaskGroup {
    /// An empty group.
    pub fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            panics: Arc::default(),
            alive: Arc::default(),
            runtime: None,
        }
    }

    /// A group that stops when this one does, or alone.
    pub fn child(&self) -> Self {
        Self { tracker: TaskTracker::new(), stop: self.stop.child_token(), ..self.clone() }
    }

    /// The same group, whose tasks spawned by way of this handle run on the seat's thread.
    pub fn on(&self, seat: &Seat) -> Self {
        Self { runtime: seat.runtime().cloned(), ..self.clone() }
    }

    /// The same group, whose tasks run on the runtime that this is called in, wherever they are spawned from.
    pub fn here(&self) -> Self {
        Self { runtime: Some(Handle::current()), ..self.clone() }
    }

    /// The token that tells the group's tasks to end.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Spawns `task` under `name`. A panic is logged and counted and reaches nobody else; await the handle to see it.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<End<T>> {
        let panics = self.panics.clone();
        let alive = Alive::new(&self.alive);
        let caught = async move {
            let _alive = alive;
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(value) => End::Done(value),
                Err(payload) => {
                    let message = panic_message(payload.as_ref());
                    panics.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(task = name, message, "task panicked");
                    End::Panicked(message)
                }
            }
        };
        let task = self.tracker.track_future(caught.instrument(tracing::Span::current()));
        match &self.runtime {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        }
    }

    /// Panics caught so far, in this group, its children and its parents.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Tasks that have not ended yet, of this group, its children and its parents.
    pub fn alive(&self) -> u64 {
        self.alive.load(Ordering::Relaxed)
    }

    /// Tells all tasks to end, without waiting.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// Tells all tasks to end and waits for them, `deadline` at most. True where all ended in time.
    pub async fn stop(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}

/// Counts a task from its spawn until it is dropped, however it ends.
struct Alive(Arc<AtomicU64>);

impl Alive {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The text of a panic payload.
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_harms_no_neighbour() {
        let group = TaskGroup::new();
        let stop = group.stop_token();
        let neighbour = group.spawn("neighbour", async move { stop.cancelled().await });
        let bad = group.child().spawn("bad", async { panic!("camera 3") });
        assert_eq!(bad.await.unwrap(), End::Panicked("camera 3".into()));
        assert_eq!(group.panics(), 1);
        assert!(!neighbour.is_finished());
        assert!(group.stop(Duration::from_secs(5)).await);
    }
}
