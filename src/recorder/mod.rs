//! Frames to segments: where to cut (pure), the writer, one supervised child per stream.
//!
//! Never does: talk to a camera, answer a query, delete footage.
//!
//! ```text
//! schedule, pause ──► plan (pure: wanted now?) ──► held back, or not fetched at all
//! live ── frames ──► assembler (pure: open, append, close) ──► writer (the system's memory, at once)
//!                                   archive ◄── follower (sync, name, row: in the order that survives) ◄──┘
//! ```

mod assembler;
mod cadence;
mod config;
mod cut;
mod error;
mod expect;
mod file;
mod follow;
mod metrics;
mod mode;
mod pauses;
mod plan;
mod prelude;
mod schedule;
mod status;
mod stills;
mod stream;
mod sync;
mod task;
mod timetable;
mod writer;

pub use config::{Config, DeviceSettings, Mode, Settings, Sync};
pub use error::Error;
pub use pauses::Pauses;
pub use plan::{LEAD, Pause, Plan};
pub use schedule::{BadSchedule, Schedule};
pub use status::{Status, Statuses};
pub use task::{Deps, Recorder, RecorderTask, build};

#[cfg(test)]
mod tests;
