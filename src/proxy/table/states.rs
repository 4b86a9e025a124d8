//! What is known of instances, kept by who they are: tables come and go, and who failed a moment ago still has.

use crate::{balance::InstanceState, model::InstanceKey};
use std::{collections::HashMap, net::SocketAddr, sync::Arc};

/// States that may be left of instances that are gone, beside as many as there are in use, before they are looked
/// through: a sweep costs what there is.
const LEFT_OVER_MAX: usize = 1024;

/// Who.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum StateKey {
    /// A registered instance.
    Instance(InstanceKey),
    /// One address of a fixed upstream: as it was written, and what it was resolved to.
    Upstream(Arc<str>, SocketAddr),
}

/// All states.
#[derive(Debug, Default)]
pub(super) struct States {
    /// With the address that was registered: at another address, another process is meant.
    by_key: HashMap<StateKey, (Arc<str>, u16, Arc<InstanceState>)>,
    swept_len: usize,
}

impl States {
    /// The state of an instance at an address; a new one where there is none.
    pub(super) fn get(&mut self, key: StateKey, address: &Arc<str>, port: u16) -> Arc<InstanceState> {
        let new = || (address.clone(), port, Arc::default());
        let found = self.by_key.entry(key).or_insert_with(new);
        if found.0 != *address || found.1 != port {
            *found = new();
        }
        found.2.clone()
    }

    /// The state of an instance that has one.
    pub(super) fn known(&self, key: &StateKey) -> Option<&Arc<InstanceState>> {
        self.by_key.get(key).map(|(.., state)| state)
    }

    /// Forgets those that nobody else holds, once there may be many of them.
    pub(super) fn sweep(&mut self) {
        if self.by_key.len() > 2 * self.swept_len + LEFT_OVER_MAX {
            self.by_key.retain(|_, (.., state)| Arc::strong_count(state) > 1);
            self.by_key.shrink_to_fit();
            self.swept_len = self.by_key.len();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }
}
