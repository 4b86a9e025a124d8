//! Where the room's tasks write what they know, and where it is read together. A change of state becomes an event
//! here, once.

use super::{ChannelView, DeviceView, MediaUrl, Snapshot, StreamView, urls};
use crate::{
    base::Clock,
    events::Events,
    model::{DeviceId, Presence, Profile, StreamKey, StreamState},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};
use tokio::sync::Notify;

/// The board. Its lock is held for the time of a copy.
pub(super) struct Board {
    cells: Mutex<Cells>,
    changed: Notify,
    events: Events,
    clock: Clock,
}

#[derive(Default)]
struct Cells {
    devices: BTreeMap<DeviceId, DeviceCell>,
    streams: BTreeMap<StreamKey, StreamView>,
}

struct DeviceCell {
    view: DeviceView,
    rows: Rows,
}

/// A device's rows in the table of media URLs.
#[derive(Default)]
pub(super) struct Rows {
    /// Where the main stream of each channel is fetched.
    pub urls: BTreeMap<u32, String>,
    /// The device is not there, and not gone either: its rows do not age.
    pub asleep: bool,
}

impl From<BTreeMap<u32, String>> for Rows {
    fn from(urls: BTreeMap<u32, String>) -> Self {
        Self { urls, asleep: false }
    }
}

impl Board {
    pub(super) fn new(events: Events, clock: Clock) -> Self {
        Self { cells: Mutex::default(), changed: Notify::new(), events, clock }
    }

    /// Ends when something was written since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Shows a device as it is now.
    pub(super) fn set_device(&self, view: DeviceView, rows: impl Into<Rows>) {
        let before = self.with(|cells| {
            let id = view.id.clone();
            let cell = DeviceCell { view: view.clone(), rows: rows.into() };
            cells.devices.insert(id, cell).map(|cell| cell.view)
        });
        let was = before.as_ref().map_or(Presence::Unknown, |b| b.presence);
        self.presence_changed(view.id.to_string(), was, view.presence, view.error.as_deref());
        let channels = before.map_or_else(Vec::new, |b| b.channels);
        for channel in &view.channels {
            let was = find(&channels, channel.channel).map_or(Presence::Unknown, |c| c.presence);
            let subject = format!("{}/{}", view.id, channel.channel);
            self.presence_changed(subject, was, channel.presence, channel.reason.as_deref());
        }
        for gone in channels.iter().filter(|c| find(&view.channels, c.channel).is_none()) {
            let subject = format!("{}/{}", view.id, gone.channel);
            self.presence_changed(
                subject,
                gone.presence,
                Presence::Offline,
                Some("it is no longer among the device's channels"),
            );
        }
        self.changed.notify_one();
    }

    /// The devices behind a gateway that are shown.
    pub(super) fn members(&self, gateway: &DeviceId) -> Vec<DeviceId> {
        let behind = |id: &&DeviceId| id.dev_index().is_some() && id.configured_str() == gateway.as_str();
        self.with(|cells| cells.devices.keys().filter(behind).cloned().collect())
    }

    /// A device is no longer there; the streams that it had.
    pub(super) fn remove_device(&self, id: &DeviceId) -> Vec<StreamKey> {
        let streams = self.keep_streams(id, &BTreeSet::new());
        self.with(|cells| cells.devices.remove(id));
        self.changed.notify_one();
        streams
    }

    /// A stream is wanted from now on; one that is already shown stays as it is.
    pub(super) fn add_stream(&self, key: &StreamKey) {
        self.with(|cells| {
            cells.streams.entry(key.clone()).or_insert_with(|| blank(key));
        });
        self.changed.notify_one();
    }

    /// Changes what is shown of a stream. One that is no longer wanted is not shown again.
    pub(super) fn stream(&self, key: &StreamKey, change: impl FnOnce(&mut StreamView)) {
        let event = self.with(|cells| {
            let view = cells.streams.get_mut(key)?;
            let before = view.state;
            change(view);
            (view.state != before).then(|| (view.state, view.reason.clone()))
        });
        if let Some((state, reason)) = event {
            let data = json!({ "state": state, "reason": reason });
            self.events.emit(&format!("stream.{}", state.as_str()), key, data);
        }
        self.changed.notify_one();
    }

    /// Shows no other streams of a device than these; those that were.
    pub(super) fn keep_streams(&self, device: &DeviceId, keys: &BTreeSet<StreamKey>) -> Vec<StreamKey> {
        let removed = self.with(|cells| {
            let from = StreamKey::new(device.clone(), 0, Profile::Main);
            let of_device = cells.streams.range(from..).map(|(key, _)| key).take_while(|key| key.device == *device);
            let others: Vec<_> = of_device.filter(|key| !keys.contains(*key)).cloned().collect();
            others.iter().filter_map(|key| cells.streams.remove(key)).collect::<Vec<_>>()
        });
        self.removed(removed)
    }

    fn removed(&self, streams: Vec<StreamView>) -> Vec<StreamKey> {
        for view in streams.iter().filter(|view| view.state != StreamState::Stopped) {
            let data = json!({ "state": StreamState::Stopped, "reason": "no longer wanted" });
            self.events.emit("stream.stopped", &view.key, data);
        }
        if !streams.is_empty() {
            self.changed.notify_one();
        }
        streams.into_iter().map(|view| view.key).collect()
    }

    /// The state of a stream, if it is known.
    pub(super) fn stream_state(&self, key: &StreamKey) -> Option<StreamState> {
        self.with(|cells| cells.streams.get(key).map(|v| v.state))
    }

    /// All of it, with the rows of media URLs that `table` makes of what is there.
    pub(super) fn snapshot(&self, table: impl FnOnce(BTreeMap<urls::RowKey, urls::Seen>) -> Vec<MediaUrl>) -> Snapshot {
        let (devices, streams, seen) = self.with(|cells| {
            let devices = cells.devices.values().map(|c| c.view.clone()).collect();
            let streams = cells.streams.values().cloned().collect();
            (devices, streams, cells.urls())
        });
        Snapshot { devices, streams, media_urls: table(seen) }
    }

    fn presence_changed(&self, subject: String, was: Presence, is: Presence, reason: Option<&str>) {
        if was != is {
            let data = json!({ "presence": is, "before": was, "reason": reason });
            tracing::info!(subject, presence = is.as_str(), before = was.as_str(), reason, "presence changed");
            self.events.emit(&format!("presence.{}", is.as_str()), subject, data);
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Cells) -> T) -> T {
        f(&mut self.cells.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The clock that the room goes by.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl Cells {
    fn urls(&self) -> BTreeMap<urls::RowKey, urls::Seen> {
        let mut seen = BTreeMap::new();
        for (id, cell) in &self.devices {
            for (channel, url) in &cell.rows.urls {
                let key = StreamKey::new(id.clone(), *channel, Profile::Main);
                let fetched = self.streams.get(&key).is_some_and(|v| v.state != StreamState::Stopped);
                let presence = find(&cell.view.channels, *channel).map_or(Presence::Unknown, |c| c.presence);
                let task = if fetched { key.to_string() } else { String::new() };
                let seen_now = urls::Seen { url: url.clone(), presence, task, asleep: cell.rows.asleep };
                seen.insert((id.to_string(), *channel), seen_now);
            }
        }
        seen
    }
}

fn find(channels: &[ChannelView], number: u32) -> Option<&ChannelView> {
    channels.iter().find(|c| c.channel == number)
}

fn blank(key: &StreamKey) -> StreamView {
    StreamView {
        key: key.clone(),
        state: StreamState::Connecting,
        reason: None,
        until: None,
        codec: None,
        width: None,
        height: None,
        audio: None,
        fps: 0.0,
        bitrate: 0,
        last_frame: None,
        reconnects: 0,
        packets_lost: 0,
        clock_skew_ms: None,
    }
}
