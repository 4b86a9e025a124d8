//! Virtual files: any range of time as one MP4 or as HLS, planned from sample tables without opening a file.
//!
//! A plan is a [`Layout`]: bytes made here (`moov`, `moof`), and slices of footage files behind them.

mod layout;
mod mp4;
mod parts;
mod pieces;
mod sound;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod walk;

pub use layout::{INSERTED, Layout, Slice};
pub use mp4::{FOOTAGE_TICKS_MAX, plan_mp4};
pub use parts::{Cut, Part, PartRange, init_hash, init_segment, plan_hls_playlist, plan_hls_segment};
pub use walk::{Placed, Walk};

use crate::model::{SampleTable, Segment};
use std::sync::Arc;

/// One footage file that a plan takes from. Sources are sorted by start.
#[derive(Clone, Debug)]
pub struct Source {
    /// What the index says of the file.
    pub segment: Segment,
    /// Where its samples lie.
    pub table: Arc<SampleTable>,
}
