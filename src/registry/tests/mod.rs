//! The registry over a real store.

mod durable;
mod model;
mod rules;
mod scale;
mod serving;
mod watching;

use super::*;
use crate::{
    base::{TaskGroup, Wall},
    disk::Files,
    events,
    model::{Catalog, Health, InstanceKey, service::Source},
    store::Options,
};
use std::{path::Path, sync::Arc, time::Duration};

/// A registry that runs.
struct Room {
    registry: Registry,
    store: Store,
    events: Events,
    metrics: Metrics,
    group: TaskGroup,
}

/// Nobody's names lead anywhere.
fn nowhere() -> Lookup {
    Arc::new(|_, _| Box::pin(async { Err("there are no names here".to_owned()) }))
}

async fn begin_with(dir: &Path, files: &Files, lookup: Lookup) -> Room {
    let (metrics, clock, group) = (Metrics::default(), Clock::real(), TaskGroup::new());
    let store = Store::open(&dir.join("store"), Options::default(), files, &metrics).unwrap();
    let (events, task) = events::build(store.clone(), clock.clone(), &metrics).unwrap();
    group.spawn("events", task.run(group.stop_token()));
    let deps = Deps { store: store.clone(), events: events.clone(), clock, metrics: metrics.clone(), lookup };
    let (registry, task) = build(deps).unwrap();
    group.spawn("registry", task.run(group.stop_token()));
    Room { registry, store, events, metrics, group }
}

async fn begin(dir: &Path) -> Room {
    begin_with(dir, &Files::real(), nowhere()).await
}

impl Room {
    async fn end(self) {
        assert!(self.group.stop(Duration::from_secs(10)).await);
        self.store.close().await;
    }

    async fn register(&self, name: &str, id: &str, spec: Spec) -> Written {
        self.registry.register(key(name, id), spec, Source::Api).await.unwrap()
    }

    fn catalog(&self) -> Arc<Catalog> {
        self.registry.catalog().borrow().clone()
    }

    /// Of an instance, what requests are routed by.
    fn health(&self, name: &str, id: &str) -> Option<Health> {
        self.registry.record(&key(name, id)).map(|r| r.health())
    }

    /// Waits for the catalog to be so.
    async fn until(&self, is_so: impl FnMut(&Arc<Catalog>) -> bool) {
        self.registry.catalog().wait_for(is_so).await.unwrap();
    }

    /// A number of the metrics.
    fn metric(&self, line: &str) -> f64 {
        let text = self.metrics.render();
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {line} in {text}")).parse().unwrap()
    }
}

fn key(service: &str, id: &str) -> InstanceKey {
    InstanceKey { service: service.parse().unwrap(), id: id.parse().unwrap() }
}

fn spec(port: u16) -> Spec {
    Spec::new("10.0.0.1", port)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The ids of a service's instances, with their ports.
fn ports(catalog: &Catalog, service: &str) -> Vec<(String, u16)> {
    let instances = catalog.service(service).into_iter().flat_map(|s| &s.instances);
    instances.map(|i| (i.key.id.to_string(), i.port)).collect()
}

const WALL: Wall = Wall::from_micros(1_790_000_000_000_000);
