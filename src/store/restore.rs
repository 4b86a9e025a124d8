//! From a backup to a store: checked whole before anything is touched, built beside, swapped in one step.

use super::{
    Error,
    backup::{DELETE, DIGEST_BYTES, END, End, HEADER, Header, MAGIC, PUT, RECORD_HEAD_BYTES, with_suffix},
    engine,
    home::{self, Home},
    raw::{KEY_BYTES_MAX, VALUE_BYTES_MAX},
    sums::{META_KEY, Meta, SCHEMA, SCHEMA_KEY, Sum},
};
use crate::{
    base::Kind,
    disk::{self, Files},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Rows and bytes written to the new database at once.
const ROWS_PER_WRITE_MAX: usize = 2048;
const BYTES_PER_WRITE_MAX: usize = 8 << 20;
/// Memory for the new database while it is built.
const CACHE_BYTES: u64 = 64 << 20;
/// Directories tried for a free name.
const NAMES_MAX: u32 = 10_000;

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Number of the newest commit in the store now.
    pub commit: u64,
    /// Rows in it.
    pub rows: u64,
    /// Where the store that was there before is now.
    pub moved_aside: Option<PathBuf>,
}

/// Makes the store in `dir` what `backup` says. The backup is read through first; a store that is there is moved to
/// `<dir>.before-restore-N`, one that is in use is an error. Blocks for as long as it takes.
pub fn restore(dir: &Path, backup: &Path, files: &Files) -> Result<Restored, Error> {
    let end = check(backup, files)?;
    let remains = home::lock_remains(dir, files)?;
    let building = free_name(dir, "restoring", |path| home::is_free(path, files))?;
    build(&building, backup, files, &end.meta)?;
    let moved_aside = put_in_place(dir, &building, files)?;
    drop(remains);
    let rows = end.meta.sums.values().map(|s| s.rows).sum();
    Ok(Restored { commit: end.meta.commit, rows, moved_aside })
}

/// Reads the whole file: checksum, shape, schema. Blocks.
fn check(backup: &Path, files: &Files) -> Result<End, Error> {
    let bad = |what: &str| Error::BadBackup { file: backup.to_owned(), what: what.to_owned() };
    let mut reader = Reader::open(backup, files)?;
    let mut records = 0;
    let mut end = None;
    while let Some((kind, _, value)) = reader.record()? {
        match (kind, records) {
            (HEADER, 0) => {
                let header: Header = serde_json::from_slice(&value).map_err(|_| bad("its header cannot be read"))?;
                if header.schema != SCHEMA {
                    return Err(bad(&format!("it has schema {}, this version reads {SCHEMA}", header.schema)));
                }
            }
            (PUT | DELETE, 1..) if end.is_none() => {}
            (END, 1..) if end.is_none() => {
                let read: End = serde_json::from_slice(&value).map_err(|_| bad("its end cannot be read"))?;
                if read.records != records {
                    return Err(bad("records are missing"));
                }
                end = Some(read);
            }
            _ => return Err(bad("its records are out of order")),
        }
        records += 1;
    }
    reader.verify()?;
    end.ok_or_else(|| bad("its end is missing"))
}

/// Makes a new store in `dir` of the backup's rows, adds them up, and declares it ready. Blocks.
fn build(dir: &Path, backup: &Path, files: &Files, meta: &Meta) -> Result<(), Error> {
    let mut home = Home::enter(dir, files)?;
    let db = engine::open(&home, CACHE_BYTES)?;
    let mut reader = Reader::open(backup, files)?;
    let mut batch = sled::Batch::default();
    let (mut rows, mut bytes) = (0, 0);
    while let Some((kind, key, value)) = reader.record()? {
        bytes += key.len() + value.len();
        rows += 1;
        match kind {
            PUT => batch.insert(key, value),
            DELETE => batch.remove(key),
            _ => {}
        }
        if rows >= ROWS_PER_WRITE_MAX || bytes >= BYTES_PER_WRITE_MAX {
            db.apply_batch(std::mem::take(&mut batch))?;
            (rows, bytes) = (0, 0);
        }
    }
    reader.verify()?;
    batch.insert(SCHEMA_KEY, SCHEMA.to_be_bytes().as_slice());
    batch.insert(META_KEY, meta.encode());
    db.apply_batch(batch)?;
    if !adds_up(&db, meta)? {
        let what = "its rows do not add up to the sums at its end".to_owned();
        return Err(Error::BadBackup { file: backup.to_owned(), what });
    }
    db.flush()?;
    home.sync_all()?;
    home.created()
}

/// Compares the rows of `db` with the sums. Blocks.
fn adds_up(db: &sled::Db, meta: &Meta) -> Result<bool, Error> {
    let mut found = Meta::default();
    for row in db.range(vec![1_u8]..) {
        let (key, value) = row?;
        found.change(&key, None, Some(&value), |_| String::new());
    }
    let none = Sum::default();
    Ok((1..=u8::MAX).all(|prefix| {
        let (a, b) = (found.sums.get(&prefix), meta.sums.get(&prefix));
        a.unwrap_or(&none).same_rows(b.unwrap_or(&none))
    }))
}

/// Puts the new store where the old one is, in one step where there is an old one. Blocks.
fn put_in_place(dir: &Path, building: &Path, files: &Files) -> Result<Option<PathBuf>, Error> {
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if files.len_of(dir)?.is_none() {
        files.rename(building, dir)?;
        files.sync_dir(parent)?;
        return Ok(None);
    }
    let aside = free_name(dir, "before-restore", |path| Ok(files.len_of(path)?.is_none()))?;
    // After a crash between the two steps the old store is whole under the name that the new one was built under.
    files.exchange(building, dir)?;
    files.sync_dir(parent)?;
    files.rename(building, &aside)?;
    files.sync_dir(parent)?;
    Ok(Some(aside))
}

fn free_name(dir: &Path, what: &str, free: impl Fn(&Path) -> Result<bool, Error>) -> Result<PathBuf, Error> {
    for n in 1..NAMES_MAX {
        let path = with_suffix(dir, &format!(".{what}-{n}"));
        if free(&path)? {
            return Ok(path);
        }
    }
    Err(Error::Invalid(format!("remove some of {}.{what}-* first", dir.display())))
}

/// Reads records in large pieces, hashing as it goes.
struct Reader {
    file: disk::File,
    digest: Sha256,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were given out.
    used: usize,
    offset: u64,
    /// Where the checksum begins.
    records_end: u64,
}

impl Reader {
    fn open(path: &Path, files: &Files) -> Result<Self, Error> {
        let file = files.open_read(path).map_err(|e| match e.kind() {
            Kind::NotFound => Error::BadBackup { file: path.to_owned(), what: "there is no such file".into() },
            _ => e.into(),
        })?;
        let len = file.len()?;
        let records_end = len.saturating_sub(DIGEST_BYTES as u64);
        let mut reader = Self { file, digest: Sha256::new(), buffer: Vec::new(), used: 0, offset: 0, records_end };
        if records_end < MAGIC.len() as u64 || reader.take(MAGIC.len())? != MAGIC {
            return Err(reader.bad("it does not begin as a backup of skyvis does"));
        }
        Ok(reader)
    }

    /// Kind, key and value of the next record; `None` at the end.
    fn record(&mut self) -> Result<Option<(u8, Vec<u8>, Vec<u8>)>, Error> {
        if self.used == self.buffer.len() && self.offset == self.records_end {
            return Ok(None);
        }
        let head = self.take(RECORD_HEAD_BYTES)?;
        let number = |at: usize| head[at..at + 4].iter().fold(0, |n, b| n << 8 | usize::from(*b));
        let (kind, key_len, value_len) = (head[0], number(1), number(5));
        if ![HEADER, PUT, DELETE, END].contains(&kind) || key_len > 2 * KEY_BYTES_MAX || value_len > VALUE_BYTES_MAX {
            return Err(self.bad("a record cannot be read"));
        }
        let key = self.take(key_len)?;
        let value = self.take(value_len)?;
        Ok(Some((kind, key, value)))
    }

    fn take(&mut self, wanted: usize) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(wanted);
        while out.len() < wanted {
            if self.used == self.buffer.len() {
                self.fill()?;
            }
            let n = (wanted - out.len()).min(self.buffer.len() - self.used);
            out.extend_from_slice(&self.buffer[self.used..self.used + n]);
            self.used += n;
        }
        Ok(out)
    }

    fn fill(&mut self) -> Result<(), Error> {
        let left = self.records_end - self.offset;
        if left == 0 {
            return Err(self.bad("it ends within a record"));
        }
        self.buffer.resize(usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES)), 0);
        self.file.read_exact_at(self.offset, &mut self.buffer)?;
        self.offset += self.buffer.len() as u64;
        self.digest.update(&self.buffer);
        self.used = 0;
        Ok(())
    }

    /// Compares the checksum, once all records were read.
    fn verify(self) -> Result<(), Error> {
        let mut expected = [0; DIGEST_BYTES];
        self.file.read_exact_at(self.records_end, &mut expected)?;
        if self.digest.clone().finalize().as_slice() == expected {
            Ok(())
        } else {
            Err(self.bad("its checksum does not match its content"))
        }
    }

    fn bad(&self, what: &str) -> Error {
        Error::BadBackup { file: self.file.path().to_owned(), what: what.to_owned() }
    }
}
