//! The catalog for others, made anew in its changed parts only.
//!
//! Two copies of the map of services take turns: the one that was published before is brought up to date in place, as
//! soon as its readers have let go of it, so that a change costs what it changes. Services are shared by both.

use super::state::{Staged, State};
use crate::model::{Catalog, Instance, InstanceId, Service, ServiceName};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// What became of services: None, where none is left of one.
type Delta = Vec<(ServiceName, Option<Arc<Service>>)>;

/// Holds the catalog, and makes the next one of it.
pub(super) struct Publisher {
    catalog: watch::Sender<Arc<Catalog>>,
    /// The one before, and what it lacks.
    spare: Option<(Arc<Catalog>, Delta)>,
}

/// All of it, from the records.
pub(super) fn whole(state: &State) -> Catalog {
    let service = |(name, records): (&ServiceName, &BTreeMap<InstanceId, Arc<super::Record>>)| {
        let instances: Vec<_> = records.values().map(|r| Arc::new(r.instance())).collect();
        // What was removed before a restart has left no trace in the records. A revision that went back would be worse
        // than one that wakes somebody for nothing.
        let modified = state.catalog;
        (name.clone(), Arc::new(Service { name: name.clone(), instances, modified }))
    };
    Catalog { revision: state.catalog, services: state.services.iter().map(service).collect() }
}

impl Publisher {
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog: watch::Sender::new(Arc::new(catalog)), spare: None }
    }

    pub fn subscribe(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalog.subscribe()
    }

    /// Publishes what `staged` changes of it.
    pub fn publish(&mut self, staged: &Staged) {
        if staged.records.is_empty() && staged.nodes.is_empty() {
            return;
        }
        let now = self.catalog.borrow().clone();
        let delta = delta(&now, staged);
        let mut next = match self.spare.take().map(|(old, lacks)| (Arc::try_unwrap(old), lacks)) {
            Some((Ok(mut old), lacks)) => {
                apply(&mut old, &lacks);
                old
            }
            _ => (*now).clone(),
        };
        drop(now);
        apply(&mut next, &delta);
        next.revision = staged.catalog;
        let before = self.catalog.send_replace(Arc::new(next));
        self.spare = Some((before, delta));
    }
}

fn apply(catalog: &mut Catalog, delta: &Delta) {
    for (name, service) in delta {
        match service {
            Some(service) => drop(catalog.services.insert(name.clone(), service.clone())),
            None => drop(catalog.services.remove(name)),
        }
    }
}

/// The services that change, whole.
fn delta(now: &Catalog, staged: &Staged) -> Delta {
    let mut delta = Vec::new();
    let mut changes = staged.records.iter().peekable();
    // Keys sort by service first.
    while let Some((key, _)) = changes.peek() {
        let name = key.service.clone();
        let mut own = Vec::new();
        while let Some((key, record)) = changes.next_if(|(key, _)| key.service == name) {
            own.push((&key.id, record.as_ref().map(|r| Arc::new(r.instance()))));
        }
        let before = now.services.get(&name).map_or(&[][..], |s| &s.instances);
        let instances = merged(before, own);
        let service = Service { name: name.clone(), instances, modified: staged.catalog };
        delta.push((name, (!service.instances.is_empty()).then(|| Arc::new(service))));
    }
    delta
}

/// Both by id: what changed wins.
fn merged(before: &[Arc<Instance>], changed: Vec<(&InstanceId, Option<Arc<Instance>>)>) -> Vec<Arc<Instance>> {
    let mut all = Vec::with_capacity(before.len() + changed.len());
    let mut rest = before;
    for (id, instance) in changed {
        let at = rest.partition_point(|i| i.key.id < *id);
        all.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if rest.first().is_some_and(|i| i.key.id == *id) {
            rest = &rest[1..];
        }
        all.extend(instance);
    }
    all.extend_from_slice(rest);
    all
}

/// The catalog as it would be if it were made anew; ages of services apart, which the records do not know.
#[cfg(test)]
pub(super) fn whole_of(registry: &super::Registry, like: &Catalog) -> Catalog {
    let mut services = BTreeMap::new();
    for (name, service) in &like.services {
        let records = registry.records_of(name.as_str()).unwrap_or_default();
        let instances = records.iter().map(|r| Arc::new(r.instance())).collect();
        let service = Service { name: name.clone(), instances, modified: service.modified };
        services.insert(name.clone(), Arc::new(service));
    }
    Catalog { revision: like.revision, services }
}
