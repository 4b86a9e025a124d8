//! The fixed pool of disk threads.

use super::{Error, Faults, Files};
use crate::base::task::panic_message;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{mpsc, oneshot};

/// Closures that may wait for a thread. A caller beyond them waits to be taken, which is the back-pressure of a
/// slow disk; frames are dropped and counted far above, in the rings of `live`.
const QUEUE_MAX: usize = 256;

type Job = Box<dyn FnOnce(&Files) + Send>;

/// Runs closures that block on a few threads of their own. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct Disk {
    jobs: mpsc::Sender<Job>,
    files: Files,
}

impl Disk {
    /// The real file system with `threads` threads (at least one).
    pub fn real(threads: usize) -> Self {
        Self::start(threads, Files::real())
    }

    /// The real file system, failing as `faults` says.
    pub fn faulty(threads: usize, faults: Faults) -> Self {
        Self::start(threads, Files::faulty(faults))
    }

    fn start(threads: usize, files: Files) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>(QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for i in 0..threads.max(1) {
            let (queue, files) = (queue.clone(), files.clone());
            std::thread::Builder::new()
                .name(format!("disk-{i}"))
                .spawn(move || work(&queue, &files))
                .expect("a host that cannot start a few threads cannot run the daemon");
        }
        Self { jobs, files }
    }

    /// The blocking operations, for callers that are on a thread of their own.
    pub fn files(&self) -> Files {
        self.files.clone()
    }

    /// Runs `job` on a pool thread and waits for its answer, first for a place in the queue. A job whose caller
    /// went away still runs to its end.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce(&Files) -> T + Send + 'static) -> Result<T, Error> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move |files| {
            let result = catch_unwind(AssertUnwindSafe(|| job(files)));
            let result = result.map_err(|payload| Error::Panicked(panic_message(payload.as_ref())));
            // The caller may have gone away; the work is done all the same.
            let _ = done.send(result);
        });
        self.jobs.send(job).await.map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)?
    }
}

/// One thread: takes a job, runs it, until all handles are gone.
fn work(queue: &Mutex<mpsc::Receiver<Job>>, files: &Files) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        match job {
            Some(job) => job(files),
            None => return,
        }
    }
}
