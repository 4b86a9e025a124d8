//! The room's task: starts and ends the devices' children as the configuration says, and publishes the snapshot.

use super::{
    Cameras, Config, DeviceConfig, DeviceKind, DeviceView, Error, Snapshot,
    accounts::Accounts,
    board::Board,
    device::{Device, TEARDOWN_WAIT_MAX},
    gateway::Gateway,
    handle::{COMMANDS_MAX, Command},
    meters::Meters,
    stream::Shared,
    supervise::supervise,
    urls::Urls,
};
use crate::{
    base::{Clock, Metrics, TaskGroup},
    events::Events,
    live::Hub,
    model::{DeviceId, Presence},
    store::Store,
};
use futures_util::future::join_all;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Between two snapshots. People and pages look at them; more often costs and shows nothing.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(500);
/// Rows of media URLs age also where nothing else changes.
const AGE_EVERY: Duration = Duration::from_secs(1);
/// Longer than a device's own limits of ending: streams, then TEARDOWN.
const STOP_WAIT_MAX: Duration = Duration::from_secs(12);
const _: () = assert!(STOP_WAIT_MAX.as_secs() >= 2 * TEARDOWN_WAIT_MAX.as_secs());

/// What the room needs of others.
pub struct Deps {
    /// Where frames go.
    pub hub: Hub,
    /// Where frames go that are transcoded before they go there.
    pub sources: Hub,
    /// Where changes are told.
    pub events: Events,
    /// Time.
    pub clock: Clock,
    /// Where counts go.
    pub metrics: Metrics,
    /// Whose children the devices are.
    pub group: TaskGroup,
    /// Where spent logins are kept over restarts; None: nowhere.
    pub store: Option<Store>,
}

/// What of the configuration may change without touching a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timings {
    pub poll_interval: Duration,
    pub age_out: Duration,
    pub timeout: Duration,
}

/// Owns the devices. Run it once.
pub struct CamerasTask {
    config: Config,
    board: Arc<Board>,
    hub: Hub,
    sources: Hub,
    meters: Meters,
    group: TaskGroup,
    timings: watch::Sender<Timings>,
    devices: BTreeMap<DeviceId, Supervised>,
    /// Devices that are switched off, as they are shown.
    off: BTreeMap<DeviceId, DeviceConfig>,
    accounts: Accounts,
    urls: Urls,
    commands: mpsc::Receiver<Command>,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

struct Supervised {
    config: DeviceConfig,
    group: TaskGroup,
    shared: Arc<Shared>,
}

/// Builds the room. Nothing runs until the task does.
pub fn build(config: Config, deps: Deps) -> (Cameras, CamerasTask) {
    let (send, commands) = mpsc::channel(COMMANDS_MAX);
    let (snapshot, watched) = watch::channel(Arc::default());
    let timings = watch::Sender::new(timings_of(&config));
    let task = CamerasTask {
        config,
        accounts: Accounts::new(deps.store, deps.clock.clone()),
        board: Arc::new(Board::new(deps.events, deps.clock)),
        hub: deps.hub,
        sources: deps.sources,
        meters: Meters::new(&deps.metrics),
        group: deps.group.child(),
        timings,
        devices: BTreeMap::new(),
        off: BTreeMap::new(),
        urls: Urls::default(),
        commands,
        snapshot,
    };
    (Cameras::new(send, watched), task)
}

fn timings_of(config: &Config) -> Timings {
    Timings { poll_interval: config.poll_interval, age_out: config.age_out, timeout: config.timeout }
}

impl CamerasTask {
    /// Runs the cameras until told to stop; ends once their sessions are torn down.
    pub async fn run(mut self, stop: CancellationToken) {
        if let Err(error) = self.accounts.load().await {
            // Without it, a wrong password could be tried anew with each start.
            tracing::error!(%error, "cannot read which logins were spent, so that none is tried");
            return;
        }
        self.apply(self.config.clone()).await;
        self.publish();
        let mut published = Instant::now();
        let mut due = None;
        loop {
            let next = due.unwrap_or(published + AGE_EVERY);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    // Every handle is gone; the cameras go on.
                    None => stop.cancelled().await,
                },
                () = self.board.changed(), if due.is_none() => due = Some(published + SNAPSHOT_EVERY),
                () = tokio::time::sleep_until(next) => {
                    self.publish();
                    published = Instant::now();
                    due = None;
                }
            }
        }
        let devices = std::mem::take(&mut self.devices);
        end(devices.into_values()).await;
        self.publish();
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Apply { config, done } => {
                self.apply(config).await;
                self.publish();
                let _ = done.send(());
            }
            Command::Reconnect { device, done } => {
                let _ = done.send(self.reconnect(device).await);
            }
        }
    }

    /// Touches what changed and nothing else.
    async fn apply(&mut self, config: Config) {
        self.timings.send_if_modified(|now| std::mem::replace(now, timings_of(&config)) != timings_of(&config));
        let wanted: BTreeMap<_, _> = config.devices.iter().map(|d| (d.id.clone(), d.clone())).collect();
        let changed: Vec<_> = self
            .devices
            .iter()
            .filter(|(id, device)| wanted.get(*id) != Some(&device.config))
            .map(|(id, _)| id.clone())
            .collect();
        let ended: Vec<_> = changed.iter().filter_map(|id| self.devices.remove(id)).collect();
        end(ended).await;
        let known = self.config.devices.iter().map(|d| &d.id);
        for gone in known.chain(&changed).filter(|id| !wanted.contains_key(*id)) {
            forget(gone, &self.board, &self.hub, &self.meters);
            self.meters.forget_device(gone);
        }
        self.off.retain(|id, _| wanted.contains_key(id));
        self.config = config;
        for (id, device) in wanted {
            if !self.devices.contains_key(&id) {
                self.start(device);
            }
        }
        self.accounts.forget_others(&self.config.devices).await;
    }

    /// A new try, with what the account has left.
    async fn reconnect(&mut self, id: DeviceId) -> Result<(), Error> {
        let of_config = id.configured();
        let device = self.config.devices.iter().find(|d| d.id == of_config).cloned();
        let device = device.ok_or(Error::UnknownDevice(id.clone()))?;
        if id.dev_index().is_some() {
            let known = self.board.members(&of_config).contains(&id);
            let gateway = self.devices.get(&of_config).filter(|_| known).ok_or(Error::UnknownDevice(id.clone()))?;
            // Where no login may be tried, the one of the gateway is what the new try is for.
            if gateway.shared.budget.locked(Instant::now()).is_none() {
                gateway.shared.begin_anew(&id);
                return Ok(());
            }
        }
        let id = of_config;
        end(self.devices.remove(&id)).await;
        self.accounts.budget(&device).forgive().await;
        self.start(device);
        Ok(())
    }

    fn start(&mut self, config: DeviceConfig) {
        if !config.enabled {
            // What is shown of it already stays, its time with it.
            if self.off.get(&config.id) != Some(&config) {
                forget(&config.id, &self.board, &self.hub, &self.meters);
                self.board.set_device(switched_off(&config, self.board.clock()), BTreeMap::new());
                self.off.insert(config.id.clone(), config);
            }
            return;
        }
        self.off.remove(&config.id);
        let timings = self.timings.subscribe();
        let budget = self.accounts.budget(&config);
        let shared = Shared::new(self.board.clone(), self.hub.clone(), timings, budget);
        let shared = shared.with_transcoded(self.sources.clone(), config.transcoded.clone());
        let gateway = config.kind == DeviceKind::Gateway;
        let shared = Arc::new(if gateway { shared.of_gateway() } else { shared });
        let kept = shared.clone();
        let group = self.group.child();
        let (inner, meters) = (group.clone(), self.meters.clone());
        let of = config.clone();
        group.spawn("device supervisor", async move {
            let stop = inner.stop_token();
            let start = || {
                let (of, shared, meters, stop) = (of.clone(), shared.clone(), meters.clone(), inner.stop_token());
                let group = inner.clone();
                async move {
                    match of.kind {
                        DeviceKind::Gateway => Gateway::new(of, shared, meters, &group).run(stop).await,
                        _ => Device::new(of, shared, meters, &group).run(stop).await,
                    }
                }
            };
            supervise(&inner, "device", &stop, &meters, start).await;
        });
        self.devices.insert(config.id.clone(), Supervised { config, group, shared: kept });
    }

    fn publish(&mut self) {
        let (now, wall) = (Instant::now(), self.board.clock().wall());
        let (urls, age_out) = (&mut self.urls, self.config.age_out);
        let snapshot = self.board.snapshot(|seen| {
            urls.update(seen, age_out, now, wall);
            urls.rows()
        });
        self.snapshot.send_if_modified(|shown| {
            let differs = **shown != snapshot;
            if differs {
                *shown = Arc::new(snapshot);
            }
            differs
        });
    }
}

/// A device left the configuration, and all that lies behind it with it.
fn forget(id: &DeviceId, board: &Board, hub: &Hub, meters: &Meters) {
    for gone in board.members(id).iter().chain([id]) {
        meters.forget_streams(&board.remove_device(gone));
        hub.set_roster(gone, None);
    }
}

/// Ends devices together and waits until the last has torn its sessions down.
async fn end(devices: impl IntoIterator<Item = Supervised>) {
    let ends = devices.into_iter().map(|device| async move {
        if !device.group.stop(STOP_WAIT_MAX).await {
            tracing::warn!(device = %device.config.id, "device did not end in time");
        }
    });
    join_all(ends).await;
}

fn switched_off(config: &DeviceConfig, clock: &Clock) -> DeviceView {
    DeviceView {
        id: config.id.clone(),
        kind: config.kind,
        name: None,
        address: config.address(),
        presence: Presence::Unknown,
        since: clock.wall(),
        error: Some("switched off in the configuration".to_owned()),
        until: None,
        warning: None,
        model: None,
        serial: None,
        firmware: None,
        channels: Vec::new(),
    }
}
