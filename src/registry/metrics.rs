//! What is counted.

use super::state::State;
use crate::{
    base::{
        Metrics,
        metrics::{Counter, Family, Gauge},
    },
    model::{Catalog, Health},
};
use prometheus_client::encoding::EncodeLabelSet;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HealthLabel {
    health: &'static str,
}

/// Gauges are set with each commit.
#[derive(Clone)]
pub(super) struct Meters {
    instances: Family<HealthLabel, Gauge>,
    services: Gauge,
    revision: Gauge,
    keys: Gauge,
    key_bytes: Gauge,
    leases: Gauge,
    watchers: Gauge,
    pub commits: Counter,
    pub commands: Counter,
    pub renewals: Counter,
    pub failed: Counter,
    pub unserved: Counter,
}

impl Meters {
    pub fn new(metrics: &Metrics) -> Self {
        let gauge = |name, help| metrics.register(name, help, Gauge::default());
        let counter = |name, help| metrics.register(name, help, Counter::default());
        Self {
            instances: metrics.register("registry_instances", "Registered instances by health", Family::default()),
            services: gauge("registry_services", "Services that have instances"),
            revision: gauge("registry_revision", "The last revision of services and keys"),
            keys: gauge("registry_keys", "Keys in the key-value space"),
            key_bytes: gauge("registry_key_bytes", "Memory of keys and values"),
            leases: gauge("registry_leases", "Leases that are alive"),
            watchers: gauge("registry_watchers", "Those who follow keys"),
            commits: counter("registry_commits", "Durable commits of the registry"),
            commands: counter("registry_commands", "Commands, those that changed nothing among them"),
            renewals: counter("registry_renewals", "Renewals of ttls and leases, which write nothing"),
            failed: counter("registry_commits_failed", "Commits that the store refused; nothing of them was done"),
            unserved: counter("registry_unserved", "Writes that the proxy did not serve within a second"),
        }
    }

    pub fn show(&self, state: &State, watchers: usize) {
        let set = |gauge: &Gauge, n: usize| {
            gauge.set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        let (keys, bytes) = state.space.size();
        set(&self.services, state.services.len());
        set(&self.keys, keys);
        set(&self.key_bytes, bytes);
        set(&self.leases, state.leases.len());
        set(&self.watchers, watchers);
        self.revision.set(i64::try_from(state.revision).unwrap_or(i64::MAX));
    }

    /// Counts anew by health.
    pub fn count(&self, catalog: &Catalog) {
        use Health::{Critical, Maintenance, Passing, Warning};
        let mut counts = [(Passing, 0), (Warning, 0), (Critical, 0), (Maintenance, 0)];
        for instance in catalog.services.values().flat_map(|s| &s.instances) {
            if let Some((_, n)) = counts.iter_mut().find(|(health, _)| *health == instance.health) {
                *n += 1;
            }
        }
        for (health, n) in counts {
            self.instances.get_or_create(&HealthLabel { health: health.as_str() }).set(n);
        }
    }

    /// What changes of the count: one was this, and is that.
    pub fn moved(&self, was: Option<Health>, is: Option<Health>) {
        let of = |health: Health| self.instances.get_or_create(&HealthLabel { health: health.as_str() }).clone();
        if let Some(health) = was {
            of(health).dec();
        }
        if let Some(health) = is {
            of(health).inc();
        }
    }
}
