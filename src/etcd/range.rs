//! Which of the entries that were found are answered, and in which order. Pure.

use super::{
    node::signed,
    wire::{KeyValue, RangeRequest},
};
use crate::registry::{Entry, Keys, Query};
use bytes::Bytes;
use std::{cmp::Ordering, sync::Arc};

/// Numbers of the protocol.
const NONE: i32 = 0;
const DESCEND: i32 = 2;
const KEY: i32 = 0;
const VERSION: i32 = 1;
const CREATE: i32 = 2;
const MOD: i32 = 3;
const VALUE: i32 = 4;

/// The keys that a request means.
pub(super) fn keys(key: &Bytes, range_end: &Bytes) -> Keys {
    // The registry keeps keys for long; a piece of the request would keep all of it.
    let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    match &range_end[..] {
        [] => Keys::One(own(key)),
        [0] => Keys::From(own(key)),
        _ => Keys::Between(own(key), own(range_end)),
    }
}

/// What is asked of the registry: all of the entries where it takes all to choose.
pub(super) fn query(request: &RangeRequest) -> Query {
    let limit = match (request.count_only, usize::try_from(request.limit)) {
        (true, _) => Some(0),
        // One more tells whether there are more.
        (false, Ok(limit)) if limit > 0 && !is_chosen(request) => Some(limit.saturating_add(1)),
        _ => None,
    };
    let at = u64::try_from(request.revision).ok().filter(|at| *at > 0);
    Query { keys: keys(&request.key, &request.range_end), at, limit }
}

/// Whether all entries have to be looked at.
fn is_chosen(request: &RangeRequest) -> bool {
    request.sort_order != NONE
        || request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

/// The entries that are answered, and whether there are more.
pub(super) fn choose(request: &RangeRequest, mut found: Vec<(Bytes, Arc<Entry>)>) -> (Vec<KeyValue>, bool) {
    let least = |n: u64, bound: i64| bound == 0 || signed(n) >= bound;
    let most = |n: u64, bound: i64| bound == 0 || signed(n) <= bound;
    found.retain(|(_, e)| {
        most(e.modified, request.max_mod_revision)
            && least(e.modified, request.min_mod_revision)
            && most(e.created, request.max_create_revision)
            && least(e.created, request.min_create_revision)
    });
    if request.sort_order != NONE || request.sort_target != KEY {
        let order = |a: &(Bytes, Arc<Entry>), b: &(Bytes, Arc<Entry>)| match request.sort_target {
            KEY => a.0.cmp(&b.0),
            VERSION => a.1.version.cmp(&b.1.version),
            CREATE => a.1.created.cmp(&b.1.created),
            MOD => a.1.modified.cmp(&b.1.modified),
            VALUE => a.1.value.cmp(&b.1.value),
            _ => Ordering::Equal,
        };
        match request.sort_order {
            DESCEND => found.sort_by(|a, b| order(b, a)),
            _ => found.sort_by(order),
        }
    }
    let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let answered = found.into_iter().map(|(key, entry)| match request.keys_only {
        true => KeyValue { value: Bytes::new(), ..pair(key, &entry) },
        false => pair(key, &entry),
    });
    (answered.collect(), more)
}

/// A key with its entry.
pub(super) fn pair(key: Bytes, entry: &Entry) -> KeyValue {
    KeyValue {
        key,
        value: entry.value.clone(),
        create_revision: signed(entry.created),
        mod_revision: signed(entry.modified),
        version: signed(entry.version),
        lease: entry.lease,
    }
}
