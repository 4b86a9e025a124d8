//! One supervised child per gateway: it asks, one request at a time, and hands what it learns to the members.

use super::{
    agenda::{self, Next, Urgency},
    link,
    member::{Closed, Member, Subject},
    roll::{DEVICES_MAX, Roll},
    walk::{Listing, PAGE_DEVICES, Step, Walk},
};
use crate::{
    base::{TaskGroup, Wall},
    camera::{
        DeviceConfig, DeviceView, Timings,
        device::{
            EAGER_FOR, EAGER_INTERVAL, INVENTORY_EVERY, PATIENT_INTERVAL, POLL_SPACING, PROBE_WAIT_MAX, RTSP_PORT,
            Shown, TEARDOWN_WAIT_MAX, VERDICT_WAIT_MAX, client, note_clear_password, probe_rtsp, woken,
        },
        meters::Meters,
        poll::{Asker, Trouble},
        presence::{Evidence, FRAMES_PROVE, Tracker},
        stream::Shared,
    },
    hikvision::{Client, DeviceStatus, Error, GatewayChannel, Identity},
    live::{Absence, Roster},
    model::{GapCause, Presence, StreamState},
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Channels of one gateway that are taken, of all its devices together.
const CHANNELS_MAX: usize = 8_000;
/// Eager polls take a tenth of a gateway's time at most: its list is long.
const EAGER_COST_FACTOR: u32 = 10;

/// One gateway.
pub(in crate::camera) struct Gateway {
    config: DeviceConfig,
    shared: Arc<Shared>,
    meters: Meters,
    group: TaskGroup,
    client: Client,
    /// The timings that the client was made for.
    made_for: Timings,
    tracker: Tracker,
    shown: Shown,
    error: Option<String>,
    /// When a lock of the account ends, where that is known.
    locked_until: Option<Wall>,
    /// What somebody should see to.
    warning: Option<String>,
    identity: Option<Identity>,
    identity_due: Instant,
    roll: Roll,
    members: BTreeMap<String, Member>,
    list_due: Instant,
    /// How long the last list took, with all that follows from it.
    list_cost: Duration,
    /// Nothing that nobody waits for is asked before then.
    turns_from: Instant,
    off: Off,
    off_since: Option<Instant>,
    /// ISAPI is silent, but RTSP answers.
    rtsp_answers: bool,
    /// A whole list was seen: what it does not show was deleted before this began.
    listed_whole: bool,
}

/// What of a gateway is not as it should be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Off {
    gateway: bool,
    devices: BTreeSet<String>,
    streams: usize,
}

/// What to do next.
enum Task {
    List,
    Ask(String, Subject, Urgency),
    Wait(Instant),
}

impl Gateway {
    pub(in crate::camera) fn new(config: DeviceConfig, shared: Arc<Shared>, meters: Meters, group: &TaskGroup) -> Self {
        let made_for = *shared.timings.borrow();
        let now = Instant::now();
        Self {
            client: client(&config, made_for),
            shown: Shown { presence: Presence::Unknown, since: shared.board.clock().wall() },
            config,
            shared,
            meters,
            group: group.clone(),
            made_for,
            tracker: Tracker::default(),
            error: None,
            locked_until: None,
            warning: None,
            identity: None,
            identity_due: now,
            roll: Roll::default(),
            members: BTreeMap::new(),
            list_due: now,
            list_cost: Duration::ZERO,
            turns_from: now,
            off: Off::default(),
            off_since: None,
            rtsp_answers: false,
            listed_whole: false,
        }
    }

    /// Asks until told to stop; then waits until the streams of all devices have ended.
    pub(in crate::camera) async fn run(mut self, stop: CancellationToken) {
        self.publish();
        loop {
            self.run_errands().await;
            let Some(wait) = self.step_unless(&stop).await else { break };
            let Some(until) = wait else { continue };
            let soonest = Instant::now() + POLL_SPACING;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(until) => {}
                () = woken(&self.shared, soonest) => self.list_soon(),
            }
        }
        join_all(self.members.values_mut().map(|member| member.stop(TEARDOWN_WAIT_MAX))).await;
    }

    /// Does what comes next, or says until when nothing does. A stop waits for the answer to a login that would
    /// otherwise have to be counted as refused.
    async fn step_unless(&mut self, stop: &CancellationToken) -> Option<Option<Instant>> {
        let shared = self.shared.clone();
        let mut step = std::pin::pin!(self.step());
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                if shared.budget.awaits_verdict() {
                    let _ = timeout(VERDICT_WAIT_MAX, step).await;
                }
                None
            }
            wait = &mut step => Some(wait),
        }
    }

    async fn step(&mut self) -> Option<Instant> {
        match self.next(Instant::now()) {
            Task::List => self.list().await,
            Task::Ask(index, subject, urgency) => self.ask(&index, subject, urgency).await,
            Task::Wait(until) => return Some(until),
        }
        None
    }

    fn next(&self, now: Instant) -> Task {
        if self.list_due <= now {
            return Task::List;
        }
        if self.closed().is_some() || !self.tracker.is_up() {
            return Task::Wait(self.list_due);
        }
        let all = self
            .members
            .iter()
            .flat_map(|(index, member)| member.due().map(move |(subject, due)| ((index.as_str(), subject), due)));
        match agenda::next(all, self.turns_from, now) {
            Next::Ask((index, subject), urgency) => Task::Ask(index.to_owned(), subject, urgency),
            Next::Wait(until) => Task::Wait(until.map_or(self.list_due, |u| u.min(self.list_due))),
        }
    }

    /// The next list comes earlier: something happened that it may explain.
    fn list_soon(&mut self) {
        // Streams that wait until the gateway has proven itself are not kept waiting for a long list's turn.
        let waits = if self.shared.budget.wants_look() { POLL_SPACING } else { self.list_cost * EAGER_COST_FACTOR / 2 };
        self.list_due = self.list_due.min(Instant::now() + waits);
    }

    /// What streams and people left word of.
    async fn run_errands(&mut self) {
        let Some(left) = self.shared.errands.as_ref().map(|errands| errands.take()) else { return };
        for key in left.doubted {
            if let Some(member) = key.device.dev_index().and_then(|index| self.members.get_mut(index)) {
                member.doubt(key.channel, key.profile);
            }
        }
        let closed = self.closed();
        for device in left.anew {
            if let Some(member) = device.dev_index().and_then(|index| self.members.get_mut(index)) {
                member.begin_anew(TEARDOWN_WAIT_MAX).await;
                member.drive(closed.as_ref());
            }
        }
    }

    /// Asks for the list of devices and for all that follows from it.
    async fn list(&mut self) {
        let began = Instant::now();
        let listed = self.walk().await;
        self.rtsp_answers = matches!(listed, Err(Trouble::Silent(_))) && self.rtsp_answers().await;
        self.learn(listed, Instant::now());
        self.drop_forgotten().await;
        self.publish();
        let closed = self.closed();
        for member in self.members.values_mut() {
            member.publish(closed.as_ref());
            member.drive(closed.as_ref());
        }
        let now = Instant::now();
        self.list_cost = now - began;
        // As much time as the list took is left to everything else.
        self.list_due = (began + self.interval(now)).max(now + self.list_cost.max(POLL_SPACING));
    }

    async fn walk(&mut self) -> Result<Listing, Trouble> {
        let timings = *self.shared.timings.borrow();
        if timings.timeout != self.made_for.timeout {
            self.client = client(&self.config, timings);
            self.made_for = timings;
        }
        let asker = Asker { kind: self.config.kind, client: &self.client, budget: &self.shared.budget };
        if !self.tracker.is_up() || self.shared.budget.wants_look() {
            asker.look().await?;
        }
        if self.identity_due <= Instant::now() {
            // The list alone is what counts; not every gateway tells who it is.
            match asker.ask(async |c| c.gateway_identity().await).await? {
                Ok(identity) => self.identity = Some(identity),
                Err(e) => tracing::debug!(gateway = %self.config.id, error = %e, "gateway does not say who it is"),
            }
            self.identity_due = Instant::now() + INVENTORY_EVERY;
        }
        let mut listing = walk(&asker, None).await?;
        if !listing.devices.is_empty() && listing.devices.values().all(|device| device.status.is_none()) {
            // Where the list carries no status, the filter by status does.
            for status in [DeviceStatus::Online, DeviceStatus::Offline, DeviceStatus::Sleep] {
                for index in walk(&asker, Some(&status)).await?.devices.into_keys() {
                    if let Some(device) = listing.devices.get_mut(&index) {
                        device.status = Some(status.clone());
                    }
                }
            }
        }
        Ok(listing)
    }

    /// Turns the outcome of a list into what is known.
    fn learn(&mut self, listed: Result<Listing, Trouble>, now: Instant) {
        self.meters.polled(&self.config.id, listed.as_ref().err().map_or("ok", Trouble::outcome));
        let locked = self.shared.budget.locked(now);
        if locked.is_none() && self.tracker.presence() == Presence::Locked {
            self.tracker.learn(Evidence::Reset, now);
        }
        let frames = self.members.values().filter_map(Member::last_frame).max();
        if let Some(at) = frames.filter(|at| now.saturating_duration_since(*at) < FRAMES_PROVE) {
            self.tracker.learn(Evidence::Frames, at);
        }
        note_clear_password(&self.client, &self.config, &mut self.warning);
        match listed {
            Ok(listing) => {
                self.tracker.learn(Evidence::Seen, now);
                self.learn_list(&listing, now);
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
        self.members.values_mut().for_each(|member| member.tick(now));
    }

    fn learn_list(&mut self, listing: &Listing, now: Instant) {
        self.roll.learn(listing, now);
        self.listed_whole |= listing.doubt.is_none() && !listing.devices.is_empty();
        let doubt = |why: &String| format!("the gateway's list of devices is in doubt: {why}; no device is given up");
        self.error = listing.doubt.as_ref().map(doubt);
        if self.roll.is_full() {
            self.error = Some(format!("the gateway has more devices than the {DEVICES_MAX} that are taken"));
        }
        for index in self.roll.indexes() {
            if let (false, Ok(id)) = (self.members.contains_key(index), self.config.id.member(index)) {
                let member = Member::new(id, &self.config, &self.shared, &self.meters, &self.group);
                self.members.insert(index.to_owned(), member);
            }
        }
        for (index, member) in &mut self.members {
            match listing.devices.get(index) {
                Some(device) => member.listed(device, now),
                None if self.roll.is_gone(index) => member.deleted(now),
                None => {}
            }
        }
        let age_out = self.shared.timings.borrow().age_out;
        self.roll.forget(age_out, now);
    }

    /// Devices that were deleted long ago are no longer shown, nor those of a run before this one.
    async fn drop_forgotten(&mut self) {
        let known = self.roll.indexes();
        let gone: Vec<String> = self.members.keys().filter(|index| !known.contains(index.as_str())).cloned().collect();
        for index in gone {
            if let Some(mut member) = self.members.remove(&index) {
                tracing::info!(device = %member.id(), "device left the gateway");
                member.stop(TEARDOWN_WAIT_MAX).await;
            }
        }
        if !self.listed_whole {
            return;
        }
        for id in self.shared.board.members(&self.config.id) {
            if id.dev_index().is_none_or(|index| !self.members.contains_key(index)) {
                self.meters.forget_streams(&self.shared.board.remove_device(&id));
                self.shared.hub.set_roster(&id, None);
            }
        }
    }

    /// Asks one thing about one device.
    async fn ask(&mut self, index: &str, subject: Subject, urgency: Urgency) {
        let began = Instant::now();
        let asker = Asker { kind: self.config.kind, client: &self.client, budget: &self.shared.budget };
        let Some(member) = self.members.get_mut(index) else { return };
        let trouble = match subject {
            Subject::Channels => {
                let answer = asker.ask(async |c| c.gateway_channels(index).await).await;
                let counted = member.listed_channels();
                let (answer, trouble) = apart(answer.map(|a| a.or_else(|e| numbered(e, counted))));
                let others = self.members.iter().filter(|(i, _)| *i != index).map(|(_, m)| m.channel_count());
                let room = CHANNELS_MAX.saturating_sub(others.sum::<usize>());
                if let Some(member) = self.members.get_mut(index) {
                    member.learn_channels(answer, room, Instant::now());
                }
                trouble
            }
            Subject::Url(channel, profile) => {
                let answer = asker.ask(async |c| c.gateway_url(index, channel, profile.as_str()).await).await;
                let (answer, trouble) = apart(answer);
                let (host, port) = (&self.config.host, self.config.rtsp_port);
                let answer = answer.and_then(|url| link::clean(&url, host, port));
                member.learn_url(channel, profile, answer, Instant::now());
                trouble
            }
        };
        let now = Instant::now();
        if trouble {
            // The list shows how the gateway is.
            self.list_due = self.list_due.min(now + POLL_SPACING);
        }
        if urgency == Urgency::Turn {
            self.turns_from = now + agenda::turn_pause(now - began);
        }
        let closed = self.closed();
        if let Some(member) = self.members.get_mut(index) {
            member.publish(closed.as_ref());
            member.drive(closed.as_ref());
        }
    }

    /// Why the gateway as a whole keeps streams from running.
    fn closed(&self) -> Option<Closed> {
        let reason = || self.tracker.reason().or(self.error.as_deref()).unwrap_or("not asked yet").to_owned();
        let presence = self.tracker.presence();
        let closed = |state, cause| {
            Some(Closed { state, reason: reason(), cause, presence: Some(presence), until: self.locked_until })
        };
        match presence {
            Presence::Locked => closed(StreamState::Locked, Some(self.shared.budget.cause(Instant::now()))),
            _ if self.tracker.is_up() || self.rtsp_answers => None,
            Presence::Unknown => closed(StreamState::Connecting, None),
            _ => closed(StreamState::Offline, Some(GapCause::Unreachable)),
        }
    }

    /// Whether RTSP answers where ISAPI says nothing. Only where there is something to fetch.
    async fn rtsp_answers(&self) -> bool {
        let port = self.config.rtsp_port.unwrap_or(RTSP_PORT);
        let probe = probe_rtsp(&self.config.host, port);
        !self.members.is_empty() && matches!(timeout(PROBE_WAIT_MAX, probe).await, Ok(Ok(true)))
    }

    /// From one list's begin to the next's.
    fn interval(&mut self, now: Instant) -> Duration {
        let usual = self.shared.timings.borrow().poll_interval;
        let off = Off {
            gateway: !self.tracker.is_up(),
            devices: self.members.iter().filter(|(_, m)| !m.is_up()).map(|(index, _)| index.clone()).collect(),
            streams: self.members.values().map(Member::failing).sum(),
        };
        if off != self.off {
            self.off_since = (off != Off::default()).then_some(now);
            self.off = off;
        }
        let eager = |least: Duration| usual.min(least.max(self.list_cost.saturating_mul(EAGER_COST_FACTOR)));
        let nominal = match self.off_since {
            // A locked gateway is left in peace.
            _ if self.tracker.presence() == Presence::Locked => usual,
            None => usual,
            Some(since) if now.saturating_duration_since(since) < EAGER_FOR => eager(EAGER_INTERVAL),
            Some(_) => eager(PATIENT_INTERVAL),
        };
        nominal.mul_f64(rand::random_range(0.8..1.0))
    }

    fn publish(&mut self) {
        let shown = self.shown.update(self.tracker.presence(), self.shared.board.clock().wall());
        let identity = self.identity.clone().unwrap_or_default();
        let view = DeviceView {
            id: self.config.id.clone(),
            kind: self.config.kind,
            name: identity.name,
            address: self.config.address(),
            presence: shown.presence,
            since: shown.since,
            error: self.tracker.reason().map(str::to_owned).or_else(|| self.error.clone()),
            until: self.locked_until,
            warning: self.warning.clone(),
            model: identity.model,
            serial: identity.serial,
            firmware: identity.firmware,
            channels: Vec::new(),
        };
        self.shared.board.set_device(view, BTreeMap::new());
        // It has no streams of its own; before it has listed its devices, what they have is known from before alone.
        let streams = self.listed_whole.then(Arc::default);
        let absence = self.closed().and_then(|c| c.cause).map(|cause| Absence { cause, since: shown.since });
        self.shared.hub.set_roster(&self.config.id, Some(Roster { streams, absence }));
    }
}

/// All pages of the list, of one status alone where one is given.
async fn walk(asker: &Asker<'_>, status: Option<&DeviceStatus>) -> Result<Listing, Trouble> {
    let mut walk = Walk::default();
    let mut position = 0;
    loop {
        let page = asker.ask(async |c| c.gateway_devices(position, PAGE_DEVICES, status).await).await?;
        match walk.page(page.map_err(|e| Trouble::Failed(e.to_string()))?) {
            Step::Page(next) => position = next,
            Step::End => return Ok(walk.listing()),
        }
    }
}

/// An answer, and whether it says something of the gateway as a whole.
fn apart<T>(answer: Result<Result<T, Error>, Trouble>) -> (Result<T, String>, bool) {
    match answer {
        Ok(answer) => (answer.map_err(|e| e.to_string()), false),
        Err(Trouble::Locked(locked)) => (Err(locked.reason), true),
        Err(
            Trouble::Refused(reason) | Trouble::Untrusted(reason) | Trouble::Silent(reason) | Trouble::Failed(reason),
        ) => (Err(reason), true),
    }
}

/// A gateway that has no list of channels says how many there are.
fn numbered(error: Error, count: Option<u32>) -> Result<Option<Vec<GatewayChannel>>, Error> {
    match (error, count) {
        (Error::Unsupported { .. }, Some(count)) => {
            let numbered = |id| GatewayChannel { id, name: None, online: None };
            Ok(Some((1..=count.min(512)).map(numbered).collect()))
        }
        (error, _) => Err(error),
    }
}
