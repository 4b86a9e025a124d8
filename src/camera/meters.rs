//! What the room counts.

use super::stream::Counters;
use crate::{
    base::{
        Metrics,
        metrics::{Counter, Family, StreamLabel},
    },
    model::{DeviceId, StreamKey},
};
use prometheus_client::encoding::EncodeLabelSet;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PollLabel {
    device: String,
    outcome: &'static str,
}

/// Every outcome that a poll is counted by.
const OUTCOMES: [&str; 6] = ["ok", "locked", "refused", "untrusted", "silent", "failed"];

/// The room's metrics. Labels are bounded by the configuration.
#[derive(Clone)]
pub(super) struct Meters {
    frames: Family<StreamLabel, Counter>,
    dropped: Family<StreamLabel, Counter>,
    jumps: Family<StreamLabel, Counter>,
    lost: Family<StreamLabel, Counter>,
    reconnects: Family<StreamLabel, Counter>,
    floods: Family<StreamLabel, Counter>,
    polls: Family<PollLabel, Counter>,
    restarts: Counter,
}

impl Meters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let register = |name, help| metrics.register(name, help, Family::default());
        Self {
            frames: register("stream_frames", "Pictures received from cameras and handed on"),
            dropped: register(
                "stream_frames_dropped",
                "Pictures that cannot be decoded since one before them was lost",
            ),
            jumps: register(
                "stream_timestamp_jumps",
                "Times that a camera's RTP timestamps jumped and were bridged; nothing is lost by it",
            ),
            lost: register(
                "stream_packets_lost",
                "RTP packets that the network lost, or the camera never sent, by the numbers that they bear",
            ),
            reconnects: register("stream_reconnects", "Sessions that were lost and begun anew"),
            floods: register(
                "stream_floods",
                "Sessions that were ended since their camera sent all the while and no picture came of it",
            ),
            polls: metrics.register("device_polls", "Polls of devices, by outcome", Family::default()),
            restarts: metrics.register(
                "camera_task_restarts",
                "Tasks of cameras that panicked and were restarted",
                Counter::default(),
            ),
        }
    }

    /// The counters of one stream.
    pub(super) fn stream(&self, key: &StreamKey) -> Counters {
        let label = StreamLabel { stream: key.to_string() };
        Counters {
            frames: self.frames.get_or_create_owned(&label),
            dropped: self.dropped.get_or_create_owned(&label),
            jumps: self.jumps.get_or_create_owned(&label),
            lost: self.lost.get_or_create_owned(&label),
            reconnects: self.reconnects.get_or_create_owned(&label),
            floods: self.floods.get_or_create_owned(&label),
        }
    }

    /// Streams that are no longer wanted are no longer shown.
    pub(super) fn forget_streams(&self, keys: &[StreamKey]) {
        for key in keys {
            let label = StreamLabel { stream: key.to_string() };
            self.frames.remove(&label);
            self.dropped.remove(&label);
            self.jumps.remove(&label);
            self.lost.remove(&label);
            self.reconnects.remove(&label);
            self.floods.remove(&label);
        }
    }

    /// Nor is a device that left the configuration.
    pub(super) fn forget_device(&self, device: &DeviceId) {
        for outcome in OUTCOMES {
            self.polls.remove(&PollLabel { device: device.to_string(), outcome });
        }
    }

    /// One poll of a device.
    pub(super) fn polled(&self, device: &DeviceId, outcome: &'static str) {
        debug_assert!(OUTCOMES.contains(&outcome), "an outcome that would never be forgotten");
        self.polls.get_or_create(&PollLabel { device: device.to_string(), outcome }).inc();
    }

    /// A task panicked and is started again.
    pub(super) fn restarted(&self) {
        self.restarts.inc();
    }
}
