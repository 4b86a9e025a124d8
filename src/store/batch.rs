//! What one caller wants written: all of it or nothing.

use super::{Error, Keyspace, raw};
use serde::Serialize;

/// Writes that become durable together. Later writes of one key win.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) writes: Vec<Write>,
}

#[derive(Clone, Debug)]
pub(super) struct Write {
    pub prefix: u8,
    pub keyspace: &'static str,
    pub key: Vec<u8>,
    /// The encoded value, or `None` to delete.
    pub value: Option<Vec<u8>>,
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row, replacing the one with this key.
    pub fn put<V: Serialize>(mut self, keyspace: &Keyspace<V>, key: &[u8], value: &V) -> Result<Self, Error> {
        let value = keyspace.encode(value)?;
        if key.len() > raw::KEY_BYTES_MAX || value.len() > raw::VALUE_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "a row of `{}` has a key of {} and a value of {} bytes; at most {} and {} are stored",
                keyspace.name(),
                key.len(),
                value.len(),
                raw::KEY_BYTES_MAX,
                raw::VALUE_BYTES_MAX
            )));
        }
        self.writes.push(Write {
            prefix: keyspace.prefix(),
            keyspace: keyspace.name(),
            key: key.to_vec(),
            value: Some(value),
        });
        Ok(self)
    }

    /// Removes a row; one that is not there is fine.
    pub fn delete<V>(mut self, keyspace: &Keyspace<V>, key: &[u8]) -> Self {
        self.writes.push(Write {
            prefix: keyspace.prefix(),
            keyspace: keyspace.name(),
            key: key.to_vec(),
            value: None,
        });
        self
    }

    /// Adds all writes of `other` after these.
    pub fn join(mut self, other: Batch) -> Self {
        self.writes.extend(other.writes);
        self
    }

    /// True where nothing would be written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many writes there are.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// About what it takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.writes.iter().map(|w| (w.key.len() + w.value.as_ref().map_or(0, Vec::len) + 32) as u64).sum()
    }

    /// True where it only frees space, which is allowed on a disk that is nearly full.
    pub(super) fn only_deletes(&self) -> bool {
        !self.writes.is_empty() && self.writes.iter().all(|w| w.value.is_none())
    }
}
