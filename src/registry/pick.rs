//! Choosing one instance for somebody who asks by hand: in turn, by weight, smoothly. Requests that the proxy forwards
//! are not chosen here.

use crate::model::{Instance, InstanceId, Service, ServiceName};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// Services whose turns are remembered; beyond it they begin anew.
const SERVICES_MAX: usize = 10_000;

/// Whose turn it is, by service.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<ServiceName, HashMap<InstanceId, i64>>>);

impl Turns {
    /// The next live instance that carries all of the tags.
    pub fn next(&self, service: &Service, tags: &BTreeSet<Arc<str>>) -> Option<Arc<Instance>> {
        let live: Vec<_> = service.instances.iter().filter(|i| i.is_routable() && i.has_tags(tags)).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SERVICES_MAX && !all.contains_key(&service.name) {
            all.clear();
        }
        let turns = all.entry(service.name.clone()).or_default();
        turns.retain(|id, _| service.instances.binary_search_by(|i| i.key.id.cmp(id)).is_ok());
        let total: i64 = live.iter().map(|i| i64::from(i.weight)).sum();
        let mut best: Option<(&Arc<Instance>, i64)> = None;
        for instance in live {
            let turn = turns.entry(instance.key.id.clone()).or_default();
            *turn += i64::from(instance.weight);
            if best.is_none_or(|(_, most)| *turn > most) {
                best = Some((instance, *turn));
            }
        }
        let chosen = best?.0;
        if let Some(turn) = turns.get_mut(&chosen.key.id) {
            *turn -= total;
        }
        Some(chosen.clone())
    }
}
