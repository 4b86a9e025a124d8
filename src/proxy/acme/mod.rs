//! Certificates by ACME (RFC 8555): ordered, proven, kept, renewed.
//!
//! Owns: the account and the pairs below its directory, the answers to challenges. Never does: serves a certificate (what it
//! writes is followed as any file is), or makes anybody wait for one.
//!
//! Flow: `schedule` (pure) says what is due → `order` proves the names and gets a pair → `files` keeps it.

mod challenges;
mod files;
mod http;
mod order;
mod schedule;
mod task;

pub(super) use challenges::Challenges;
#[cfg(test)]
pub(super) use order::{Proof, account, order};
pub use task::{AcmeTask, Config};
