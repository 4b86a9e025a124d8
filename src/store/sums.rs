//! Running counts and checksums per keyspace, committed with every batch. sled opens some damaged files silently
//! shorter; a tree that no longer adds up to its own sums is noticed at open.

use super::raw;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What all rows of one keyspace add up to, whatever their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sum {
    /// The keyspace's name when it was first written; a prefix never changes its owner.
    pub name: String,
    /// Rows as callers count them.
    pub rows: u64,
    /// Rows in the tree, chunks included.
    pub raw_rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Wrapping sum of the rows' hashes.
    pub checksum: u64,
}

impl Sum {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_add(u64::from(raw::is_row(key)));
        self.raw_rows = self.raw_rows.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add((key.len() + value.len()) as u64);
        self.checksum = self.checksum.wrapping_add(row_hash(key, value));
    }

    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_sub(u64::from(raw::is_row(key)));
        self.raw_rows = self.raw_rows.wrapping_sub(1);
        self.bytes = self.bytes.wrapping_sub((key.len() + value.len()) as u64);
        self.checksum = self.checksum.wrapping_sub(row_hash(key, value));
    }

    /// True where both describe the same rows.
    pub(super) fn same_rows(&self, other: &Sum) -> bool {
        (self.rows, self.raw_rows, self.bytes, self.checksum)
            == (other.rows, other.raw_rows, other.bytes, other.checksum)
    }
}

fn row_hash(key: &[u8], value: &[u8]) -> u64 {
    raw::hash(raw::hash(0, key), value)
}

/// The row that every commit writes beside its data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Number of the commit that wrote this row.
    pub commit: u64,
    /// By prefix.
    pub sums: BTreeMap<u8, Sum>,
}

/// Raw key of the [`Meta`] row.
pub(super) const META_KEY: &[u8] = b"\0meta";
/// Raw key of the schema version row.
pub(super) const SCHEMA_KEY: &[u8] = b"\0schema";
/// The schema that this code writes.
pub(super) const SCHEMA: u32 = 1;

impl Meta {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("numbers and names always encode")
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }

    /// Accounts for one raw row's change.
    pub(super) fn change(
        &mut self,
        key: &[u8],
        old: Option<&[u8]>,
        new: Option<&[u8]>,
        name_of: impl Fn(u8) -> String,
    ) {
        let prefix = key.first().copied().unwrap_or(0);
        let sum = self.sums.entry(prefix).or_insert_with(|| Sum { name: name_of(prefix), ..Sum::default() });
        if let Some(old) = old {
            sum.remove(key, old);
        }
        if let Some(new) = new {
            sum.add(key, new);
        }
    }
}
