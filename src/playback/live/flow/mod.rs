//! What cameras send now, picture by picture, by WebSocket: each picture is made into a message once, and whoever watches
//! is sent the same bytes of it.
//!
//! ```text
//! Follower ──► Muxer (pure: a picture to a message) ──► Backlog (the last pictures; who is too slow skips) ──► Viewer, each
//! ```
//!
//! The first message is text, the type and codecs as Media Source takes them; then come `ftyp moov`, and from the last key
//! frame on a `moof mdat` for each picture, before a key frame a `prft` that says when it was taken. Where the format
//! changes, text and `ftyp moov` come again.

mod backlog;
mod muxer;
mod viewer;

pub(in crate::playback) use viewer::Viewer;

use self::{
    backlog::Backlog,
    muxer::{Made, Muxer},
};
use super::follow::{Follower, Heard, Watched};
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

/// What nobody watches any more goes on for so long, for who only loads a page again.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// A stream that is asked for the first time has a key frame within this time.
const FIRST_WAIT: Duration = Duration::from_secs(10);

/// All flows. Cheap to clone.
#[derive(Clone)]
pub(in crate::playback) struct Flows(Arc<Shared>);

struct Shared {
    flows: Watched<Flow>,
    hub: Hub,
    clock: Clock,
    group: TaskGroup,
    meters: Meters,
}

#[derive(Clone)]
struct Meters {
    viewers: Gauge,
    skips: Counter,
    skipped: Counter,
}

/// One stream.
struct Flow {
    backlog: Mutex<Backlog>,
    news: watch::Sender<News>,
    watched: Mutex<Audience>,
}

/// Who watches.
struct Audience {
    viewers: usize,
    /// When the last one left.
    left: Instant,
}

/// Up to where a flow has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct News {
    /// The number of the next message.
    next: u64,
    /// Pictures that no browser takes.
    is_jpeg: bool,
    ended: bool,
}

impl Flows {
    pub(in crate::playback) fn new(hub: Hub, clock: Clock, group: TaskGroup, metrics: &Metrics) -> Self {
        let meters = Meters {
            viewers: metrics.register("live_viewers", "Who watches live by WebSocket", Gauge::default()),
            skips: metrics.register(
                "live_viewer_skips",
                "How often somebody who watches by WebSocket was too slow and was sent on to a newer key frame",
                Counter::default(),
            ),
            skipped: metrics.register(
                "live_viewer_skipped_frames",
                "Pictures that they were not sent",
                Counter::default(),
            ),
        };
        Self(Arc::new(Shared { flows: Watched::default(), hub, clock, group, meters }))
    }

    /// Somebody who watches a stream from its current group of pictures on, once there is a first one.
    pub(in crate::playback) async fn join(&self, stream: &StreamKey) -> Result<Viewer, Error> {
        let flow = self.0.flows.of(stream, Flow::enter, || self.begin(stream))?;
        let mut viewer = Viewer::new(flow, self.0.clock.clone(), self.0.meters.clone());
        match tokio::time::timeout(FIRST_WAIT, viewer.begins()).await {
            Ok(Some(true)) => Ok(viewer),
            Ok(Some(false)) => Err(Error::MotionJpeg(stream.clone())),
            Ok(None) | Err(_) => Err(Error::NotLive(stream.clone())),
        }
    }

    fn begin(&self, stream: &StreamKey) -> Result<(Arc<Flow>, impl FnOnce() + use<>), Error> {
        let Shared { hub, clock, group, .. } = &*self.0;
        let follower = Follower::new(hub.clone(), clock.clone(), stream.clone(), group.stop_token())?;
        let flow = Arc::new(Flow {
            backlog: Mutex::default(),
            news: watch::Sender::default(),
            watched: Mutex::new(Audience { viewers: 0, left: clock.now() }),
        });
        let running = Running { flows: self.clone(), stream: stream.clone(), flow: flow.clone() };
        let group = group.clone();
        Ok((flow, move || drop(group.spawn("live flow", running.run(follower)))))
    }
}

impl Flow {
    fn enter(&self) {
        self.audience(|audience| audience.viewers += 1);
    }

    fn leave(&self, now: Instant) {
        self.audience(|audience| *audience = Audience { viewers: audience.viewers - 1, left: now });
    }

    fn audience<T>(&self, f: impl FnOnce(&mut Audience) -> T) -> T {
        f(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn look<T>(&self, f: impl FnOnce(&mut Backlog) -> T) -> T {
        f(&mut self.backlog.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The task of a flow.
struct Running {
    flows: Flows,
    stream: StreamKey,
    flow: Arc<Flow>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.flows.0.flows.leave_if(&self.stream, &self.flow, |_| true);
        self.flow.news.send_modify(|news| news.ended = true);
    }
}

impl Running {
    async fn run(self, mut follower: Follower) {
        let mut muxer = Muxer::default();
        while !self.is_idle() {
            match follower.next().await {
                Heard::Frame(frame) if frame.format.video.codec == VideoCodec::Mjpeg => {
                    return self.flow.news.send_modify(|news| news.is_jpeg = true);
                }
                Heard::Frame(frame) => match muxer.push(frame) {
                    Ok(made) => self.show(made),
                    Err(error) => {
                        tracing::warn!(stream = %self.stream, %error, "what is live cannot be shown");
                        return;
                    }
                },
                Heard::Break(_) => muxer.interrupt(),
                Heard::Quiet => {}
                Heard::Stop => return,
            }
        }
    }

    fn show(&self, made: Option<Made>) {
        let Some(made) = made else { return };
        let next = self.flow.look(|backlog| {
            backlog.add(made);
            backlog.end()
        });
        // Nobody is told under the lock by which they would look.
        self.flow.news.send_modify(|news| news.next = next);
    }

    fn is_idle(&self) -> bool {
        let now = self.flows.0.clock.now();
        let idle = |flow: &Flow| flow.audience(|a| a.viewers == 0 && now.saturating_duration_since(a.left) >= IDLE_MAX);
        self.flows.0.flows.leave_if(&self.stream, &self.flow, idle)
    }
}
