//! What cameras send now, as HLS of low latency: parts of half a second, made once for all who watch.
//!
//! Owns: one show for each stream that somebody watches, with the last seconds of it in memory. Never does: touch a
//! disk, ask a camera for anything but to go on.
//!
//! ```text
//! live::Reader ──► Cutter (pure: pictures to parts and segments) ──► Window (the last seconds) ──► playlist (pure: text)
//!                                                                      └── parts, segments ──► everybody, the same bytes
//! ```

mod cutter;
mod playlist;
mod serve;
mod show;
#[cfg(test)]
mod tests;
mod window;

pub(super) use serve::{Answer, Asked, fuzz};
pub(super) use show::Shows;
