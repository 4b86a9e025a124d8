//! The keys of the file, one file per part of it. Nothing else knows how a key is called.

mod auth;
mod cors;
mod device;
mod network;
mod proxy;
mod recording;
mod registry;
mod route;
mod secret;
mod small;
mod split;
mod tcp;
mod tls;
mod transcode;
mod unbuilt;
mod upstream;

use super::{
    Config, Env,
    reader::{Scope, as_duration, as_text, within},
};
use crate::base::units::format_duration;
use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

const DATA_DIR_DEFAULT: &str = "/var/lib/skyvis";

/// What is read beside the file.
pub(super) struct Origin<'a> {
    /// What relative paths are relative to: where the file lies.
    pub(super) dir: &'a Path,
    pub(super) env: &'a Env,
}

impl Origin<'_> {
    /// A path as the file means it.
    fn path(&self, text: &str) -> PathBuf {
        self.dir.join(text)
    }
}

/// Reads all of the file. `None` only after a fault.
pub(super) fn root(scope: &Scope<'_>, origin: &Origin<'_>) -> Option<Config> {
    let data_dir = scope.value("data_dir", PathBuf::from(DATA_DIR_DEFAULT), |n| match as_text(n)?.as_str() {
        "" => Err(format!("is empty; write a directory, for example \"{DATA_DIR_DEFAULT}\"")),
        text => Ok(origin.path(text)),
    });
    let node = scope.value("node", String::new(), |n| small::node_name(as_text(n)?));
    let log = scope.section("log", small::log);
    let admin = scope.section("admin", |s| network::admin(s, origin));
    let proxy = scope.section("proxy", |s| network::proxy(s, origin, &data_dir, &admin.listen, log.format));
    let (registry, fronts) = scope.section("registry", |s| registry::read(s, origin));
    let hikvision = scope.section("hikvision", small::hikvision);
    let (recording, recording_dir) = scope.section("recording", |s| recording::global(s, origin));
    let devices = device::all(scope, origin, &recording);
    let playback = scope.section("playback", |s| small::playback(s, origin, admin.token.as_ref()));
    let (ffmpeg, ffmpeg_processes_max) = scope.section("transcode", |s| transcode::global(s, origin));
    let notify_prefix = scope.section("notify", small::notify);
    unbuilt::sections(scope);
    Some(Config {
        recording_dir: recording_dir.unwrap_or_else(|| data_dir.join("recordings")),
        data_dir,
        node: if node.is_empty() { origin.env.host_name().to_owned() } else { node },
        log,
        admin,
        proxy: proxy?,
        registry,
        fronts,
        hikvision,
        devices: devices?,
        recording,
        playback,
        ffmpeg,
        ffmpeg_processes_max,
        notify_prefix,
    })
}

/// A duration within bounds.
fn duration(scope: &Scope<'_>, key: &'static str, default: Duration, bounds: &RangeInclusive<Duration>) -> Duration {
    scope.value(key, default, |n| within(as_duration(n)?, bounds, |d| format_duration(*d)))
}
