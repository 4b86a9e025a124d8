//! Checksummed copies of the store in one file.
//!
//! `skyvis-backup 1\n`, then records, each with its length, then the SHA-256 of everything before. A record is one byte of kind, two
//! lengths (u32), a key and a value. The first is the header, the last is the end with the sums; between them rows come in the order of
//! their keys, mixed with changes of rows that had been written already: applied in order they give the store as of the end.

use super::{
    EXPORT_SUFFIX, Error,
    handle::Inner,
    sums::{Meta, SCHEMA},
    walk::{Step, Walker},
};
use crate::{
    base::{Clock, Kind, Wall},
    disk::{self, Files},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// First bytes of every backup.
pub(super) const MAGIC: &[u8; 16] = b"skyvis-backup 1\n";
/// Bytes of kind and lengths before a record's key.
pub(super) const RECORD_HEAD_BYTES: usize = 9;
/// Bytes of the checksum at the end.
pub(super) const DIGEST_BYTES: usize = 32;
/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;
/// Mode of the directory of exports.
const EXPORTS_DIR_MODE: u32 = 0o750;

/// Kinds of records.
pub(super) const HEADER: u8 = b'H';
pub(super) const PUT: u8 = b'P';
pub(super) const DELETE: u8 = b'D';
pub(super) const END: u8 = b'E';

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// The file.
    pub file: PathBuf,
    /// Number of the newest commit in it.
    pub commit: u64,
    /// Rows, as keyspaces count them.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// The first record's value, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub schema: u32,
    pub created: Wall,
}

/// The last record's value, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct End {
    pub records: u64,
    pub meta: Meta,
}

/// Writes a backup to `path`: beside it first, synced, then renamed. Blocks.
pub(super) fn write(inner: &Inner, path: &Path) -> Result<Backup, Error> {
    let files = &inner.home().files;
    let beside = with_suffix(path, ".new");
    files.remove_file(&beside)?;
    let written = write_beside(inner, &beside);
    if written.is_err() {
        // What could not be finished is worth nothing; where it cannot be removed either, the next backup does.
        let _ = files.remove_file(&beside);
    }
    let (commit, rows, bytes) = written?;
    files.rename(&beside, path)?;
    files.sync_dir(path.parent().unwrap_or(Path::new(".")))?;
    Ok(Backup { file: path.to_owned(), commit, rows, bytes })
}

fn write_beside(inner: &Inner, path: &Path) -> Result<(u64, u64, u64), Error> {
    let mut writer = Writer::begin(&inner.home().files, path)?;
    let header = Header { schema: SCHEMA, created: Clock::real().wall() };
    writer.record(HEADER, b"", &json(&header))?;
    // Prefix 0 is the store's own rows, which a restore makes anew from the end record.
    let mut walker = Walker::begin(inner, vec![1], None);
    loop {
        let Step { changes, rows, finished } = walker.step()?;
        for change in changes {
            match change.new {
                Some(value) => writer.record(PUT, &change.key, &value)?,
                None => writer.record(DELETE, &change.key, b"")?,
            }
        }
        for (key, value) in rows {
            writer.record(PUT, &key, &value)?;
        }
        if let Some(meta) = finished {
            let (commit, rows) = (meta.commit, meta.sums.values().map(|s| s.rows).sum());
            let end = End { records: writer.records, meta };
            writer.record(END, b"", &json(&end))?;
            return Ok((commit, rows, writer.finish()?));
        }
    }
}

/// Writes a backup under a name that sorts by time, unless nothing changed, and keeps the newest. Blocks.
pub(super) fn rotate(inner: &Inner, exports: &Path, now: Wall, keep: usize) -> Result<Option<PathBuf>, Error> {
    let files = &inner.home().files;
    files.create_dir_all_durable(exports, EXPORTS_DIR_MODE)?;
    let commit = inner.state().meta.commit;
    let ending = format!("-{commit:012}{EXPORT_SUFFIX}");
    let mut names = exported(files, exports)?;
    if names.last().is_some_and(|newest| newest.ends_with(&ending)) {
        return Ok(None);
    }
    let time: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let name = format!("{time}{ending}");
    write(inner, &exports.join(&name))?;
    names.retain(|n| *n != name);
    for old in names.iter().take((names.len() + 1).saturating_sub(keep.max(1))) {
        files.remove_file(&exports.join(old))?;
    }
    files.sync_dir(exports)?;
    Ok(Some(exports.join(name)))
}

/// Names of exports, oldest first.
fn exported(files: &Files, exports: &Path) -> Result<Vec<String>, Error> {
    match files.list(exports) {
        Ok(entries) => Ok(entries.into_iter().map(|e| e.name).filter(|n| n.ends_with(EXPORT_SUFFIX)).collect()),
        Err(e) if e.kind() == Kind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e.into()),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain numbers and names always encode")
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes records in large pieces, hashing as it goes.
struct Writer {
    file: disk::File,
    digest: Sha256,
    buffer: Vec<u8>,
    records: u64,
}

impl Writer {
    fn begin(files: &Files, path: &Path) -> Result<Self, Error> {
        let file = files.create_new(path)?;
        let buffer = MAGIC.to_vec();
        Ok(Self { file, digest: Sha256::new(), buffer, records: 0 })
    }

    fn record(&mut self, kind: u8, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.records += 1;
        self.buffer.push(kind);
        self.buffer.extend_from_slice(&(key.len() as u32).to_be_bytes());
        self.buffer.extend_from_slice(&(value.len() as u32).to_be_bytes());
        self.buffer.extend_from_slice(key);
        self.buffer.extend_from_slice(value);
        if self.buffer.len() >= BUFFER_BYTES {
            self.digest.update(&self.buffer);
            self.file.append_vectored(&[&self.buffer])?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64, Error> {
        self.digest.update(&self.buffer);
        let digest = self.digest.finalize();
        self.file.append_vectored(&[&self.buffer, &digest])?;
        self.file.sync_data()?;
        Ok(self.file.end())
    }
}
