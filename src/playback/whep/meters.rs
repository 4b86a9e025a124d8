//! What is counted of WebRTC, besides what is of every way of viewing.

use crate::base::{
    Metrics,
    metrics::{Counter, Family, Gauge},
};
use prometheus_client::encoding::EncodeLabelSet;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Handles to the metrics.
#[derive(Clone)]
pub(super) struct Meters {
    pub(super) sessions: Gauge,
    pub(super) sent_bytes: Counter,
    /// What came and was for nobody.
    pub(super) unknown: Counter,
    /// Datagrams that this host did not take.
    pub(super) lost: Counter,
    pub(super) begun_again: Counter,
    ended: Family<Reason, Counter>,
}

impl Meters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let counter = |name, help| metrics.register(name, help, Counter::default());
        Self {
            sessions: metrics.register("webrtc_sessions", "Sessions of WebRTC", Gauge::default()),
            sent_bytes: counter("webrtc_sent_bytes", "Bytes sent to who watches by WebRTC"),
            unknown: counter(
                "webrtc_unknown",
                "Datagrams and connections to the port of WebRTC that were for no session",
            ),
            lost: counter("webrtc_lost_datagrams", "Datagrams that this host had no room for"),
            begun_again: counter(
                "webrtc_begun_again",
                "How often somebody who watches by WebRTC had lost too much and was sent the current group of pictures anew",
            ),
            ended: metrics.register("webrtc_ended", "Sessions of WebRTC that ended, by reason", Family::default()),
        }
    }

    pub(super) fn ended(&self, reason: &'static str) {
        self.ended.get_or_create(&Reason { reason }).inc();
    }
}
