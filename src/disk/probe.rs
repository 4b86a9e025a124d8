//! Evidence about a directory: a question on a thread that nobody else waits for. Where that does not come back either,
//! it is the disk that hangs and not we.

use super::{Disk, Error, Files};
use crate::base::Clock;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// Asks one question at a time.
pub struct Probe {
    disk: Disk,
    clock: Clock,
    /// When the question that is still open was asked.
    open: Arc<Mutex<Option<Instant>>>,
}

/// What a question came to.
#[derive(Debug)]
pub enum Probed<T> {
    /// It was answered.
    Answer(T),
    /// It, or the one that was asked before it, has not been answered for so long.
    Hangs(Duration),
}

impl Probe {
    /// Beside `disk`, on the same files, with a thread of its own.
    pub fn beside(disk: &Disk, clock: Clock) -> Self {
        Self { disk: disk.beside(1), clock, open: Arc::default() }
    }

    /// Asks, and waits so long for the answer. While a question is open no other is asked.
    pub async fn ask<T: Send + 'static>(
        &self,
        limit: Duration,
        question: impl FnOnce(&Files) -> T + Send + 'static,
    ) -> Result<Probed<T>, Error> {
        let now = self.clock.now();
        if let Some(asked) = *self.opened() {
            return Ok(Probed::Hangs(now - asked));
        }
        *self.opened() = Some(now);
        let (open, (done, answer)) = (self.open.clone(), oneshot::channel());
        // Sent to its end, whatever becomes of whoever asked: only then is the thread free again.
        let closing = move |files: &Files| {
            let closed = Closed(open);
            let said = question(files);
            drop(closed);
            // Whoever asked may have given up.
            let _ = done.send(said);
        };
        self.disk.post(closing)?;
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(said)) => Ok(Probed::Answer(said)),
            Ok(Err(_)) => Err(Error::Stopped),
            Err(_) => Ok(Probed::Hangs(limit)),
        }
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The question is closed, even by a panic.
struct Closed(Arc<Mutex<Option<Instant>>>);

impl Drop for Closed {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
