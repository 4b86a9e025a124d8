//! The handle: report, read from a cursor, watch.

use super::{Error, task::EVENTS};
use crate::{
    base::{Clock, metrics::Counter},
    model::{Event, EventKind},
    store::Store,
};
use std::{ops::Bound, sync::Arc};
use tokio::sync::{mpsc, watch};

/// The log. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    pub(super) queue: mpsc::Sender<Event>,
    pub(super) last: Arc<watch::Sender<u64>>,
    /// Absent in a log that keeps nothing.
    pub(super) store: Option<Store>,
    pub(super) clock: Clock,
    pub(super) lost: Counter,
}

impl Events {
    /// A log that keeps nothing, for tests of rooms that report.
    pub fn discard() -> Self {
        Self {
            queue: mpsc::channel(1).0,
            last: Arc::new(watch::Sender::new(0)),
            store: None,
            clock: Clock::real(),
            lost: Counter::default(),
        }
    }

    /// Reports that something happened, now. Never blocks and never fails; an event that finds the queue full is
    /// counted as lost. `data` never holds a secret.
    pub fn emit(&self, kind: &str, subject: impl ToString, data: serde_json::Value) {
        let event =
            Event { id: 0, time: self.clock.wall(), kind: EventKind::new(kind), subject: subject.to_string(), data };
        if self.queue.try_send(event).is_err() && self.store.is_some() {
            self.lost.inc();
        }
    }

    /// Up to `limit` events after the one with id `cursor`, oldest first; 0 begins at the oldest that is kept. A cursor
    /// beyond the last id belongs to a log that was replaced by an older one, and begins at the oldest too. Blocks where
    /// the store's cache has not got them.
    pub fn after(&self, cursor: u64, limit: usize) -> Result<Vec<Event>, Error> {
        let last = *self.last.borrow();
        let cursor = if cursor > last { 0 } else { cursor };
        let range = (Bound::Excluded(key(cursor)), Bound::Included(key(last)));
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        if cursor == last {
            return Ok(Vec::new());
        }
        let rows = store.range(&EVENTS, range).take(limit);
        Ok(rows.map(|row| row.map(|(_, event)| event)).collect::<Result<_, _>>()?)
    }

    /// The id of the last durable event, as it grows; 0 before the first.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }
}

/// The store's key of an id: ids sort as keys do.
pub(super) fn key(id: u64) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}
