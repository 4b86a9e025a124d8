//! The only room that names sled: typed keyspaces, schema version, durable group commit, backup and restore.
//!
//! Owns one directory with one sled tree. An answered commit is durable: it is in the journal, behind an fdatasync. sled's own
//! `flush` makes none, so the thread that follows makes one on sled's file. Never does: begin anew over a store that was
//! there, answer success after a failed sync, know what a row means.
//!
//! The flow: [`Batch`] → queue → the commit thread joins all waiting batches into one group with a row of counts and
//! checksums ([`sums`]) → [`journal`], fdatasync → the tree → all callers are answered; the tree's file is synced a
//! moment later ([`settle`]), and an open takes from the journal what it has not got. Readers go to the tree directly.

mod backup;
mod batch;
mod commit;
mod engine;
mod error;
mod handle;
mod home;
mod journal;
mod keyspace;
mod raw;
mod restore;
mod rows;
mod settle;
mod spare;
mod sums;
mod verify;
mod walk;

pub use backup::Backup;
pub use batch::Batch;
pub use error::Error;
pub use handle::{Health, Options, Store, Verification};
pub use home::{EXPORT_SUFFIX, EXPORTS_DIR, keep_newest_export};
pub use keyspace::{Codec, Keyspace};
pub use restore::{Restored, restore};
pub use rows::Rows;
pub use spare::SPARE_VALUE_BYTES_MAX;

#[cfg(test)]
mod tests;
