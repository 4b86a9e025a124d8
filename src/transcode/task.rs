//! The supervisor: one child per source that is to be transcoded; one that panics harms no other.

use super::{
    Config, Error, Settings,
    metrics::Counts,
    status::{Board, Statuses},
    still::Stills,
    stream::{Shared, Stream},
    tool::{self, Tool},
};
use crate::{
    base::{Clock, Metrics, TaskGroup, task::End},
    events::Events,
    live::Hub,
    model::StreamKey,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A stream whose child panicked is begun again after so long.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How often a missing ffmpeg is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// At a stop, sources end first and what is under way is answered; what takes longer is killed. The cameras' phase,
/// which this is part of, has 6 s.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What the room stands on.
pub struct Deps {
    /// Where cameras put what is to be transcoded.
    pub sources: Hub,
    /// Where everybody else reads.
    pub hub: Hub,
    /// Time.
    pub clock: Clock,
    /// Where news are told.
    pub events: Events,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// The room's handle. Cheap to clone.
#[derive(Clone)]
pub struct Transcoder {
    config: Arc<watch::Sender<Arc<Config>>>,
    board: Board,
}

/// Owns the children.
pub struct TranscodeTask {
    config: watch::Receiver<Arc<Config>>,
    shared: Shared,
    tool: watch::Sender<Result<Tool, Error>>,
    processes_max: watch::Sender<usize>,
    counts: Counts,
}

/// Builds the room. Nothing runs until the task does.
pub fn build(config: Config, deps: Deps) -> (Transcoder, TranscodeTask) {
    let board = Board::default();
    let (tool, tool_watch) = watch::channel(Err(Error::Missing("ffmpeg".to_owned())));
    let (processes_max, processes_watch) = watch::channel(config.processes_max);
    let shared = Shared {
        sources: deps.sources,
        hub: deps.hub,
        clock: deps.clock,
        events: deps.events,
        board: board.clone(),
        tool: tool_watch,
        running: Arc::new(AtomicUsize::new(0)),
        processes_max: processes_watch,
        limits: config.limits,
    };
    let sender = watch::Sender::new(Arc::new(config));
    shared.hub.set_decoder(Arc::new(Stills::new(sender.subscribe())));
    let task =
        TranscodeTask { config: sender.subscribe(), shared, tool, processes_max, counts: Counts::new(&deps.metrics) };
    (Transcoder { config: Arc::new(sender), board }, task)
}

impl Transcoder {
    /// Other settings: what runs with old ones is drained and begun anew.
    pub fn apply(&self, config: Config) {
        self.config.send_replace(Arc::new(config));
    }

    /// What each stream's transcoding is doing, as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Statuses>> {
        self.board.watch()
    }
}

struct Child {
    stop: CancellationToken,
    settings: watch::Sender<Option<Settings>>,
}

struct Children {
    group: TaskGroup,
    running: BTreeMap<StreamKey, Child>,
    /// Children that ended, and those that rested after a panic.
    endings: FuturesUnordered<BoxFuture<'static, (StreamKey, bool)>>,
    resting: BTreeSet<StreamKey>,
}

impl TranscodeTask {
    /// Transcodes until told to stop and the sources have ended. Stop the cameras with it.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut streams = self.shared.sources.streams();
        let mut children = Children {
            group: TaskGroup::new(),
            running: BTreeMap::new(),
            endings: FuturesUnordered::new(),
            resting: BTreeSet::new(),
        };
        let mut looked_for = None;
        loop {
            let config = self.config.borrow_and_update().clone();
            let live = streams.borrow_and_update().clone();
            self.processes_max.send_replace(config.processes_max);
            // Nothing is asked of a host where nothing is to be transcoded.
            if !config.devices.is_empty() && looked_for.as_ref() != Some(&config.ffmpeg) {
                self.look(&config).await;
                looked_for = Some(config.ffmpeg.clone());
            }
            self.reconcile(&mut children, &live, &config);
            let missing = !config.devices.is_empty() && self.tool.borrow().is_err();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = streams.changed() => {}
                Ok(()) = self.config.changed() => {}
                Some((stream, in_order)) = children.endings.next() => self.ended(&mut children, stream, in_order),
                () = self.shared.clock.sleep(LOOK_EVERY), if missing => looked_for = None,
            }
        }
        self.finish(&mut children, &mut streams).await;
    }

    /// Finds ffmpeg, and tells what was found where that is news.
    async fn look(&self, config: &Config) {
        let found = tool::find(config.ffmpeg.as_deref()).await;
        self.tool.send_if_modified(|known| {
            let news = *known != found;
            if news {
                match &found {
                    Ok(tool) => {
                        tracing::info!(path = %tool.path.display(), version = tool.version.text, "ffmpeg found");
                    }
                    Err(error) => tracing::warn!(%error, "originals are recorded in place of what is to be transcoded"),
                }
                *known = found;
            }
            news
        });
    }

    fn reconcile(&self, children: &mut Children, live: &BTreeSet<StreamKey>, config: &Config) {
        for stream in live {
            let settings = config.settings(stream).cloned();
            match children.running.get(stream) {
                Some(child) if settings.is_none() => child.stop.cancel(),
                Some(child) => {
                    child.settings.send_if_modified(|now| {
                        let differs = *now != settings;
                        *now = settings;
                        differs
                    });
                }
                None if settings.is_some() && !children.resting.contains(stream) => {
                    self.start(children, stream, settings);
                }
                None => {}
            }
        }
    }

    fn start(&self, children: &mut Children, stream: &StreamKey, settings: Option<Settings>) {
        let stop = children.group.stop_token().child_token();
        let (sender, settings) = watch::channel(settings);
        let child = Stream::new(self.shared.clone(), stream.clone(), settings, self.counts.of(stream));
        let handle = children.group.spawn("transcoding", child.run(stop.clone()));
        children.running.insert(stream.clone(), Child { stop, settings: sender });
        let stream = stream.clone();
        children.endings.push(async move { (stream, matches!(handle.await, Ok(End::Done(())))) }.boxed());
    }

    fn ended(&self, children: &mut Children, stream: StreamKey, in_order: bool) {
        if children.resting.remove(&stream) {
            return;
        }
        children.running.remove(&stream);
        if in_order {
            if !self.shared.sources.streams().borrow().contains(&stream) {
                self.counts.forget(&stream);
            }
            return;
        }
        self.shared.board.remove(&stream);
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

    /// The cameras end now: what they gave last is still answered.
    async fn finish(&self, children: &mut Children, streams: &mut watch::Receiver<Arc<BTreeSet<StreamKey>>>) {
        let ended = async {
            // The sender lives as long as the hub that we hold.
            let _ = streams.wait_for(|live| live.is_empty()).await;
            while !children.running.is_empty() {
                let Some((stream, _)) = children.endings.next().await else { break };
                children.running.remove(&stream);
            }
        };
        if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
            tracing::warn!(seconds = STOP_MAX.as_secs(), "ffmpeg did not end in time and is killed");
        }
        // Whoever is left is dropped where it stands, which kills its process.
        children.group.stop(Duration::from_millis(500)).await;
    }
}
