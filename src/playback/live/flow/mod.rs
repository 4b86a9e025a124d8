//! What cameras send now, picture by picture: each picture is made into what is sent once, and whoever watches is sent the
//! same bytes of it.
//!
//! ```text
//! Follower ──► Maker (pure: a picture to what is sent) ──► Backlog (the last pictures; who is too slow skips) ──► Viewer, each
//! ```
//!
//! By WebSocket (`Muxer`) that is messages. The first message is text, the type and codecs as Media Source takes them; then come `ftyp moov`, and from the last key
//! frame on a `moof mdat` for each picture, before a key frame a `prft` that says when it was taken. Where the format
//! changes, text and `ftyp moov` come again.

mod backlog;
mod muxer;
mod viewer;

pub(in crate::playback) use {
    backlog::Made,
    muxer::Muxer,
    viewer::{Taken, Viewer},
};

use self::backlog::Backlog;
use super::follow::{Follower, Heard, Watched};
use crate::{
    base::{
        Clock, Metrics, TaskGroup,
        metrics::{Counter, Gauge},
    },
    live::Hub,
    media,
    model::{Frame, StreamKey, VideoCodec},
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

/// Makes of a stream's frames what is sent to all who watch in one way. Pure.
pub(in crate::playback) trait Maker: Default + Send + 'static {
    /// How what follows is coded.
    type Format: Send + Sync + 'static;
    /// One picture or sound.
    type Content: Clone + Send + 'static;

    /// Takes a frame; what is made of it.
    fn push(&mut self, frame: Frame) -> Result<Option<Made<Self::Format, Self::Content>>, media::Error>;

    /// What comes next does not follow.
    fn interrupt(&mut self);
}

/// Under which names viewers of one way are counted, and by what they watch.
pub(in crate::playback) struct Names {
    pub(in crate::playback) way: &'static str,
    pub(in crate::playback) viewers: &'static str,
    pub(in crate::playback) skips: &'static str,
    pub(in crate::playback) skipped: &'static str,
}

/// All flows of one way. Cheap to clone.
pub(in crate::playback) struct Flows<M: Maker>(Arc<Shared<M>>);

struct Shared<M: Maker> {
    flows: Watched<Flow<M>>,
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
struct Flow<M: Maker> {
    backlog: Mutex<Backlog<M::Format, M::Content>>,
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

impl<M: Maker> Clone for Flows<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Maker> Flows<M> {
    pub(in crate::playback) fn new(
        hub: Hub,
        clock: Clock,
        group: TaskGroup,
        metrics: &Metrics,
        Names { way, viewers, skips, skipped }: Names,
    ) -> Self {
        let skips_help =
            format!("How often somebody who watches by {way} was too slow and was sent on to a newer key frame");
        let meters = Meters {
            viewers: metrics.register(viewers, &format!("Who watches live by {way}"), Gauge::default()),
            skips: metrics.register(skips, &skips_help, Counter::default()),
            skipped: metrics.register(skipped, "Pictures that they were not sent", Counter::default()),
        };
        Self(Arc::new(Shared { flows: Watched::default(), hub, clock, group, meters }))
    }

    /// Somebody who watches a stream from its current group of pictures on, once there is a first one.
    pub(in crate::playback) async fn join(&self, stream: &StreamKey) -> Result<Viewer<M>, Error> {
        let flow = self.0.flows.of(stream, Flow::enter, || self.begin(stream))?;
        let mut viewer = Viewer::new(flow, self.0.clock.clone(), self.0.meters.clone());
        match tokio::time::timeout(FIRST_WAIT, viewer.begins()).await {
            Ok(Some(true)) => Ok(viewer),
            Ok(Some(false)) => Err(Error::MotionJpeg(stream.clone())),
            Ok(None) | Err(_) => Err(Error::NotLive(stream.clone())),
        }
    }

    fn begin(&self, stream: &StreamKey) -> Result<(Arc<Flow<M>>, impl FnOnce() + use<M>), Error> {
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

impl<M: Maker> Flow<M> {
    fn enter(&self) {
        self.audience(|audience| audience.viewers += 1);
    }

    fn leave(&self, now: Instant) {
        self.audience(|audience| *audience = Audience { viewers: audience.viewers - 1, left: now });
    }

    fn audience<T>(&self, f: impl FnOnce(&mut Audience) -> T) -> T {
        f(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn look<T>(&self, f: impl FnOnce(&mut Backlog<M::Format, M::Content>) -> T) -> T {
        f(&mut self.backlog.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The task of a flow.
struct Running<M: Maker> {
    flows: Flows<M>,
    stream: StreamKey,
    flow: Arc<Flow<M>>,
}

impl<M: Maker> Drop for Running<M> {
    fn drop(&mut self) {
        self.flows.0.flows.leave_if(&self.stream, &self.flow, |_| true);
        self.flow.news.send_modify(|news| news.ended = true);
    }
}

impl<M: Maker> Running<M> {
    async fn run(self, mut follower: Follower) {
        let mut maker = M::default();
        while !self.is_idle() {
            match follower.next().await {
                Heard::Frame(frame) if frame.format.video.codec == VideoCodec::Mjpeg => {
                    return self.flow.news.send_modify(|news| news.is_jpeg = true);
                }
                Heard::Frame(frame) => match maker.push(frame) {
                    Ok(made) => self.show(made),
                    Err(error) => {
                        tracing::warn!(stream = %self.stream, %error, "what is live cannot be shown");
                        return;
                    }
                },
                Heard::Break(_) => maker.interrupt(),
                Heard::Quiet => {}
                Heard::Stop => return,
            }
        }
    }

    fn show(&self, made: Option<Made<M::Format, M::Content>>) {
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
        let idle =
            |flow: &Flow<M>| flow.audience(|a| a.viewers == 0 && now.saturating_duration_since(a.left) >= IDLE_MAX);
        self.flows.0.flows.leave_if(&self.stream, &self.flow, idle)
    }
}
