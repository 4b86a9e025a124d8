//! Tasks of one thread: they may hold what must not leave it, and cost no locks.
//!
//! A thread that serves many connections runs a [`LocalTasks`]; each connection is a task of it. They all end when the
//! thread's future does. The runtime is one for such tasks alone: in a set of tasks on a runtime of the common kind, each
//! wake would be passed on by the set, and the thread's own future looked at for each.

use super::task::panic_message;
use futures_util::FutureExt;
use std::{
    cell::Cell,
    future::Future,
    io,
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::Notify,
};

/// Turns of tasks from one look for news of sockets to the next, while there is a task that can run: news come in
/// batches then, each of which costs one call of the kernel. As many as nginx takes at once.
const TURNS_PER_LOOK: u32 = 512;

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
    /// Runs `main` and the tasks that it spawns on this thread, which gets a runtime of its own. When `main` ends, those
    /// that are left are dropped. Fails where the host gives no runtime. Blocks; not from within a runtime.
    pub fn run<T, F: Future<Output = T>>(panics: Arc<AtomicU64>, main: impl FnOnce(Self) -> F) -> io::Result<T> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(TURNS_PER_LOOK)
            .build_local(LocalOptions::default())?;
        let tasks = Self { alive: Rc::default(), none_left: Rc::default(), panics };
        Ok(runtime.block_on(async { main(tasks).await }))
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

    #[test]
    fn a_panic_is_counted_and_the_others_go_on() {
        let panics = Arc::new(AtomicU64::new(0));
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        LocalTasks::run(panics.clone(), |tasks| async move {
            tasks.spawn("bad", async { panic!("connection 3") });
            tasks.spawn("good", async move { seen.set(true) });
            assert_eq!(tasks.alive(), 2);
            tasks.ended().await;
        })
        .unwrap();
        assert_eq!((panics.load(Ordering::Relaxed), done.get()), (1, true));
    }
    #[test]
    fn what_is_left_is_dropped_when_the_thread_s_own_future_ends() {
        let held = Rc::new(());
        let kept = held.clone();
        let ended = LocalTasks::run(Arc::default(), |tasks| async move {
            tasks.spawn("endless", async move {
                let _kept = kept;
                std::future::pending::<()>().await;
            });
            tokio::task::yield_now().await;
            tasks.alive()
        });
        assert_eq!((ended.unwrap(), Rc::strong_count(&held)), (1, 1));
    }
}
