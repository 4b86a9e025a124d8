//! What cameras send now, to browsers and players by WebRTC (WHEP): one port for all who watch, by UDP and, where that does
//! not go through, by TCP.
//!
//! Owns: the port, sessions from the offer to their end, what is agreed on. Never does: calls anybody (ICE-lite: it is
//! called), takes media, asks a camera for anything but to go on, waits for who takes slowly.
//!
//! ```text
//! POST offer ──► Offer (pure) ──► terms ──► answer; a Place on the board, a Session
//! Follower ──► Shots (pure: frames to byte streams) ──► the flow's backlog ──► Viewer of each Session ──► str0m ──► port
//! the port ──► Doors ──► Board: by name (STUN) or by where it was proved to come from ──► Session
//! ```

mod addresses;
mod board;
mod course;
mod error;
mod framing;
mod meters;
mod net;
mod offer;
mod session;
mod shots;
mod stun;
mod terms;
mod watch;

pub use error::Error;
pub use net::{LISTEN_DEFAULT, Listen, Sockets};
pub(super) use watch::{ALLOW, ALLOW_SESSION, options};
pub use watch::{Whep, WhepTask};

use crate::{
    base::{Clock, Metrics, TaskGroup},
    events::Events,
    live::Hub,
};
use std::net::SocketAddr;

/// What is POSTed and what is answered.
pub(super) const CONTENT_TYPE: &str = "application/sdp";
/// A session description of a browser with all of its codecs takes a tenth of it.
pub(super) const OFFER_BYTES_MAX: usize = 60_000;

/// What it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where viewers can reach us besides: behind a NAT. A port of 0 is the one that is bound.
    pub announced: Vec<SocketAddr>,
}

/// What it stands on.
pub struct Deps {
    /// Where what is live comes from.
    pub hub: Hub,
    /// Whom to tell who watched what.
    pub events: Events,
    /// Where sessions run.
    pub group: TaskGroup,
    /// Says when now is.
    pub clock: Clock,
    /// Where viewers are counted.
    pub metrics: Metrics,
}

/// Puts it together. Without sockets it refuses whoever asks; the task takes what comes by them.
pub fn build(config: Config, sockets: Option<Sockets>, deps: Deps) -> Result<(Whep, Option<WhepTask>), Error> {
    watch::build(config, sockets, deps)
}

/// Any text as an offer, to its answer; and any bytes as what reaches the port.
pub fn fuzz(data: &[u8]) {
    watch::fuzz(data);
}
