//! What the RTSP server counts.

use crate::base::{
    Metrics,
    metrics::{Counter, Family, Gauge},
};
use prometheus_client::encoding::EncodeLabelSet;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Transport {
    transport: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: u16,
}

/// Handles to the server's metrics.
#[derive(Clone)]
pub(super) struct Meters {
    pub(super) connections: Gauge,
    viewers: Family<Transport, Gauge>,
    pub(super) sent_bytes: Counter,
    skipped: Counter,
    cut: Family<Reason, Counter>,
    answers: Family<Status, Counter>,
}

impl Meters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            connections: metrics.register("rtsp_connections", "Connections to the RTSP server", Gauge::default()),
            viewers: metrics.register("rtsp_viewers", "Sessions of RTSP that are played", Family::default()),
            sent_bytes: metrics.register("rtsp_sent_bytes", "Bytes sent to RTSP viewers", Counter::default()),
            skipped: metrics.register(
                "rtsp_skipped_frames",
                "Pictures and sounds that were left out for viewers by RTSP who read too slowly",
                Counter::default(),
            ),
            cut: metrics.register(
                "rtsp_cut",
                "Connections to the RTSP server that it ended, by reason",
                Family::default(),
            ),
            answers: metrics.register("rtsp_answers", "Answers of the RTSP server, by status", Family::default()),
        }
    }

    pub(super) fn skipped(&self, frames: u64) {
        self.skipped.inc_by(frames);
    }

    pub(super) fn cut(&self, reason: &'static str) {
        self.cut.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn answered(&self, status: u16) {
        self.answers.get_or_create(&Status { status }).inc();
    }

    /// Somebody watches for as long as what is given is held.
    pub(super) fn watches(&self, transport: &'static str) -> Watches {
        let gauge = self.viewers.get_or_create(&Transport { transport }).clone();
        gauge.inc();
        Watches(gauge)
    }
}

/// Somebody watches.
pub(super) struct Watches(Gauge);

impl Drop for Watches {
    fn drop(&mut self) {
        self.0.dec();
    }
}
