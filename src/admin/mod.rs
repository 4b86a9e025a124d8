//! The admin endpoint, the only room that speaks JSON: API, who may ask, its description, the console.
//!
//! Never does: keep state of its own, decide anything about cameras or footage.
//!
//! Flow: request → [`auth`](self) weighs peer, Host, Origin and token → the table of routes finds the line →
//! its function asks the rooms' handles → JSON, or a problem document. The router and `/api/v1/openapi.json` are both
//! made from that one table, so they cannot differ.

mod api;
mod auth;
mod call;
mod failure;
mod handlers;
mod openapi;
mod paging;
mod parameters;
mod route;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod views;

pub use views::{ConfigSource, ShownConfig};

use crate::{
    archive::Archive,
    base::{Clock, Metrics, Secret, TaskGroup},
    camera::Cameras,
    events::Events,
    live::Hub,
    playback::plays::Plays,
    proxy::sync::Routes,
    recorder::Recorder,
    registry::Registry,
    serve::{BoxFuture, Handler},
    store::Store,
    transcode::Transcoder,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// What the endpoint is told.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The operator's token; none (or an empty one): only this host may ask.
    pub token: Option<Secret>,
    /// The token of those who may only look; none: there are no such.
    pub viewer_token: Option<Secret>,
    /// Name of this host.
    pub node: String,
    /// The data directory: a backup lies there for a moment before it is sent.
    pub data_dir: PathBuf,
}

/// What the endpoint shows and steers.
pub struct Deps {
    /// Devices and streams.
    pub cameras: Cameras,
    /// What is recorded, and why where it is not.
    pub recorder: Recorder,
    /// What ffmpeg makes of streams.
    pub transcoder: Transcoder,
    /// Services and keys.
    pub registry: Registry,
    /// Footage.
    pub archive: Archive,
    /// For backups.
    pub store: Store,
    /// What happened.
    pub events: Events,
    /// Who watches what.
    pub hub: Hub,
    /// What the proxy does with requests.
    pub routes: Routes,
    /// Answers `/media/…` and `/vod/…`.
    pub playback: Arc<dyn Handler>,
    /// Who may see what of it.
    pub plays: Plays,
    /// For `/metrics`.
    pub metrics: Metrics,
    /// For uptime.
    pub clock: Clock,
    /// What the process is doing.
    pub phase: watch::Receiver<Phase>,
    /// Reads the config file again.
    pub reloader: Arc<dyn Reloader>,
    /// Where work goes on whose client has left: half a reload would be neither config.
    pub group: TaskGroup,
    /// The effective config.
    pub config: watch::Receiver<Arc<ShownConfig>>,
}

/// What the process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Store and index are being opened.
    Starting,
    /// Listeners, store and index are open.
    Ready,
    /// On its way out.
    Stopping,
}

/// Reads the config file again; `app` is one.
pub trait Reloader: Send + Sync + 'static {
    /// All or nothing: what changed, or every fault and nothing changed.
    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, ReloadRefused>>;
}

/// The new config was refused; the one before stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadRefused {
    /// Every fault, a line each.
    pub faults: Vec<String>,
}

/// The handler of the admin listener.
pub fn build(config: Config, deps: Deps) -> Arc<dyn Handler> {
    Arc::new(api::Endpoint::new(config, deps, table::ROUTES))
}
