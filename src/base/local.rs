//! Tasks of one thread: they may hold what must not leave it, and cost no locks.
//!
//! A thread that serves many connections runs a [`LocalTasks`]; each connection is a task of it. They all end when the
//! thread's future does.

use super::task::panic_message;
use futures_util::FutureExt;
use std::{
    cell::Cell,
    future::Future,
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{sync::Notify, task::LocalSet};

/// The tasks of the thread that made it. Cheap to clone.
#[derive(Clone)]
pub struct LocalTasks {
    alive: Rc<Cell<usize>>,
    none_left: Rc<Notify>,
    panics: Arc<AtomicU64>,
}

/// One task in the count, however it ends.
struct Counted(LocalTasks);

impl Drop for Counted {
    fn drop(&mut self) {
        let left = self.0.alive.get() - 1;
        self.0.alive.set(left);
        if left == 0 {
            self.0.none_left.notify_waiters();
        }
    }
}

impl LocalTasks {
    /// Runs `main` and the tasks that it spawns on this thread. When `main` ends, those that are left are dropped.
    pub async fn run<T, F: Future<Output = T>>(panics: Arc<AtomicU64>, main: impl FnOnce(Self) -> F) -> T {
        let tasks = Self { alive: Rc::default(), none_left: Rc::default(), panics };
        LocalSet::new().run_until(main(tasks)).await
    }

    /// Spawns a task within [`LocalTasks::run`]. A panic is logged and counted and reaches nobody else.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns on a thread of its own")]
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        self.alive.set(self.alive.get() + 1);
        let counted = Counted(self.clone());
        // Not an async block, which would keep room for the task twice.
        tokio::task::spawn_local(AssertUnwindSafe(task).catch_unwind().map(move |ended| {
            if let Err(payload) = ended {
                counted.0.panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, message = panic_message(payload.as_ref()), "task panicked");
            }
        }));
    }

    /// Tasks that have not ended.
    pub fn alive(&self) -> usize {
        self.alive.get()
    }

    /// Ends when no task is left.
    pub async fn ended(&self) {
        while self.alive() > 0 {
            self.none_left.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_the_others_go_on() {
        let panics = Arc::new(AtomicU64::new(0));
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        LocalTasks::run(panics.clone(), |tasks| async move {
            tasks.spawn("bad", async { panic!("connection 3") });
            tasks.spawn("good", async move { seen.set(true) });
            assert_eq!(tasks.alive(), 2);
            tasks.ended().await;
        })
        .await;
        assert_eq!((panics.load(Ordering::Relaxed), done.get()), (1, true));
    }
}
