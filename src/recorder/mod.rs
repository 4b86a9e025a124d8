//! Frames to segments: where to cut (pure), the writer, one supervised child per stream.
//!
//! Never does: talk to a camera, answer a query, delete footage.
//!
//! ```text
//! live ── frames ──► assembler (pure: open, append, close) ──► writer (disk, in the order that survives) ──► archive
//! ```

mod assembler;
mod config;
mod cut;
mod error;
mod file;
mod metrics;
mod status;
mod stream;
mod sync;
mod task;
mod writer;

pub use config::{Config, Settings, Sync};
pub use error::Error;
pub use status::{Status, Statuses};
pub use task::{Deps, Recorder, RecorderTask, build};

#[cfg(test)]
mod tests;
