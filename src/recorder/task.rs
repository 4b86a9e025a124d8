//! The supervisor: one child per live stream that is to be recorded; one that panics or fails harms no other.

use super::{
    Config, Error, Pause, Pauses,
    expect::Known,
    metrics::Counts,
    mode,
    pauses::PauseBook,
    status::{Board, Statuses},
    stream::{Orders, Shared},
};
use crate::{
    archive::Archive,
    base::{Clock, Metrics, TaskGroup, Wall, task::End},
    disk::{Disk, Trouble},
    events::Events,
    live::Hub,
    model::{GapCause, StreamKey},
    store::{self, Store},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::json;
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
/// How often it is looked at streams that nobody publishes, and for pauses that are over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
    /// Where pauses are kept.
    pub store: Store,
}

/// The recorder. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    config: Arc<watch::Sender<Arc<Config>>>,
    board: Board,
    pauses: PauseBook,
    clock: Clock,
    events: Events,
}

/// Owns the children.
pub struct RecorderTask {
    shared: Shared,
    counts: Counts,
    config: watch::Receiver<Arc<Config>>,
    pauses: PauseBook,
    events: Events,
}

/// Makes the recorder and its task. Blocks for a few reads of the store.
pub fn build(config: Config, deps: Deps) -> Result<(Recorder, RecorderTask), store::Error> {
    let Deps { hub, archive, disk, clock, events, metrics, store } = deps;
    let pauses = PauseBook::open(store)?;
    let board = Board::default();
    let sender = watch::Sender::new(Arc::new(config));
    let config = sender.subscribe();
    let recorder = Recorder {
        config: Arc::new(sender),
        board: board.clone(),
        pauses: pauses.clone(),
        clock: clock.clone(),
        events: events.clone(),
    };
    let shared = Shared { hub, archive, disk, clock, events: events.clone(), board };
    let task = RecorderTask { shared, counts: Counts::new(&metrics), config, pauses, events };
    Ok((recorder, task))
}

impl Recorder {
    /// Other settings: a stream takes lengths and syncs at once and sound with its next file; one that is disabled
    /// closes its file and stops.
    pub fn apply(&self, config: Config) {
        self.config.send_replace(Arc::new(config));
    }

    /// Has a stream not recorded from now on, until it is resumed or `until`; kept over restarts. Of a stream that is
    /// paused already, reason and end are set anew.
    pub async fn pause(&self, stream: &StreamKey, reason: Option<String>, until: Option<Wall>) -> Result<Pause, Error> {
        let now = self.clock.wall();
        let since = self.pauses().get(stream).filter(|p| p.since <= now).map_or(now, |p| p.since);
        let pause = Pause { since, until, reason };
        self.pauses.set(stream, Some(pause.clone())).await?;
        tracing::info!(%stream, reason = pause.reason, until = ?pause.until.map(|u| u.to_string()), "recording is paused");
        self.events.emit("recording.paused", stream, json!({ "until": pause.until, "reason": pause.reason }));
        Ok(pause)
    }

    /// Has a stream recorded again. True where it was paused.
    pub async fn resume(&self, stream: &StreamKey) -> Result<bool, Error> {
        let was = self.pauses.set(stream, None).await?.is_some();
        if was {
            tracing::info!(%stream, "recording is resumed");
            self.events.emit("recording.unpaused", stream, json!({}));
        }
        Ok(was)
    }

    /// The pauses in force, and those that are about to end.
    pub fn pauses(&self) -> Arc<Pauses> {
        self.pauses.watch().borrow().clone()
    }

    /// Whether the configuration takes a stream to be recorded, be it there or not.
    pub fn expects(&self, stream: &StreamKey) -> bool {
        self.config.borrow().expects(stream)
    }

    /// What each live stream's recording is doing, as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Statuses>> {
        self.board.watch()
    }
}

/// A stream that is being recorded.
struct Child {
    stop: CancellationToken,
    orders: watch::Sender<Orders>,
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
        let (mut rosters, mut pauses) = (self.shared.hub.rosters(), self.pauses.watch());
        let clock = self.shared.clock.clone();
        let mut children = Children {
            group: TaskGroup::new(),
            running: BTreeMap::new(),
            endings: FuturesUnordered::new(),
            resting: BTreeSet::new(),
        };
        let mut hung = false;
        let mut caught_up = false;
        loop {
            let live = streams.borrow_and_update().clone();
            let config = self.config.borrow_and_update().clone();
            let (rosters_now, pauses_now) = (rosters.borrow_and_update().clone(), pauses.borrow_and_update().clone());
            let known = Known { live: &live, rosters: &rosters_now, config: &config, pauses: &pauses_now };
            if !std::mem::replace(&mut caught_up, true) {
                known.catch_up(&self.shared);
            }
            known.tell(&self.shared);
            self.reconcile(&mut children, &known);
            // A store on a disk that hangs must not hold up recordings.
            let _ = tokio::time::timeout(LOOK_EVERY, self.end_pauses(&pauses_now)).await;
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
                Ok(()) = rosters.changed() => {}
                Ok(()) = pauses.changed() => {}
                () = clock.sleep(LOOK_EVERY) => {}
                Some((stream, in_order)) = children.endings.next() => self.ended(&mut children, stream, in_order).await,
            }
        }
        if !children.group.stop(STOP_MAX).await {
            tracing::error!(seconds = STOP_MAX.as_secs(), "not every recording was closed in time");
        }
        self.shared.archive.ledger().stopping();
    }

    /// Starts what should run and does not, stops what runs and should not, and hands settings on.
    fn reconcile(&self, children: &mut Children, known: &Known<'_>) {
        let live = known.live;
        for stream in live {
            let settings = known.config.settings(stream).clone();
            let enabled = settings.enabled;
            let orders = Orders { settings, pause: known.pauses.get(stream).cloned() };
            if let Some(child) = children.running.get(stream) {
                child.orders.send_if_modified(|now| {
                    let news = *now != orders;
                    if news {
                        *now = orders;
                    }
                    news
                });
                if !enabled {
                    child.stop.cancel();
                }
            } else if !enabled {
                self.shared.hub.hold(stream, None);
                self.shared.board.set(stream, false, Some("disabled"));
            } else if !children.resting.contains(stream) {
                self.start(children, stream, orders);
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
            let ledger = self.shared.archive.ledger();
            if hangs && ledger.open(stream).is_none_or(|gap| gap.cause.counts()) {
                // Its own task waits for the disk and can say nothing.
                ledger.absent(stream, GapCause::DiskError, self.shared.clock.wall());
            }
        }
    }

    /// A pause that is over is forgotten.
    async fn end_pauses(&self, pauses: &Pauses) {
        let now = self.shared.clock.wall();
        let over = pauses.iter().filter(|(_, pause)| pause.until.is_some_and(|until| until <= now));
        for (stream, _) in over {
            match self.pauses.set(stream, None).await {
                Ok(_) => self.events.emit("recording.unpaused", stream, json!({})),
                Err(error) => tracing::debug!(%stream, %error, "a pause that is over stays noted"),
            }
        }
    }

    fn start(&self, children: &mut Children, stream: &StreamKey, orders: Orders) {
        let stop = children.group.stop_token().child_token();
        let (sender, orders) = watch::channel(orders);
        let recording = mode::record(self.shared.clone(), stream.clone(), orders, self.counts.of(stream), stop.clone());
        let seat = self.shared.hub.seat(stream);
        let handle = children.group.on(&seat).spawn("recording", async move {
            let _seat = seat;
            recording.await;
        });
        children.running.insert(stream.clone(), Child { stop, orders: sender });
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
        self.shared.archive.ledger().absent(&stream, GapCause::Crash, self.shared.clock.wall());
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
    use crate::recorder::Settings;
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
            store: bench.store.clone(),
        };
        let config = Config { defaults: Settings::default(), devices: BTreeMap::new() };
        let (_recorder, task) = build(config.clone(), deps).unwrap();
        let (rosters, pauses) = (BTreeMap::new(), Pauses::new());
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
        let known = Known { live: &live, rosters: &rosters, config: &config, pauses: &pauses };
        task.reconcile(&mut children, &known);
        assert!(children.running.is_empty(), "it rests");
        let (rested, in_order) = children.endings.next().await.unwrap();
        task.ended(&mut children, rested, in_order).await;
        task.reconcile(&mut children, &known);
        assert!(children.running.contains_key(&cam));
        assert!(children.group.stop(STOP_MAX).await);
        bench.end().await;
    }
}
