//! Taking a new config while running: on SIGHUP, when the file changes, and by `POST /api/v1/reload`. All or nothing.

use super::{Error, Rooms, systemd};
use crate::{
    admin,
    base::{Clock, TaskGroup},
    config::{self, Config, Env, Place},
    serve::BoxFuture,
};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::sync::watch;

/// How often the file is looked at. Looking costs one `stat`; unlike a watch on the inode it survives editors that
/// write a new file and rename it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A file is read once it has not changed for so long: an editor may write it in pieces.
const QUIET: Duration = Duration::from_secs(1);

/// The config in force, and the way to the next one.
pub struct Reloading {
    file: Option<PathBuf>,
    env: Env,
    /// Held through a whole reload, so that two of them cannot interleave.
    current: tokio::sync::Mutex<Config>,
    view: watch::Sender<Arc<admin::ShownConfig>>,
    status: Mutex<String>,
    targets: Targets,
}

/// The rooms that follow a changed config.
struct Targets {
    cameras: crate::camera::Cameras,
    recorder: crate::recorder::Recorder,
    transcoder: crate::transcode::Transcoder,
    proxy: crate::proxy::Proxy,
    archive: crate::archive::Archive,
    registry: crate::registry::Registry,
    plays: crate::playback::plays::Plays,
    whep: crate::playback::whep::Whep,
    events: crate::events::Events,
}

/// What a file looked like: a change of any of these is a change of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Look {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

/// The config as others may see it, and where each value of it comes from.
fn shown(config: &Config, file: Option<&Path>, env: &Env) -> admin::ShownConfig {
    let places = file.map(|file| config::places(file, env)).unwrap_or_default();
    let source = |(key, place): (String, Place)| {
        let (line, variable) = match place {
            Place::File => (None, None),
            Place::Line(line) => (Some(line), None),
            Place::Environment(name) => (None, Some(name)),
        };
        admin::ConfigSource { key, line, variable }
    };
    admin::ShownConfig {
        effective: config.to_view(),
        file: file.map(|f| f.display().to_string()),
        sources: places.into_iter().map(source).collect(),
    }
}

impl Reloading {
    pub(super) fn new(config: Config, file: Option<PathBuf>, env: Env, rooms: &Rooms) -> Arc<Self> {
        let status = format!("{} devices", config.devices.len());
        let (view, _) = watch::channel(Arc::new(shown(&config, file.as_deref(), &env)));
        Arc::new(Self {
            file,
            env,
            current: tokio::sync::Mutex::new(config),
            view,
            status: Mutex::new(status),
            targets: Targets {
                cameras: rooms.cameras.clone(),
                recorder: rooms.recorder.clone(),
                transcoder: rooms.transcoder.clone(),
                proxy: rooms.proxy.clone(),
                archive: rooms.archive.clone(),
                registry: rooms.registry.clone(),
                plays: rooms.plays.clone(),
                whep: rooms.whep.clone(),
                events: rooms.events.clone(),
            },
        })
    }

    /// The effective config without secrets, as it changes.
    pub(super) fn view(&self) -> watch::Receiver<Arc<admin::ShownConfig>> {
        self.view.subscribe()
    }

    pub(super) fn status_line(&self) -> String {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file and makes the rooms follow it. The names of what changed; with an error, nothing has.
    pub(super) async fn reload(&self, cause: &str) -> Result<Vec<String>, Error> {
        systemd::reloading();
        let outcome = self.try_reload().await;
        match &outcome {
            Ok(changed) => {
                tracing::info!(cause, ?changed, "config reloaded");
                self.targets.events.emit("config.reloaded", "", json!({ "cause": cause, "changed": changed }));
                self.set_status(None).await;
            }
            Err(error) => {
                tracing::error!(cause, %error, "config not reloaded, the one before stays in force");
                self.targets.events.emit("config.refused", "", json!({ "cause": cause, "error": error.to_string() }));
                self.set_status(Some("the config file has faults, the one before is in force")).await;
            }
        }
        systemd::ready(&self.status_line());
        outcome
    }

    async fn try_reload(&self) -> Result<Vec<String>, Error> {
        let mut current = self.current.lock().await;
        let Some(file) = self.file.clone() else { return Ok(Vec::new()) };
        let env = self.env.clone();
        let read = move || {
            let next = config::load(&file, &env)?;
            let view = shown(&next, Some(&file), &env);
            Ok::<_, config::Faults>((next, view))
        };
        let (next, view) =
            tokio::task::spawn_blocking(read).await.map_err(|e| Error::Runtime(std::io::Error::other(e)))??;
        let frozen = config::restart_keys(&current, &next);
        if !frozen.is_empty() {
            return Err(Error::NeedsRestart(frozen));
        }
        let changed = changes(&current, &next);
        // First what can still be refused: it has to be stored.
        self.targets.registry.apply(next.registry.clone()).await?;
        // Nothing below can refuse: everything was checked when the file was read. Retention and recording first, so
        // that a new device's first frame meets the settings that were written with it.
        self.targets.archive.apply(next.archive());
        self.targets.recorder.apply(next.recorder());
        self.targets.transcoder.apply(next.transcode());
        self.targets.cameras.apply(next.cameras()).await?;
        self.targets.proxy.apply(next.proxy());
        self.targets.plays.apply(next.plays());
        self.targets.whep.apply(next.whep());
        self.view.send_replace(Arc::new(view));
        *current = next;
        Ok(changed)
    }

    async fn set_status(&self, fault: Option<&str>) {
        let devices = self.current.lock().await.devices.len();
        let line = fault.map_or_else(|| format!("{devices} devices"), |f| format!("{devices} devices; {f}"));
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    /// Reloads whenever the file has changed and then rested.
    pub(super) fn watch_file(self: &Arc<Self>, group: &TaskGroup, clock: Clock) {
        let Some(file) = self.file.clone() else { return };
        let (reloading, stop) = (self.clone(), group.stop_token());
        group.spawn("config watch", async move {
            let mut known = look(&file).await;
            while stop.run_until_cancelled(clock.sleep(LOOK_EVERY)).await.is_some() {
                let mut seen = look(&file).await;
                if seen == known {
                    continue;
                }
                loop {
                    if stop.run_until_cancelled(clock.sleep(QUIET)).await.is_none() {
                        return;
                    }
                    let again = look(&file).await;
                    if again == seen {
                        break;
                    }
                    seen = again;
                }
                known = seen;
                // A refusal is logged and shown; the next change tries again.
                let _ = reloading.reload("file changed").await;
            }
        });
    }
}

impl admin::Reloader for Reloading {
    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, admin::ReloadRefused>> {
        Box::pin(async move {
            Reloading::reload(self, "API").await.map_err(|error| admin::ReloadRefused {
                faults: error.to_string().lines().map(str::to_owned).collect(),
            })
        })
    }
}

async fn look(file: &Path) -> Option<Look> {
    use std::os::unix::fs::MetadataExt;
    let found = tokio::fs::metadata(file).await.ok()?;
    Some(Look { modified: found.modified().ok(), len: found.len(), inode: found.ino() })
}

/// The names of what differs, for people.
fn changes(old: &Config, new: &Config) -> Vec<String> {
    let mut changed = Vec::new();
    for device in &new.devices {
        match old.devices.iter().find(|d| d.id == device.id) {
            None => changed.push(format!("device {} added", device.id)),
            Some(before) if before != device => changed.push(format!("device {} changed", device.id)),
            Some(_) => {}
        }
    }
    for gone in old.devices.iter().filter(|d| !new.devices.iter().any(|n| n.id == d.id)) {
        changed.push(format!("device {} removed", gone.id));
    }
    for route in &new.proxy.routes {
        match old.proxy.routes.iter().find(|r| r.name == route.name) {
            None => changed.push(format!("route {} added", route.name)),
            Some(before) if before != route => changed.push(format!("route {} changed", route.name)),
            Some(_) => {}
        }
    }
    for gone in old.proxy.routes.iter().filter(|r| !new.proxy.routes.iter().any(|n| n.name == r.name)) {
        changed.push(format!("route {} removed", gone.name));
    }
    let sections = [
        ("hikvision", old.hikvision != new.hikvision),
        ("recording", old.recording != new.recording),
        ("playback", old.playback != new.playback),
        ("transcode", (&old.ffmpeg, old.ffmpeg_processes_max) != (&new.ffmpeg, new.ffmpeg_processes_max)),
        ("proxy", old.proxy != new.proxy),
        ("registry", old.registry != new.registry),
        ("notify", old.notify_prefix != new.notify_prefix),
    ];
    changed.extend(sections.iter().filter(|(_, differs)| *differs).map(|(name, _)| format!("[{name}] changed")));
    changed
}
