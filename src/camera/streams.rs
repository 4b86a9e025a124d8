//! The streams of one device: which there are, and a supervised child for each.

use super::{
    DeviceConfig, Transport,
    meters::Meters,
    stream::{Gate, Shared, Stream},
    supervise::supervise,
};
use crate::{
    base::TaskGroup,
    model::{DeviceId, Profile, StreamKey, StreamState},
};
use retina::client::Credentials;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A stream that there should be.
pub(super) struct Wanted {
    pub channel: u32,
    pub profile: Profile,
    /// None: as it is now.
    pub gate: Option<Gate>,
}

/// All streams of one device.
pub(super) struct Streams {
    device: DeviceId,
    credentials: Credentials,
    audio: bool,
    transport: Transport,
    shared: Arc<Shared>,
    meters: Meters,
    group: TaskGroup,
    children: BTreeMap<StreamKey, Child>,
}

struct Child {
    gate: watch::Sender<Gate>,
    stop: CancellationToken,
}

impl Streams {
    pub(super) fn new(config: &DeviceConfig, shared: Arc<Shared>, meters: Meters, group: &TaskGroup) -> Self {
        Self {
            device: config.id.clone(),
            credentials: Credentials { username: config.user.clone(), password: config.password.expose().to_owned() },
            audio: config.audio,
            transport: config.transport,
            shared,
            meters,
            group: group.child(),
            children: BTreeMap::new(),
        }
    }

    /// Makes the streams be these: new ones are started, others ended, gates set.
    pub(super) fn want(&mut self, wanted: Vec<Wanted>) {
        let mut keys = BTreeSet::new();
        for Wanted { channel, profile, gate } in wanted {
            let key = StreamKey::new(self.device.clone(), channel, profile);
            keys.insert(key.clone());
            match (self.children.get(&key), gate) {
                (Some(child), Some(gate)) => {
                    child.gate.send_if_modified(|now| now.set(gate));
                }
                (None, Some(gate)) => self.start(key, gate),
                (_, None) => {}
            }
        }
        self.children.retain(|key, child| {
            let keep = keys.contains(key);
            if !keep {
                child.stop.cancel();
            }
            keep
        });
        let gone = self.shared.board.keep_streams(&self.device, &keys);
        self.meters.forget_streams(&gone);
    }

    fn start(&mut self, key: StreamKey, gate: Gate) {
        self.shared.board.add_stream(&key);
        let (gate, watched) = watch::channel(gate);
        let stop = self.group.stop_token().child_token();
        let stream = Arc::new(Stream::new(
            key.clone(),
            self.credentials.clone(),
            (self.audio, self.transport),
            self.shared.clone(),
            self.meters.stream(&key),
        ));
        // Where its recording runs too.
        let seat = self.shared.hub.seat(&key);
        let (group, meters, token) = (self.group.on(&seat), self.meters.clone(), stop.clone());
        group.clone().spawn("stream supervisor", async move {
            let _seat = seat;
            let start = || {
                let (stream, watched, token) = (stream.clone(), watched.clone(), token.clone());
                async move { stream.run(watched, token).await }
            };
            supervise(&group, "stream", &token, &meters, start).await;
        });
        self.children.insert(key, Child { gate, stop });
    }

    /// What one stream does now.
    pub(super) fn state(&self, channel: u32, profile: Profile) -> Option<StreamState> {
        self.shared.board.stream_state(&StreamKey::new(self.device.clone(), channel, profile))
    }

    /// How many streams are in that state.
    pub(super) fn count(&self, state: StreamState) -> usize {
        self.children.keys().filter(|key| self.shared.board.stream_state(key) == Some(state)).count()
    }

    /// Ends all streams and waits for them.
    pub(super) async fn stop(&mut self, limit: Duration) {
        if !self.group.stop(limit).await {
            tracing::warn!(device = %self.device, "streams did not end in time");
        }
    }
}
