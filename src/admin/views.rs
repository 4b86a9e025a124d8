//! What the API answers with: plain values, serialised and described from the same types.

use super::Phase;
use crate::{
    base::Wall,
    camera,
    model::{Presence, StreamKey, StreamState, VideoCodec},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// `/api/v1/status`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StatusView {
    /// Of skyvis.
    pub version: &'static str,
    /// Name of this host.
    pub node: String,
    /// What the process is doing.
    pub phase: Phase,
    /// The host's clock.
    pub time: Wall,
    /// Seconds since the process began to serve.
    pub uptime_seconds: u64,
    /// How many of what.
    pub counts: CountsView,
    /// Version of the catalog of services; null in a version of skyvis without one.
    pub catalog_version: Option<u64>,
    /// Version of the table of routes; null in a version of skyvis without one.
    pub route_table_version: Option<u64>,
}

/// How many of what.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CountsView {
    /// Devices by presence; every presence is named.
    pub devices: BTreeMap<&'static str, usize>,
    /// Streams by state; every state is named.
    pub streams: BTreeMap<&'static str, usize>,
    /// Live readers of all streams.
    pub readers: usize,
}

impl CountsView {
    pub(super) fn of(snapshot: &camera::Snapshot, readers: usize) -> Self {
        use {Presence as P, StreamState as S};
        let presences = [P::Unknown, P::Online, P::Flapping, P::Offline, P::Locked];
        let states = [S::Connecting, S::Running, S::Backoff, S::Paused, S::Offline, S::Locked, S::Stopped];
        let devices_in = |p| snapshot.devices.iter().filter(|d| d.presence == p).count();
        let streams_in = |s| snapshot.streams.iter().filter(|v| v.state == s).count();
        Self {
            devices: presences.iter().map(|p| (p.as_str(), devices_in(*p))).collect(),
            streams: states.iter().map(|s| (s.as_str(), streams_in(*s))).collect(),
            readers,
        }
    }
}

/// `/api/v1/streams`: a stream as camera, recorder and viewers see it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StreamView {
    /// `<device>/<channel>/<main|sub>`
    pub key: StreamKey,
    /// What it is doing.
    pub state: StreamState,
    /// Why it does not run, or why it is not recorded; null where all is well.
    pub reason: Option<String>,
    /// The name that people gave the channel on the device.
    pub name: Option<String>,
    /// Null before the first session was set up.
    pub codec: Option<VideoCodec>,
    /// Pixels.
    pub width: Option<u16>,
    /// Pixels.
    pub height: Option<u16>,
    /// Pictures per second of the last seconds.
    pub fps: f64,
    /// Bits per second of the last seconds, sound included.
    pub bitrate: u64,
    /// When the last frame was taken; null before the first.
    pub last_frame: Option<Wall>,
    /// Sessions that were lost and begun anew.
    pub reconnects: u64,
    /// How far the camera's clock is ahead of ours; null where the camera does not say.
    pub clock_skew_ms: Option<i64>,
    /// Live viewers.
    pub readers: usize,
}

/// `POST /api/v1/reload`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReloadView {
    /// What is different now, a line each; empty where nothing is.
    pub changed: Vec<String>,
}

/// The answer to a request that has nothing to say but that it was done.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DoneView {
    /// Always true.
    pub done: bool,
}
