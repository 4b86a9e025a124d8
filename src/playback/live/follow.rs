//! A stream followed for those who watch: over its camera's absences, for as long as somebody does.

use crate::{
    base::Clock,
    live::{Delivery, Hub, Reader},
    model::{Frame, StreamKey},
    playback::Error,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether somebody watches, and whether a camera that was gone is back.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Streams that are watched at once in one way: each takes up to 24 s of itself in memory.
const STREAMS_MAX: usize = 256;

/// What comes of a stream.
pub(super) enum Heard {
    Frame(Frame),
    /// What comes next does not follow what came before; so many frames were left out.
    Break(u64),
    /// Nothing for a while.
    Quiet,
    /// The daemon stops.
    Stop,
}

/// Who follows.
pub(super) struct Follower {
    hub: Hub,
    clock: Clock,
    stream: StreamKey,
    stop: CancellationToken,
    /// None while the camera is away.
    reader: Option<Reader>,
}

impl Follower {
    pub(super) fn new(hub: Hub, clock: Clock, stream: StreamKey, stop: CancellationToken) -> Result<Self, Error> {
        let reader = hub.viewer(&stream).ok_or_else(|| Error::NotLive(stream.clone()))?;
        Ok(Self { hub, clock, stream, stop, reader: Some(reader) })
    }

    pub(super) async fn next(&mut self) -> Heard {
        let Some(reader) = &mut self.reader else {
            if self.stop.run_until_cancelled(self.clock.sleep(LOOK_EVERY)).await.is_none() {
                return Heard::Stop;
            }
            self.reader = self.hub.viewer(&self.stream);
            return Heard::Quiet;
        };
        let delivery = tokio::select! {
            () = self.stop.cancelled() => return Heard::Stop,
            () = self.clock.sleep(LOOK_EVERY) => return Heard::Quiet,
            delivery = reader.next() => delivery,
        };
        match delivery {
            Some(Delivery::Frame(frame)) => Heard::Frame(frame),
            Some(Delivery::Skipped { frames }) => Heard::Break(frames),
            Some(Delivery::Missing(_) | Delivery::Break(_)) => Heard::Break(0),
            None => {
                self.reader = None;
                Heard::Break(0)
            }
        }
    }
}

/// What is made of each stream that is watched in one way.
pub(super) struct Watched<T>(Mutex<HashMap<StreamKey, Arc<T>>>);

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Watched<T> {
    fn all(&self) -> MutexGuard<'_, HashMap<StreamKey, Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is made of a stream, begun where nothing is. `enter` is called under the lock by which [`Watched::leave_if`]
    /// looks, so that nobody is given what ends; what `begin` gives beside it is called behind that lock.
    pub(super) fn of<S: FnOnce()>(
        &self,
        stream: &StreamKey,
        enter: impl FnOnce(&T),
        begin: impl FnOnce() -> Result<(Arc<T>, S), Error>,
    ) -> Result<Arc<T>, Error> {
        let mut all = self.all();
        if let Some(found) = all.get(stream) {
            enter(found);
            return Ok(found.clone());
        }
        if all.len() >= STREAMS_MAX {
            return Err(Error::TooManyShows(STREAMS_MAX));
        }
        let (begun, start) = begin()?;
        enter(&begun);
        all.insert(stream.clone(), begun.clone());
        drop(all);
        start();
        Ok(begun)
    }

    /// Takes it away if nobody wants it: whether that is so.
    pub(super) fn leave_if(&self, stream: &StreamKey, mine: &Arc<T>, unwanted: impl FnOnce(&T) -> bool) -> bool {
        let mut all = self.all();
        let leaves = unwanted(mine);
        // One that was unwanted before has a successor perhaps.
        if leaves && all.get(stream).is_some_and(|found| Arc::ptr_eq(found, mine)) {
            all.remove(stream);
        }
        leaves
    }
}
