//! Somebody who watches: what they are sent, at their own pace.

use super::{
    Flow, Maker, Meters, Muxer, News,
    backlog::{Place, Step},
};
use crate::base::Clock;
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::sync::Arc;
use tokio::sync::watch;

/// Their place in a flow, which goes on while there is one.
pub(in crate::playback) struct Viewer<M: Maker> {
    flow: Arc<Flow<M>>,
    clock: Clock,
    meters: Meters,
    place: Place<M::Format>,
    news: watch::Receiver<News>,
    skipped: u64,
}

/// What there is for somebody.
pub(in crate::playback) enum Taken<M: Maker> {
    /// This; and how it is coded, where that is news.
    Next(Option<Arc<M::Format>>, M::Content),
    /// Nothing yet.
    Wait,
    /// That was all.
    End,
}

impl<M: Maker> Viewer<M> {
    /// Of somebody who was counted in.
    pub(super) fn new(flow: Arc<Flow<M>>, clock: Clock, meters: Meters) -> Self {
        meters.viewers.inc();
        let news = flow.news.subscribe();
        Self { flow, clock, meters, place: Place::default(), news, skipped: 0 }
    }

    /// Waits for a first picture: true once there is one, false where none can be shown, None where none will come.
    pub(super) async fn begins(&mut self) -> Option<bool> {
        loop {
            let now = *self.news.borrow_and_update();
            if now.is_jpeg || self.flow.look(|backlog| backlog.has_key()) {
                return Some(!now.is_jpeg);
            }
            if now.ended || self.news.changed().await.is_err() {
                return None;
            }
        }
    }

    /// What comes next, as it is now.
    pub(in crate::playback) fn take(&mut self) -> Taken<M> {
        let ended = self.news.borrow_and_update().ended;
        match self.flow.look(|backlog| backlog.step(&mut self.place)) {
            Step::Send { opening, content, skipped } => {
                if skipped > 0 {
                    self.meters.skips.inc();
                    self.meters.skipped.inc_by(skipped);
                    self.skipped += skipped;
                }
                Taken::Next(opening, content)
            }
            Step::Wait if ended => Taken::End,
            Step::Wait => Taken::Wait,
        }
    }

    /// Comes back once there is something new.
    pub(in crate::playback) async fn changed(&mut self) {
        // An error would mean that the flow is gone, which the viewer holds.
        let _ = self.news.changed().await;
    }

    /// How many they were not sent so far.
    pub(in crate::playback) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How what comes is coded, as far as is known.
    pub(in crate::playback) fn coded(&self) -> Option<Arc<M::Format>> {
        self.flow.look(|backlog| backlog.format())
    }

    /// Goes on with the newest key frame.
    pub(in crate::playback) fn begin_again(&mut self) {
        self.place.begin_again();
    }
}

impl Viewer<Muxer> {
    /// All that comes, framed as messages. It ends where the flow does.
    pub(in crate::playback) fn messages(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold((self, None), |(mut viewer, mut rest)| async move {
            loop {
                if let Some(bytes) = rest.take() {
                    return Some((bytes, (viewer, None)));
                }
                match viewer.take() {
                    Taken::Next(Some(opening), bytes) => return Some(((*opening).clone(), (viewer, Some(bytes)))),
                    Taken::Next(None, bytes) => return Some((bytes, (viewer, None))),
                    Taken::Wait => viewer.changed().await,
                    Taken::End => return None,
                }
            }
        })
    }
}

impl<M: Maker> Drop for Viewer<M> {
    fn drop(&mut self) {
        self.flow.leave(self.clock.now());
        self.meters.viewers.dec();
    }
}
