//! The ledger: what should have been recorded and was not, and why. Part of the archive.
//!
//! ```text
//! recorder ── expect / absent / missing / retire ──► Line (pure, one a stream) ──► rows, events, seconds a cause
//! archive ── begun / extended (footage) ───────────►        │
//! admin ◄── tell (pure): gaps between footage, explained by rows; coverage ◄───────┘
//! ```
//!
//! Footage says where something is missing; rows say why. A stream that nobody expects has a row as well, which is
//! shown to nobody: else time before it was configured again would look like a loss.

mod ageing;
mod check;
mod handle;
mod line;
mod restore;
mod rows;
mod task;
mod tell;

pub use check::Flaw;
pub use handle::Ledger;
pub use rows::{Rows, Unsaved};
pub use tell::{Spans, Told, coverage, tell};

#[cfg(test)]
mod tests;
