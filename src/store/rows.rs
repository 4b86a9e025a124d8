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

/// Rows of a range, in order of their keys, from both ends. Reads block where the cache has not got them.
pub struct Rows<V> {
    pub(super) inner: Arc<Inner>,
    pub(super) keyspace: Keyspace<V>,
    pub(super) iter: sled::Iter,
}

impl<V: DeserializeOwned> Rows<V> {
    fn row(&self, raw: sled::Result<(sled::IVec, sled::IVec)>) -> Option<Result<(Vec<u8>, V), Error>> {
        let (raw_key, main) = match raw {
            Ok(row) => row,
            Err(e) => return Some(Err(e.into())),
        };
        let key = raw::user_key(&raw_key).to_vec();
        match read(&self.inner, &self.keyspace, &key, Some(main)) {
            Ok(value) => value.map(|v| Ok((key, v))),
            Err(e) => Some(Err(e)),
        }
    }
}

impl<V: DeserializeOwned> Iterator for Rows<V> {
    type Item = Result<(Vec<u8>, V), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let raw = self.iter.next()?;
            // A row deleted while its chunks were read is passed over.
            if let Some(row) = self.row(raw) {
                return Some(row);
            }
        }
    }
}

impl<V: DeserializeOwned> DoubleEndedIterator for Rows<V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let raw = self.iter.next_back()?;
            if let Some(row) = self.row(raw) {
                return Some(row);
            }
        }
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
            None => match inner.db.get(&raw_key)? {
                Some(head) => head,
                None => return Ok(None),
            },
        };
        match raw::assemble(keyspace.prefix(), key, &head, |chunk| Ok(inner.db.get(chunk)?))? {
            Read::Value(bytes) => return keyspace.decode(&bytes).map(Some),
            Read::Mixed => {}
        }
    }
    Err(Error::Row { keyspace: keyspace.name(), what: "its parts do not match".into() })
}
