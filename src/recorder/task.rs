//! The supervisor: one child per live stream that is to be recorded; one that panics or fails harms no other.

use super::{
    Config, Settings,
    metrics::Counts,
    status::{Board, Statuses},
    stream::{Recording, Shared},
};
use crate::{
    archive::Archive,
    base::{Clock, Metrics, TaskGroup, task::End},
    disk::{Disk, Trouble},
    events::Events,
    live::Hub,
    model::StreamKey,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A stream whose child panicked is begun again after so long.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// Files are closed within so long after a stop; the process gives the recorder 6 s of its 20.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What the recorder stands on.
pub struct Deps {
    /// Where frames come from.
    pub hub: Hub,
    /// Where files are listed.
    pub archive: Archive,
    /// Where files lie.
    pub disk: Disk,
    /// Time.
    pub clock: Clock,
    /// Where news are told.
    pub events: Events,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// The recorder. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    config: Arc<watch::Sender<Arc<Config>>>,
    board: Board,
}

/// Owns the children.
pub struct RecorderTask {
    shared: Shared,
    counts: Counts,
    config: watch::Receiver<Arc<Config>>,
}

/// Makes the recorder and its task.
pub fn build(config: Config, deps: Deps) -> (Recorder, RecorderTask) {
    let Deps { hub, archive, disk, clock, events, metrics } = deps;
    let board = Board::default();
    let sender = watch::Sender::new(Arc::new(config));
    let config = sender.subscribe();
    let shared = Shared { hub, archive, disk, clock, events, board: board.clone() };
    let task = RecorderTask { shared, counts: Counts::new(&metrics), config };
    (Recorder { config: Arc::new(sender), board }, task)
}

impl Recorder {
    /// Other settings: a stream takes lengths and syncs at once and sound with its next file; one that is disabled
    /// closes its file and stops.
    pub fn apply(&self, config: Config) {
        self.config.send_replace(Arc::new(config));
    }

    /// What each live stream's recording is doing, as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Statuses>> {
        self.board.watch()
    }
}

/// A stream that is being recorded.
struct Child {
    stop: CancellationToken,
    settings: watch::Sender<Settings>,
}

/// A child that ended, and whether in order.
type Ending = BoxFuture<'static, (StreamKey, bool)>;

struct Children {
    group: TaskGroup,
    running: BTreeMap<StreamKey, Child>,
    endings: FuturesUnordered<Ending>,
    /// Streams whose child panicked: they rest until their future ends.
    resting: BTreeSet<StreamKey>,
}

impl RecorderTask {
    /// Records what is live until stopped; files are then closed in order. Stop the cameras first, so that nothing
    /// that was live is left out.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut streams = self.shared.hub.streams();
        let mut health = self.shared.archive.health();
        let mut children = Children {
            group: TaskGroup::new(),
            running: BTreeMap::new(),
            endings: FuturesUnordered::new(),
            resting: BTreeSet::new(),
        };
        let mut hung = false;
        loop {
            let live = streams.borrow_and_update().clone();
            let config = self.config.borrow_and_update().clone();
            self.reconcile(&mut children, &live, &config);
            let hangs = health.borrow_and_update().trouble == Some(Trouble::Hangs);
            if hangs || std::mem::replace(&mut hung, hangs) {
                self.tell_hung(&children, hangs);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = streams.changed() => {}
                Ok(()) = self.config.changed() => {}
                Ok(()) = health.changed() => {}
                Some((stream, in_order)) = children.endings.next() => self.ended(&mut children, stream, in_order).await,
            }
        }
        if !children.group.stop(STOP_MAX).await {
            tracing::error!(seconds = STOP_MAX.as_secs(), "not every recording was closed in time");
        }
    }

    /// Starts what should run and does not, stops what runs and should not, and hands settings on.
    fn reconcile(&self, children: &mut Children, live: &BTreeSet<StreamKey>, config: &Config) {
        for stream in live {
            let settings = config.settings(&stream.device);
            if let Some(child) = children.running.get(stream) {
                child.settings.send_if_modified(|now| std::mem::replace(now, settings) != settings);
                if !settings.enabled {
                    child.stop.cancel();
                }
            } else if !settings.enabled {
                self.shared.board.set(stream, false, Some("disabled"));
            } else if !children.resting.contains(stream) {
                self.start(children, stream, settings);
            }
        }
        let known = self.shared.board.watch().borrow().clone();
        for gone in known.keys().filter(|s| !live.contains(*s) && !children.running.contains_key(*s)) {
            self.shared.board.remove(gone);
        }
    }

    /// A stream that waits for a disk that hangs cannot say so itself. Once the disk goes on, it does.
    fn tell_hung(&self, children: &Children, hangs: bool) {
        let reason = Trouble::Hangs.reason();
        let told = self.shared.board.watch().borrow().clone();
        for stream in children.running.keys() {
            let waits = told.get(stream).is_some_and(|s| s.reason.as_deref() == Some(reason));
            if hangs || waits {
                self.shared.board.set(stream, false, hangs.then_some(reason));
            }
        }
    }

    fn start(&self, children: &mut Children, stream: &StreamKey, settings: Settings) {
        let stop = children.group.stop_token().child_token();
        let (sender, settings) = watch::channel(settings);
        let recording = Recording::new(self.shared.clone(), stream.clone(), settings, self.counts.of(stream));
        let (seat, token) = (self.shared.hub.seat(stream), stop.clone());
        let handle = children.group.on(&seat).spawn("recording", async move {
            let _seat = seat;
            recording.run(token).await;
        });
        children.running.insert(stream.clone(), Child { stop, settings: sender });
        let stream = stream.clone();
        children.endings.push(async move { (stream, matches!(handle.await, Ok(End::Done(())))) }.boxed());
    }

    async fn ended(&self, children: &mut Children, stream: StreamKey, in_order: bool) {
        if children.resting.remove(&stream) {
            return;
        }
        children.running.remove(&stream);
        if in_order {
            if !self.shared.hub.streams().borrow().contains(&stream) {
                self.counts.forget(&stream);
            }
            return;
        }
        // What it left open is closed as far as it is listed; nobody else will.
        if let Err(error) = self.shared.archive.close_left_open(&stream).await {
            tracing::warn!(%stream, %error, "a segment could not be closed");
        }
        self.shared.board.set(&stream, false, Some("restarting"));
        children.resting.insert(stream.clone());
        let clock = self.shared.clock.clone();
        children.endings.push(
            async move {
                clock.sleep(RESTART_AFTER).await;
                (stream, true)
            }
            .boxed(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::fixture::{Bench, noon, stream},
        media::fixture::{Options, clip},
    };

    #[tokio::test]
    async fn what_a_child_that_panicked_left_open_is_closed_and_the_child_rests_before_it_is_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path()).await;
        let cam = stream("cam/1/main");
        let hub = Hub::default();
        let _publisher = hub.publisher(&cam);
        let deps = Deps {
            hub: hub.clone(),
            archive: bench.archive.clone(),
            disk: bench.disk.clone(),
            clock: Clock::real(),
            events: Events::discard(),
            metrics: bench.metrics.clone(),
        };
        let config = Config { defaults: Settings::default(), devices: BTreeMap::new() };
        let (_recorder, task) = build(config.clone(), deps);
        let mut children = Children {
            group: TaskGroup::new(),
            running: BTreeMap::new(),
            endings: FuturesUnordered::new(),
            resting: BTreeSet::new(),
        };
        bench.lay_open(&cam, &clip(Options::default()).frames(1, noon()), 0, 25).await;
        task.ended(&mut children, cam.clone(), false).await;
        assert!(bench.all(&cam).await[0].closed);
        let live = hub.streams().borrow().clone();
        task.reconcile(&mut children, &live, &config);
        assert!(children.running.is_empty(), "it rests");
        let (rested, in_order) = children.endings.next().await.unwrap();
        task.ended(&mut children, rested, in_order).await;
        task.reconcile(&mut children, &live, &config);
        assert!(children.running.contains_key(&cam));
        assert!(children.group.stop(STOP_MAX).await);
        bench.end().await;
    }
}
