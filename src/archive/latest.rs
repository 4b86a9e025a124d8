//! Where each stream's segments end in time, so that the name of a file that is begun after all of them, as nearly every
//! one is, takes no read of the index.

use crate::{base::Wall, model::StreamKey};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// The last starts.
#[derive(Default)]
pub struct Latest(Mutex<BTreeMap<StreamKey, OfStream>>);

#[derive(Default)]
struct OfStream {
    /// The start of no segment is later; None before there is one.
    last: Option<Wall>,
    /// What was there before us is in it.
    learnt: bool,
}

impl Latest {
    /// Whether all segments of a stream, as far as is known for certain, begin in milliseconds before this one's.
    pub fn is_before(&self, stream: &StreamKey, start: Wall) -> bool {
        let before = |of: &OfStream| of.learnt && of.last.is_none_or(|last| last.millis() < start.millis());
        self.with(|streams| streams.get(stream).is_some_and(before))
    }

    /// A segment begins then.
    pub fn begins(&self, stream: &StreamKey, start: Wall) {
        self.with(|streams| match streams.get_mut(stream) {
            Some(of) => of.last = of.last.max(Some(start)),
            None => drop(streams.insert(stream.clone(), OfStream { last: Some(start), learnt: false })),
        });
    }

    /// The last segment that the index has begins then.
    pub fn learn(&self, stream: &StreamKey, last: Option<Wall>) {
        self.with(|streams| {
            let of = streams.entry(stream.clone()).or_default();
            (of.last, of.learnt) = (of.last.max(last), true);
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<StreamKey, OfStream>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
