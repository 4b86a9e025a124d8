//! All that the registry knows, as it is durable, and what is staged over it.

use super::{
    Node, Record, Session,
    kv::{Cursors, Overlay, Space},
    pace::Moment,
};
use crate::model::{InstanceId, InstanceKey, ServiceName};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// What is durable and published. Only the task changes it.
#[derive(Debug, Default)]
pub(in crate::registry) struct State {
    /// The last revision of all.
    pub revision: u64,
    /// The last one that changed the catalog.
    pub catalog: u64,
    /// Records by service and id; no service is without any.
    pub services: BTreeMap<ServiceName, BTreeMap<InstanceId, Arc<Record>>>,
    /// How many records there are.
    pub instances: usize,
    /// Of them, those that are down.
    pub down: BTreeMap<ServiceName, BTreeSet<InstanceId>>,
    /// Nodes that somebody named.
    pub nodes: BTreeMap<Arc<str>, Arc<Node>>,
    /// The keys.
    pub space: Space,
    /// Leases by id.
    pub leases: BTreeMap<i64, Lease>,
    /// Sessions by id.
    pub sessions: BTreeMap<Arc<str>, Held>,
    /// The last revision that changed one of them.
    pub last_session: u64,
    /// Keys that nobody may hold before then. Not kept over a restart, as in Consul.
    pub delays: BTreeMap<Bytes, Moment>,
    /// Keys that begin like this are instances, `<prefix><service>/<id>`; empty: none are.
    pub prefix: Bytes,
}

/// Something that has to be kept alive, and the keys that go with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::registry) struct Lease {
    pub ttl: Duration,
    pub keys: BTreeSet<Bytes>,
}

/// A session, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct Held {
    pub session: Arc<Session>,
    pub keys: BTreeSet<Bytes>,
}

/// What one commit changes.
#[derive(Debug, Default)]
pub(in crate::registry) struct Staged {
    pub revision: u64,
    pub catalog: u64,
    /// None: it is gone.
    pub records: BTreeMap<InstanceKey, Option<Arc<Record>>>,
    pub nodes: BTreeMap<Arc<str>, Option<Arc<Node>>>,
    pub over: Overlay,
    /// Leases that are granted, and those that are gone.
    pub leases: BTreeMap<i64, Option<Duration>>,
    pub sessions: BTreeMap<Arc<str>, Option<Arc<Session>>>,
    pub last_session: u64,
    /// Keys that nobody may hold from now until then.
    pub delays: Vec<(Bytes, Moment, Moment)>,
    /// The history before it is forgotten.
    pub compacted: Option<u64>,
    /// Where instances are keys from now on.
    pub prefix: Option<Bytes>,
}

impl Staged {
    /// Whether there is anything to write.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.nodes.is_empty()
            && self.over.entries.is_empty()
            && self.over.revisions.is_empty()
            && self.leases.is_empty()
            && self.sessions.is_empty()
            && self.compacted.is_none()
            && self.prefix.is_none()
    }
}

impl State {
    /// One instance.
    pub fn record(&self, key: &InstanceKey) -> Option<&Arc<Record>> {
        self.services.get(&key.service)?.get(&key.id)
    }

    /// Every instance.
    pub fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.services.values().flat_map(BTreeMap::values)
    }

    /// What was staged is durable now.
    pub fn take(&mut self, staged: Staged) {
        (self.revision, self.catalog, self.last_session) = (staged.revision, staged.catalog, staged.last_session);
        for (key, record) in staged.records {
            self.put(key, record);
        }
        for (name, node) in staged.nodes {
            match node {
                Some(node) => drop(self.nodes.insert(name, node)),
                None => drop(self.nodes.remove(&name)),
            }
        }
        for (id, ttl) in staged.leases {
            match ttl {
                Some(ttl) => self.leases.entry(id).or_default().ttl = ttl,
                None => drop(self.leases.remove(&id)),
            }
        }
        for (id, session) in staged.sessions {
            match session {
                Some(session) => drop(self.sessions.insert(id, Held { session, keys: BTreeSet::new() })),
                None => drop(self.sessions.remove(&id)),
            }
        }
        for (key, now, until) in staged.delays {
            self.delays.retain(|_, until| *until > now);
            self.delays.insert(key, until);
        }
        for change in staged.over.revisions.iter().flat_map(|r| &r.changes) {
            let lease = |entry: &Option<Arc<super::Entry>>| entry.as_ref().map_or(0, |e| e.lease);
            if let Some(lease) = self.leases.get_mut(&lease(&change.before)) {
                lease.keys.remove(&change.key);
            }
            if let Some(lease) = self.leases.get_mut(&lease(&change.now)) {
                lease.keys.insert(change.key.clone());
            }
            let holder = |entry: &Option<Arc<super::Entry>>| entry.as_ref().and_then(|e| e.holder().cloned());
            if let Some(held) = holder(&change.before).and_then(|id| self.sessions.get_mut(&id)) {
                held.keys.remove(&change.key);
            }
            if let Some(held) = holder(&change.now).and_then(|id| self.sessions.get_mut(&id)) {
                held.keys.insert(change.key.clone());
            }
        }
        self.space.take(staged.over);
        if let Some(prefix) = staged.prefix {
            self.prefix = prefix;
        }
        if let Some(number) = staged.compacted {
            self.space.log.compact(number);
        }
    }

    /// Puts an instance in its place, or takes it away.
    pub fn put(&mut self, key: InstanceKey, record: Option<Arc<Record>>) {
        if record.as_ref().is_some_and(|r| r.is_down()) {
            self.down.entry(key.service.clone()).or_default().insert(key.id.clone());
        } else if let Some(down) = self.down.get_mut(&key.service) {
            down.remove(&key.id);
            if down.is_empty() {
                self.down.remove(&key.service);
            }
        }
        match record {
            Some(record) => {
                let before = self.services.entry(key.service).or_default().insert(key.id, record);
                self.instances += usize::from(before.is_none());
            }
            None => {
                let Some(service) = self.services.get_mut(&key.service) else { return };
                self.instances -= usize::from(service.remove(&key.id).is_some());
                if service.is_empty() {
                    self.services.remove(&key.service);
                }
            }
        }
    }
}

/// What handles, watchers and the task share.
pub(in crate::registry) struct Shared {
    state: RwLock<State>,
    /// The last revision, told after it can be read.
    pub head: watch::Sender<u64>,
    /// Who follows the keys.
    pub cursors: Cursors,
    /// Told where somebody came whose name was not looked up yet.
    pub unresolved: Notify,
}

impl Shared {
    pub fn new(state: State) -> Self {
        let head = watch::Sender::new(state.revision);
        Self { state: RwLock::new(state), head, cursors: Cursors::default(), unresolved: Notify::new() }
    }

    /// Held for microseconds, never across an await.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the task alone.
    pub fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
