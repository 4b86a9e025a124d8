//! One supervised child per device: it polls, keeps what is known, opens and closes the gates of its streams.

use super::{
    ChannelView, DeviceConfig, DeviceKind, DeviceView, Timings,
    config::host_port,
    meters::Meters,
    poll::{Asker, Inventory, States, Trouble},
    presence::{Evidence, FRAMES_PROVE, Tracker},
    stream::{Gate, Shared},
    streams::{Streams, Wanted},
    urls,
};
use crate::{
    base::{TaskGroup, Wall},
    hikvision::{Client, Target},
    live::{Absence, Roster},
    model::{GapCause, Presence, StreamState},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// How often a device is asked while something of it is off, so that recording is back soon after it is.
pub(super) const EAGER_INTERVAL: Duration = Duration::from_secs(1);
/// Something that is off this long is not expected back in the next second.
pub(super) const EAGER_FOR: Duration = Duration::from_secs(600);
/// How often such a device is asked.
pub(super) const PATIENT_INTERVAL: Duration = Duration::from_secs(5);
/// No two polls of a device begin closer together, whatever wakes it.
pub(super) const POLL_SPACING: Duration = Duration::from_millis(300);
/// How often names, streams and ports are asked for again.
pub(super) const INVENTORY_EVERY: Duration = Duration::from_secs(60);
/// The usual port of RTSP.
pub(super) const RTSP_PORT: u16 = 554;
/// How long a port is tried.
pub(super) const PROBE_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a stop waits for the answer to a login. Devices answer within milliseconds.
pub(super) const VERDICT_WAIT_MAX: Duration = Duration::from_millis(1500);
/// How long the end of a device's sessions is waited for.
pub(super) const TEARDOWN_WAIT_MAX: Duration = Duration::from_secs(5);

/// One device.
pub(super) struct Device {
    config: DeviceConfig,
    shared: Arc<Shared>,
    meters: Meters,
    client: Arc<Client>,
    /// The timings that the client was made for.
    made_for: Timings,
    tracker: Tracker,
    shown: Shown,
    error: Option<String>,
    /// When a locked account is tried again.
    locked_until: Option<Wall>,
    /// What is not as it should be while it works.
    warning: Option<String>,
    inventory: Option<Inventory>,
    inventory_due: Instant,
    /// The channels that the recorder last listed states of.
    listed: Option<BTreeSet<u32>>,
    channels: BTreeMap<u32, Channel>,
    streams: Streams,
    off: Off,
    /// When `off` last changed to something.
    off_since: Option<Instant>,
    /// ISAPI is silent, but RTSP answers.
    rtsp_answers: bool,
}

/// What was last shown, and since when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shown {
    pub presence: Presence,
    pub since: Wall,
}

impl Shown {
    pub(super) fn update(&mut self, presence: Presence, now: Wall) -> Self {
        if self.presence != presence {
            *self = Self { presence, since: now };
        }
        *self
    }
}

/// What of a device is not as it should be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Off {
    device: bool,
    channels: Vec<u32>,
    streams: usize,
}

struct Channel {
    name: Option<String>,
    tracker: Tracker,
    shown: Shown,
}

impl Channel {
    fn new(since: Wall) -> Self {
        Self { name: None, tracker: Tracker::default(), shown: Shown { presence: Presence::Unknown, since } }
    }
}

impl Device {
    pub(super) fn new(config: DeviceConfig, shared: Arc<Shared>, meters: Meters, group: &TaskGroup) -> Self {
        let made_for = *shared.timings.borrow();
        let shown = Shown { presence: Presence::Unknown, since: shared.board.clock().wall() };
        // Channels that the configuration names are shown before the device has been asked, and a camera's one: it may
        // be away since before we began.
        let one = (config.kind == DeviceKind::Camera && config.channels.is_empty()).then_some(&1);
        let channels = config.channels.iter().chain(one).map(|id| (*id, Channel::new(shown.since))).collect();
        Self {
            client: shared.set_client(client(&config, made_for)),
            streams: Streams::new(&config, shared.clone(), meters.clone(), group),
            made_for,
            config,
            shared,
            meters,
            tracker: Tracker::default(),
            shown,
            error: None,
            locked_until: None,
            warning: None,
            inventory: None,
            inventory_due: Instant::now(),
            listed: None,
            channels,
            off: Off::default(),
            off_since: None,
            rtsp_answers: false,
        }
    }

    /// Polls until told to stop; then waits until its streams have ended.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.publish();
        loop {
            let began = Instant::now();
            let Some(polled) = self.poll_unless(&stop).await else { break };
            self.rtsp_answers = matches!(polled, Err(Trouble::Silent(_))) && self.rtsp_answers().await;
            self.learn(polled, Instant::now());
            self.publish();
            self.drive_streams();
            let next = began + self.interval(Instant::now());
            let soonest = Instant::now() + POLL_SPACING;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(next.max(soonest)) => {}
                () = woken(&self.shared, soonest) => {}
            }
        }
        self.streams.stop(TEARDOWN_WAIT_MAX).await;
        // Each session says goodbye in the background once it is dropped.
        let _ = timeout(TEARDOWN_WAIT_MAX, self.shared.sessions.await_teardown()).await;
    }

    /// A stop waits for the answer to a login that would otherwise have to be counted as refused.
    async fn poll_unless(&mut self, stop: &CancellationToken) -> Option<Result<Option<States>, Trouble>> {
        let shared = self.shared.clone();
        let mut poll = std::pin::pin!(self.poll());
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                if shared.budget.awaits_verdict() {
                    let _ = timeout(VERDICT_WAIT_MAX, poll).await;
                }
                None
            }
            polled = &mut poll => Some(polled),
        }
    }

    async fn poll(&mut self) -> Result<Option<States>, Trouble> {
        let timings = *self.shared.timings.borrow();
        if timings.timeout != self.made_for.timeout {
            self.client = self.shared.set_client(client(&self.config, timings));
            self.made_for = timings;
        }
        let asker = Asker { kind: self.config.kind, client: &self.client, budget: &self.shared.budget };
        if !self.tracker.is_up() || self.shared.budget.wants_look() {
            asker.look().await?;
        }
        let due = self.inventory_due <= Instant::now();
        match &mut self.inventory {
            Some(known) if !due => {
                // A recorder that is well proves it by its list of states.
                if self.config.kind == DeviceKind::Camera || !self.tracker.is_up() {
                    let identity = asker.identity().await?;
                    if known.identity != identity {
                        // Another device, or other firmware: what was known of it may be wrong.
                        self.inventory_due = Instant::now();
                        known.identity = identity;
                    }
                }
            }
            unknown => {
                *unknown = Some(asker.inventory(unknown.as_ref()).await?);
                self.inventory_due = Instant::now() + INVENTORY_EVERY;
            }
        }
        if self.config.kind == DeviceKind::Camera {
            return Ok(None);
        }
        let known: Vec<u32> = self.inventory.iter().flat_map(|i| i.channels.keys().copied()).collect();
        let states = asker.states(&known).await?;
        let listed = states.as_ref().map(|s| s.keys().copied().collect());
        if !due && listed != self.listed {
            // A channel was added or deleted.
            self.inventory = Some(asker.inventory(self.inventory.as_ref()).await?);
        }
        self.listed = listed;
        Ok(states)
    }

    /// Turns the outcome of a poll into what is known.
    fn learn(&mut self, polled: Result<Option<States>, Trouble>, now: Instant) {
        self.meters.polled(&self.config.id, polled.as_ref().err().map_or("ok", Trouble::outcome));
        let locked = self.shared.budget.locked(now);
        if locked.is_none() && self.tracker.presence() == Presence::Locked {
            self.tracker.learn(Evidence::Reset, now);
        }
        if let Some(at) = self.shared.last_frame().filter(|at| now.saturating_duration_since(*at) < FRAMES_PROVE) {
            self.tracker.learn(Evidence::Frames, at);
        }
        note_clear_password(&self.client, &self.config, &mut self.warning);
        match polled {
            Ok(states) => {
                self.error = None;
                self.tracker.learn(Evidence::Seen, now);
                self.learn_channels(states, now);
            }
            Err(Trouble::Silent(reason)) => {
                self.tracker.learn(Evidence::Silent(reason.clone()), now);
                self.error = Some(reason);
            }
            Err(Trouble::Failed(reason) | Trouble::Refused(reason)) => self.error = Some(reason),
            Err(Trouble::Locked(locked)) => self.error = Some(locked.reason),
            Err(Trouble::Untrusted(reason)) => {
                // As with a refused login: what runs goes on, and nothing is begun until somebody has looked.
                self.tracker.learn(Evidence::Locked { reason: reason.clone(), until: None }, now);
                self.error = Some(reason);
            }
        }
        self.locked_until = locked.as_ref().and_then(|locked| locked.until_wall);
        if let Some(locked) = locked {
            self.tracker.learn(Evidence::Locked { reason: locked.reason, until: locked.until }, now);
        }
        self.tracker.tick(now);
        for channel in self.channels.values_mut() {
            channel.tracker.tick(now);
        }
    }

    fn learn_channels(&mut self, states: Option<States>, now: Instant) {
        let Some(inventory) = &self.inventory else { return };
        let wall = self.shared.board.clock().wall();
        let wanted = |id: &u32| self.config.channels.is_empty() || self.config.channels.contains(id);
        self.channels.retain(|id, _| inventory.channels.contains_key(id) || self.config.channels.contains(id));
        let named = self.config.channels.iter();
        for id in inventory.channels.keys().filter(|id| wanted(id)).chain(named) {
            let channel = self.channels.entry(*id).or_insert_with(|| Channel::new(wall));
            if let Some(name) = inventory.channels.get(id) {
                channel.name.clone_from(name);
            }
            let evidence = match (&states, inventory.channels.contains_key(id)) {
                (_, false) => Evidence::Gone(format!("the device has no channel {id}")),
                (None, true) => Evidence::Seen,
                (Some(states), true) => match states.get(id) {
                    Some(Ok(())) => Evidence::Seen,
                    Some(Err(reason)) => Evidence::Gone(reason.clone()),
                    None => Evidence::Gone("the recorder no longer lists it".to_owned()),
                },
            };
            channel.tracker.learn(evidence, now);
        }
    }

    /// Why the device as a whole keeps its streams from running.
    fn closed(&self) -> Option<(StreamState, String, Option<GapCause>)> {
        let reason = || self.tracker.reason().or(self.error.as_deref()).unwrap_or("not asked yet").to_owned();
        match self.tracker.presence() {
            Presence::Locked => Some((StreamState::Locked, reason(), Some(self.shared.budget.cause(Instant::now())))),
            _ if self.tracker.is_up() || self.rtsp_answers => None,
            Presence::Unknown => Some((StreamState::Connecting, reason(), None)),
            _ => Some((StreamState::Offline, reason(), Some(GapCause::Unreachable))),
        }
    }

    /// Leaves word which streams there should be, and why the device says nothing while it does not. Streams of a
    /// recorder that has been silent since we began are those that are known from before.
    fn tell_roster(&self, wanted: &[Wanted]) {
        let known = self.inventory.is_some() || !self.config.channels.is_empty();
        let streams = known.then(|| {
            let key = |w: &Wanted| crate::model::StreamKey::new(self.config.id.clone(), w.channel, w.profile);
            Arc::new(wanted.iter().map(key).collect())
        });
        let cause = self.closed().and_then(|(.., cause)| cause);
        let absence = cause.map(|cause| Absence { cause, since: self.shown.since });
        self.shared.hub.set_roster(&self.config.id, Some(Roster { streams, absence }));
    }

    fn drive_streams(&mut self) {
        let closed = self.closed();
        let mut wanted = Vec::new();
        for (id, channel) in &self.channels {
            for profile in &self.config.profiles {
                let found = self.inventory.as_ref().map(|i| find_stream(i, *id, profile.number()));
                let gate = match (&closed, found) {
                    (_, Some(Found::Never(reason))) => {
                        Gate::Closed { state: StreamState::Stopped, reason, cause: Some(GapCause::StreamError) }
                    }
                    // A session that runs goes on: its login was taken, and its frames are worth having.
                    (Some((StreamState::Locked, ..)), Some(Found::At { .. })) if self.runs(*id, *profile) => {
                        wanted.push(Wanted { channel: *id, profile: *profile, gate: None });
                        continue;
                    }
                    (Some((state, reason, cause)), _) => {
                        Gate::Closed { state: *state, reason: reason.clone(), cause: *cause }
                    }
                    (None, Some(Found::At { id: stream, interval })) if channel.tracker.is_up() => {
                        Gate::Open { url: urls::media_url(&self.config.host, self.rtsp_port(), stream), interval }
                    }
                    (None, _) => Gate::Closed {
                        state: StreamState::Offline,
                        reason: channel.tracker.reason().unwrap_or("not seen yet").to_owned(),
                        cause: channel.tracker.reason().map(|_| GapCause::Offline),
                    },
                };
                wanted.push(Wanted { channel: *id, profile: *profile, gate: Some(gate) });
            }
        }
        self.tell_roster(&wanted);
        self.streams.want(wanted);
    }

    fn runs(&self, channel: u32, profile: crate::model::Profile) -> bool {
        self.streams.state(channel, profile) == Some(StreamState::Running)
    }

    fn rtsp_port(&self) -> u16 {
        let told = self.inventory.as_ref().and_then(|i| i.rtsp_port);
        self.config.rtsp_port.or(told).unwrap_or(RTSP_PORT)
    }

    /// Whether RTSP answers where ISAPI says nothing. Only where there is something to fetch.
    async fn rtsp_answers(&self) -> bool {
        let probe = probe_rtsp(&self.config.host, self.rtsp_port());
        self.inventory.is_some() && matches!(timeout(PROBE_WAIT_MAX, probe).await, Ok(Ok(true)))
    }

    /// From one poll's begin to the next's.
    fn interval(&mut self, now: Instant) -> Duration {
        let usual = self.shared.timings.borrow().poll_interval;
        let off = Off {
            device: !self.tracker.is_up(),
            channels: self.channels.iter().filter(|(_, c)| !c.tracker.is_up()).map(|(id, _)| *id).collect(),
            streams: self.streams.count(StreamState::Backoff),
        };
        if off != self.off {
            // What has just gone, or come, is what is worth looking after; not the slot that is empty for years.
            self.off_since = (off != Off::default()).then_some(now);
            self.off = off;
        }
        let nominal = match self.off_since {
            // A locked device is left in peace.
            _ if self.tracker.presence() == Presence::Locked => usual,
            None => usual,
            Some(since) if now.saturating_duration_since(since) < EAGER_FOR => usual.min(EAGER_INTERVAL),
            Some(_) => usual.min(PATIENT_INTERVAL),
        };
        nominal.mul_f64(rand::random_range(0.8..1.0))
    }

    fn publish(&mut self) {
        let wall = self.shared.board.clock().wall();
        let shown = self.shown.update(self.tracker.presence(), wall);
        let up = self.tracker.is_up();
        let device_reason = self.tracker.reason().map(str::to_owned);
        let mut channels = Vec::new();
        for (id, channel) in &mut self.channels {
            // What an absent recorder last said of its cameras is no longer known.
            let presence = if up { channel.tracker.presence() } else { shown.presence };
            let at = channel.shown.update(presence, wall);
            let reason = if up { channel.tracker.reason().map(str::to_owned) } else { device_reason.clone() };
            channels.push(ChannelView {
                channel: *id,
                name: channel.name.clone(),
                presence: at.presence,
                since: at.since,
                reason,
            });
        }
        let identity = self.inventory.as_ref().map(|i| i.identity.clone()).unwrap_or_default();
        let view = DeviceView {
            id: self.config.id.clone(),
            kind: self.config.kind,
            name: identity.name,
            address: self.config.address(),
            presence: shown.presence,
            since: shown.since,
            error: device_reason.or_else(|| self.error.clone()),
            until: self.locked_until,
            warning: self.warning.clone(),
            model: identity.model,
            serial: identity.serial,
            firmware: identity.firmware,
            channels,
        };
        self.shared.board.set_device(view, self.main_urls());
    }

    fn main_urls(&self) -> BTreeMap<u32, String> {
        let Some(inventory) = &self.inventory else { return BTreeMap::new() };
        let url = |id: &u32| match find_stream(inventory, *id, 1) {
            Found::At { id: stream, .. } if inventory.channels.contains_key(id) => {
                Some((*id, urls::media_url(&self.config.host, self.rtsp_port(), stream)))
            }
            _ => None,
        };
        self.channels.keys().filter_map(url).collect()
    }
}

/// Where a stream of a channel is, or why it can never be fetched.
enum Found {
    At { id: u32, interval: Duration },
    Never(String),
}

fn find_stream(inventory: &Inventory, channel: u32, number: u32) -> Found {
    let mut of_channel = inventory.streams.iter().filter(|s| s.channel == channel).peekable();
    if of_channel.peek().is_none() {
        // Recorders leave out what is offline, and some list nothing at all; the numbering is always the same.
        return Found::At { id: channel * 100 + number, interval: Duration::ZERO };
    }
    match of_channel.find(|s| s.number == number) {
        Some(stream) if !stream.enabled => Found::Never("it is turned off on the device".to_owned()),
        Some(stream) => {
            let interval = stream.centi_fps.map_or(Duration::ZERO, |f| Duration::from_secs(100) / f);
            Found::At { id: stream.id, interval }
        }
        None => Found::Never("the device has no such stream".to_owned()),
    }
}

pub(super) fn client(config: &DeviceConfig, timings: Timings) -> Client {
    Client::new(Target {
        host: config.host.clone(),
        port: config.http_port,
        tls: config.tls,
        user: config.user.clone(),
        password: config.password.clone(),
        timeout: timings.timeout,
    })
}

/// A password that goes over the net as it is stands in the device's state, and once in the log.
pub(super) fn note_clear_password(client: &Client, config: &DeviceConfig, warned: &mut Option<String>) {
    if client.sends_password_in_clear() && warned.is_none() {
        let warning = "the device asks for the password in clear (Basic over http); turn digest or https on at the \
                       device";
        tracing::warn!(device = %config.id, warning, "password goes over the net in clear");
        *warned = Some(warning.to_owned());
    } else if !client.sends_password_in_clear() {
        *warned = None;
    }
}

/// Asks what everybody may ask, without logging in.
pub(super) async fn probe_rtsp(host: &str, port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((host, port)).await?;
    let at = host_port(host, port);
    stream.write_all(format!("OPTIONS rtsp://{at}/ RTSP/1.0\r\nCSeq: 1\r\n\r\n").as_bytes()).await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    Ok(answer == *b"RTSP")
}

pub(super) async fn woken(shared: &Shared, soonest: Instant) {
    shared.wake.notified().await;
    tokio::time::sleep_until(soonest).await;
}
