//! Segments at rest and their index: layout, range queries, retention, recovery, reindex.
//!
//! The files are the truth; the index can always be rebuilt from them. Never does: decide where to cut, know what a
//! camera is, read a frame's content.
//!
//! ```text
//! recorder ── opened / extended / closed ──► growing (memory) + rows (store) ◄── segments / table ── playback, admin
//! start ── recover: cut torn tails, name and index what a crash left        retention ── oldest files, then their rows, go
//! recorder ── what is expected, and why nothing comes ──► ledger ── gaps and their causes ──► admin
//! ```

mod ageing;
mod check;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod gaps;
mod growing;
mod handle;
mod health;
mod hours;
mod identity;
mod index;
mod latest;
pub mod layout;
mod ledger;
mod old;
mod recover;
mod reindex;
mod repair;
mod retention;
mod scan;
mod sum;
mod sweep;
mod tables;
mod task;
mod unfinished;
mod verify;
mod walk;

pub use check::Fault;
pub use config::{ChannelLimits, Config, DeviceLimits, Limits, MinFree};
pub use error::Error;
pub use gaps::Gaps;
pub use handle::{Archive, Version};
pub use health::{HANG_AFTER, Health};
pub use identity::{DIR_MODE, FILE_NAME as IDENTITY_FILE_NAME};
pub use index::{StreamUsage, Usage};
pub use ledger::{Ledger, Told};
pub use recover::Recovered;
pub use reindex::{Progress, Summary};
pub use sum::Summing;
pub use sweep::Swept;
pub use task::{ArchiveTask, Deps, build};
pub use verify::{Finding, Report, Thorough, VerifyProgress};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
