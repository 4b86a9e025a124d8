//! Following the keys: a cursor on the one history that all share. A slow reader costs nothing but its place in it.

use super::{Keys, Revision};
use crate::registry::{Error, state::Shared};
use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::watch;

/// Changes that one answer holds, about; a revision is never split.
const CHANGES_MAX: usize = 1_000;
/// Revisions looked at under one lock: what others wait for meanwhile is microseconds.
const REVISIONS_PER_LOOK_MAX: usize = 2_000;

/// The places of all who follow, so that the history is kept for them.
#[derive(Debug, Default)]
pub(in crate::registry) struct Cursors(Mutex<Vec<Weak<AtomicU64>>>);

impl Cursors {
    /// A new place.
    fn begin(&self, next: u64) -> Arc<AtomicU64> {
        let cursor = Arc::new(AtomicU64::new(next));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked through when it would grow anyway, so that those who are gone cost nothing on average.
        if all.len() == all.capacity() {
            all.retain(|c| c.strong_count() > 0);
        }
        all.push(Arc::downgrade(&cursor));
        cursor
    }

    /// The first revision that somebody has not seen, and how many follow.
    pub fn slowest(&self) -> (Option<u64>, usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|c| c.strong_count() > 0);
        let places = all.iter().filter_map(Weak::upgrade).map(|c| c.load(Ordering::Relaxed));
        (places.min(), all.len())
    }
}

/// Somebody who follows keys.
pub struct Watcher {
    shared: Arc<Shared>,
    keys: Keys,
    head: watch::Receiver<u64>,
    cursor: Arc<AtomicU64>,
}

impl Watcher {
    /// From revision `from` on; None: from the next one on. It sees each once and in order, whatever is written meanwhile.
    pub(in crate::registry) fn new(shared: Arc<Shared>, keys: Keys, from: Option<u64>) -> Self {
        let head = shared.head.subscribe();
        let cursor = {
            // The place is taken under the lock that revisions are published under, or one could slip through.
            let state = shared.read();
            shared.cursors.begin(from.map_or(state.revision + 1, |n| n.max(1)))
        };
        Self { shared, keys, head, cursor }
    }

    /// The first revision that it has not seen: where somebody who comes back goes on.
    pub fn position(&self) -> u64 {
        self.cursor.load(Ordering::Relaxed)
    }

    /// Waits for the next changes of its keys. [`Error::Compacted`]: it is too far behind, and has to read anew.
    /// Nothing is lost where it is dropped while it waits.
    pub async fn next(&mut self) -> Result<Vec<Arc<Revision>>, Error> {
        loop {
            self.head.borrow_and_update();
            let (found, at_end) = self.look()?;
            if !found.is_empty() {
                return Ok(found);
            }
            if !at_end {
                tokio::task::yield_now().await;
                continue;
            }
            self.head.changed().await.map_err(|_| Error::Stopped)?;
        }
    }

    /// What there is now; whether that is all.
    fn look(&mut self) -> Result<(Vec<Arc<Revision>>, bool), Error> {
        let state = self.shared.read();
        let (log, mut next) = (&state.space.log, self.position());
        if next <= log.compacted() {
            return Err(Error::Compacted { asked: next, compacted: log.compacted() });
        }
        let (mut found, mut changes, mut at_end) = (Vec::new(), 0, true);
        for (looked, revision) in log.from(next).enumerate() {
            if looked == REVISIONS_PER_LOOK_MAX || changes >= CHANGES_MAX {
                at_end = false;
                break;
            }
            next = revision.number + 1;
            if let Some(mine) = self.mine(revision) {
                changes += mine.changes.len();
                found.push(mine);
            }
        }
        if at_end {
            next = next.max(state.revision + 1);
        }
        self.cursor.store(next, Ordering::Relaxed);
        Ok((found, at_end))
    }

    /// Its part of a revision.
    fn mine(&self, revision: &Arc<Revision>) -> Option<Arc<Revision>> {
        let is_mine = |c: &&super::Change| self.keys.contains(&c.key);
        match revision.changes.iter().filter(is_mine).count() {
            0 => None,
            all if all == revision.changes.len() => Some(revision.clone()),
            _ => {
                let changes = revision.changes.iter().filter(is_mine).cloned().collect();
                Some(Arc::new(Revision { number: revision.number, changes }))
            }
        }
    }
}
