//! Keys and leases.

use super::Registry;
use crate::registry::{
    Error, LeaseView, TxnAnswer,
    command::Command,
    kv::{Compare, Comparison, Entry, Feed, Keys, Op, OpAnswer, Query, Ranged, Target, Txn, Watcher, When},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

impl Registry {
    /// Reads keys as of the last durable revision, or of one before.
    pub fn range(&self, query: &Query) -> Result<Ranged, Error> {
        let state = self.0.door.shared.read();
        state.space.range(query, state.revision)
    }

    /// One key.
    pub fn get(&self, key: &[u8]) -> Option<Arc<Entry>> {
        let query = Query::of(Keys::One(Bytes::copy_from_slice(key)));
        self.range(&query).ok()?.entries.pop().map(|(_, entry)| entry)
    }

    /// Writes a key; nothing happens where it has this value already. With `if_revision`, only where that is the
    /// revision which changed it last, 0 meaning that it is not there: None where it is another.
    pub async fn put(
        &self,
        key: Bytes,
        value: Bytes,
        lease: i64,
        if_revision: Option<u64>,
    ) -> Result<Option<Arc<Entry>>, Error> {
        let compares = compare(&key, if_revision);
        let put = Op::Put { key, value: Some(value), lease: Some(lease), when: When::Different };
        let answer = self.txn(Txn { compares, success: vec![put], failure: Vec::new() }).await?;
        Ok(answer.answers.into_iter().find_map(|answer| match answer {
            OpAnswer::Put { now, .. } => Some(now),
            _ => None,
        }))
    }

    /// Deletes keys: how many there were. With `if_revision`, which is for one key, only where that is the revision
    /// which changed it last: None where it is another.
    pub async fn delete(&self, keys: Keys, if_revision: Option<u64>) -> Result<Option<usize>, Error> {
        let compares = match &keys {
            Keys::One(key) => compare(key, if_revision),
            _ => Vec::new(),
        };
        let answer = self.txn(Txn { compares, success: vec![Op::Delete(keys)], failure: Vec::new() }).await?;
        Ok(answer.answers.into_iter().find_map(|answer| match answer {
            OpAnswer::Delete(gone) => Some(gone.len()),
            _ => None,
        }))
    }

    /// Runs a transaction: all of it or nothing, durable, and one revision if it writes.
    pub async fn txn(&self, txn: Txn) -> Result<TxnAnswer, Error> {
        let room = room(&self.0.room, &txn)?;
        let answer = self.ask(|done| Command::Txn { txn, done, room }).await?;
        self.served_if(answer.instances).await;
        Ok(answer)
    }

    /// Where keys that were written are instances, the proxy is waited for as by whoever registers.
    pub(super) async fn served_if(&self, instances: Option<u64>) {
        if let Some(revision) = instances {
            self.served(revision).await;
        }
    }

    /// Follows keys from revision `from` on; None: from now on.
    pub fn follow(&self, keys: Keys, from: Option<u64>) -> Watcher {
        Watcher::new(self.0.door.shared.clone(), keys, from)
    }

    /// A place in the history of all keys, from revision `from` on; None: from now on.
    pub fn feed(&self, from: Option<u64>) -> Feed {
        Feed::new(self.0.door.shared.clone(), from)
    }

    /// Forgets the history before a revision. It is bounded by itself as well.
    pub async fn compact(&self, revision: u64) -> Result<(), Error> {
        self.ask(|done| Command::Compact { revision, done }).await
    }

    /// The revision that the history was compacted to, the oldest that can be asked for; 0: all can.
    pub fn compacted(&self) -> u64 {
        self.0.door.shared.read().space.log.compacted()
    }

    /// Grants a lease: keys that are put with it go when it is not kept alive. `id` 0: any. Its id and its length.
    pub async fn grant(&self, id: i64, ttl: Duration) -> Result<(i64, Duration), Error> {
        self.ask(|done| Command::Grant { id, ttl, done }).await
    }

    /// A lease begins anew. Nothing is written.
    pub async fn keep_alive(&self, id: i64) -> Result<Duration, Error> {
        self.ask(|done| Command::KeepAlive { id, done }).await
    }

    /// Ends a lease with its keys. The revision after it.
    pub async fn revoke(&self, id: i64) -> Result<u64, Error> {
        let (revision, instances) = self.ask(|done| Command::Revoke { id, done }).await?;
        self.served_if(instances).await;
        Ok(revision)
    }

    /// A lease as it is now.
    pub async fn lease(&self, id: i64) -> Result<LeaseView, Error> {
        self.ask(|done| Command::Lease { id, done }).await
    }

    /// The ids of all leases, those that run out first before the others.
    pub async fn leases(&self) -> Result<Vec<i64>, Error> {
        self.ask(|done| Command::Leases { done }).await
    }

    /// How many keys there are, and what they take of memory.
    pub fn size(&self) -> (usize, usize) {
        self.0.door.shared.read().space.size()
    }
}

fn compare(key: &Bytes, if_revision: Option<u64>) -> Vec<Compare> {
    let one = |n| Compare { keys: Keys::One(key.clone()), target: Target::Modified(signed(n)), is: Comparison::Equal };
    if_revision.map(one).into_iter().collect()
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A place for the bytes of a transaction until it is answered.
fn room(room: &Arc<Semaphore>, txn: &Txn) -> Result<Option<OwnedSemaphorePermit>, Error> {
    let bytes = u32::try_from(txn.value_bytes()).map_err(|_| Error::Busy)?;
    room.clone().try_acquire_many_owned(bytes).map(Some).map_err(|_| Error::Busy)
}
