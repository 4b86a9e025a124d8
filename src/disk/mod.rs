//! Files that survive: write, fsync, rename, directory fsync, free space.
//!
//! Owns a small fixed pool of threads, the only ones that wait for footage's disk, and the fault gate that every operation passes,
//! so that a test can make the nth write fail. Never does: knows what is in a file, retries a failed fsync
//! (the kernel has thrown the page away by then and a second fsync would lie), blocks a runtime's thread.
//!
//! The flow: a room calls [`Disk::run`] with a closure; a pool thread runs it with [`Files`]; each operation of
//! [`Files`], [`Anchor`] and [`File`] passes [`Faults`] first and answers an [`Error`] that says what was done to which path.

mod anchor;
mod error;
mod faults;
mod file;
mod files;
mod kept;
mod pool;
mod probe;
mod trouble;

pub use anchor::Anchor;
pub use error::{Error, Op};
pub use faults::{Failure, Faults, Rule};
pub use file::{File, Syncer};
pub use files::{Entry, Files, Space};
pub use kept::{Kept, Seen};
pub use pool::Disk;
pub use probe::{Probe, Probed};
pub use trouble::Trouble;

#[cfg(test)]
mod tests;
