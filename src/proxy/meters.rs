//! What the proxy counts beside what each route has.

use super::places::Places;
use crate::base::metrics::{Counter, Family, Gauge, Metrics};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use std::sync::Arc;

/// Counters of all workers: for what happens seldom enough to share them.
pub(super) struct Meters {
    pub(super) accepted: Counter,
    pub(super) connects: Counter,
    pub(super) stale: Counter,
    pub(super) unrouted: Counter,
    pub(super) spliced_bytes: Counter,
    pub(super) tunnels: Gauge,
    pub(super) buffer_bytes: Gauge,
    pub(super) cut: Counter,
    pub(super) bad_prelude: Counter,
    pub(super) log_lines_lost: Counter,
    pub(super) turned_away_all: Counter,
    pub(super) turned_away_address: Counter,
    refused: Family<Reason, Counter>,
    handshakes: Family<Handshake, Counter>,
    floods: Family<Reason, Counter>,
}

/// What came of a TLS handshake.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub(super) enum Handshakes {
    Full,
    Resumed,
    /// Garbage, another version, a client that does not trust us.
    Failed,
    Slow,
    NotNamed,
    NoCertificate,
    /// By an authority that looked whether the name leads here.
    Challenge,
    /// There were too many at once.
    TurnedAway,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Handshake {
    outcome: Handshakes,
}

/// Of a fixed set of words.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Meters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.register(name, help, Counter::default());
        let away = metrics.register(
            "proxy_connections_turned_away",
            "Client connections that were not served, by why",
            Family::<Reason, Counter>::default(),
        );
        let away_for = |reason| away.get_or_create(&Reason { reason }).clone();
        Self {
            accepted: counter("proxy_connections", "Client connections that came"),
            connects: counter("proxy_upstream_connects", "Connections to upstreams that were begun"),
            stale: counter(
                "proxy_upstream_stale",
                "Kept connections to upstreams that had been closed under a request",
            ),
            unrouted: counter("proxy_requests_unrouted", "Requests that no route is for"),
            spliced_bytes: counter("proxy_spliced_bytes", "Bytes of bodies that the kernel moved by itself"),
            tunnels: metrics.register("proxy_tunnels", "Connections that speak another protocol now", Gauge::default()),
            buffer_bytes: metrics.register(
                "proxy_buffer_bytes",
                "Memory of buffers that bytes pass through, in use or kept",
                Gauge::default(),
            ),
            cut: counter("proxy_connections_cut", "Connections that outlasted the time of a stop"),
            bad_prelude: counter("proxy_bad_preludes", "Connections without a sound PROXY protocol header"),
            log_lines_lost: counter(
                "proxy_access_log_lost",
                "Lines of the access log that were dropped since writing lagged",
            ),
            turned_away_all: away_for("all"),
            turned_away_address: away_for("address"),
            refused: metrics.register(
                "proxy_requests_refused",
                "Requests that were refused as malformed, too large or too slow, by why",
                Family::default(),
            ),
            handshakes: metrics.register(
                "proxy_tls_handshakes",
                "TLS handshakes with clients, by what came of them",
                Family::default(),
            ),
            floods: metrics.register(
                "proxy_h2_floods",
                "Connections of HTTP/2 that were ended since they only made work, by how",
                Family::default(),
            ),
        }
    }

    /// A connection of HTTP/2 was ended for this.
    pub(super) fn flooded(&self, reason: &'static str) {
        self.floods.get_or_create(&Reason { reason }).inc();
    }

    /// A handshake is over.
    pub(super) fn handshake(&self, outcome: Handshakes) {
        self.handshakes.get_or_create(&Handshake { outcome }).inc();
    }

    /// A request was refused for this.
    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }
}

/// Shows how many connections there are, without a count of its own on their way.
pub(super) fn gauge_places(metrics: &Metrics, places: Arc<Places>) {
    metrics.collect(Open(places));
}

struct Open(Arc<Places>);

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Open")
    }
}

impl Collector for Open {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let open = ConstGauge::new(i64::try_from(self.0.taken()).unwrap_or(i64::MAX));
        let help = "Client connections that are open";
        let encoder = encoder.encode_descriptor("proxy_connections_open", help, None, MetricType::Gauge)?;
        open.encode(encoder)
    }
}
