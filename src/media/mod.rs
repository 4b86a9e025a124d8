//! Formats as pure functions: fragmented MP4, HLS text, parameter sets. No I/O, no clock, no async.
//!
//! Owns: every byte of an MP4 box that skyvis writes or reads. Never does: opening a file, knowing what a camera is,
//! deciding what is kept.
//!
//! The flow: frames become fragments (`fmp4::write`), a file becomes its sample table again (`fmp4::read`), and sample
//! tables become virtual files that players understand (`vod`, `hls`).

pub mod avc;
pub mod entry;
pub mod error;
pub mod fmp4;
pub mod hls;
pub mod jpeg;
pub mod order;
pub mod sound;
pub mod vod;

pub use error::Error;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod reordered_tests;
#[cfg(test)]
pub(crate) mod tests;
