//! Segments at rest and their index: layout, range queries, retention, recovery, reindex.
//!
//! The files are the truth; the index can always be rebuilt from them. Never does: decide where to cut, know what a
//! camera is, read a frame's content.
//!
//! ```text
//! recorder ── opened / extended / closed ──► growing (memory) + rows (store) ◄── segments / table ── playback, admin
//! start ── recover: cut torn tails, index what a crash left        retention ── oldest files, then their rows, go
//! ```

mod config;
pub mod layout;

pub use config::{Config, DeviceLimits, Limits, MinFree};
