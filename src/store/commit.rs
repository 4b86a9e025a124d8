//! The commit thread: joins what waits, writes it once, makes it durable, and only then answers.
//!
//! Where the journal has a group, its callers are answered before the rows are in the tree, with the tree locked: they go on
//! with their work, and whoever reads waits for the rows.

use super::{
    Batch, Error,
    handle::{Inner, State},
    home::Home,
    journal::{self, Journal},
    raw::{self, Overlay},
    sums::{META_KEY, Meta},
};
use crate::base::{Clock, task::panic_message};
use std::{
    collections::{HashMap, hash_map},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    thread::JoinHandle,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Batches that may wait for the disk; a caller beyond them waits for a place.
pub(super) const QUEUE_MAX: usize = 1024;
/// Batches of one group, and about how many bytes: what waits longer is the next group.
const GROUP_BATCHES_MAX: usize = 512;
const GROUP_BYTES_MAX: u64 = 16 << 20;
/// Space that must be left before rows are added: sled fails for good once a write of its log does not fit.
const RESERVE_BYTES: u64 = 4 << 20;
/// Space that must be left before rows are only deleted, which is how a full disk becomes less full. The ballast is more.
const RESERVE_DELETES_BYTES: u64 = 768 << 10;

pub(super) type Answer = oneshot::Sender<Result<u64, Error>>;

pub(super) enum Message {
    Commit {
        batch: Batch,
        done: Answer,
    },
    /// For the spare file.
    Keep {
        value: Vec<u8>,
        above: u64,
        done: Answer,
    },
    Close {
        done: oneshot::Sender<()>,
    },
}

/// Raw rows as the tree has them.
type Found = HashMap<Vec<u8>, Option<sled::IVec>>;

/// A group on its way.
#[derive(Default)]
struct Group {
    /// What to write.
    overlay: Overlay,
    /// What of it was read while it was staged.
    found: Found,
}

/// Who waits for a group.
struct Waiting<'a> {
    inner: &'a Inner,
    clock: Clock,
    begun: Instant,
    answers: Vec<Answer>,
}

impl Waiting<'_> {
    /// Answers everyone, once: what becomes known afterwards concerns nobody of them.
    fn answer(&mut self, result: &Result<u64, Error>) {
        if result.is_ok() && !self.answers.is_empty() {
            let metrics = &self.inner.metrics;
            metrics.commits.inc();
            metrics.commit_seconds.observe((self.clock.now() - self.begun).as_secs_f64());
            metrics.commit_batches.observe(self.answers.len() as f64);
        }
        for done in self.answers.drain(..) {
            // The caller may have gone away; what it asked for is durable all the same.
            let _ = done.send(result.clone());
        }
    }
}

/// Runs until closed or until every handle is gone. The threads `beside` it are waited for, so that nothing holds the tree
/// afterwards.
pub(super) fn run(
    inner: Arc<Inner>,
    mut journal: Option<Journal>,
    mut queue: mpsc::Receiver<Message>,
    beside: Vec<JoinHandle<()>>,
) {
    let mut closing = None;
    while closing.is_none() {
        let Some(first) = queue.blocking_recv() else { break };
        let (mut commits, mut keeps) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Commit { batch, done } => {
                    bytes += batch.bytes();
                    commits.push((batch, done));
                }
                Message::Keep { value, above, done } => keeps.push((value, above, done)),
                Message::Close { done } => {
                    closing = Some(done);
                    break;
                }
            }
            if commits.len() < GROUP_BATCHES_MAX && bytes < GROUP_BYTES_MAX {
                next = queue.try_recv().ok();
            }
        }
        commit(&inner, journal.as_mut(), commits);
        for (value, above, done) in keeps {
            // The caller may have gone away; what it asked for is kept all the same.
            let _ = done.send(inner.keep_spare(&value, above));
        }
    }
    drop(queue);
    inner.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    inner.settling.close();
    for thread in beside {
        // One that panicked has been logged by itself; there is nothing left to do for it here.
        let _ = thread.join();
    }
    drop(inner);
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

/// Writes one group and answers everyone in it.
fn commit(inner: &Inner, journal: Option<&mut Journal>, commits: Vec<(Batch, Answer)>) {
    let clock = Clock::real();
    let begun = clock.now();
    let (group, answers) = admit(inner, commits);
    if answers.is_empty() {
        return;
    }
    let mut waiting = Waiting { inner, clock, begun, answers };
    let written = catch_unwind(AssertUnwindSafe(|| write(inner, journal, group, &mut waiting)))
        .unwrap_or_else(|payload| Err(Error::Storage(panic_message(payload.as_ref()))));
    match written {
        Ok(number) => {
            if let Err(error) = inner.home().note_commit(number) {
                tracing::warn!(%error, commit = number, "cannot note the last commit");
            }
        }
        Err(error) => {
            // Whatever failed, what is on disk is not known any more: a second try could succeed over the loss.
            inner.fail(&error);
            waiting.answer(&Err(Error::Failed(error.to_string())));
        }
    }
}

/// Stages what may be written, with who waits for it; answers the others at once.
fn admit(inner: &Inner, commits: Vec<(Batch, Answer)>) -> (Group, Vec<Answer>) {
    let (mut group, mut waiting) = (Group::default(), Vec::new());
    let bytes: u64 = commits.iter().map(|(batch, _)| batch.bytes()).sum();
    let space = Space::look(inner, bytes, commits.iter().any(|(batch, _)| batch.only_deletes()));
    for (batch, done) in commits {
        let result = match inner.health().failed {
            Some(why) => Err(Error::Failed(why)),
            None => space.allows(&batch).and_then(|()| stage(inner, &mut group, &batch)),
        };
        match result {
            Ok(()) => waiting.push(done),
            Err(e) => drop(done.send(Err(e))),
        }
    }
    (group, waiting)
}

/// What the file system has room for.
enum Space {
    Enough,
    Deletes(u64),
    None(u64),
}

impl Space {
    fn look(inner: &Inner, bytes: u64, deletes: bool) -> Self {
        let home = inner.home();
        let free = || home.files.free_space(&home.dir).map(|s| s.free_bytes);
        // A file system that cannot be asked is left to answer for itself when it is written to.
        let Ok(mut free_bytes) = free() else { return Self::Enough };
        if free_bytes >= RESERVE_BYTES.saturating_add(bytes.saturating_mul(2)) {
            return Self::Enough;
        }
        if free_bytes < RESERVE_DELETES_BYTES && deletes && matches!(home.release_ballast(), Ok(true)) {
            free_bytes = free().unwrap_or(free_bytes);
        }
        if free_bytes >= RESERVE_DELETES_BYTES { Self::Deletes(free_bytes) } else { Self::None(free_bytes) }
    }

    fn allows(&self, batch: &Batch) -> Result<(), Error> {
        match self {
            Self::Enough => Ok(()),
            Self::Deletes(_) if batch.only_deletes() => Ok(()),
            Self::Deletes(free) | Self::None(free) => Err(Error::NoSpace(format!("{free} bytes are free"))),
        }
    }
}

/// Puts one batch on top of the group, wholly or not at all.
fn stage(inner: &Inner, group: &mut Group, batch: &Batch) -> Result<(), Error> {
    inner.claim_names(batch)?;
    let mut staged = Overlay::new();
    let Group { overlay, found } = group;
    for write in &batch.writes {
        raw::stage(&mut staged, write.prefix, &write.key, write.value.as_deref(), |key| {
            let chunks = |row: Option<&[u8]>| row.map_or(0, raw::chunks_of);
            Ok(match overlay.get(key) {
                Some(earlier) => chunks(earlier.as_deref()),
                None => chunks(row(inner, found, key)?.as_deref()),
            })
        })?;
    }
    overlay.extend(staged);
    Ok(())
}

/// A raw row of the tree, read once.
fn row<'a>(inner: &Inner, found: &'a mut Found, key: &[u8]) -> Result<&'a Option<sled::IVec>, Error> {
    match found.entry(key.to_vec()) {
        hash_map::Entry::Occupied(row) => Ok(row.into_mut()),
        hash_map::Entry::Vacant(place) => Ok(place.insert(inner.db.get(key)?)),
    }
}

/// Makes room for what the tree lacks after a crash: it was let in while there was room.
pub(super) fn make_room(home: &Home) {
    if !home.has_room(RESERVE_BYTES)
        && let Err(error) = home.release_ballast()
    {
        tracing::warn!(%error, "cannot remove the ballast");
    }
}

/// Makes the group durable with its new sums, answers who waits, and applies it.
fn write(inner: &Inner, journal: Option<&mut Journal>, group: Group, waiting: &mut Waiting<'_>) -> Result<u64, Error> {
    let Group { overlay, found } = group;
    let change = Change::of(inner, &overlay, found)?;
    let number = change.meta.commit;
    match (journal, change.record()) {
        (Some(journal), Some(record)) => {
            if !journal.has_place(&record) {
                inner.settling.catch_up()?;
                journal.rewind();
            }
            journal.append(&record)?;
            change.apply(inner, || waiting.answer(&Ok(number)))?;
            inner.settling.applied(number, record.len())?;
        }
        (journal, _) => {
            inner.settling.catch_up()?;
            change.apply_at_once(inner)?;
            inner.make_durable()?;
            inner.settling.settled(number);
            // Its records do not lead to what comes next.
            journal.into_iter().for_each(Journal::rewind);
            waiting.answer(&Ok(number));
        }
    }
    Ok(number)
}

/// What a group changes in the tree.
struct Change<'a> {
    rows: Vec<(&'a [u8], Option<sled::IVec>, Option<&'a [u8]>)>,
    meta: Meta,
    encoded: Vec<u8>,
}

impl<'a> Change<'a> {
    fn of(inner: &Inner, overlay: &'a Overlay, mut found: Found) -> Result<Self, Error> {
        let before = inner.state().meta.clone();
        let mut meta = Meta { commit: before.commit + 1, sums: before.sums };
        let mut rows = Vec::with_capacity(overlay.len());
        for (key, new) in overlay {
            let old = match found.remove(key) {
                Some(old) => old,
                None => inner.db.get(key)?,
            };
            if old.as_deref() == new.as_deref() {
                continue;
            }
            meta.change(key, old.as_deref(), new.as_deref(), |prefix| inner.name_of(prefix));
            rows.push((key.as_slice(), old, new.as_deref()));
        }
        let encoded = meta.encode();
        Ok(Self { rows, meta, encoded })
    }

    /// For the journal; `None` where it is too long for it.
    fn record(&self) -> Option<Vec<u8>> {
        let rows = self.rows.iter().map(|(key, _, new)| (*key, *new));
        journal::encode(self.meta.commit, rows.chain([(META_KEY, Some(self.encoded.as_slice()))]))
    }

    /// Puts rows that the journal has into the tree, and tells the walks; before, that they can be counted on. One by
    /// one: where the process ends between two of them, the next open has them again from the journal, and a batch of
    /// sled's would go to the disk at once.
    fn apply(self, inner: &Inner, durable: impl FnOnce()) -> Result<(), Error> {
        let mut state = inner.state();
        let _whole = inner.whole.write().unwrap_or_else(PoisonError::into_inner);
        inner.show_counts(&self.meta);
        durable();
        for (key, _, new) in &self.rows {
            match new {
                Some(value) => inner.db.insert(key, *value)?,
                None => inner.db.remove(key)?,
            };
        }
        inner.db.insert(META_KEY, self.encoded.as_slice())?;
        self.tell(&mut state);
        Ok(())
    }

    /// Puts rows that no journal has into the tree, all of them or none, and tells the walks.
    fn apply_at_once(self, inner: &Inner) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        for (key, _, new) in &self.rows {
            match new {
                Some(value) => batch.insert(*key, *value),
                None => batch.remove(*key),
            }
        }
        batch.insert(META_KEY, self.encoded.as_slice());
        let mut state = inner.state();
        inner.db.apply_batch(batch)?;
        inner.show_counts(&self.meta);
        self.tell(&mut state);
        Ok(())
    }

    fn tell(self, state: &mut State) {
        for (key, old, new) in self.rows {
            state.walks.note(key, old.as_deref(), new);
        }
        state.meta = self.meta;
    }
}
