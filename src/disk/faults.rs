//! Failures on purpose. Every disk operation asks here first; without rules the question costs one relaxed load.

use super::{Error, Op, Space};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[cfg(test)]
static OF_THE_PROCESS: std::sync::OnceLock<Faults> = std::sync::OnceLock::new();

/// Operations that the history keeps.
const HISTORY_MAX: usize = 10_000;

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// EIO: the medium failed.
    Io,
    /// ENOSPC: the file system is full.
    NoSpace,
    /// EROFS: the file system went read-only.
    ReadOnly,
    /// Any other answer of the system.
    Errno(rustix::io::Errno),
    /// An append writes this many bytes and then fails with ENOSPC. Any other operation just fails with ENOSPC.
    Short(usize),
}

/// When to fail: the nth matching operation, once or from then on.
#[derive(Clone, Debug)]
pub struct Rule {
    op: Option<Op>,
    path_part: Option<String>,
    skip: u64,
    failure: Failure,
    persistent: bool,
}

impl Rule {
    /// The next operation of kind `op` fails, once.
    pub fn new(op: Op, failure: Failure) -> Self {
        Self { op: Some(op), path_part: None, skip: 0, failure, persistent: false }
    }

    /// The next operation of any kind fails, once: for loops that fail each operation of a whole run in turn.
    pub fn any(failure: Failure) -> Self {
        Self { op: None, path_part: None, skip: 0, failure, persistent: false }
    }

    /// The nth matching operation from now, counted from 1.
    pub fn nth(mut self, nth: u64) -> Self {
        self.skip = nth.saturating_sub(1);
        self
    }

    /// Only operations on paths that contain `part`.
    pub fn on(mut self, part: impl Into<String>) -> Self {
        self.path_part = Some(part.into());
        self
    }

    /// All matching operations from that one on.
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    fn matches(&self, op: Op, path: &Path) -> bool {
        self.op.is_none_or(|o| o == op)
            && self.path_part.as_ref().is_none_or(|part| path.to_string_lossy().contains(part.as_str()))
    }
}

/// The gate. Clones share rules and counts.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Gate>);

#[derive(Debug, Default)]
struct Gate {
    /// False on a real disk, which then neither counts nor locks.
    active: AtomicBool,
    state: Mutex<State>,
    /// The disk goes on.
    healed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    counts: BTreeMap<Op, u64>,
    history: Vec<(Op, PathBuf)>,
    hits: u64,
    space: Option<Space>,
    /// Operations, of one kind or of any, on paths that contain this wait until it is gone.
    hangs: Option<(Option<Op>, String)>,
    /// How long operations of some kinds take.
    slow: BTreeMap<Op, Duration>,
}

impl Faults {
    /// A gate that counts operations and has no rule yet.
    pub fn new() -> Self {
        let faults = Self::default();
        faults.0.active.store(true, Ordering::Relaxed);
        faults
    }

    /// The gate of a real disk: never fails, never counts, but for [`Faults::of_the_process`].
    pub(super) fn none() -> Self {
        #[cfg(test)]
        if let Some(faults) = OF_THE_PROCESS.get() {
            return faults.clone();
        }
        Self::default()
    }

    /// Real disks of this process fail as these say, from now on: for a test program that is a daemon.
    #[cfg(test)]
    pub(crate) fn of_the_process(self) {
        OF_THE_PROCESS.set(self).expect("they are told once");
    }

    /// Adds a rule.
    pub fn inject(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    /// Operations on paths that contain `part` do not come back until [`Faults::heal`].
    pub fn hang(&self, part: impl Into<String>) {
        self.lock().hangs = Some((None, part.into()));
    }

    /// The same of operations of kind `op` alone.
    pub fn hang_in(&self, op: Op, part: impl Into<String>) {
        self.lock().hangs = Some((Some(op), part.into()));
    }

    /// Each operation of kind `op` takes so long.
    pub fn slow(&self, op: Op, each: Duration) {
        self.lock().slow.insert(op, each);
    }

    /// What hangs goes on, and may fail by rule.
    pub fn go_on(&self) {
        self.lock().hangs = None;
        self.0.healed.notify_all();
    }

    /// Removes all rules: the disk is well again.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.rules.clear();
        state.hangs = None;
        state.slow.clear();
        self.0.healed.notify_all();
    }

    /// All operations so far, failed ones included.
    pub fn total(&self) -> u64 {
        self.lock().counts.values().sum()
    }

    /// Pretends that file systems have this much space, without filling them; `None` ends it.
    pub fn pretend_space(&self, space: Option<Space>) {
        self.lock().space = space;
    }

    /// Operations of kind `op` so far, failed ones included.
    pub fn count(&self, op: Op) -> u64 {
        self.lock().counts.get(&op).copied().unwrap_or(0)
    }

    /// What was done to which path, in order: for tests of the order of writes. The first ten thousand operations.
    pub fn history(&self) -> Vec<(Op, PathBuf)> {
        self.lock().history.clone()
    }

    /// How many operations were made to fail.
    pub fn hits(&self) -> u64 {
        self.lock().hits
    }

    /// Passes or fails one operation. `Ok(Some(n))` lets an append write `n` bytes before it fails.
    pub(super) fn pass(&self, op: Op, path: &Path) -> Result<Option<usize>, Error> {
        if !self.0.active.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut state = self.lock();
        *state.counts.entry(op).or_default() += 1;
        if state.history.len() < HISTORY_MAX {
            state.history.push((op, path.to_owned()));
        }
        let is_stuck = |state: &mut State| {
            let hangs = |(kind, part): &(Option<Op>, String)| {
                kind.is_none_or(|kind| kind == op) && path.to_string_lossy().contains(part)
            };
            state.hangs.as_ref().is_some_and(hangs)
        };
        state = self.0.healed.wait_while(state, is_stuck).unwrap_or_else(PoisonError::into_inner);
        if let Some(each) = state.slow.get(&op).copied() {
            drop(state);
            std::thread::sleep(each);
            state = self.lock();
        }
        let mut failure = None;
        state.rules.retain_mut(|rule| {
            if failure.is_some() || !rule.matches(op, path) {
                return true;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                return true;
            }
            failure = Some(rule.failure);
            rule.persistent
        });
        let Some(failure) = failure else { return Ok(None) };
        state.hits += 1;
        match failure {
            Failure::Short(bytes) if op == Op::Append => Ok(Some(bytes)),
            Failure::Short(_) | Failure::NoSpace => Err(Error::io(op, path, io::ErrorKind::StorageFull)),
            Failure::ReadOnly => Err(Error::io(op, path, io::ErrorKind::ReadOnlyFilesystem)),
            Failure::Io => Err(Error::io(op, path, rustix::io::Errno::IO)),
            Failure::Errno(errno) => Err(Error::io(op, path, errno)),
        }
    }

    /// [`Faults::pass`] for the question of free space, which can also be answered wrongly.
    pub(super) fn pass_space(&self, path: &Path) -> Result<Option<Space>, Error> {
        self.pass(Op::FreeSpace, path)?;
        Ok(if self.0.active.load(Ordering::Relaxed) { self.lock().space } else { None })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
