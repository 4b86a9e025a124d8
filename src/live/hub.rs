//! The rings of all streams by their keys, and the word that is left beside them.

use super::{
    Decoder, Delivery, Hold, NoPicture, Picture, Publisher, Reader, Roster, Stills,
    budget::{ALL_GROUPS_BYTES_MAX, Budget},
    ring::Ring,
    still::Door,
};
use crate::{
    base::lanes::{Hurry, Lanes, Seat},
    model::{DeviceId, Frame, StreamKey, TrackKind},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, Weak},
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
    doors: Mutex<BTreeMap<StreamKey, Arc<Door>>>,
    decoder: Mutex<Option<Arc<dyn Decoder>>>,
    lanes: Lanes,
    budget: Arc<Budget>,
    groups: Arc<Budget>,
    seats: Mutex<BTreeMap<StreamKey, Weak<Seat>>>,
}

impl Default for Hub {
    /// All streams on the runtime that spawns their tasks.
    fn default() -> Self {
        Self::new(Lanes::default())
    }
}

impl Hub {
    /// Streams are spread over these threads.
    pub fn new(lanes: Lanes) -> Self {
        Self::within(lanes, Budget::default(), Budget::of(ALL_GROUPS_BYTES_MAX))
    }

    pub(super) fn within(lanes: Lanes, budget: Budget, groups: Budget) -> Self {
        let (budget, groups) = (Arc::new(budget), Arc::new(groups));
        let (names, _) = watch::channel(Arc::default());
        let (rosters, _) = watch::channel(Arc::default());
        let (rings, holds, seats) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (doors, decoder) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { rings, names, rosters, holds, doors, decoder, lanes, budget, groups, seats }))
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.0.budget.held()
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.0.groups.held()
    }

    /// The stream's place on a thread: whoever has work with each of its frames does it there, so that a frame goes
    /// from one to the next without waking a thread. It is kept for as long as anybody holds it.
    pub fn seat(&self, key: &StreamKey) -> Arc<Seat> {
        let mut seats = self.0.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = seats.get(key).and_then(Weak::upgrade) {
            return seat;
        }
        seats.retain(|_, seat| seat.strong_count() > 0);
        let seat = Arc::new(self.0.lanes.seat());
        seats.insert(key.clone(), Arc::downgrade(&seat));
        seat
    }

    /// Opens the stream for publishing. Readers of an earlier publisher of the same key are ended.
    pub fn publisher(&self, key: &StreamKey) -> Publisher {
        let ring = Arc::new(Ring::new(self.0.budget.clone(), self.0.groups.clone()));
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
        self.rings(|rings| rings.get(key).cloned()).map(|ring| Reader::new(ring, false))
    }

    /// As [`Hub::reader`], for somebody who watches: it begins with the current group of pictures where that is kept, and
    /// frames come sooner for as long as it is there.
    pub fn viewer(&self, key: &StreamKey) -> Option<Reader> {
        let ring = self.rings(|rings| rings.get(key).cloned())?;
        Some(Reader::new(ring, true).hurried(self.hurry(key)))
    }

    /// The key frame that a viewer would begin with: the last one where it is kept, else the next. None where the stream
    /// ends before.
    pub async fn key_frame(&self, key: &StreamKey) -> Option<Frame> {
        let mut viewer = self.viewer(key)?;
        loop {
            match viewer.next().await? {
                Delivery::Frame(frame) if frame.key && frame.track == TrackKind::Video => return Some(frame),
                _ => {}
            }
        }
    }

    /// The stream's frames, and answers of its camera, come sooner for as long as this is held.
    pub fn hurry(&self, key: &StreamKey) -> Hurry {
        self.seat(key).hurry()
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

    /// Who is asked for pictures of a stream; None: nobody any more.
    pub fn set_stills(&self, key: &StreamKey, stills: Option<Arc<dyn Stills>>) {
        let mut doors = self.0.doors.lock().unwrap_or_else(PoisonError::into_inner);
        match stills {
            Some(stills) => doors.insert(key.clone(), Arc::new(Door::new(stills))),
            None => doors.remove(key),
        };
    }

    /// A picture of what a stream shows now, from the camera. One request at a time for each stream.
    pub async fn picture(&self, key: &StreamKey) -> Result<Picture, NoPicture> {
        let door = self.0.doors.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        match door {
            Some(door) => door.picture().await,
            None => Err(NoPicture::absent()),
        }
    }

    /// Who makes pictures of key frames.
    pub fn set_decoder(&self, decoder: Arc<dyn Decoder>) {
        *self.0.decoder.lock().unwrap_or_else(PoisonError::into_inner) = Some(decoder);
    }

    /// Who makes pictures of key frames, if anybody can.
    pub fn decoder(&self) -> Option<Arc<dyn Decoder>> {
        self.0.decoder.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
