//! One stream as it is shown to all who watch it.

use super::{
    cutter::{Cutter, Made},
    window::Window,
};
use crate::{
    base::{
        Clock, Metrics, TaskGroup,
        metrics::{Counter, Gauge},
    },
    live::{Delivery, Hub, Reader},
    model::StreamKey,
    playback::Error,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// A show that nobody asks anything of for so long ends, and its camera's stream is not asked for by it any more.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How often a show looks whether somebody watches, and whether a camera that was gone is back.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Shows at once: each takes up to 24 s of its stream in memory.
const SHOWS_MAX: usize = 256;

/// All shows. Cheap to clone.
#[derive(Clone)]
pub(in crate::playback) struct Shows(Arc<Shared>);

struct Shared {
    shows: Mutex<HashMap<StreamKey, Arc<Show>>>,
    hub: Hub,
    clock: Clock,
    group: TaskGroup,
    running: Gauge,
    skipped: Counter,
}

/// What is known of one stream.
pub(super) struct Show {
    /// Part of its files' names, so that those of another show of the stream are others.
    pub(super) id: u64,
    window: Mutex<Option<Window>>,
    /// What comes next, and whether it has ended.
    next: watch::Sender<Next>,
    asked: Mutex<Instant>,
}

/// Up to where a show has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) segment: u64,
    pub(super) part: usize,
    /// There is a whole segment.
    pub(super) begun: bool,
    pub(super) ended: bool,
}

impl Shows {
    pub(in crate::playback) fn new(hub: Hub, clock: Clock, group: TaskGroup, metrics: &Metrics) -> Self {
        let running = metrics.register("live_shows", "Streams that are shown live as HLS", Gauge::default());
        let skipped = metrics.register(
            "live_skipped_frames",
            "Frames that were left out of what is shown live, since it was made too slowly",
            Counter::default(),
        );
        Self(Arc::new(Shared { shows: Mutex::default(), hub, clock, group, running, skipped }))
    }

    /// The show of a stream, begun where there is none.
    pub(super) fn of(&self, stream: &StreamKey) -> Result<Arc<Show>, Error> {
        let now = self.0.clock.now();
        let mut shows = self.0.shows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(show) = shows.get(stream) {
            show.is_asked(now);
            return Ok(show.clone());
        }
        if shows.len() >= SHOWS_MAX {
            return Err(Error::TooManyShows(SHOWS_MAX));
        }
        let Some(reader) = self.0.hub.viewer(stream) else { return Err(Error::NotLive(stream.clone())) };
        // Later shows of a stream begin with higher numbers than the ones before had.
        let first = u64::try_from(self.0.clock.wall().micros()).unwrap_or(0) / 1_000_000;
        let show = Arc::new(Show {
            id: rand::random::<u32>().into(),
            window: Mutex::default(),
            next: watch::Sender::new(Next { segment: first, ..Next::default() }),
            asked: Mutex::new(now),
        });
        shows.insert(stream.clone(), show.clone());
        self.0.running.inc();
        let running = Running { shows: self.clone(), stream: stream.clone(), show: show.clone(), first };
        let stop = self.0.group.stop_token();
        self.0.group.spawn("live show", running.run(reader, stop));
        Ok(show)
    }
}

impl Show {
    fn is_asked(&self, now: Instant) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Looks at what there is; None before the first picture.
    pub(super) fn look<T>(&self, f: impl FnOnce(&Window) -> T) -> Option<T> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(f)
    }

    /// As it comes on.
    pub(super) fn watch(&self) -> watch::Receiver<Next> {
        self.next.subscribe()
    }
}

/// The task of a show.
struct Running {
    shows: Shows,
    stream: StreamKey,
    show: Arc<Show>,
    first: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut shows = self.shows.0.shows.lock().unwrap_or_else(PoisonError::into_inner);
        // A show that was idle has a successor perhaps.
        if shows.get(&self.stream).is_some_and(|show| Arc::ptr_eq(show, &self.show)) {
            shows.remove(&self.stream);
        }
        drop(shows);
        self.shows.0.running.dec();
        self.show.next.send_modify(|next| next.ended = true);
    }
}

impl Running {
    async fn run(self, reader: Reader, stop: CancellationToken) {
        let (mut cutter, mut reader) = (Cutter::default(), Some(reader));
        let shared = &self.shows.0;
        while !self.is_idle() {
            let Some(from) = &mut reader else {
                // The camera is away; once it is back, the show goes on.
                if stop.run_until_cancelled(shared.clock.sleep(LOOK_EVERY)).await.is_none() {
                    return;
                }
                reader = shared.hub.viewer(&self.stream);
                continue;
            };
            let delivery = tokio::select! {
                () = stop.cancelled() => return,
                () = shared.clock.sleep(LOOK_EVERY) => continue,
                delivery = from.next() => delivery,
            };
            let made = match delivery {
                Some(Delivery::Frame(frame)) => cutter.push(frame),
                Some(Delivery::Skipped { frames }) => {
                    shared.skipped.inc_by(frames);
                    cutter.interrupt()
                }
                Some(Delivery::Missing(_) | Delivery::Break(_)) => cutter.interrupt(),
                None => {
                    reader = None;
                    cutter.interrupt()
                }
            };
            match made {
                Ok(made) => self.show(&cutter, made),
                Err(error) => {
                    tracing::warn!(stream = %self.stream, %error, "what is live cannot be shown");
                    return;
                }
            }
        }
    }

    fn show(&self, cutter: &Cutter, made: Vec<Made>) {
        let Some(lengths) = cutter.lengths().filter(|_| !made.is_empty()) else { return };
        let mut window = self.show.window.lock().unwrap_or_else(PoisonError::into_inner);
        let some = window.get_or_insert_with(|| Window::new(lengths, self.first));
        made.into_iter().for_each(|made| some.add(made));
        let ((segment, part), begun) = (some.next(), some.has_some());
        // Nobody is told under the lock by which they would look.
        drop(window);
        self.show.next.send_if_modified(|next| {
            let news = Next { segment, part, begun, ended: false };
            std::mem::replace(next, news) != news
        });
    }

    fn is_idle(&self) -> bool {
        let mut shows = self.shows.0.shows.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = *self.show.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = self.shows.0.clock.now().saturating_duration_since(asked) >= IDLE_MAX;
        if idle {
            // Under the same lock by which somebody would find it, so that nobody is given a show that ends.
            shows.remove(&self.stream);
        }
        idle
    }
}
