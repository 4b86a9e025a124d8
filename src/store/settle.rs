//! The tree follows the journal: a thread that makes durable what the tree holds beyond it, some commits at a time.
//!
//! sled recovers from a power cut only where little of its file was on its way, so that this is bounded, and a commit waits
//! where the tree is too far behind.

use super::{Error, handle::Inner};
use crate::base::task::panic_message;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long commits gather before the tree is synced: a sync for each would cost them the disk.
const GATHER: Duration = Duration::from_millis(20);
/// So many bytes of rows are not gathered any longer.
const GATHER_BYTES_MAX: usize = 128 << 10;
/// A commit waits for the tree where so many bytes of rows are not in it durably. sled writes a few times as much.
const UNSETTLED_BYTES_MAX: usize = 256 << 10;

/// How far the tree is.
#[derive(Default)]
pub(super) struct Settling {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Newest commit in the tree, and newest one that is durable there.
    applied: u64,
    settled: u64,
    /// Bytes of rows between the two.
    bytes: usize,
    /// Somebody waits until both are one, or for the end.
    hurry: bool,
    closed: bool,
    /// What went wrong: nothing is settled any more.
    failed: Option<Error>,
}

impl Settling {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree holds a commit of so many bytes, durable in the journal. Waits where too much is unsettled. Blocks.
    pub(super) fn applied(&self, commit: u64, bytes: usize) -> Result<(), Error> {
        let mut state = self.state();
        let was_idle = state.settled == state.applied;
        let was_gathering = state.bytes < GATHER_BYTES_MAX;
        state.applied = commit;
        state.bytes += bytes;
        // To wake the thread for each commit would cost each of them a change of threads.
        if was_idle || was_gathering && state.bytes >= GATHER_BYTES_MAX {
            self.changed.notify_all();
        }
        while state.bytes > UNSETTLED_BYTES_MAX && state.failed.is_none() {
            state = self.wait(state);
        }
        state.failed.clone().map_or(Ok(()), Err)
    }

    /// The tree holds everything up to this commit durably; nothing else is under way. Blocks for a moment.
    pub(super) fn settled(&self, commit: u64) {
        let mut state = self.state();
        (state.applied, state.settled, state.bytes) = (commit, commit, 0);
    }

    /// Waits until all that was applied is durable in the tree. Blocks.
    pub(super) fn catch_up(&self) -> Result<(), Error> {
        let mut state = self.state();
        while state.settled < state.applied && state.failed.is_none() {
            state.hurry = true;
            self.changed.notify_all();
            state = self.wait(state);
        }
        state.hurry = false;
        state.failed.clone().map_or(Ok(()), Err)
    }

    /// Ends the thread once everything is settled.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// What to settle next; `None` at the end.
    fn next(&self) -> Option<(u64, usize)> {
        let mut state = self.state();
        while state.settled == state.applied {
            if state.closed {
                return None;
            }
            state = self.wait(state);
        }
        let gathers = |s: &mut State| s.bytes < GATHER_BYTES_MAX && !s.hurry && !s.closed;
        let (state, _) =
            self.changed.wait_timeout_while(state, GATHER, gathers).unwrap_or_else(PoisonError::into_inner);
        Some((state.applied, state.bytes))
    }
}

/// Settles until closed, or until it fails. Blocks.
pub(super) fn run(inner: &Inner) {
    let settling = &inner.settling;
    while let Some((commit, bytes)) = settling.next() {
        let result = catch_unwind(AssertUnwindSafe(|| inner.make_durable()))
            .unwrap_or_else(|payload| Err(Error::Storage(panic_message(payload.as_ref()))));
        let mut state = settling.state();
        match result {
            Ok(()) => {
                state.settled = state.settled.max(commit);
                state.bytes -= bytes.min(state.bytes);
            }
            Err(error) => {
                // What was answered is in the journal; the next open takes it from there.
                inner.fail(&error);
                state.failed = Some(error);
            }
        }
        let failed = state.failed.is_some();
        drop(state);
        settling.changed.notify_all();
        if failed {
            return;
        }
    }
}
