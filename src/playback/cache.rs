//! Plans that were made lately, so that many `Range` requests over one range plan once. Bounded by bytes.

use super::plan::Plan;
use crate::{
    archive::Version,
    model::{Range, StreamKey},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Memory for plans, in bytes. A day at 25 frames a second takes about 30 MiB.
const CACHE_BYTES_MAX: usize = 96 << 20;

/// Least recently used first to go.
#[derive(Default)]
pub(super) struct Cache(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    entries: HashMap<(StreamKey, Range), Entry>,
    bytes: usize,
    /// Grows with every use.
    uses: u64,
}

struct Entry {
    /// What the plan was made from.
    fingerprint: u64,
    /// It is all there was, as of these changes of the stream.
    version: Version,
    plan: Arc<Plan>,
    bytes: usize,
    used: u64,
}

impl Cache {
    /// The plan of a range, if it was made from just this, as is known now as of these changes.
    pub(super) fn get(&self, stream: &StreamKey, range: Range, made_of: (u64, Version)) -> Option<Arc<Plan>> {
        let (fingerprint, version) = made_of;
        self.used(stream, range, |entry| {
            let is_same = entry.fingerprint == fingerprint;
            if is_same {
                entry.version = version;
            }
            is_same
        })
    }

    /// The plan of a range, if the stream has not changed since it was found right.
    pub(super) fn at_hand(&self, stream: &StreamKey, range: Range, version: Version) -> Option<Arc<Plan>> {
        self.used(stream, range, |entry| entry.version == version)
    }

    fn used(&self, stream: &StreamKey, range: Range, fits: impl FnOnce(&mut Entry) -> bool) -> Option<Arc<Plan>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.uses += 1;
        let uses = inner.uses;
        let entry = inner.entries.get_mut(&(stream.clone(), range))?;
        if !fits(entry) {
            return None;
        }
        entry.used = uses;
        Some(entry.plan.clone())
    }

    /// Keeps a plan; one that alone is more than the cache may hold is not kept.
    pub(super) fn put(&self, stream: &StreamKey, range: Range, made_of: (u64, Version), plan: &Arc<Plan>) {
        let (fingerprint, version) = made_of;
        let bytes = plan.memory_bytes();
        if bytes > CACHE_BYTES_MAX {
            return;
        }
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.uses += 1;
        let entry = Entry { fingerprint, version, plan: plan.clone(), bytes, used: inner.uses };
        inner.bytes += bytes;
        if let Some(old) = inner.entries.insert((stream.clone(), range), entry) {
            inner.bytes -= old.bytes;
        }
        while inner.bytes > CACHE_BYTES_MAX {
            let oldest = inner.entries.iter().min_by_key(|(_, e)| e.used).map(|(key, _)| key.clone());
            let Some(gone) = oldest.and_then(|key| inner.entries.remove(&key)) else { break };
            inner.bytes -= gone.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Wall;
    use crate::media::vod::Layout;

    #[test]
    fn the_least_used_goes_first_and_bytes_stay_bounded() {
        let cache = Cache::default();
        let stream: StreamKey = "nvr1/1/main".parse().unwrap();
        let range = |n| Range { from: Wall::from_micros(n), to: Wall::from_micros(n + 1) };
        let plan = || {
            let head = vec![0; CACHE_BYTES_MAX / 3 - 1_000].into();
            Arc::new(Plan::new(Layout::new(head, vec![], String::new()), vec![]))
        };
        for n in 0..3 {
            cache.put(&stream, range(n), (7, (0, 0)), &plan());
        }
        assert!(cache.get(&stream, range(0), (7, (0, 0))).is_some());
        assert!(cache.get(&stream, range(0), (8, (0, 0))).is_none(), "made from something else");
        cache.put(&stream, range(3), (7, (0, 0)), &plan());
        assert!(cache.get(&stream, range(1), (7, (0, 0))).is_none(), "the least recently used");
        assert!(
            cache.get(&stream, range(0), (7, (0, 0))).is_some() && cache.get(&stream, range(3), (7, (0, 0))).is_some()
        );
        cache.put(&stream, range(3), (9, (0, 0)), &plan());
        let inner = cache.0.lock().unwrap();
        assert_eq!(inner.bytes, inner.entries.values().map(|e| e.bytes).sum::<usize>());
    }
}
