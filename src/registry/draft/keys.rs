//! The rules for keys and leases.

use super::{Draft, Due, Effect};
use crate::registry::{
    Error, TxnAnswer,
    kv::{self, Txn},
    pace::plus,
};
use bytes::Bytes;
use std::{ops::RangeInclusive, time::Duration};

/// Leases at once. Each costs little; so many are a client that grants in a loop.
pub(in crate::registry) const LEASES_MAX: usize = 100_000;
/// A lease of less is granted for this, one of more is refused; as etcd has it.
const LEASE_TTL: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(9_000_000_000);

impl Draft<'_> {
    /// Runs a transaction. Whether its answer holds whatever becomes of this turn.
    pub fn txn(&mut self, txn: &Txn) -> Result<(TxnAnswer, bool), Error> {
        let number = self.staged.revision + 1;
        let (state, leases) = (self.state, &self.staged.leases);
        let is_lease = |id: i64| match leases.get(&id) {
            Some(staged) => staged.is_some(),
            None => state.leases.contains_key(&id),
        };
        let ran = kv::run(&state.space, &mut self.staged.over, txn, number, is_lease)?;
        let mut instances = None;
        if !ran.changes.is_empty() {
            self.staged.revision = number;
            instances = self.written(number, ran.changes);
        }
        let settled = self.staged.is_empty();
        let (succeeded, answers) = (ran.succeeded, ran.answers);
        let answer = TxnAnswer { succeeded, answers, revision: self.staged.revision, instances };
        Ok((answer, settled))
    }

    /// Forgets the history before a revision.
    pub fn compact(&mut self, asked: u64) -> Result<(), Error> {
        let compacted = self.staged.compacted.unwrap_or(self.state.space.log.compacted());
        if asked <= compacted {
            return Err(Error::Compacted { asked, compacted });
        }
        // What this turn has added is not durable yet, and so cannot be forgotten yet.
        let last = self.state.revision;
        if asked > last {
            return Err(Error::Future { asked, last });
        }
        self.staged.compacted = Some(asked);
        Ok(())
    }

    /// Grants a lease; `id` 0 takes `free`, which is anybody's guess. Its id and its length.
    pub fn grant(&mut self, id: i64, ttl: Duration, mut free: impl FnMut() -> i64) -> Result<(i64, Duration), Error> {
        if ttl > *LEASE_TTL.end() {
            return Err(Error::Invalid(format!("a lease lasts {} s at most", LEASE_TTL.end().as_secs())));
        }
        if self.state.leases.len() + self.staged.leases.len() >= LEASES_MAX {
            return Err(Error::Full { what: "leases", max: LEASES_MAX });
        }
        let id = match id {
            0 => loop {
                let id = free();
                if id > 0 && self.lease(id).is_none() {
                    break id;
                }
            },
            id if self.lease(id).is_some() => return Err(Error::LeaseExists(id)),
            id => id,
        };
        let ttl = ttl.max(*LEASE_TTL.start());
        self.staged.leases.insert(id, Some(ttl));
        self.effects.push(Effect { what: Due::Lease(id), at: Some(plus(self.now, ttl)) });
        Ok((id, ttl))
    }

    /// A lease begins anew; nothing is written. Whether that holds whatever becomes of this turn.
    pub fn keep_alive(&mut self, id: i64) -> Result<(Duration, bool), Error> {
        let ttl = self.lease(id).ok_or(Error::NoLease(id))?;
        let settled = !self.staged.leases.contains_key(&id);
        let effect = Effect { what: Due::Lease(id), at: Some(plus(self.now, ttl)) };
        if settled {
            self.at_once.push(effect)
        } else {
            self.effects.push(effect)
        }
        Ok((ttl, settled))
    }

    /// Ends a lease with its keys, in one revision; none where it has no keys. The revision after it, and that of the
    /// catalog where keys were instances.
    pub fn revoke(&mut self, id: i64) -> Result<(u64, Option<u64>), Error> {
        self.lease(id).ok_or(Error::NoLease(id))?;
        let view = kv::View::of(&self.state.space, &self.staged.over, self.staged.revision);
        let base = self.state.leases.get(&id).into_iter().flat_map(|lease| &lease.keys);
        let mut keys: Vec<_> = base.chain(self.staged.over.entries.keys()).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        let of_it = |key: Bytes| {
            let entry = view.get(&key).filter(|e| e.lease == id)?.clone();
            Some((key, entry))
        };
        let gone: Vec<_> = keys.into_iter().filter_map(of_it).collect();
        let mut instances = None;
        if !gone.is_empty() {
            let mut changes = Vec::new();
            kv::delete(&mut self.staged.over, &gone, &mut changes);
            let number = self.revise();
            instances = self.written(number, changes);
        }
        self.staged.leases.insert(id, None);
        self.effects.push(Effect { what: Due::Lease(id), at: None });
        Ok((self.staged.revision, instances))
    }

    /// Nobody kept it alive.
    pub(super) fn lease_ran_out(&mut self, id: i64) {
        if self.revoke(id).is_err() {
            // It was revoked meanwhile.
            self.effects.push(Effect { what: Due::Lease(id), at: None });
        }
    }

    fn lease(&self, id: i64) -> Option<Duration> {
        match self.staged.leases.get(&id) {
            Some(staged) => *staged,
            None => self.state.leases.get(&id).map(|lease| lease.ttl),
        }
    }
}
