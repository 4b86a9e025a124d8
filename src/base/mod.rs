//! What any daemon has, with no skyvis noun in it: time, tasks, backoff, error kinds, metrics, units of text.
//!
//! Never does: I/O of its own, anything that knows what a camera is.

pub mod backoff;
pub mod clock;
pub mod error;
pub mod json;
pub mod lanes;
pub mod local;
pub mod metrics;
pub mod nearest;
pub mod secret;
pub mod task;
pub mod time;
pub mod units;

pub use backoff::Backoff;
pub use clock::{Clock, Reading, Step};
pub use error::Kind;
pub use lanes::Lanes;
pub use local::LocalTasks;
pub use metrics::Metrics;
pub use secret::Secret;
pub use task::{TaskGroup, panic_message};
pub use time::Wall;
