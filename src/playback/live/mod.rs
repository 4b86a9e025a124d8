//! What cameras send now, made once for all who watch: as HLS of low latency, in parts of half a second, and picture by
//! picture over WebSocket.
//!
//! Owns: one show and one flow for each stream that somebody watches so, with the last seconds of it in memory. Never does:
//! touch a disk, ask a camera for anything but to go on.
//!
//! ```text
//! Follower ──► Cutter (pure: pictures to parts and segments) ──► Window (the last seconds) ──► playlist (pure: text)
//!                                                                 └── parts, segments ──► everybody, the same bytes
//! Follower ──► flow: a message a picture ──► everybody, the same bytes; who is too slow skips
//! ```

mod cutter;
mod flow;
mod follow;
mod playlist;
mod serve;
mod show;
mod sounds;
#[cfg(test)]
mod tests;
mod window;

pub(super) use flow::{Flows, Made, Maker, Muxer, Names, Taken, Viewer};
pub(super) use serve::{Answer, Asked, fuzz};
pub(super) use show::Shows;
