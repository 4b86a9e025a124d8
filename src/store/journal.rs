//! The journal before the tree: a file of a fixed length, written in place, in which a group of batches becomes durable by
//! one write and one fdatasync.
//!
//! sled's own way to the disk wakes several threads, waits for its pages twice and grows a file, which costs the file system's
//! journal as well: three times what the disk takes for one write. So the tree follows a moment later ([`super::settle`]), and
//! an open takes from here what the tree has not got.
//!
//! A record: `[length u32][check u64][commit u64]`, then rows of `[key length u16][value length u32][key][value]`, where a length of
//! all ones deletes. Records lie one behind the other from the begin of the file, each with the number after the one before;
//! what does not go on like that was overwritten or never answered.

use super::{
    Error,
    home::{Home, damaged},
    raw::{self, Overlay},
};
use crate::disk;

/// The file's name and length.
pub(super) const NAME: &str = "journal";
pub(super) const FILE_BYTES: u64 = 2 << 20;
/// The longest record: larger groups go to the tree at once, where a sync costs little beside their bytes.
pub(super) const RECORD_BYTES_MAX: usize = 256 << 10;
/// It is laid only where so much stays free, which is what rows need.
const LEAVES_BYTES: u64 = 4 << 20;
const HEAD_BYTES: usize = 20;
const ROW_HEAD_BYTES: usize = 6;
const DELETED: u32 = u32::MAX;

/// The rows of one commit, its own row of sums among them.
pub(super) type Record = (u64, Overlay);

/// The file, open.
pub(super) struct Journal {
    file: disk::File,
    /// Where the next record goes.
    end: u64,
}

impl Journal {
    /// Opens the journal and what is in it, or lays one where there is none and there is room. Blocks.
    pub(super) fn open(home: &Home) -> Result<(Option<Self>, Vec<Record>), Error> {
        let mut records = Vec::new();
        if home.is_laid(NAME, FILE_BYTES)? {
            let mut bytes = vec![0; FILE_BYTES as usize];
            home.files.open_read(&home.dir.join(NAME))?.read_exact_at(0, &mut bytes)?;
            records = decode_all(&bytes);
        } else if home.has_room(FILE_BYTES + LEAVES_BYTES) {
            if let Err(error) = home.lay(NAME, FILE_BYTES) {
                tracing::warn!(%error, "cannot lay the store's journal; commits take longer");
                return Ok((None, records));
            }
        } else {
            return Ok((None, records));
        }
        let file = home.files.open_append(&home.dir.join(NAME))?;
        Ok((Some(Self { file, end: 0 }), records))
    }

    /// Whether a record of this length fits behind the last one.
    pub(super) fn has_place(&self, record: &[u8]) -> bool {
        self.end + record.len() as u64 <= FILE_BYTES
    }

    /// From the begin again: the tree has everything.
    pub(super) fn rewind(&mut self) {
        self.end = 0;
    }

    /// Makes a record durable; the caller has seen that it [has a place](Self::has_place). Blocks.
    pub(super) fn append(&mut self, record: &[u8]) -> Result<(), Error> {
        self.file.write_all_at(self.end, record)?;
        self.file.sync_data()?;
        self.end += record.len() as u64;
        Ok(())
    }
}

/// What of the records the tree with this commit lacks, as one change; with the number that it leads to. The records follow
/// one another; where the first is not the tree's next, commits are missing between.
pub(super) fn lacking(home: &Home, records: Vec<Record>, commit: u64) -> Result<Option<Record>, Error> {
    let mut lacking: Option<Record> = None;
    for (number, rows) in records.into_iter().filter(|(number, _)| *number > commit) {
        match &mut lacking {
            Some((last, all)) => {
                *last = number;
                all.extend(rows);
            }
            None if number == commit + 1 => lacking = Some((number, rows)),
            None => {
                let what = format!("the journal begins with commit {number}, but the newest one found is {commit}");
                return Err(damaged(&home.dir, what));
            }
        }
    }
    Ok(lacking)
}

/// A record of rows; `None` where it is longer than the journal takes.
pub(super) fn encode<'a>(commit: u64, rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Option<Vec<u8>> {
    let mut record = vec![0; HEAD_BYTES];
    for (key, value) in rows {
        let len = value.map_or(Some(DELETED), |value| u32::try_from(value.len()).ok())?;
        record.extend_from_slice(&u16::try_from(key.len()).ok()?.to_be_bytes());
        record.extend_from_slice(&len.to_be_bytes());
        record.extend_from_slice(key);
        record.extend_from_slice(value.unwrap_or_default());
        if record.len() > RECORD_BYTES_MAX {
            return None;
        }
    }
    record[12..20].copy_from_slice(&commit.to_be_bytes());
    let check = raw::hash(0, &record[12..]);
    let len = u32::try_from(record.len()).ok()?;
    record[..4].copy_from_slice(&len.to_be_bytes());
    record[4..12].copy_from_slice(&check.to_be_bytes());
    Some(record)
}

/// All records from the begin, as far as they go on.
fn decode_all(mut bytes: &[u8]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    while let Some((record, rest)) = decode(bytes) {
        if records.last().is_some_and(|(last, _)| record.0 != last + 1) {
            break;
        }
        records.push(record);
        bytes = rest;
    }
    records
}

/// The record at the begin of `bytes`, where it is whole, and what is behind it.
fn decode(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let len = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let check = u64::from_be_bytes(bytes.get(4..12)?.try_into().ok()?);
    if !(HEAD_BYTES..=RECORD_BYTES_MAX).contains(&len) || raw::hash(0, bytes.get(12..len)?) != check {
        return None;
    }
    let commit = u64::from_be_bytes(bytes.get(12..20)?.try_into().ok()?);
    let mut rows = Overlay::new();
    let mut left = &bytes[HEAD_BYTES..len];
    while !left.is_empty() {
        let (head, rest) = left.split_at_checked(ROW_HEAD_BYTES)?;
        let key_len = usize::from(u16::from_be_bytes([head[0], head[1]]));
        let value_len = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
        let (key, rest) = rest.split_at_checked(key_len)?;
        let (value, rest) = match value_len {
            DELETED => (None, rest),
            len => rest.split_at_checked(len as usize).map(|(value, rest)| (Some(value.to_vec()), rest))?,
        };
        rows.insert(key.to_vec(), value);
        left = rest;
    }
    Some(((commit, rows), &bytes[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Overlay> {
        let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
        proptest::collection::btree_map(proptest::collection::vec(any::<u8>(), 0..20), value, 0..5)
    }

    fn record(commit: u64, rows: &Overlay) -> Vec<u8> {
        encode(commit, rows.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))).unwrap()
    }

    proptest! {
        /// A life's records over an older, longer life's, and torn anywhere: what comes out is a begin of the newer ones.
        #[test]
        fn what_is_read_is_what_was_written_in_order_up_to_where_it_is_torn(
            older in proptest::collection::vec(rows(), 0..12),
            newer in proptest::collection::vec(rows(), 1..6),
            torn in any::<proptest::sample::Index>(),
        ) {
            let mut file = vec![0; 4096];
            let mut lay = |from: u64, all: &[Overlay]| {
                let bytes: Vec<u8> = all.iter().zip(from..).flat_map(|(rows, n)| record(n, rows)).collect();
                file[..bytes.len()].copy_from_slice(&bytes);
                bytes.len()
            };
            lay(1, &older);
            let first = older.len() as u64 + 1;
            let len = lay(first, &newer);
            let expected: Vec<Record> = newer.iter().cloned().zip(first..).map(|(rows, n)| (n, rows)).collect();
            prop_assert_eq!(&decode_all(&file), &expected);
            file[torn.index(len)] ^= 0x40;
            let found = decode_all(&file);
            prop_assert!(found.len() < expected.len() && expected.starts_with(&found), "{found:?}");
        }

        #[test]
        fn nonsense_is_no_record(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode_all(&bytes), []);
        }
    }

    #[test]
    fn what_is_too_long_has_no_record() {
        let long = vec![7; RECORD_BYTES_MAX];
        assert_eq!(encode(1, [(&b"k"[..], Some(long.as_slice()))].into_iter()), None);
    }
}
