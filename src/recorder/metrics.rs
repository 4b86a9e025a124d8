//! What the recorder counts.

use crate::{
    base::{
        Metrics,
        metrics::{Counter, Family, GaugeF64, Histogram, StreamLabel, exponential_buckets},
    },
    model::StreamKey,
};
use prometheus_client::encoding::EncodeLabelSet;

/// Why a frame was not recorded.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LeftOut {
    stream: String,
    reason: &'static str,
}

/// Every reason that frames are counted by.
const LEFT_OUT: [&str; 4] = ["slow_disk", "before_key_frame", "late_sound", "disk_failed"];

/// All of it. Cheap to clone.
#[derive(Clone)]
pub struct Counts {
    bytes: Family<StreamLabel, Counter>,
    left_out: Family<LeftOut, Counter>,
    sync_interval: Family<StreamLabel, GaugeF64>,
    write_seconds: Histogram,
}

/// The part of one stream.
#[derive(Clone)]
pub struct StreamCounts {
    counts: Counts,
    label: StreamLabel,
    /// Bytes written to footage.
    pub bytes: Counter,
    /// Seconds between two syncs of the growing file.
    pub sync_interval: GaugeF64,
    /// How long one write took until it was listed.
    pub write_seconds: Histogram,
}

impl Counts {
    /// Registers all of it.
    pub fn new(metrics: &Metrics) -> Self {
        let seconds = Histogram::new(exponential_buckets(0.000_5, 2.0, 15));
        Self {
            bytes: metrics.register("recording_bytes", "Bytes written to footage", Family::default()),
            left_out: metrics.register(
                "recording_frames_left_out",
                "Frames that were not recorded: the disk was slow or failed, they came before a key frame, sound came late",
                Family::default(),
            ),
            sync_interval: metrics.register(
                "recording_sync_interval_seconds",
                "Time between two syncs of a growing file; above the setting where the disk cannot keep up",
                Family::default(),
            ),
            write_seconds: metrics.register(
                "segment_write_seconds",
                "Time from the begin of one write of footage until it was listed, its sync included",
                seconds,
            ),
        }
    }

    /// A stream that is gone is no longer shown.
    pub fn forget(&self, stream: &StreamKey) {
        let label = StreamLabel { stream: stream.to_string() };
        self.bytes.remove(&label);
        self.sync_interval.remove(&label);
        for reason in LEFT_OUT {
            self.left_out.remove(&LeftOut { stream: label.stream.clone(), reason });
        }
    }

    /// The part of one stream.
    pub fn of(&self, stream: &StreamKey) -> StreamCounts {
        let label = StreamLabel { stream: stream.to_string() };
        StreamCounts {
            bytes: self.bytes.get_or_create_owned(&label),
            sync_interval: self.sync_interval.get_or_create_owned(&label),
            write_seconds: self.write_seconds.clone(),
            counts: self.clone(),
            label,
        }
    }
}

impl StreamCounts {
    /// Frames were not recorded.
    pub fn left_out(&self, reason: &'static str, frames: u64) {
        debug_assert!(LEFT_OUT.contains(&reason), "a reason that would never be forgotten");
        if frames > 0 {
            let label = LeftOut { stream: self.label.stream.clone(), reason };
            self.counts.left_out.get_or_create(&label).inc_by(frames);
        }
    }
}
