//! The store's directory: the marker that says a store is here, its lock, the ballast, the number of the last commit.
//!
//! The marker `version` is written before sled's first file and says `creating` until everything below it is durable; so a directory
//! without it that holds files, or one that says `ready` without a database, was damaged and is never begun anew.

use super::{Error, journal, raw, spare, sums};
use crate::{
    base::Kind,
    disk::{self, Files},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Kept beside the database so that sled, which must write to open, can open on a full disk.
pub(super) const BALLAST_BYTES: u64 = 1 << 20;
/// The ballast repeats a block of this length.
const BALLAST_BLOCK_BYTES: u64 = 128 << 10;
/// Ballast is laid again only where this many times its size is free.
const BALLAST_ROOM_FACTOR: u64 = 8;
/// Mode of the store's directory.
const DIR_MODE: u32 = 0o700;
/// How often, and how many times, a lock that a process is just giving up is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(20);
const LOCK_TRIES_MAX: u32 = 50;

const VERSION: &str = "version";
/// How every marker begins, of whatever schema.
const MARKER: &str = "skyvis-store schema ";
const BALLAST: &str = "ballast";
const LAST_COMMIT: &str = "last-commit";
/// Snapshots set aside while the database is opened without them. sled looks at names that begin with `snap.`.
const ASIDE: &str = "aside-";
/// Where the daemon writes exports of the store: beside its directory.
pub const EXPORTS_DIR: &str = "exports";
/// How an export's name ends.
pub const EXPORT_SUFFIX: &str = ".skyvis-backup";
/// The extension of an export of a store that was lost; such are never removed.
const KEPT_EXTENSION: &str = "skyvis-kept";

/// A directory that this process has locked.
pub(super) struct Home {
    pub dir: PathBuf,
    pub files: Files,
    version: disk::File,
    last_commit: disk::File,
    /// True until `created` is called: nothing was ever acknowledged here.
    pub fresh: bool,
}

impl Home {
    /// Locks the directory, makes it where there is none. Blocks.
    pub(super) fn enter(dir: &Path, files: &Files) -> Result<Self, Error> {
        files.create_dir_all_durable(dir, DIR_MODE)?;
        let names: Vec<String> = files.list(dir)?.into_iter().map(|e| e.name).collect();
        let has = |name: &str| names.iter().any(|n| n == name);
        if !has(VERSION) {
            if let Some(name) = names.iter().find(|n| *n != "version.new" && *n != "lost+found") {
                return Err(damaged(dir, format!("it holds `{name}` but no file `{VERSION}`")));
            }
            files.replace(&dir.join(VERSION), marker("creating").as_bytes())?;
        }
        let version = files.open_append(&dir.join(VERSION))?;
        lock(&version, dir)?;
        let fresh = match parse_marker(&files.read(&dir.join(VERSION))?) {
            Ok(state) => state == "creating",
            Err(found) if found.starts_with(MARKER) => {
                return Err(Error::Schema { dir: dir.to_owned(), found, known: sums::SCHEMA });
            }
            Err(_) => return Err(damaged(dir, format!("its file `{VERSION}` cannot be read"))),
        };
        if fresh {
            wipe(dir, files)?;
        } else if !has("db") {
            return Err(damaged(dir, "its database file `db` is missing".into()));
        }
        let last = dir.join(LAST_COMMIT);
        let last_commit = match files.open_append(&last) {
            Err(e) if e.kind() == Kind::NotFound => files.create_new(&last)?,
            other => other?,
        };
        Ok(Self { dir: dir.to_owned(), files: files.clone(), version, last_commit, fresh })
    }

    /// Everything that sled made is durable: from now on a store is here. Blocks.
    pub(super) fn created(&mut self) -> Result<(), Error> {
        self.version.write_all_at(0, marker("ready").as_bytes())?;
        self.version.sync_data()?;
        self.fresh = false;
        Ok(())
    }

    /// Makes the files and directories that hold the database durable. Blocks.
    pub(super) fn sync_all(&self) -> Result<(), Error> {
        for name in ["db", "conf"] {
            self.files.open_read(&self.dir.join(name))?.sync_data()?;
        }
        self.files.sync_dir(&self.dir.join("blobs"))?;
        self.files.sync_dir(&self.dir)?;
        self.files.sync_dir(self.dir.parent().unwrap_or(Path::new(".")))?;
        Ok(())
    }

    /// Removes the ballast. True where there was one. Blocks.
    pub(super) fn release_ballast(&self) -> Result<bool, Error> {
        let path = self.dir.join(BALLAST);
        let there = self.files.len_of(&path)?.is_some_and(|len| len > 0);
        if there {
            self.files.remove_file(&path)?;
            self.files.sync_dir(&self.dir)?;
            tracing::warn!(dir = %self.dir.display(), "disk is full, removed the ballast to keep the store usable");
        }
        Ok(there)
    }

    /// Lays the ballast again where it is missing and there is room. Failing to is no failure of the store. Blocks.
    pub(super) fn lay_ballast(&self) {
        let path = self.dir.join(BALLAST);
        let lay = || -> Result<(), Error> {
            if self.files.len_of(&path)? == Some(BALLAST_BYTES)
                || self.files.free_space(&self.dir)?.free_bytes < BALLAST_BYTES * BALLAST_ROOM_FACTOR
            {
                return Ok(());
            }
            self.files.remove_file(&path)?;
            let mut file = self.files.create_new(&path)?;
            let block = raw::filler(BALLAST_BLOCK_BYTES);
            file.append_vectored(&vec![block.as_slice(); (BALLAST_BYTES / BALLAST_BLOCK_BYTES) as usize])?;
            file.sync_data()?;
            Ok(self.files.sync_dir(&self.dir)?)
        };
        if let Err(error) = lay() {
            tracing::warn!(%error, "cannot lay the store's ballast");
            // A part of a ballast is worth nothing; leaving it is harmless where even this fails.
            let _ = self.files.remove_file(&path);
        }
    }

    /// Whether so many bytes are free. Blocks.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.files.free_space(&self.dir).is_ok_and(|s| s.free_bytes >= bytes)
    }

    /// Whether a file of a fixed length was [laid](Self::lay): a shorter one was never finished, so that nothing was ever
    /// kept in it. Blocks.
    pub(super) fn is_laid(&self, name: &str, bytes: u64) -> Result<bool, Error> {
        Ok(self.files.len_of(&self.dir.join(name))? == Some(bytes))
    }

    /// Lays a file that is then written in place: it has all its blocks, and means nothing yet. Blocks.
    pub(super) fn lay(&self, name: &str, bytes: u64) -> Result<(), Error> {
        let path = self.dir.join(name);
        let lay = || -> Result<(), disk::Error> {
            self.files.remove_file(&path)?;
            let mut file = self.files.create_new(&path)?;
            // Written, not only reserved: to turn reserved blocks into written ones takes room, and time, of its own.
            file.append_vectored(&[&raw::filler(bytes)])?;
            file.sync_data()?;
            self.files.sync_dir(&self.dir)
        };
        lay().map_err(|error| {
            // A part of it is worth nothing; leaving it is harmless where even this fails.
            let _ = self.files.remove_file(&path);
            error.into()
        })
    }

    /// The number of the newest commit that was answered, as far as the system kept it: written without a sync, so a
    /// power cut may leave an older one, never a newer one. Blocks.
    pub(super) fn last_commit(&self) -> Option<u64> {
        let mut bytes = [0; 16];
        self.last_commit.read_exact_at(0, &mut bytes).ok()?;
        let (number, check) = bytes.split_at(8);
        (raw::hash(0, number).to_be_bytes() == check).then(|| u64::from_be_bytes(number.try_into().unwrap_or_default()))
    }

    /// Notes an answered commit. Blocks, for a write into the page cache.
    pub(super) fn note_commit(&self, commit: u64) -> Result<(), Error> {
        let number = commit.to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number);
        bytes[8..].copy_from_slice(&raw::hash(0, &number).to_be_bytes());
        Ok(self.last_commit.write_all_at(0, &bytes)?)
    }

    /// Removes what a process left that died while it wrote a snapshot. Blocks.
    pub(super) fn remove_half_snapshots(&self) -> Result<(), Error> {
        for name in self.names(|n| n.starts_with("snap.") && n.ends_with(".generating"))? {
            tracing::warn!(name, "removed a half-written snapshot of the store");
            self.files.remove_file(&self.dir.join(name))?;
        }
        Ok(())
    }

    /// Puts snapshots where sled does not see them; it then rebuilds them from its log. How many. Blocks.
    pub(super) fn set_snapshots_aside(&self) -> Result<usize, Error> {
        let names = self.names(|n| n.starts_with("snap."))?;
        for name in &names {
            self.files.rename(&self.dir.join(name), &self.dir.join(format!("{ASIDE}{name}")))?;
        }
        self.files.sync_dir(&self.dir)?;
        Ok(names.len())
    }

    /// Ends what [`Home::set_snapshots_aside`] began: keeps them for whoever looks at the damage, or drops them. Blocks.
    pub(super) fn settle_snapshots(&self, opened: bool) -> Result<(), Error> {
        for name in self.names(|n| n.starts_with(ASIDE))? {
            let path = self.dir.join(&name);
            if opened {
                self.files.remove_file(&path)?;
            } else {
                self.files.rename(&path, &self.dir.join(name.trim_start_matches(ASIDE)))?;
            }
        }
        Ok(())
    }

    fn names(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
        Ok(self.files.list(&self.dir)?.into_iter().map(|e| e.name).filter(|n| wanted(n)).collect())
    }
}

/// An error that says what to do next, naming the newest export where there is one.
pub(super) fn damaged(dir: &Path, what: String) -> Error {
    let exports = dir.parent().unwrap_or(Path::new(".")).join(EXPORTS_DIR);
    let aside = "move the directory aside and run `skyvis reindex`, which rebuilds it from the footage";
    let advice = match newest_export(&exports, &Files::real()) {
        Some(export) => format!("run `skyvis restore {}`, or {aside}", export.display()),
        None => format!("run `skyvis restore FILE` with your newest backup, or {aside}"),
    };
    Error::Damaged { dir: dir.to_owned(), what, advice }
}

/// The newest export that lies in `exports`. Blocks.
fn newest_export(exports: &Path, files: &Files) -> Option<PathBuf> {
    let mut entries = files.list(exports).ok()?;
    entries.retain(|e| e.name.ends_with(EXPORT_SUFFIX));
    Some(exports.join(entries.pop()?.name))
}

/// Renames the newest export so that no later one takes its place: it is what is left of a store that was lost. Its new
/// path; `None` where there is none. Blocks.
pub fn keep_newest_export(exports: &Path, files: &Files) -> Result<Option<PathBuf>, Error> {
    let Some(newest) = newest_export(exports, files) else { return Ok(None) };
    let kept = newest.with_extension(KEPT_EXTENSION);
    files.rename(&newest, &kept)?;
    files.sync_dir(exports)?;
    Ok(Some(kept))
}

/// Takes the marker's lock, waiting a little for a process that is just ending. Blocks.
fn lock(version: &disk::File, dir: &Path) -> Result<(), Error> {
    for _ in 0..LOCK_TRIES_MAX {
        match version.try_lock() {
            Err(e) if e.kind() == Kind::Busy => std::thread::sleep(LOCK_RETRY),
            other => return Ok(other?),
        }
    }
    Err(Error::Locked { dir: dir.to_owned() })
}

/// Locks a store that is about to be replaced, whatever is left of it: its marker and its database. Nothing where there
/// is neither. The locks last as long as the files. Blocks.
pub(super) fn lock_remains(dir: &Path, files: &Files) -> Result<Vec<disk::File>, Error> {
    let mut locked = Vec::new();
    for name in [VERSION, "db"] {
        match files.open_append(&dir.join(name)) {
            Ok(file) => {
                lock(&file, dir)?;
                locked.push(file);
            }
            Err(e) if e.kind() == Kind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(locked)
}

/// True where `dir` is not there, or holds a store whose making was interrupted: free to be made.
pub(super) fn is_free(dir: &Path, files: &Files) -> Result<bool, Error> {
    match files.read(&dir.join(VERSION)) {
        Ok(bytes) => Ok(parse_marker(&bytes) == Ok("creating")),
        Err(e) if e.kind() == Kind::NotFound => Ok(files.len_of(dir)?.is_none()),
        Err(e) => Err(e.into()),
    }
}

/// Both states have one length, so that the later one overwrites the earlier one in place, under its lock.
fn marker(state: &str) -> String {
    format!("{MARKER}{} {state:<8}\n", sums::SCHEMA)
}

fn parse_marker(bytes: &[u8]) -> Result<&'static str, String> {
    ["creating", "ready"]
        .into_iter()
        .find(|state| marker(state).as_bytes() == bytes)
        .ok_or_else(|| String::from_utf8_lossy(bytes).trim_end().chars().take(60).collect())
}

/// Removes what an interrupted creation left. Nothing was acknowledged by it. Blocks.
fn wipe(dir: &Path, files: &Files) -> Result<(), Error> {
    for entry in files.list(dir)? {
        if !entry.is_dir
            && (["db", "conf", LAST_COMMIT, BALLAST, spare::NAME, journal::NAME].contains(&entry.name.as_str())
                || entry.name.starts_with("snap."))
        {
            files.remove_file(&dir.join(entry.name))?;
        }
    }
    Ok(())
}
