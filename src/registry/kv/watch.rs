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

/// A place in the history, kept for whoever reads on from it.
pub struct Feed {
    shared: Arc<Shared>,
    head: watch::Receiver<u64>,
    cursor: Arc<AtomicU64>,
}

/// A part of the history.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Revisions, whole, oldest first.
    pub revisions: Vec<Arc<Revision>>,
    /// The first revision behind it: where to read on.
    pub next: u64,
    /// Whether there was more already.
    pub more: bool,
    /// The last revision of all at that moment.
    pub head: u64,
    /// The revision that the history is compacted to.
    pub compacted: u64,
}

impl Feed {
    /// From revision `from` on; None: from the next one on.
    pub(in crate::registry) fn new(shared: Arc<Shared>, from: Option<u64>) -> Self {
        let head = shared.head.subscribe();
        let cursor = {
            // The place is taken under the lock that revisions are published under, or one could slip through.
            let state = shared.read();
            shared.cursors.begin(from.map_or(state.revision + 1, |n| n.max(1)))
        };
        Self { shared, head, cursor }
    }

    /// The first revision that is kept for it.
    pub fn position(&self) -> u64 {
        self.cursor.load(Ordering::Relaxed)
    }

    /// What is before `position` is not needed any more.
    pub fn hold(&self, position: u64) {
        self.cursor.store(position, Ordering::Relaxed);
    }

    /// What there is from revision `from` on, of what `is_mine` chooses, a bounded part of it at once.
    /// [`Error::Compacted`]: it is not there any more, and has to be read anew.
    pub fn read(
        &self,
        from: u64,
        mut mine: impl FnMut(&Arc<Revision>) -> Option<Arc<Revision>>,
    ) -> Result<Part, Error> {
        let state = self.shared.read();
        let log = &state.space.log;
        if from < log.compacted() {
            return Err(Error::Compacted { asked: from, compacted: log.compacted() });
        }
        let mut part = Part { next: from, head: state.revision, compacted: log.compacted(), ..Part::default() };
        let mut changes = 0;
        for (looked, revision) in log.from(from).enumerate() {
            if looked == REVISIONS_PER_LOOK_MAX || changes >= CHANGES_MAX {
                part.more = true;
                return Ok(part);
            }
            part.next = revision.number + 1;
            if let Some(mine) = mine(revision) {
                changes += mine.changes.len();
                part.revisions.push(mine);
            }
        }
        part.next = part.next.max(state.revision + 1);
        Ok(part)
    }

    /// From now on [`Feed::changed`] tells of what comes.
    pub fn look(&mut self) {
        self.head.borrow_and_update();
    }

    /// Waits for revisions that came after the last [`Feed::look`]. Nothing is lost where it is dropped while it waits.
    pub async fn changed(&mut self) -> Result<(), Error> {
        self.head.changed().await.map_err(|_| Error::Stopped)
    }
}

/// Somebody who follows keys.
pub struct Watcher {
    feed: Feed,
    keys: Keys,
}

impl Watcher {
    /// From revision `from` on; None: from the next one on. It sees each once and in order, whatever is written meanwhile.
    pub(in crate::registry) fn new(shared: Arc<Shared>, keys: Keys, from: Option<u64>) -> Self {
        Self { feed: Feed::new(shared, from), keys }
    }

    /// The first revision that it has not seen: where somebody who comes back goes on.
    pub fn position(&self) -> u64 {
        self.feed.position()
    }

    /// Waits for the next changes of its keys. [`Error::Compacted`]: it is too far behind, and has to read anew.
    /// Nothing is lost where it is dropped while it waits.
    pub async fn next(&mut self) -> Result<Vec<Arc<Revision>>, Error> {
        loop {
            self.feed.look();
            let part = self.feed.read(self.position(), |revision| revision.of(&self.keys))?;
            self.feed.hold(part.next);
            if !part.revisions.is_empty() {
                return Ok(part.revisions);
            }
            if part.more {
                tokio::task::yield_now().await;
                continue;
            }
            self.feed.changed().await?;
        }
    }
}

impl Revision {
    /// Its part that concerns these keys.
    pub fn of(self: &Arc<Self>, keys: &Keys) -> Option<Arc<Self>> {
        let is_mine = |c: &&super::Change| keys.contains(&c.key);
        match self.changes.iter().filter(is_mine).count() {
            0 => None,
            all if all == self.changes.len() => Some(self.clone()),
            _ => {
                let changes = self.changes.iter().filter(is_mine).cloned().collect();
                Some(Arc::new(Self { number: self.number, changes }))
            }
        }
    }
}
