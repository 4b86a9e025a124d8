//! The ring of one stream.

use super::{Absence, Hold, budget::Budget};
use crate::{
    base::lanes::Hurry,
    model::{Frame, GapCause, TrackKind},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{Notify, watch};

/// Most frames that wait for the slowest reader of one stream: about 20 s of 25 pictures and 25 sounds a second.
pub const RING_FRAMES_MAX: usize = 1024;
/// Most bytes that wait for the slowest reader of one stream: 16 s at 16 Mb/s.
pub const RING_BYTES_MAX: usize = 32 << 20;
/// Most bytes that are kept of one stream for viewers who may come: 4 s at 16 Mb/s.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Most frames, likewise: 10 s of 25 pictures and 25 sounds a second.
const GROUP_FRAMES_MAX: u64 = 500;

/// What a reader is given.
#[derive(Debug)]
pub enum Delivery {
    /// The next frame.
    Frame(Frame),
    /// This reader was too slow, or frames were missing at the source: so many frames were left out. The next frame
    /// is a key frame.
    Skipped {
        /// How many.
        frames: u64,
    },
    /// Frames are missing here, which the camera sent and nobody got, or never sent. The next picture is a key frame.
    Missing(GapCause),
    /// The session with the camera ended for this reason; ticks start anew.
    Break(Arc<str>),
}

#[derive(Clone)]
enum Item {
    Frame(Frame),
    Missing(GapCause),
    Break(Arc<str>),
}

pub(super) struct Ring {
    state: Mutex<State>,
    wake: Notify,
    absence: watch::Sender<Option<Absence>>,
    /// Why nobody wants frames; None while somebody does.
    demand: watch::Sender<Option<Hold>>,
}

struct State {
    items: VecDeque<Item>,
    bytes: usize,
    /// Number of the first item in `items`; numbers never repeat within a ring.
    first: u64,
    /// Next item of each reader.
    readers: BTreeMap<u64, u64>,
    next_reader: u64,
    ended: bool,
    hold: Option<Hold>,
    /// Readers were told why no frames come.
    absent: bool,
    /// What all rings hold.
    budget: Arc<Budget>,
    /// What is kept for viewers who may come.
    group: Option<Group>,
    /// What all groups hold.
    groups: Arc<Budget>,
}

/// The frames since the last key frame, with which a viewer can begin at once.
struct Group {
    first: u64,
    bytes: usize,
}

impl Drop for State {
    fn drop(&mut self) {
        self.end_group();
        self.groups.leave(0);
        self.budget.leave(self.bytes);
    }
}

/// The one writer of a stream. Dropping it ends the stream for all readers, once they have read what is left.
pub struct Publisher {
    ring: Arc<Ring>,
    on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

/// One of many readers of a stream.
pub struct Reader {
    ring: Arc<Ring>,
    id: u64,
    /// Video is worthless until the next key frame: at the start, and after a skip.
    wants_key: bool,
    skipped: u64,
    /// The reader has been told of a frame, so that what it misses from now on is a loss and not a late start.
    begun: bool,
    /// Held for somebody who watches.
    _hurry: Option<Hurry>,
}

impl Ring {
    pub(super) fn new(budget: Arc<Budget>, groups: Arc<Budget>) -> Self {
        budget.enter();
        groups.enter();
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                first: 0,
                readers: BTreeMap::new(),
                next_reader: 0,
                ended: false,
                hold: None,
                absent: false,
                budget,
                group: None,
                groups,
            }),
            wake: Notify::default(),
            absence: watch::Sender::default(),
            demand: watch::Sender::default(),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn end(&self) {
        self.with(|s| s.ended = true);
        self.wake.notify_waiters();
    }

    pub(super) fn readers(&self) -> usize {
        self.with(|s| s.readers.len())
    }

    pub(super) fn set_hold(&self, hold: Option<Hold>) {
        self.with(|s| {
            s.hold = hold;
            self.weigh(s);
        });
    }

    /// Says whether frames are wanted. Under the lock, so that two changes cannot be told in the wrong order.
    fn weigh(&self, state: &State) {
        let hold = state.hold.as_ref().filter(|_| state.readers.is_empty());
        self.demand.send_if_modified(|now| {
            let news = now.as_ref() != hold;
            if news {
                *now = hold.cloned();
            }
            news
        });
    }

    fn push(&self, item: Item) {
        let returned = self.with(|s| {
            if s.ended {
                return false;
            }
            let returned = matches!(item, Item::Frame(_)) && std::mem::take(&mut s.absent);
            s.bytes += item.bytes();
            s.budget.take(item.bytes());
            s.regroup(&item);
            s.items.push_back(item);
            s.trim();
            returned
        });
        if returned {
            self.absence.send_replace(None);
        }
        self.wake.notify_waiters();
    }
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Item::Frame(f) => f.data.len(),
            Item::Missing(_) | Item::Break(_) => 0,
        }
    }
}

impl State {
    fn end_number(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// Looks at what comes next: whether a viewer could begin with it, or not any more with what is kept.
    fn regroup(&mut self, item: &Item) {
        let Item::Frame(frame) = item else { return self.end_group() };
        if frame.key && frame.track == TrackKind::Video {
            self.end_group();
            self.group = Some(Group { first: self.end_number(), bytes: 0 });
        }
        let (next, bytes) = (self.end_number(), frame.data.len());
        let Some(group) = &mut self.group else { return };
        group.bytes += bytes;
        self.groups.take(bytes);
        let is_over = group.bytes > GROUP_BYTES_MAX || next - group.first >= GROUP_FRAMES_MAX;
        if is_over || group.bytes > self.groups.allowance() {
            self.end_group();
        }
    }

    fn end_group(&mut self) {
        if let Some(group) = self.group.take() {
            self.groups.give(group.bytes);
        }
    }

    /// Drops what every reader has and no viewer would begin with, and the oldest over the limits.
    fn trim(&mut self) {
        let read_to = self.readers.values().copied().min().unwrap_or_else(|| self.end_number());
        let needed_from = self.group.as_ref().map_or(read_to, |group| read_to.min(group.first));
        // What all together may not hold is given back as far as it is more than a share: never the newest frame.
        let over = |s: &Self| s.bytes > RING_BYTES_MAX || (s.items.len() > 1 && s.bytes > s.budget.allowance());
        while self.first < needed_from || self.items.len() > RING_FRAMES_MAX || over(self) {
            let Some(item) = self.items.pop_front() else { break };
            self.bytes -= item.bytes();
            self.budget.give(item.bytes());
            self.first += 1;
        }
        if self.group.as_ref().is_some_and(|group| group.first < self.first) {
            self.end_group();
        }
    }
}

impl Publisher {
    pub(super) fn new(ring: Arc<Ring>, on_drop: Box<dyn FnOnce() + Send + Sync>) -> Self {
        Self { ring, on_drop: Some(on_drop) }
    }

    /// Hands a frame to all readers. Never waits.
    pub fn publish(&self, frame: Frame) {
        self.ring.push(Item::Frame(frame));
    }

    /// Says why no frames come, until the next one does.
    pub fn absent(&self, absence: Absence) {
        self.ring.with(|s| s.absent = true);
        self.ring.absence.send_if_modified(|now| now.replace(absence) != Some(absence));
    }

    /// Tells readers that frames are missing here, and why.
    pub fn missing(&self, cause: GapCause) {
        self.ring.push(Item::Missing(cause));
    }

    /// Whether frames are wanted: None, or why not. As it changes.
    pub fn demand(&self) -> watch::Receiver<Option<Hold>> {
        self.ring.demand.subscribe()
    }

    /// Tells readers that the session ended: what comes next does not follow what came before.
    pub fn break_session(&self, reason: &str) {
        self.ring.push(Item::Break(reason.into()));
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.ring.end();
        if let Some(remove) = self.on_drop.take() {
            remove();
        }
    }
}

impl Reader {
    /// `at_once`: it begins with what is kept for that, if there is some.
    pub(super) fn new(ring: Arc<Ring>, at_once: bool) -> Self {
        let id = ring.with(|s| {
            let id = s.next_reader;
            s.next_reader += 1;
            let kept = s.group.as_ref().filter(|_| at_once).map(|group| group.first);
            let begin = kept.unwrap_or_else(|| s.end_number());
            s.readers.insert(id, begin);
            ring.weigh(s);
            id
        });
        Self { ring, id, wants_key: true, skipped: 0, begun: false, _hurry: None }
    }

    /// For somebody who watches.
    pub(super) fn hurried(mut self, hurry: Hurry) -> Self {
        self._hurry = Some(hurry);
        self
    }

    /// The next frame, skip or break; None once the publisher is gone and all was read. Cancel-safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            // Mostly there is something: only who must wait pays for being woken.
            match self.try_next() {
                Take::Item(delivery) => return Some(delivery),
                Take::Ended => return None,
                Take::Empty => {}
            }
            let ring = self.ring.clone();
            let woken = ring.wake.notified();
            tokio::pin!(woken);
            // Registered before looking again, so that a frame published in between still wakes us.
            woken.as_mut().enable();
            match self.try_next() {
                Take::Item(delivery) => return Some(delivery),
                Take::Ended => return None,
                Take::Empty => woken.await,
            }
        }
    }

    /// Why no frames come, if that is known, as it changes.
    pub fn absence(&self) -> watch::Receiver<Option<Absence>> {
        self.ring.absence.subscribe()
    }

    /// What is there now without waiting; None where there is nothing yet or nothing more.
    pub fn try_read(&mut self) -> Option<Delivery> {
        match self.try_next() {
            Take::Item(delivery) => Some(delivery),
            Take::Ended | Take::Empty => None,
        }
    }

    fn try_next(&mut self) -> Take {
        loop {
            let (item, lost) = match self.ring.clone().with(|s| s.take(self.id)) {
                Ok(taken) => taken,
                Err(end) => return end,
            };
            if lost > 0 {
                self.wants_key = true;
                self.skipped += lost;
            }
            match item {
                Item::Break(reason) => {
                    self.wants_key = true;
                    self.skipped = 0;
                    return Take::Item(Delivery::Break(reason));
                }
                // Who has not begun yet, or waits for a key frame anyhow, misses nothing more by it.
                Item::Missing(_) if self.wants_key => {}
                Item::Missing(cause) => return Take::Item(Delivery::Missing(cause)),
                Item::Frame(frame) if self.wants_key && !(frame.key && frame.track == TrackKind::Video) => {
                    self.skipped += 1;
                }
                Item::Frame(frame) => {
                    let missed = std::mem::take(&mut self.skipped);
                    self.wants_key = false;
                    if missed > 0 && std::mem::replace(&mut self.begun, true) {
                        self.ring.with(|s| s.put_back(self.id, frame));
                        return Take::Item(Delivery::Skipped { frames: missed });
                    }
                    self.begun = true;
                    return Take::Item(Delivery::Frame(frame));
                }
            }
        }
    }
}

impl State {
    /// The reader's next item and how many were dropped before it.
    fn take(&mut self, reader: u64) -> Result<(Item, u64), Take> {
        let first = self.first;
        let end = self.end_number();
        let next = self.readers.entry(reader).or_insert(end);
        let lost = first.saturating_sub(*next);
        let at = *next + lost;
        if at >= end {
            *next = at;
            return Err(if self.ended { Take::Ended } else { Take::Empty });
        }
        *next = at + 1;
        let item = self.items[(at - first) as usize].clone();
        self.trim();
        Ok((item, lost))
    }

    /// Undoes the last `take` of a reader, even where the item has just been dropped as read by all.
    fn put_back(&mut self, reader: u64, frame: Frame) {
        let Some(next) = self.readers.get_mut(&reader) else { return };
        *next -= 1;
        if *next < self.first {
            self.first = *next;
            self.bytes += frame.data.len();
            self.budget.take(frame.data.len());
            self.items.push_front(Item::Frame(frame));
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.ring.with(|s| {
            s.readers.remove(&self.id);
            self.ring.weigh(s);
            s.trim();
        });
    }
}

enum Take {
    Item(Delivery),
    Empty,
    Ended,
}
