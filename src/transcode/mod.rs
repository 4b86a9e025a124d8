//! Streams by way of ffmpeg: sized or coded anew by one supervised process each, and recorded instead of the original.
//!
//! Never does: talk to a camera, touch a file, decide what is recorded. ffmpeg is needed here and nowhere else; where it
//! is missing or fails, the original goes on under the same name, with the reason.
//!
//! ```text
//! camera ──► ring of the source ──► feed (fragmented MP4, stdin) ──► ffmpeg ──► demux (stdout) ──► ring of the stream
//!                                      └─ times, kept in flight ─────────────────────┘
//! ```
//! What ffmpeg was given and has not answered is kept: one that dies is begun anew with it, so nothing is lost.

mod arguments;
mod config;
mod error;
mod flight;
mod log;
mod metrics;
mod process;
mod run;
mod status;
mod still;
mod stream;
mod task;
mod tool;

pub use config::{Config, Settings};
pub use error::Error;
pub use status::{State, Status, Statuses};
pub use task::{Deps, TranscodeTask, Transcoder, build};

#[cfg(test)]
mod tests;
