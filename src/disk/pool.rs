//! The fixed pool of disk threads.

use super::{Error, Faults, Files};
use crate::base::{Clock, task::panic_message};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Closures that may wait for a thread. A caller beyond them waits to be taken, which is the back-pressure of a
/// slow disk; frames are dropped and counted far above, in the rings of `live`.
const QUEUE_MAX: usize = 256;

type Job = Box<dyn FnOnce(&Files) + Send>;
/// Since when each thread has been busy with one closure.
type Busy = Arc<[Mutex<Option<Instant>>]>;

/// Runs closures that block on a few threads of their own. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct Disk {
    jobs: mpsc::Sender<Job>,
    files: Files,
    busy: Busy,
    syncs: Option<Arc<Disk>>,
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
        let busy: Busy = (0..threads.max(1)).map(|_| Mutex::default()).collect();
        for i in 0..busy.len() {
            let (queue, files, busy) = (queue.clone(), files.clone(), busy.clone());
            std::thread::Builder::new()
                .name(format!("disk-{i}"))
                .spawn(move || work(&queue, &files, &busy[i]))
                .expect("a host that cannot start a few threads cannot run the daemon");
        }
        Self { jobs, files, busy, syncs: None }
    }

    /// The same files with `threads` threads of their own: what hangs there does not hold up what runs here.
    pub fn beside(&self, threads: usize) -> Self {
        Self::start(threads, self.files.clone())
    }

    /// The same, with `threads` threads more that wait until what was written is durable.
    pub fn with_syncs(mut self, threads: usize) -> Self {
        self.syncs = Some(Arc::new(self.beside(threads)));
        self
    }

    /// The threads that wait until what was written is durable, so that what is to be written does not wait for that;
    /// the same threads where there are no others.
    pub fn syncs(&self) -> &Self {
        self.syncs.as_deref().unwrap_or(self)
    }

    /// How long the closure that has run longest has been running, a sync or another; zero where none runs.
    pub fn longest(&self, now: Instant) -> Duration {
        let since = |slot: &Mutex<Option<Instant>>| *slot.lock().unwrap_or_else(PoisonError::into_inner);
        let syncs = self.syncs.iter().flat_map(|syncs| syncs.busy.iter());
        self.busy
            .iter()
            .chain(syncs)
            .filter_map(since)
            .map(|began| now.saturating_duration_since(began))
            .max()
            .unwrap_or_default()
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

    /// [`Disk::run`] for whoever does not wait for ever: after `limit` the answer is [`Error::Hangs`], and a job that
    /// was not begun by then is not done at all. For what only reads: of a write nobody would know whether it was done.
    pub async fn run_within<T: Send + 'static>(
        &self,
        limit: Duration,
        job: impl FnOnce(&Files) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let given_up = Arc::new(AtomicBool::new(false));
        let too_late = given_up.clone();
        let run = self.run(move |files| match too_late.load(Ordering::Relaxed) {
            false => Ok(job(files)),
            true => Err(Error::Hangs(limit)),
        });
        match tokio::time::timeout(limit, run).await {
            Ok(answer) => answer?,
            Err(_) => {
                given_up.store(true, Ordering::Relaxed);
                Err(Error::Hangs(limit))
            }
        }
    }

    /// Hands a closure over without waiting for anything.
    pub(super) fn post(&self, job: impl FnOnce(&Files) + Send + 'static) -> Result<(), Error> {
        self.jobs.try_send(Box::new(job)).map_err(|_| Error::Stopped)
    }
}

/// One thread: takes a job, runs it, until all handles are gone.
fn work(queue: &Mutex<mpsc::Receiver<Job>>, files: &Files, busy: &Mutex<Option<Instant>>) {
    let clock = Clock::real();
    let note = |since| *busy.lock().unwrap_or_else(PoisonError::into_inner) = since;
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        note(Some(clock.now()));
        // A closure that was posted has nobody to tell of its panic; the thread goes on all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| job(files)));
        note(None);
    }
}
