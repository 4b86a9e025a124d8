//! Frames in flight: one publisher a stream, many readers, a bounded ring between them.
//!
//! A reader that is too slow never holds the publisher back: it skips to the next key frame and is told how many
//! frames it lost. Never does: touch a disk, know what a camera or a file is.
//!
//! ```text
//! camera ── Publisher::publish ──► ring of one stream ──► Reader::next ── recorder, players
//!                                  (bounded in frames and bytes; a frame goes once all readers have it)
//! ```

mod ring;

pub use ring::{Delivery, Publisher, RING_BYTES_MAX, RING_FRAMES_MAX, Reader};

use crate::model::StreamKey;
use ring::Ring;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// All streams that have a publisher now. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    rings: Mutex<BTreeMap<StreamKey, Arc<Ring>>>,
    names: watch::Sender<Arc<BTreeSet<StreamKey>>>,
}

impl Default for Hub {
    fn default() -> Self {
        let (names, _) = watch::channel(Arc::default());
        Self(Arc::new(Shared { rings: Mutex::default(), names }))
    }
}

impl Hub {
    /// Opens the stream for publishing. Readers of an earlier publisher of the same key are ended.
    pub fn publisher(&self, key: &StreamKey) -> Publisher {
        let ring = Arc::new(Ring::default());
        let replaced = self.rings(|rings| rings.insert(key.clone(), ring.clone()));
        if let Some(old) = replaced {
            old.end();
        }
        self.announce();
        let hub = self.clone();
        let (key, mine) = (key.clone(), ring.clone());
        Publisher::new(ring, Box::new(move || hub.remove(&key, &mine)))
    }

    /// A reader that gets the frames published from now on, from the next key frame. None without a publisher.
    pub fn reader(&self, key: &StreamKey) -> Option<Reader> {
        self.rings(|rings| rings.get(key).cloned()).map(Reader::new)
    }

    /// How many readers the stream has.
    pub fn readers(&self, key: &StreamKey) -> usize {
        self.rings(|rings| rings.get(key).cloned()).map_or(0, |ring| ring.readers())
    }

    /// The streams that have a publisher, as the set changes.
    pub fn streams(&self) -> watch::Receiver<Arc<BTreeSet<StreamKey>>> {
        self.0.names.subscribe()
    }

    fn remove(&self, key: &StreamKey, ring: &Arc<Ring>) {
        self.rings(|rings| {
            // A publisher that was replaced must not take its successor away.
            if rings.get(key).is_some_and(|current| Arc::ptr_eq(current, ring)) {
                rings.remove(key);
            }
        });
        self.announce();
    }

    fn announce(&self) {
        // Under the watch's own lock, so that two changes cannot be announced in the wrong order.
        self.0.names.send_modify(|names| {
            *names = Arc::new(self.rings(|rings| rings.keys().cloned().collect()));
        });
    }

    fn rings<T>(&self, f: impl FnOnce(&mut BTreeMap<StreamKey, Arc<Ring>>) -> T) -> T {
        f(&mut self.0.rings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
