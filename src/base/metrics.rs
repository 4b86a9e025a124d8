//! Metrics as a registry that is handed down, not a global. Names get the prefix `skyvis_`; base units.

use prometheus_client::{encoding::EncodeLabelSet, registry::Registry};
use std::sync::{Arc, Mutex, PoisonError};

pub use prometheus_client::metrics::{
    counter::Counter,
    family::Family,
    gauge::Gauge,
    histogram::{Histogram, exponential_buckets},
};

/// A gauge of seconds or ratios.
pub type GaugeF64 = Gauge<f64, std::sync::atomic::AtomicU64>;
/// A counter of seconds.
pub type CounterF64 = Counter<f64, std::sync::atomic::AtomicU64>;

/// The label that most families carry: one stream's key.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StreamLabel {
    /// `<device>/<channel>/<main|sub>`
    pub stream: String,
}

/// Where rooms register what they count. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("skyvis"))))
    }
}

impl Metrics {
    /// Registers a metric under `skyvis_<name>`, with its HELP line, and hands it back.
    pub fn register<M: prometheus_client::registry::Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric.clone());
        metric
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut out, &registry);
        out
    }
}
