//! Segments to players: any range of time of a stream as one MP4 file or as HLS, over HTTP, to the operator or by a play.
//!
//! Owns: the addresses under `/media/` and `/vod/`, the operator's token, plays and their record, the cache of plans. Never does: reads what it does not send,
//! decides what is kept, knows which listener it hangs on beyond who may ask.
//!
//! Flow: an address and a range of time → segments and tables from the [`Footage`] → a plan (`media::vod`) → its head
//! from memory and slices of files from the disk, block by block, as the client takes them.

mod body;
mod cache;
mod error;
mod footage;
mod handler;
mod hls;
mod live;
mod metrics;
mod pace;
mod plan;
pub mod plays;
mod pour;
mod query;
mod route;
pub mod rtsp;
mod seen;
mod send;
mod still;
#[cfg(test)]
mod tests;
mod token;
mod vod;
pub mod whep;

pub use error::Error;
pub use footage::Footage;
pub use handler::Playback;
pub use vod::{LAG_JS, LIVE_JS, PLAYLIST_JS};

use crate::base::{Clock, Metrics, Secret, TaskGroup};
use crate::disk::Disk;
use crate::live::Hub;
use std::sync::Arc;

/// What playback is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Who knows it may see all footage. Without one, only the admin endpoint serves, and only to this host.
    pub token: Option<Secret>,
}

/// What playback stands on.
pub struct Deps {
    /// The archive.
    pub footage: Arc<dyn Footage>,
    /// Who may see what of it without the operator's token.
    pub plays: plays::Plays,
    /// Where what is live comes from.
    pub hub: Hub,
    /// Shows it by WebRTC.
    pub whep: whep::Whep,
    /// Where what is shown live is made.
    pub group: TaskGroup,
    /// Reads the files.
    pub disk: Disk,
    /// Says when now is.
    pub clock: Clock,
    /// Where requests are counted.
    pub metrics: Metrics,
}

/// Any text as an address under `/vod/`.
pub fn fuzz(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        vod::fuzz(text);
        live::fuzz(text);
    }
}

/// Puts the room together: a [`crate::serve::Handler`] for every path that begins with `/media/` or `/vod/`.
pub fn build(config: Config, deps: Deps) -> Arc<Playback> {
    Arc::new(Playback::new(config, deps))
}
