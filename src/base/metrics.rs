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

    /// Registers what is found out anew each time that somebody asks.
    pub fn collect(&self, collector: impl prometheus_client::collector::Collector) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).register_collector(Box::new(collector));
    }

    /// Prometheus' own text format, for whoever does not ask for OpenMetrics. There a counter is named with its
    /// `_total` in HELP and TYPE as well, so that a tool finds the help of the very name that it sees.
    pub fn render_plain(&self) -> String {
        let mut out = String::new();
        let mut help = None;
        for line in self.render().lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ').map(|(_, text)| text.to_owned());
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some(text) = help.take() {
                    out += &format!("# HELP {name}{suffix} {text}\n");
                }
                out += &format!("# TYPE {name}{suffix} {kind}\n");
            } else if !line.starts_with('#') {
                out += line;
                out.push('\n');
            }
        }
        out
    }

    /// The text that Prometheus scrapes, as OpenMetrics.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut out, &registry);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_plain_format_help_and_type_name_what_the_samples_are_called() {
        let metrics = Metrics::default();
        let frames = metrics.register("stream_frames", "Pictures", Family::<StreamLabel, Counter>::default());
        frames.get_or_create(&StreamLabel { stream: "nvr1/1/main".into() }).inc_by(3);
        metrics.register("disk_free_bytes", "Free bytes", Gauge::<i64>::default()).set(7);
        assert_eq!(
            metrics.render_plain(),
            "# HELP skyvis_stream_frames_total Pictures.\n\
             # TYPE skyvis_stream_frames_total counter\n\
             skyvis_stream_frames_total{stream=\"nvr1/1/main\"} 3\n\
             # HELP skyvis_disk_free_bytes Free bytes.\n\
             # TYPE skyvis_disk_free_bytes gauge\n\
             skyvis_disk_free_bytes 7\n"
        );
        assert!(metrics.render().ends_with("# EOF\n"));
    }
}
