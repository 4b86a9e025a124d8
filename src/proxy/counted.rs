//! What is counted by route, for `/metrics`. A route's name is the only label that anybody can choose, and only in the
//! file: so there are as many as there are routes.

use super::table::{BOUNDS_MICROS, CLASSES, RouteMeters, Totals};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet},
    metrics::MetricType,
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// The routes that are.
pub(super) struct RouteCounts(pub(super) Arc<Mutex<Vec<Arc<RouteMeters>>>>);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByStatus {
    route: String,
    status: &'static str,
}

impl fmt::Debug for RouteCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteCounts").finish_non_exhaustive()
    }
}

impl Collector for RouteCounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all: Vec<(Labels, Totals)> =
            routes.iter().map(|m| (Labels { route: m.label.to_string() }, m.totals())).collect();
        let mut family = encoder.encode_descriptor(
            "proxy_requests",
            "Requests that are over, by the class of their status; 499: the client had gone",
            None,
            MetricType::Counter,
        )?;
        for (labels, totals) in &all {
            for (status, count) in CLASSES.into_iter().zip(totals.by_class) {
                // What never happened takes no line, but for the usual answer: a rate needs a beginning.
                if count > 0 || status == "2xx" {
                    let labels = ByStatus { route: labels.route.clone(), status };
                    family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
            }
        }
        let mut family = encoder.encode_descriptor(
            "proxy_request_seconds",
            "From the first byte of a request's head to the last byte of its answer",
            None,
            MetricType::Histogram,
        )?;
        for (labels, totals) in &all {
            let bounds = BOUNDS_MICROS.into_iter().map(seconds).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(totals.by_time).collect();
            let count = totals.by_time.iter().sum();
            family.encode_family(labels)?.encode_histogram::<NoLabelSet>(
                seconds(totals.micros),
                count,
                &buckets,
                None,
            )?;
        }
        let counters: [(&str, &str, fn(&Totals) -> u64); 3] = [
            ("proxy_received_bytes", "Bytes of bodies from clients", |t| t.bytes_in),
            ("proxy_sent_bytes", "Bytes of bodies to clients", |t| t.bytes_out),
            ("proxy_retries", "Further tries", |t| t.retries),
        ];
        for (name, help, of) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, totals) in &all {
                family.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&of(totals), None)?;
            }
        }
        let mut family =
            encoder.encode_descriptor("proxy_requests_in_flight", "Requests being served", None, MetricType::Gauge)?;
        for (labels, totals) in &all {
            family.encode_family(labels)?.encode_gauge(&totals.in_flight)?;
        }
        Ok(())
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
