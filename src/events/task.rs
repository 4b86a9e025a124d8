//! The task: gives ids, commits, trims, publishes.

use super::{
    Error,
    handle::{Events, key},
};
use crate::{
    base::{
        Backoff, Clock, Kind, Metrics,
        metrics::{Counter, Gauge},
    },
    model::Event,
    store::{Batch, Codec, Keyspace, Store},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Events that are kept; older ones are trimmed. About a megabyte or two, and days of a quiet site.
pub const EVENTS_MAX: u64 = 10_000;
/// Events that may wait for a commit. A storm beyond it is counted, not kept: the first of it tell the story.
const QUEUE_MAX: usize = 4096;
/// Events of one commit.
const EVENTS_PER_COMMIT_MAX: usize = 512;
/// Longest JSON of an event's data.
const DATA_BYTES_MAX: usize = 16 << 10;
/// How long to wait before events are offered again to a store that has no room.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(5);

pub(super) const EVENTS: Keyspace<Event> = Keyspace::new(1, "events", Codec::Json);

/// Owns the ids and the order of the log.
pub struct EventsTask {
    store: Store,
    clock: Clock,
    queue: mpsc::Receiver<Event>,
    last: Arc<watch::Sender<u64>>,
    /// The oldest id kept; above `last` where there is none.
    oldest: u64,
    kept_max: u64,
    written: Counter,
    lost: Counter,
    kept: Gauge,
}

/// Reads where the log ended and makes its handle and task. Blocks for two reads of the store.
pub fn build(store: Store, clock: Clock, metrics: &Metrics) -> Result<(Events, EventsTask), Error> {
    build_with(store, clock, metrics, EVENTS_MAX)
}

pub(super) fn build_with(
    store: Store,
    clock: Clock,
    metrics: &Metrics,
    kept_max: u64,
) -> Result<(Events, EventsTask), Error> {
    let newest = store.range(&EVENTS, ..).next_back().transpose()?.map_or(0, |(_, event)| event.id);
    let oldest = store.range(&EVENTS, ..).next().transpose()?.map_or(newest + 1, |(_, event)| event.id);
    let last = Arc::new(watch::Sender::new(newest));
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let written = metrics.register("events", "Events written to the log", Counter::default());
    let lost = metrics.register("events_lost", "Events lost to a full queue or a failed store", Counter::default());
    let kept = metrics.register("events_kept", "Events in the log", Gauge::default());
    let handle = Events {
        queue: sender,
        last: last.clone(),
        store: Some(store.clone()),
        clock: clock.clone(),
        lost: lost.clone(),
    };
    Ok((handle, EventsTask { store, clock, queue, last, oldest, kept_max, written, lost, kept }))
}

impl EventsTask {
    /// Writes events until stopped, and then those that wait already.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut waiting = Vec::with_capacity(EVENTS_PER_COMMIT_MAX);
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled(), if !self.queue.is_closed() => {
                    // What was sent before the stop is still received; then `recv_many` answers 0.
                    self.queue.close();
                    continue;
                }
                taken = self.queue.recv_many(&mut waiting, EVENTS_PER_COMMIT_MAX) => taken,
            };
            if taken == 0 {
                return;
            }
            self.write(&mut waiting, &stop).await;
        }
    }

    /// Commits `waiting` and publishes the new last id.
    async fn write(&mut self, waiting: &mut Vec<Event>, stop: &CancellationToken) {
        let count = waiting.len() as u64;
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        loop {
            let (batch, last, oldest) = match self.stage(waiting) {
                Ok(staged) => staged,
                Err(error) => return self.lose(waiting, &error),
            };
            match self.store.commit(batch).await {
                Ok(_) => {
                    (self.oldest, _) = (oldest, self.last.send_replace(last));
                    self.written.inc_by(count);
                    self.kept.set((last + 1 - oldest) as i64);
                    waiting.clear();
                    return;
                }
                // A full disk becomes less full; meanwhile the queue takes what it can.
                Err(error) if error.kind() == Kind::NoSpace && !stop.is_cancelled() => {
                    let wait = backoff.next(rand::random());
                    tracing::warn!(%error, events = count, "events wait for space");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = self.clock.sleep(wait) => {}
                    }
                }
                Err(error) => return self.lose(waiting, &error),
            }
        }
    }

    /// Rows for `waiting` under the next ids, and the trimming of as many old ones: what the log will be if they are committed.
    fn stage(&self, waiting: &mut [Event]) -> Result<(Batch, u64, u64), crate::store::Error> {
        let mut last = *self.last.borrow();
        let mut batch = Batch::new();
        for event in waiting {
            last += 1;
            event.id = last;
            bound(event);
            batch = batch.put(&EVENTS, &key(event.id), event)?;
        }
        let oldest = self.oldest.max((last + 1).saturating_sub(self.kept_max));
        for id in self.oldest..oldest {
            batch = batch.delete(&EVENTS, &key(id));
        }
        Ok((batch, last, oldest))
    }

    fn lose(&self, waiting: &mut Vec<Event>, error: &crate::store::Error) {
        tracing::error!(%error, events = waiting.len(), "events could not be stored");
        self.lost.inc_by(waiting.len() as u64);
        waiting.clear();
    }
}

/// Cuts data that is out of bounds: the log is not a place for documents.
fn bound(event: &mut Event) {
    let bytes = serde_json::to_vec(&event.data).map_or(usize::MAX, |json| json.len());
    if bytes > DATA_BYTES_MAX {
        event.data = serde_json::json!({ "left_out_bytes": bytes });
    }
}
