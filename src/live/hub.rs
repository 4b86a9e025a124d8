//! The rings of all streams by their keys, and the word that is left beside them.

use super::{Hold, Publisher, Reader, Roster, ring::Ring};
use crate::model::{DeviceId, StreamKey};

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
    rosters: watch::Sender<Arc<BTreeMap<DeviceId, Roster>>>,
    holds: Mutex<BTreeMap<StreamKey, Hold>>,
}

impl Default for Hub {
    fn default() -> Self {
        let (names, _) = watch::channel(Arc::default());
        let (rosters, _) = watch::channel(Arc::default());
        Self(Arc::new(Shared { rings: Mutex::default(), names, rosters, holds: Mutex::default() }))
    }
}

impl Hub {
    /// Opens the stream for publishing. Readers of an earlier publisher of the same key are ended.
    pub fn publisher(&self, key: &StreamKey) -> Publisher {
        let ring = Arc::new(Ring::default());
        ring.set_hold(self.holds(|holds| holds.get(key).cloned()));
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

    /// Frames of the stream are not wanted any more by who records them, or are again: None. It holds for every
    /// publisher of the stream from now on.
    pub fn hold(&self, key: &StreamKey, hold: Option<Hold>) {
        self.holds(|holds| match &hold {
            Some(hold) => holds.insert(key.clone(), hold.clone()),
            None => holds.remove(key),
        });
        if let Some(ring) = self.rings(|rings| rings.get(key).cloned()) {
            ring.set_hold(hold);
        }
    }

    /// What a device is known to have; None: it is no longer configured.
    pub fn set_roster(&self, device: &DeviceId, roster: Option<Roster>) {
        self.0.rosters.send_if_modified(|all| {
            let news = all.get(device) != roster.as_ref();
            if news {
                let all = Arc::make_mut(all);
                match roster {
                    Some(roster) => all.insert(device.clone(), roster),
                    None => all.remove(device),
                };
            }
            news
        });
    }

    /// What each device is known to have, as it changes.
    pub fn rosters(&self) -> watch::Receiver<Arc<BTreeMap<DeviceId, Roster>>> {
        self.0.rosters.subscribe()
    }

    fn holds<T>(&self, f: impl FnOnce(&mut BTreeMap<StreamKey, Hold>) -> T) -> T {
        f(&mut self.0.holds.lock().unwrap_or_else(PoisonError::into_inner))
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
