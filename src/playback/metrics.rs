//! What playback counts.

use crate::base::{
    Metrics,
    metrics::{Counter, Family, Histogram, exponential_buckets},
};
use prometheus_client::encoding::EncodeLabelSet;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Outcome {
    outcome: &'static str,
}

/// Handles to playback's metrics.
#[derive(Clone)]
pub(super) struct Meters {
    requests: Family<Outcome, Counter>,
    /// Bytes of footage and headers handed to clients.
    pub(super) sent_bytes: Counter,
    /// How long plans took.
    pub(super) plan_seconds: Histogram,
}

impl Meters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.register("playback_requests", "Requests for footage, by outcome", Family::default()),
            sent_bytes: metrics.register(
                "playback_sent_bytes",
                "Bytes of virtual files and playlists handed to clients",
                Counter::default(),
            ),
            plan_seconds: metrics.register(
                "playback_plan_seconds",
                "Time to plan a virtual file or a playlist",
                Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
            ),
        }
    }

    pub(super) fn count(&self, outcome: &'static str) {
        self.requests.get_or_create(&Outcome { outcome }).inc();
    }
}
