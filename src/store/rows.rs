//! Reading rows: one, or a range from both ends.

use super::{
    Error, Keyspace,
    handle::Inner,
    raw::{self, Read},
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// How often a row is read again that was overwritten while its chunks were read.
const READS_MAX: u32 = 16;

type RawRow = sled::Result<(sled::IVec, sled::IVec)>;

/// Rows of a range, in order of their keys, from both ends. Reads block where the cache has not got them.
pub struct Rows<V> {
    pub(super) inner: Arc<Inner>,
    pub(super) keyspace: Keyspace<V>,
    /// Absent after a failure, which ends the rows.
    pub(super) iter: Option<sled::Iter>,
}

impl<V: DeserializeOwned> Rows<V> {
    /// The next row from the end that `next` takes from; a failure is the last item.
    fn step(&mut self, next: fn(&mut sled::Iter) -> Option<RawRow>) -> Option<Result<(Vec<u8>, V), Error>> {
        loop {
            let mut iter = self.iter.take()?;
            let (raw_key, main) = match self.inner.reading(|| next(&mut iter).transpose()) {
                Ok(row) => row?,
                Err(e) => return Some(Err(e)),
            };
            self.iter = Some(iter);
            let key = raw::user_key(&raw_key).to_vec();
            match read(&self.inner, &self.keyspace, &key, Some(main)) {
                Ok(Some(value)) => return Some(Ok((key, value))),
                // It was deleted while its chunks were read.
                Ok(None) => {}
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

impl<V: DeserializeOwned> Iterator for Rows<V> {
    type Item = Result<(Vec<u8>, V), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl<V: DeserializeOwned> DoubleEndedIterator for Rows<V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}

/// Reads one row, beginning with `main` where the caller has it already.
pub(super) fn read<V: DeserializeOwned>(
    inner: &Inner,
    keyspace: &Keyspace<V>,
    key: &[u8],
    main: Option<sled::IVec>,
) -> Result<Option<V>, Error> {
    let raw_key = raw::row_key(keyspace.prefix(), key);
    let mut main = main;
    for _ in 0..READS_MAX {
        let head = match main.take() {
            Some(head) => head,
            None => match inner.reading(|| inner.db.get(&raw_key))? {
                Some(head) => head,
                None => return Ok(None),
            },
        };
        match raw::assemble(keyspace.prefix(), key, &head, |chunk| inner.reading(|| inner.db.get(chunk)))? {
            Read::Value(bytes) => return keyspace.decode(&bytes).map(Some),
            Read::Mixed => {}
        }
    }
    Err(Error::Row { keyspace: keyspace.name(), what: "its parts do not match".into() })
}
