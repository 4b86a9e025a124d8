//! Frames to segments: where to cut (pure), the writer, one supervised child per stream.
//!
//! Never does: talk to a camera, answer a query, delete footage.
//!
//! ```text
//! live ── frames ──► assembler (pure: open, append, close) ──► writer (disk, in the order that survives) ──► archive
//! ```

pub mod assembler;
mod config;
pub mod cut;

pub use config::{Config, Settings, Sync};
