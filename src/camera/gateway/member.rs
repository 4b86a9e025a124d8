//! One device behind a gateway: what the gateway says of it, its channels, where their streams are, and the streams.

use super::agenda::{Asked, CHANNELS_FRESH_FOR, Due, URL_FRESH_FOR};
use crate::{
    base::{TaskGroup, Wall},
    camera::{
        ChannelView, DeviceConfig, DeviceKind, DeviceView,
        board::Rows,
        device::Shown,
        meters::Meters,
        presence::{Evidence, FRAMES_PROVE, Tracker},
        stream::{Gate, Shared},
        streams::{Streams, Wanted},
    },
    hikvision::{DeviceStatus, GatewayChannel, GatewayDevice},
    live::{Absence, Roster},
    model::{DeviceId, GapCause, Presence, Profile, StreamKey, StreamState},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Channels of one device that are taken. The largest recorders have 256.
const CHANNELS_MAX: usize = 256;
/// Answers in a row that lack a channel that is gone.
const MISSED_MAX: u32 = 2;

/// What can be asked about one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// Its channels.
    Channels,
    /// Where one stream is.
    Url(u32, Profile),
}

/// Why the gateway keeps the streams of all its devices from running.
pub(super) struct Closed {
    pub state: StreamState,
    pub reason: String,
    pub cause: Option<GapCause>,
    /// What is shown of its devices meanwhile; None: what was last known of them.
    pub presence: Option<Presence>,
    /// When it ends, where that is known.
    pub until: Option<Wall>,
}

/// One device.
pub(super) struct Member {
    config: DeviceConfig,
    shared: Arc<Shared>,
    meters: Meters,
    group: TaskGroup,
    listed: Option<GatewayDevice>,
    tracker: Tracker,
    shown: Shown,
    asleep: bool,
    /// None before it has said which it has.
    channels: Option<BTreeMap<u32, Channel>>,
    asked: Asked,
    /// Why its channels are not known.
    error: Option<String>,
    known_since: Instant,
    streams: Streams,
}

struct Channel {
    name: Option<String>,
    missed: u32,
    tracker: Tracker,
    shown: Shown,
    links: BTreeMap<Profile, Link>,
}

/// Where a stream is.
#[derive(Default)]
struct Link {
    url: Option<String>,
    error: Option<String>,
    asked: Asked,
}

impl Member {
    pub(super) fn new(
        id: DeviceId,
        gateway: &DeviceConfig,
        shared: &Shared,
        meters: &Meters,
        group: &TaskGroup,
    ) -> Self {
        let config = DeviceConfig { id, ..gateway.clone() };
        let shared = Arc::new(shared.behind());
        Self {
            streams: Streams::new(&config, shared.clone(), meters.clone(), group),
            shown: Shown { presence: Presence::Unknown, since: shared.board.clock().wall() },
            config,
            shared,
            meters: meters.clone(),
            group: group.clone(),
            listed: None,
            tracker: Tracker::default(),
            asleep: false,
            channels: None,
            asked: Asked::default(),
            error: None,
            known_since: Instant::now(),
        }
    }

    pub(super) fn id(&self) -> &DeviceId {
        &self.config.id
    }

    pub(super) fn is_up(&self) -> bool {
        self.tracker.is_up()
    }

    /// When the last frame of any of its streams came.
    pub(super) fn last_frame(&self) -> Option<Instant> {
        self.shared.last_frame()
    }

    /// How many of its channels are known.
    pub(super) fn channel_count(&self) -> usize {
        self.channels.as_ref().map_or(0, BTreeMap::len)
    }

    /// How many channels the gateway's list says that it has.
    pub(super) fn listed_channels(&self) -> Option<u32> {
        self.listed.as_ref()?.channels
    }

    /// How many of its streams have failed and wait for another try.
    pub(super) fn failing(&self) -> usize {
        self.streams.count(StreamState::Backoff)
    }

    /// The gateway lists it.
    pub(super) fn listed(&mut self, device: &GatewayDevice, now: Instant) {
        self.asleep = device.status == Some(DeviceStatus::Sleep);
        let was_up = self.tracker.is_up();
        let evidence = match &device.status {
            // Without a word on it the stream will show.
            Some(DeviceStatus::Online) | None => Evidence::Seen,
            Some(DeviceStatus::Offline) => Evidence::Gone(match &device.hint {
                Some(hint) => format!("the gateway says that it is offline: {hint}"),
                None => "the gateway says that it is offline".to_owned(),
            }),
            Some(DeviceStatus::Sleep) => {
                self.unless_frames("it is asleep to save power; it is recorded as soon as it wakes".to_owned(), now)
            }
            Some(DeviceStatus::Other(word)) => self.unless_frames(format!("the gateway says: {word}"), now),
        };
        self.tracker.learn(evidence, now);
        let came = !was_up && self.tracker.is_up();
        let grew = self.listed.as_ref().is_some_and(|before| before.channels != device.channels);
        if came || grew {
            self.asked.doubt();
        }
        if came {
            self.channels.iter_mut().flatten().flat_map(|(_, c)| c.links.values_mut()).for_each(|l| l.asked.doubt());
        }
        self.listed = Some(device.clone());
    }

    /// The gateway no longer lists it.
    pub(super) fn deleted(&mut self, now: Instant) {
        self.asleep = false;
        self.tracker.learn(Evidence::Gone("the gateway no longer lists it".to_owned()), now);
    }

    /// It is not there, unless frames that arrive prove the contrary.
    fn unless_frames(&self, reason: String, now: Instant) -> Evidence {
        let fresh = |at: Instant| now.saturating_duration_since(at) < FRAMES_PROVE;
        if self.shared.last_frame().is_some_and(fresh) { Evidence::Frames } else { Evidence::Silent(reason) }
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, now: Instant) {
        self.tracker.tick(now);
        self.channels.iter_mut().flatten().for_each(|(_, channel)| {
            channel.tracker.tick(now);
        });
    }

    /// What can be asked about it, and when. Nothing while it is away.
    pub(super) fn due(&self) -> impl Iterator<Item = (Subject, Due)> {
        let channels = (Subject::Channels, self.asked.due(CHANNELS_FRESH_FOR, self.known_since));
        let links = self.channels.iter().flatten().filter(|(_, c)| c.tracker.is_up()).flat_map(|(id, channel)| {
            let due = |(profile, link): (&Profile, &Link)| {
                (Subject::Url(*id, *profile), link.asked.due(URL_FRESH_FOR, self.known_since))
            };
            channel.links.iter().map(due)
        });
        std::iter::once(channels).chain(links).filter(|_| self.tracker.is_up())
    }

    /// The gateway's answer to which channels it has, or why there was none. `room`: channels that may still be taken.
    pub(super) fn learn_channels(
        &mut self,
        answer: Result<Option<Vec<GatewayChannel>>, String>,
        room: usize,
        now: Instant,
    ) {
        let list = match answer {
            Ok(Some(list)) => list,
            // Null is "not told", whatever was known before.
            Ok(None) => return self.asked.failed(now),
            Err(error) => {
                self.error = Some(error);
                return self.asked.failed(now);
            }
        };
        self.error = None;
        self.asked.answered(now);
        let wall = self.shared.board.clock().wall();
        let limit = CHANNELS_MAX.min(self.channel_count() + room);
        let known = self.channels.get_or_insert_default();
        for channel in known.values_mut() {
            channel.missed += 1;
        }
        let wanted = |id: &u32| self.config.channels.is_empty() || self.config.channels.contains(id);
        for GatewayChannel { id, name, online } in list.into_iter().filter(|c| wanted(&c.id)) {
            if !known.contains_key(&id) && known.len() >= limit {
                tracing::warn!(device = %self.config.id, channel = id, limit, "more channels than are taken");
                continue;
            }
            let channel = known.entry(id).or_insert_with(|| Channel::new(wall, &self.config.profiles));
            (channel.name, channel.missed) = (name, 0);
            let evidence = match online {
                Some(false) => Evidence::Gone("the gateway says that the channel is offline".to_owned()),
                _ => Evidence::Seen,
            };
            channel.tracker.learn(evidence, now);
        }
        known.retain(|_, channel| channel.missed < MISSED_MAX);
        if known.values().any(|channel| channel.missed > 0) {
            // Once more, before it is believed.
            self.asked.doubt();
        }
    }

    /// The gateway's answer to where a stream is, or why there was none.
    pub(super) fn learn_url(&mut self, channel: u32, profile: Profile, answer: Result<String, String>, now: Instant) {
        let Some(link) = self.link(channel, profile) else { return };
        match answer {
            Ok(url) => {
                link.asked.answered(now);
                link.error = None;
                link.url = Some(url);
            }
            // A URL that was told once is good until there is another.
            Err(error) => {
                link.asked.failed(now);
                link.error = Some(error);
            }
        }
    }

    /// A session was told that there is no such stream.
    pub(super) fn doubt(&mut self, channel: u32, profile: Profile) {
        if let Some(link) = self.link(channel, profile) {
            link.asked.doubt();
        }
    }

    fn link(&mut self, channel: u32, profile: Profile) -> Option<&mut Link> {
        self.channels.as_mut()?.get_mut(&channel)?.links.get_mut(&profile)
    }

    /// Opens and closes the gates of its streams.
    pub(super) fn drive(&mut self, closed: Option<&Closed>) {
        let mut wanted = Vec::new();
        for (id, channel) in self.channels.iter().flatten() {
            for (profile, link) in &channel.links {
                let runs = self.streams.state(*id, *profile) == Some(StreamState::Running);
                // A session that runs goes on: its login was taken, and its frames are worth having.
                let kept = runs && closed.is_some_and(|c| c.state == StreamState::Locked);
                let gate = (!kept).then(|| self.gate(closed, channel, link));
                wanted.push(Wanted { channel: *id, profile: *profile, gate });
            }
        }
        let streams = self.channels.is_some().then(|| {
            let key = |w: &Wanted| StreamKey::new(self.config.id.clone(), w.channel, w.profile);
            Arc::new(wanted.iter().map(key).collect())
        });
        let cause = match closed {
            Some(closed) => closed.cause,
            None => (!self.tracker.is_up()).then_some(GapCause::Offline),
        };
        let absence = cause.map(|cause| Absence { cause, since: self.shown.since });
        self.shared.hub.set_roster(&self.config.id, Some(Roster { streams, absence }));
        self.streams.want(wanted);
    }

    fn gate(&self, closed: Option<&Closed>, channel: &Channel, link: &Link) -> Gate {
        if let Some(Closed { state, reason, cause, .. }) = closed {
            return Gate::Closed { state: *state, reason: reason.clone(), cause: *cause };
        }
        for tracker in [&self.tracker, &channel.tracker] {
            if !tracker.is_up() {
                return Gate::Closed {
                    state: StreamState::Offline,
                    reason: tracker.reason().unwrap_or("not seen yet").to_owned(),
                    cause: tracker.reason().map(|_| GapCause::Offline),
                };
            }
        }
        match (&link.url, &link.error) {
            (Some(url), _) => Gate::Open { url: url.clone(), interval: Duration::ZERO },
            (None, Some(error)) => Gate::Closed {
                state: StreamState::Backoff,
                reason: format!("the gateway does not say where the stream is: {error}"),
                cause: Some(GapCause::StreamError),
            },
            (None, None) => Gate::Closed {
                state: StreamState::Connecting,
                reason: "the gateway is being asked where the stream is".to_owned(),
                cause: None,
            },
        }
    }

    /// Shows it as it is now. What an absent gateway last said of it is no longer known.
    pub(super) fn publish(&mut self, closed: Option<&Closed>) {
        let wall = self.shared.board.clock().wall();
        let above = closed.and_then(|c| c.presence.map(|presence| (presence, c.reason.clone())));
        let presence = above.as_ref().map_or(self.tracker.presence(), |(presence, _)| *presence);
        let shown = self.shown.update(presence, wall);
        let own_reason = self.tracker.reason().map(str::to_owned);
        let reason = above.as_ref().map(|(_, reason)| reason.clone()).or(own_reason);
        let up = above.is_none() && self.tracker.is_up();
        let mut channels = Vec::new();
        let mut urls = BTreeMap::new();
        for (id, channel) in self.channels.iter_mut().flatten() {
            let at = channel.shown.update(if up { channel.tracker.presence() } else { presence }, wall);
            let own_reason = channel.tracker.reason().map(str::to_owned);
            channels.push(ChannelView {
                channel: *id,
                name: channel.name.clone(),
                presence: at.presence,
                since: at.since,
                reason: if up { own_reason } else { reason.clone() },
            });
            let main = channel.links.get(&Profile::Main).or_else(|| channel.links.values().next());
            if let Some(url) = main.and_then(|link| link.url.clone()) {
                urls.insert(*id, url);
            }
        }
        let listed = self.listed.clone();
        let many = listed.as_ref().and_then(|l| l.channels).map_or(channels.len() > 1, |n| n > 1);
        let identity = listed.map(|l| l.identity).unwrap_or_default();
        let view = DeviceView {
            id: self.config.id.clone(),
            kind: if many { DeviceKind::Nvr } else { DeviceKind::Camera },
            name: identity.name,
            address: self.config.address(),
            presence: shown.presence,
            since: shown.since,
            error: reason.or_else(|| self.error.clone()),
            until: closed.and_then(|c| c.until),
            warning: None,
            model: identity.model,
            serial: identity.serial,
            firmware: identity.firmware,
            channels,
        };
        let asleep = self.asleep && above.is_none();
        self.shared.board.set_device(view, Rows { urls, asleep });
    }

    /// Ends all sessions and begins them anew.
    pub(super) async fn begin_anew(&mut self, limit: Duration) {
        self.streams.stop(limit).await;
        self.streams = Streams::new(&self.config, self.shared.clone(), self.meters.clone(), &self.group);
    }

    /// Ends all streams and waits until their sessions are torn down.
    pub(super) async fn stop(&mut self, limit: Duration) {
        self.streams.stop(limit).await;
        // Each session says goodbye in the background once it is dropped.
        let _ = timeout(limit, self.shared.sessions.await_teardown()).await;
    }
}

impl Channel {
    fn new(since: Wall, profiles: &[Profile]) -> Self {
        Self {
            name: None,
            missed: 0,
            tracker: Tracker::default(),
            shown: Shown { presence: Presence::Unknown, since },
            links: profiles.iter().map(|profile| (*profile, Link::default())).collect(),
        }
    }
}
