//! The handles of all rooms, for whoever drives a daemon from within its process.

use crate::{
    admin::Phase,
    archive::Archive,
    base::{Clock, Lanes, Metrics},
    camera::Cameras,
    disk::Disk,
    events::Events,
    live::Hub,
    playback::{plays::Plays, whep::Whep},
    proxy::Proxy,
    recorder::Recorder,
    registry::Registry,
    serve::Handler,
    store::Store,
    transcode::Transcoder,
};
use std::sync::Arc;
use tokio::sync::watch;

/// The handles of all rooms.
pub struct Rooms {
    /// Files, but for the writing of footage.
    pub disk: Disk,
    /// The threads that footage is written on.
    pub writing: Disk,
    /// The threads that streams run on.
    pub(super) lanes: Lanes,
    /// The database.
    pub store: Store,
    /// What happened.
    pub events: Events,
    /// Frames in flight.
    pub hub: Hub,
    /// Services and keys.
    pub registry: Registry,
    /// Footage.
    pub archive: Archive,
    /// Frames to footage.
    pub recorder: Recorder,
    /// Devices and streams.
    pub cameras: Cameras,
    /// Streams by way of ffmpeg.
    pub transcoder: Transcoder,
    /// Footage to players.
    pub playback: Arc<dyn Handler>,
    /// Who may see what of it.
    pub plays: Plays,
    /// What is live to browsers by WebRTC.
    pub whep: Whep,
    /// Requests of others, to services and to playback.
    pub proxy: Proxy,
    /// What is counted.
    pub metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) phase: watch::Sender<Phase>,
}

impl Rooms {
    pub(super) fn ready(&self) {
        self.phase.send_replace(Phase::Ready);
    }

    pub(super) fn stopping(&self) {
        self.phase.send_replace(Phase::Stopping);
    }
}
