//! Somebody who watches: what they are sent, at their own pace.

use super::{
    Flow, Meters,
    backlog::{Place, Step},
};
use crate::base::Clock;
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::sync::Arc;

/// Their place in a flow, which goes on while there is one.
pub(in crate::playback) struct Viewer {
    flow: Arc<Flow>,
    clock: Clock,
    meters: Meters,
    place: Place,
    /// What goes behind an opening.
    rest: Option<Bytes>,
}

impl Viewer {
    /// Of somebody who was counted in.
    pub(super) fn new(flow: Arc<Flow>, clock: Clock, meters: Meters) -> Self {
        meters.viewers.inc();
        Self { flow, clock, meters, place: Place::default(), rest: None }
    }

    /// Waits for a first picture: true once there is one, false where none can be shown, None where none will come.
    pub(super) async fn begins(&mut self) -> Option<bool> {
        let mut news = self.flow.news.subscribe();
        loop {
            let now = *news.borrow_and_update();
            if now.is_jpeg || self.flow.look(|backlog| backlog.has_key()) {
                return Some(!now.is_jpeg);
            }
            if now.ended || news.changed().await.is_err() {
                return None;
            }
        }
    }

    /// All that comes, framed as messages. It ends where the flow does.
    pub(in crate::playback) fn messages(self) -> impl Stream<Item = Bytes> + Send + 'static {
        let news = self.flow.news.subscribe();
        stream::unfold((self, news), |(mut viewer, mut news)| async move {
            loop {
                if let Some(bytes) = viewer.rest.take() {
                    return Some((bytes, (viewer, news)));
                }
                let ended = news.borrow_and_update().ended;
                match viewer.flow.look(|backlog| backlog.step(&mut viewer.place)) {
                    Step::Send { opening, bytes, skipped } => {
                        if skipped > 0 {
                            viewer.meters.skips.inc();
                            viewer.meters.skipped.inc_by(skipped);
                        }
                        viewer.rest = Some(bytes);
                        if let Some(opening) = opening {
                            return Some((opening, (viewer, news)));
                        }
                    }
                    Step::Wait if ended => return None,
                    Step::Wait => news.changed().await.ok()?,
                }
            }
        })
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.flow.leave(self.clock.now());
        self.meters.viewers.dec();
    }
}
