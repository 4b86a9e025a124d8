//! One stream as it is shown to all who watch it.

use super::{
    cutter::{Cutter, Made},
    follow::{Follower, Heard, Watched},
    window::Window,
};
use crate::{
    base::{
        Clock, Metrics, TaskGroup,
        metrics::{Counter, Gauge},
    },
    live::Hub,
    model::{StreamKey, VideoCodec},
    playback::Error,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// A show that nobody asks anything of for so long ends, and its camera's stream is not asked for by it any more.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// All shows. Cheap to clone.
#[derive(Clone)]
pub(in crate::playback) struct Shows(Arc<Shared>);

struct Shared {
    shows: Watched<Show>,
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
    /// Pictures that no browser takes.
    pub(super) is_jpeg: bool,
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
        Self(Arc::new(Shared { shows: Watched::default(), hub, clock, group, running, skipped }))
    }

    /// The show of a stream, begun where there is none.
    pub(super) fn of(&self, stream: &StreamKey) -> Result<Arc<Show>, Error> {
        let now = self.0.clock.now();
        self.0.shows.of(stream, |show| show.is_asked(now), || self.begin(stream, now))
    }

    fn begin(&self, stream: &StreamKey, now: Instant) -> Result<(Arc<Show>, impl FnOnce() + use<>), Error> {
        let Shared { hub, clock, group, .. } = &*self.0;
        let follower = Follower::new(hub.clone(), clock.clone(), stream.clone(), group.stop_token())?;
        // Later shows of a stream begin with higher numbers than the ones before had.
        let first = u64::try_from(self.0.clock.wall().micros()).unwrap_or(0) / 1_000_000;
        let show = Arc::new(Show {
            id: rand::random::<u32>().into(),
            window: Mutex::default(),
            next: watch::Sender::new(Next { segment: first, ..Next::default() }),
            asked: Mutex::new(now),
        });
        self.0.running.inc();
        let running = Running { shows: self.clone(), stream: stream.clone(), show: show.clone(), first };
        let group = group.clone();
        Ok((show, move || drop(group.spawn("live show", running.run(follower)))))
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
        self.shows.0.shows.leave_if(&self.stream, &self.show, |_| true);
        self.shows.0.running.dec();
        self.show.next.send_modify(|next| next.ended = true);
    }
}

impl Running {
    async fn run(self, mut follower: Follower) {
        let mut cutter = Cutter::default();
        let shared = &self.shows.0;
        while !self.is_idle() {
            let made = match follower.next().await {
                Heard::Frame(frame) if frame.format.video.codec == VideoCodec::Mjpeg => {
                    return self.show.next.send_modify(|next| next.is_jpeg = true);
                }
                Heard::Frame(frame) => cutter.push(frame),
                Heard::Break(left_out) => {
                    shared.skipped.inc_by(left_out);
                    cutter.interrupt()
                }
                Heard::Quiet => continue,
                Heard::Stop => return,
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
            let news = Next { segment, part, begun, ..Next::default() };
            std::mem::replace(next, news) != news
        });
    }

    fn is_idle(&self) -> bool {
        let now = self.shows.0.clock.now();
        let idle = |show: &Show| {
            let asked = *show.asked.lock().unwrap_or_else(PoisonError::into_inner);
            now.saturating_duration_since(asked) >= IDLE_MAX
        };
        self.shows.0.shows.leave_if(&self.stream, &self.show, idle)
    }
}
