//! The handle that rooms hold, and what it shares with the commit thread.

use super::{
    Backup, Batch, Error, Keyspace, Rows, backup,
    commit::{self, Message},
    engine,
    home::{Home, damaged},
    journal::{self, Journal},
    raw, rows,
    settle::{self, Settling},
    spare::Spare,
    sums::{META_KEY, Meta, SCHEMA, SCHEMA_KEY},
    verify,
    walk::Walks,
};
use crate::{
    base::{
        Metrics, Wall,
        metrics::{Counter, Histogram, exponential_buckets},
    },
    disk::{self, Files},
};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    ops::{Bound, RangeBounds},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{mpsc, oneshot, watch};

/// What sled may keep in memory. Its own default is a gibibyte.
const CACHE_BYTES_DEFAULT: u64 = 64 << 20;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the cache may take.
    pub cache_bytes: u64,
    /// Rows that are read through and compared with their sums before the store is given out; the keyspaces beyond are
    /// read in the background.
    pub verify_rows_at_open_max: u64,
    /// The same in bytes.
    pub verify_bytes_at_open_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: CACHE_BYTES_DEFAULT,
            verify_rows_at_open_max: verify::ROWS_AT_OPEN_MAX,
            verify_bytes_at_open_max: verify::BYTES_AT_OPEN_MAX,
        }
    }
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Why it takes no more writes. The process should end: a restart recovers what was answered.
    pub failed: Option<String>,
    /// Whether the tree adds up to its sums.
    pub verification: Verification,
}

/// Where the comparison of rows with sums stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Large keyspaces are still being read.
    Running,
    /// Every row that was written is there.
    Sound,
    /// Rows are missing or changed; the text says what to do.
    Damaged(String),
}

/// The store. Cheap to clone. Reads block where the cache has not got the row; writes wait without blocking.
#[derive(Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
    door: Arc<Door>,
}

/// Closes the queue with the last handle.
struct Door {
    messages: mpsc::Sender<Message>,
    stop: Arc<AtomicBool>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

pub(super) struct Inner {
    pub db: sled::Db,
    home: Home,
    spare: Spare,
    /// Our own descriptor of sled's log, because sled makes no fsync.
    log: disk::File,
    pub settling: Settling,
    state: Mutex<State>,
    /// Held while a commit's rows go into the tree one by one, so that nobody reads half of them.
    pub whole: RwLock<()>,
    counts: Mutex<BTreeMap<u8, u64>>,
    names: Mutex<BTreeMap<u8, String>>,
    health: watch::Sender<Health>,
    pub metrics: StoreMetrics,
    pub stop: Arc<AtomicBool>,
}

/// What changes with the tree, under one lock with it.
pub(super) struct State {
    pub meta: Meta,
    pub walks: Walks,
}

pub(super) struct StoreMetrics {
    pub commits: Counter,
    pub commit_seconds: Histogram,
    pub commit_batches: Histogram,
}

impl StoreMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            commits: metrics.register("store_commits", "Durable group commits", Counter::default()),
            commit_seconds: metrics.register(
                "store_commit_seconds",
                "Time from taking a group of batches to its fdatasync",
                Histogram::new(exponential_buckets(0.0002, 2.0, 16)),
            ),
            commit_batches: metrics.register(
                "store_commit_batches",
                "Batches joined in one commit",
                Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            ),
        }
    }
}

impl Store {
    /// Opens the store in `dir`, or makes one where there is no directory or an empty one. Blocks: at most about two
    /// seconds on a sound store.
    pub fn open(dir: &Path, options: Options, files: &Files, metrics: &Metrics) -> Result<Self, Error> {
        let home = Home::enter(dir, files)?;
        let db = engine::open(&home, options.cache_bytes)?;
        Self::start(home, db, options, metrics)
    }

    fn start(mut home: Home, db: sled::Db, options: Options, metrics: &Metrics) -> Result<Self, Error> {
        let meta = if home.fresh { begin(&mut home, &db)? } else { read_meta(&home, &db)? };
        let (journal, records) = Journal::open(&home)?;
        let meta = match journal::lacking(&home, records, meta.commit)? {
            Some(record) => catch_up(&home, &db, record)?,
            None => meta,
        };
        home.sync_all()?;
        home.lay_ballast();
        let spare = Spare::default();
        spare.lay(&home);
        let log = home.files.open_read(&home.dir.join("db"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let names = meta.sums.iter().map(|(prefix, sum)| (*prefix, sum.name.clone())).collect();
        let inner = Arc::new(Inner {
            db,
            home,
            spare,
            log,
            settling: Settling::default(),
            state: Mutex::new(State { meta, walks: Walks::default() }),
            whole: RwLock::default(),
            counts: Mutex::default(),
            names: Mutex::new(names),
            health: watch::Sender::new(Health { failed: None, verification: Verification::Running }),
            metrics: StoreMetrics::new(metrics),
            stop: stop.clone(),
        });
        inner.show_counts(&inner.state().meta);
        let later = verify::at_open(&inner, options.verify_rows_at_open_max, options.verify_bytes_at_open_max)?;
        let verifier = if later.is_empty() {
            inner.health.send_modify(|h| h.verification = Verification::Sound);
            None
        } else {
            let verifier = inner.clone();
            Some(thread("store-verify", move || verifier.verify_later(&later))?)
        };
        inner.settling.settled(inner.state().meta.commit);
        let settler = inner.clone();
        let settler = thread("store-settle", move || settle::run(&settler))?;
        let (messages, queue) = mpsc::channel(commit::QUEUE_MAX);
        let committer = inner.clone();
        let beside = verifier.into_iter().chain([settler]).collect();
        thread("store-commit", move || commit::run(committer, journal, queue, beside))?;
        Ok(Self { inner, door: Arc::new(Door { messages, stop }) })
    }

    /// Writes a batch. Answers the commit's number once it is durable, together with whatever else was waiting.
    pub async fn commit(&self, batch: Batch) -> Result<u64, Error> {
        let (done, answer) = oneshot::channel();
        self.door.messages.send(Message::Commit { batch, done }).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// [`Store::commit`] for a thread of its own. Blocks; never call it on a runtime's thread.
    pub fn commit_blocking(&self, batch: Batch) -> Result<u64, Error> {
        let (done, answer) = oneshot::channel();
        self.door.messages.blocking_send(Message::Commit { batch, done }).map_err(|_| Error::Closed)?;
        answer.blocking_recv().map_err(|_| Error::Closed)?
    }

    /// Keeps one value durably even where there is no room for rows, in place of the one that was kept before; its
    /// number, which is above that one's and `above`. For a caller whose [`Store::commit`] was answered with
    /// [`Error::NoSpace`].
    pub async fn keep_spare(&self, value: Vec<u8>, above: u64) -> Result<u64, Error> {
        let (done, answer) = oneshot::channel();
        self.door.messages.send(Message::Keep { value, above, done }).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// The value that was kept last, with its number. Blocks.
    pub fn spare(&self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        self.inner.spare.read(&self.inner.home)
    }

    /// One row. May see a commit that is written but not answered yet. Blocks where the cache has not got it.
    pub fn get<V: DeserializeOwned>(&self, keyspace: &Keyspace<V>, key: &[u8]) -> Result<Option<V>, Error> {
        rows::read(&self.inner, keyspace, key, None)
    }

    /// Rows of a range of keys, from both ends. Blocks where the cache has not got them.
    pub fn range<V: DeserializeOwned>(&self, keyspace: &Keyspace<V>, range: impl RangeBounds<Vec<u8>>) -> Rows<V> {
        let iter = self.inner.db.range::<Vec<u8>, _>(bounds(keyspace.prefix(), range));
        Rows { inner: self.inner.clone(), keyspace: *keyspace, iter: Some(iter) }
    }

    /// Rows whose keys begin with `prefix`, from both ends. Blocks where the cache has not got them.
    pub fn prefix<V: DeserializeOwned>(&self, keyspace: &Keyspace<V>, prefix: &[u8]) -> Rows<V> {
        let iter = self.inner.db.scan_prefix(raw::row_key(keyspace.prefix(), prefix));
        Rows { inner: self.inner.clone(), keyspace: *keyspace, iter: Some(iter) }
    }

    /// Keys of a range of rows, in order, without their values. Blocks where the cache has not got them.
    pub fn keys<V, R: RangeBounds<Vec<u8>>>(
        &self,
        keyspace: &Keyspace<V>,
        range: R,
    ) -> impl Iterator<Item = Result<Vec<u8>, Error>> + use<V, R> {
        let inner = self.inner.clone();
        let mut iter = inner.db.range::<Vec<u8>, _>(bounds(keyspace.prefix(), range));
        std::iter::from_fn(move || {
            let next = inner.reading(|| iter.next().transpose()).transpose()?;
            Some(next.map(|(key, _)| raw::user_key(&key).to_vec()))
        })
    }

    /// How many rows a keyspace has, as of the last durable commit.
    pub fn count<V>(&self, keyspace: &Keyspace<V>) -> u64 {
        locked(&self.inner.counts).get(&keyspace.prefix()).copied().unwrap_or(0)
    }

    /// Writes a consistent copy, as of the moment at which it ends, to `path` while commits go on: whole or not at all,
    /// replacing what is there. Blocks for as long as reading all rows takes.
    pub fn backup(&self, path: &Path) -> Result<Backup, Error> {
        backup::write(&self.inner, path)
    }

    /// Writes a backup into `exports` under a name that sorts by time and removes all but the `keep` newest. `None`
    /// where nothing changed since the newest one. Blocks.
    pub fn export(&self, exports: &Path, now: Wall, keep: usize) -> Result<Option<PathBuf>, Error> {
        backup::rotate(&self.inner, exports, now, keep)
    }

    /// How the store is now.
    pub fn health(&self) -> Health {
        self.inner.health()
    }

    /// How the store is, as it changes.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.inner.health.subscribe()
    }

    /// Ends the commit thread after all that was sent before. Later commits answer [`Error::Closed`]; reads go on until
    /// the last handle is gone, and only then can the directory be opened again.
    pub async fn close(&self) {
        self.door.stop.store(true, Ordering::Relaxed);
        let (done, ended) = oneshot::channel();
        if self.door.messages.send(Message::Close { done }).await.is_ok() {
            // An error means that the thread is gone already, which is what was wanted.
            let _ = ended.await;
        }
    }
}

impl Inner {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// A read of the tree, between two commits. Blocks where the cache has not got it.
    pub(super) fn reading<T>(&self, read: impl FnOnce() -> sled::Result<T>) -> Result<T, Error> {
        let _whole = self.whole.read().unwrap_or_else(PoisonError::into_inner);
        engine::guarded(read)
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    pub(super) fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// No more writes.
    pub(super) fn fail(&self, error: &Error) {
        tracing::error!(%error, "the store has failed and takes no more writes");
        self.health.send_modify(|h| h.failed = Some(error.to_string()));
    }

    pub(super) fn keep_spare(&self, value: &[u8], above: u64) -> Result<u64, Error> {
        self.spare.keep(&self.home, value, above)
    }

    /// Writes sled's buffers to its log and the log to the medium. Blocks.
    pub(super) fn make_durable(&self) -> Result<(), Error> {
        self.db.flush()?;
        Ok(self.log.sync_data()?)
    }

    pub(super) fn show_counts(&self, meta: &Meta) {
        *locked(&self.counts) = meta.sums.iter().map(|(prefix, sum)| (*prefix, sum.rows)).collect();
    }

    /// A prefix belongs to the keyspace that wrote it first.
    pub(super) fn claim_names(&self, batch: &Batch) -> Result<(), Error> {
        let mut names = locked(&self.names);
        for write in &batch.writes {
            let owner = names.entry(write.prefix).or_insert_with(|| write.keyspace.to_owned());
            if owner != write.keyspace {
                let (prefix, keyspace) = (write.prefix, write.keyspace);
                return Err(Error::Invalid(format!("prefix {prefix} of keyspace `{keyspace}` belongs to `{owner}`")));
            }
        }
        Ok(())
    }

    /// The name that a prefix was claimed under.
    pub(super) fn name_of(&self, prefix: u8) -> String {
        locked(&self.names).get(&prefix).cloned().unwrap_or_default()
    }

    fn verify_later(&self, later: &[u8]) {
        let verification = match verify::in_background(self, later) {
            Ok(true) => Verification::Sound,
            Ok(false) => return,
            Err(error) => {
                tracing::error!(%error, "the store does not add up");
                Verification::Damaged(error.to_string())
            }
        };
        self.health.send_modify(|h| h.verification = verification);
    }
}

/// First rows of a new store, made durable before the marker says that it is one.
fn begin(home: &mut Home, db: &sled::Db) -> Result<Meta, Error> {
    let meta = Meta::default();
    let mut batch = sled::Batch::default();
    batch.insert(SCHEMA_KEY, SCHEMA.to_be_bytes().as_slice());
    batch.insert(META_KEY, meta.encode());
    db.apply_batch(batch)?;
    db.flush()?;
    home.sync_all()?;
    home.created()?;
    Ok(meta)
}

/// Takes from the journal what the tree had not got when the process or the machine ended.
fn catch_up(home: &Home, db: &sled::Db, (commit, rows): journal::Record) -> Result<Meta, Error> {
    commit::make_room(home);
    let mut batch = sled::Batch::default();
    for (key, value) in rows {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    db.apply_batch(batch)?;
    db.flush()?;
    tracing::info!(commit, "the store took its last commits from its journal");
    read_meta(home, db)
}

fn read_meta(home: &Home, db: &sled::Db) -> Result<Meta, Error> {
    match db.get(SCHEMA_KEY)? {
        Some(found) if *found == SCHEMA.to_be_bytes() => {}
        Some(found) => {
            let found = format!("{:?}", &*found);
            return Err(Error::Schema { dir: home.dir.clone(), found, known: SCHEMA });
        }
        None => return Err(damaged(&home.dir, "its schema row is missing".into())),
    }
    let meta = db.get(META_KEY)?.and_then(|bytes| Meta::decode(&bytes));
    meta.ok_or_else(|| damaged(&home.dir, "its row of sums is missing or cannot be read".into()))
}

/// A range of a keyspace's keys as sled has them.
fn bounds(prefix: u8, range: impl RangeBounds<Vec<u8>>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let bound = |b: Bound<&Vec<u8>>, unbounded: Bound<Vec<u8>>| match b {
        Bound::Included(key) => Bound::Included(raw::row_key(prefix, key)),
        Bound::Excluded(key) => Bound::Excluded(raw::row_key(prefix, key)),
        Bound::Unbounded => unbounded,
    };
    let start = bound(range.start_bound(), Bound::Included(raw::row_key(prefix, &[])));
    (start, bound(range.end_bound(), Bound::Excluded(raw::rows_end(prefix))))
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>, Error> {
    let handle = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    handle.map_err(|e| Error::Storage(format!("cannot start the thread {name}: {e}")))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
