//! Opening sled, which may answer an error, panic, or need a hand: no space, a torn snapshot, a lock just given up.

use super::{
    Error,
    home::{Home, damaged},
};
use crate::base::task::panic_message;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// How often, and how many times, sled's own lock is tried again: threads of a database closed a moment ago let go late.
const LOCK_RETRY: Duration = Duration::from_millis(20);
const LOCK_TRIES_MAX: u32 = 50;

/// Why one attempt failed.
enum Failed {
    NoSpace(String),
    Locked,
    Damaged(String),
    Other(String),
}

/// Opens the database in `home`, mending what can be mended. Blocks.
pub(super) fn open(home: &Home, cache_bytes: u64) -> Result<sled::Db, Error> {
    let config = sled::Config::new().path(&home.dir).cache_capacity(cache_bytes).flush_every_ms(None);
    open_with(home, || config.open())
}

/// [`open`] with the attempt as a seam.
pub(super) fn open_with(home: &Home, open: impl Fn() -> sled::Result<sled::Db>) -> Result<sled::Db, Error> {
    home.remove_half_snapshots()?;
    let mut set_aside = false;
    let mut waits = 0;
    loop {
        match attempt(&open) {
            Ok(db) => {
                home.settle_snapshots(true)?;
                return Ok(db);
            }
            Err(Failed::NoSpace(what)) => {
                if !home.release_ballast()? {
                    return Err(Error::NoSpace(what));
                }
            }
            Err(Failed::Locked) if waits < LOCK_TRIES_MAX => {
                waits += 1;
                std::thread::sleep(LOCK_RETRY);
            }
            Err(Failed::Locked) => return Err(Error::Locked { dir: home.dir.clone() }),
            Err(Failed::Damaged(what)) => {
                if set_aside || home.set_snapshots_aside()? == 0 {
                    home.settle_snapshots(false)?;
                    return Err(damaged(&home.dir, what));
                }
                set_aside = true;
                tracing::warn!(what, "the store's snapshot cannot be read, rebuilding it from the log");
            }
            Err(Failed::Other(what)) => return Err(Error::Storage(what)),
        }
    }
}

/// Runs a read of the tree, which panics on some kinds of damage.
pub(super) fn guarded<T>(read: impl FnOnce() -> sled::Result<T>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => Ok(result?),
        Err(payload) => Err(Error::Storage(format!("reading panicked: {}", panic_message(payload.as_ref())))),
    }
}

fn attempt(open: &impl Fn() -> sled::Result<sled::Db>) -> Result<sled::Db, Failed> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(e)) => Err(classify(&e)),
        Err(payload) => Err(Failed::Damaged(panic_message(payload.as_ref()))),
    }
}

fn classify(e: &sled::Error) -> Failed {
    match e {
        sled::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => Failed::NoSpace(e.to_string()),
        sled::Error::Io(io) if io.to_string().contains("could not acquire lock") => Failed::Locked,
        // Reading beyond a file that was cut short.
        sled::Error::Io(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => Failed::Damaged(e.to_string()),
        sled::Error::Io(_) => Failed::Other(e.to_string()),
        sled::Error::Corruption { .. } => Failed::Damaged("the database answers `corruption`".into()),
        _ => Failed::Damaged(e.to_string()),
    }
}
