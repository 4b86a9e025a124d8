//! Choosing one instance for somebody who asks by hand: in turn, by weight, smoothly. Requests that the proxy forwards
//! are not chosen here.

use crate::{
    balance::smooth,
    model::{Instance, InstanceId, Service, ServiceName},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// Services whose turns are remembered; beyond it they begin anew.
const SERVICES_MAX: usize = 10_000;

/// What each instance has saved up for its turn, by service.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<ServiceName, Saved>>);

#[derive(Debug, Default)]
struct Saved {
    /// The revision of the service that it is for.
    modified: u64,
    by_id: BTreeMap<InstanceId, i64>,
}

impl Turns {
    /// The next live instance that carries all of the tags.
    pub fn next(&self, service: &Service, tags: &BTreeSet<Arc<str>>) -> Option<Arc<Instance>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SERVICES_MAX && !all.contains_key(&service.name) {
            all.clear();
        }
        let saved = all.entry(service.name.clone()).or_default();
        if saved.modified != service.modified || saved.by_id.len() != service.instances.len() {
            let old = std::mem::take(&mut saved.by_id);
            let of = |id: &InstanceId| (id.clone(), old.get(id).copied().unwrap_or(0));
            *saved =
                Saved { modified: service.modified, by_id: service.instances.iter().map(|i| of(&i.key.id)).collect() };
        }
        // Both are in the order of ids.
        let live = service.instances.iter().zip(saved.by_id.values_mut());
        let live = live.filter(|(instance, _)| instance.is_routable() && instance.has_tags(tags));
        smooth(live.map(|(instance, saved)| (instance, i64::from(instance.weight), saved))).cloned()
    }
}
