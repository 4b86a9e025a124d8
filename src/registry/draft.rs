//! What a turn of commands makes of the state, staged over it: the rules of the registry. Pure: no clock, no I/O.

mod checks;
mod instances;
mod keys;
mod places;
mod sessions;

use super::{
    Owner, Record,
    notices::Notice,
    pace::Moment,
    state::{Staged, State},
};
use crate::{
    base::Wall,
    model::{InstanceId, InstanceKey, ServiceName},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

pub(super) use instances::Change;

/// A turn over the state. What it stages is either committed as a whole or never was.
pub(super) struct Draft<'a> {
    state: &'a State,
    staged: Staged,
    /// How many instances there are after what is staged.
    instances: usize,
    /// Those that this turn has found down.
    down: BTreeMap<ServiceName, BTreeSet<InstanceId>>,
    now: Moment,
    wall: Wall,
    effects: Vec<Effect>,
    at_once: Vec<Effect>,
    notices: Vec<Notice>,
}

/// What a turn came to.
pub(super) struct Finished {
    pub staged: Staged,
    /// Deadlines to set once it is durable.
    pub effects: Vec<Effect>,
    /// Deadlines to set whether or not: those of renewals, which write nothing.
    pub at_once: Vec<Effect>,
    /// What to tell once it is durable.
    pub notices: Vec<Notice>,
}

/// A deadline to set, or to clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub what: Due,
    pub at: Option<Moment>,
}

/// What can be due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Due {
    /// The ttl of an instance runs out.
    Ttl(InstanceKey),
    /// An instance was critical for long enough.
    Removal(InstanceKey),
    /// A check that has a name was not told in time.
    Check(Owner, Arc<str>),
    /// A check that has a name was critical for long enough for its instance to be removed.
    Reap(InstanceKey, Arc<str>),
    /// A lease runs out.
    Lease(i64),
    /// A session runs out.
    Session(Arc<str>),
}

/// Where a host name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub targets: Arc<[SocketAddr]>,
    /// Why there is none, or no news of them.
    pub problem: Option<Arc<str>>,
}

impl<'a> Draft<'a> {
    pub fn new(state: &'a State, now: Moment, wall: Wall) -> Self {
        let (revision, catalog, last_session) = (state.revision, state.catalog, state.last_session);
        let staged = Staged { revision, catalog, last_session, ..Staged::default() };
        Self {
            state,
            staged,
            instances: state.instances,
            down: BTreeMap::new(),
            now,
            wall,
            effects: Vec::new(),
            at_once: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// All that is due now happens.
    pub fn expire(&mut self, due: &[Due]) {
        let mut number = None;
        for what in due {
            match what {
                Due::Ttl(key) => self.run_out(key, &mut number),
                Due::Removal(key) => self.remove_critical(key, &mut number),
                Due::Check(owner, id) => self.check_ran_out(owner, id, &mut number),
                Due::Reap(key, id) => self.reap(key, id, &mut number),
                Due::Lease(id) => self.lease_ran_out(*id),
                Due::Session(id) => self.session_ran_out(id),
            }
        }
    }

    pub fn finish(mut self) -> Finished {
        self.end_ill();
        let Self { staged, effects, at_once, notices, .. } = self;
        Finished { staged, effects, at_once, notices }
    }

    /// The next revision.
    fn revise(&mut self) -> u64 {
        self.staged.revision += 1;
        self.staged.revision
    }

    /// An instance as this turn has it so far.
    fn record(&self, key: &InstanceKey) -> Option<&Arc<Record>> {
        match self.staged.records.get(key) {
            Some(staged) => staged.as_ref(),
            None => self.state.record(key),
        }
    }

    /// The instances of a service as this turn has them so far.
    fn records_of(&self, service: &ServiceName) -> Vec<Arc<Record>> {
        let base = self.state.services.get(service).into_iter().flat_map(|all| all.values().map(|r| &r.key));
        let staged = self.staged.records.keys().filter(|key| key.service == *service);
        let keys: BTreeSet<&InstanceKey> = base.chain(staged).collect();
        keys.into_iter().filter_map(|key| self.record(key)).cloned().collect()
    }

    /// Whether nothing of this turn bears on an instance: what it reads of it is durable already.
    fn is_settled(&self, key: &InstanceKey) -> bool {
        !self.staged.records.contains_key(key)
    }
}
