//! The store's promises, each against a real directory.

mod backups;
mod damage;
mod durability;
mod journal;
mod model;
mod space;

use super::*;
use crate::{base::Metrics, disk::Files};
use std::path::{Path, PathBuf};

const NAMES: Keyspace<String> = Keyspace::new(7, "names", Codec::Json);
const BLOBS: Keyspace<Vec<u8>> = Keyspace::new(9, "blobs", Codec::Postcard);

/// A directory of its own for each test; the store is in it, so that exports and backups can be beside.
struct Place {
    _dir: tempfile::TempDir,
    store: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        Self { _dir: dir, store }
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.store.with_file_name(name)
    }

    fn open(&self) -> Result<Store, Error> {
        open_on(&self.store, &Files::real())
    }
}

fn open_on(dir: &Path, files: &Files) -> Result<Store, Error> {
    let options = Options { cache_bytes: 1 << 20, ..Options::default() };
    Store::open(dir, options, files, &Metrics::default())
}

/// sled itself, behind the store's back.
fn raw_sled(dir: &Path) -> sled::Result<sled::Db> {
    let config = sled::Config::new().path(dir).flush_every_ms(None);
    // Threads of a database that was closed a moment ago let go of its lock late.
    for _ in 0..500 {
        match config.open() {
            Err(sled::Error::Io(e)) if e.to_string().contains("lock") => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            other => return other,
        }
    }
    config.open()
}

fn name(key: &str, value: &str) -> Batch {
    Batch::new().put(&NAMES, key.as_bytes(), &value.to_owned()).unwrap()
}

fn names(store: &Store) -> Vec<(String, String)> {
    let row = |row: Result<(Vec<u8>, String), Error>| row.map(|(k, v)| (String::from_utf8(k).unwrap(), v)).unwrap();
    store.range(&NAMES, ..).map(row).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Commits each batch and closes the store.
fn filled(place: &Place, batches: impl IntoIterator<Item = Batch>) {
    let store = place.open().unwrap();
    for batch in batches {
        store.commit_blocking(batch).unwrap();
    }
    close(store);
}

/// Closes from a thread without a runtime.
fn close(store: Store) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.close());
}

fn long(seed: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed as u8).collect()
}
