//! Watches: many on one stream, each with its own place in the history.
//!
//! A stream has one place in the history that all of its watches share while they are level with it; those that began
//! in the past read their own part first. Answers are made one at a time, when the client can take one: a slow client
//! holds nothing but its places, and where it is hopelessly behind it is told to read anew.

use super::{
    node::{Node, signed},
    range::{keys, pair},
    refusal::{STOPPED, of, refuse},
    wire::{Asked, Event, KeyValue, WatchCreateRequest, WatchRequest, WatchResponse},
};
use crate::registry::{Change, Entry, Error, Feed, Keys, Part, Revision};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// An answer is not made longer than this by a further revision, and split here where the client can put it together.
const ANSWER_BYTES_MAX: usize = 2 << 20;
/// A watch that asked for it hears after so long a silence how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(600);
/// Questions how far it is that one stream may have open: one answer tells as much as many.
const PROGRESS_ASKED_MAX: usize = 16;
/// What is no watch.
const NO_WATCH: i64 = -1;
/// Numbers of the protocol.
const DELETE: i32 = 1;
const NO_PUT: i32 = 0;
const NO_DELETE: i32 = 1;

/// Answers what is asked until the client goes or we stop.
pub(super) fn watch<I>(
    node: Arc<Node>,
    asked: I,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<WatchResponse, Status>> + Send + 'static
where
    I: Stream<Item = Result<WatchRequest, Status>> + Send + Unpin + 'static,
{
    let feed = node.registry.feed(None);
    let watching = Watching {
        level: feed.position(),
        node,
        asked: Some(asked),
        stopping,
        feed,
        watches: BTreeMap::new(),
        behind: BTreeSet::new(),
        next_id: 0,
        chunk: None,
        progress: VecDeque::new(),
        ready: VecDeque::new(),
        is_over: false,
    };
    stream::unfold(watching, |mut watching| async move { Some((watching.next().await?, watching)) })
}

/// One watch.
struct Watch {
    keys: Keys,
    /// The first revision that it has not been told of.
    next: u64,
    prev_kv: bool,
    puts: bool,
    deletes: bool,
    fragment: bool,
    progress: bool,
    told: Instant,
    _place: OwnedSemaphorePermit,
}

/// A part of the history on its way to the watches that are level.
struct Chunk {
    part: Part,
    /// The watch that was served last.
    served: Option<i64>,
}

/// One stream of watches.
struct Watching<I> {
    node: Arc<Node>,
    /// None: the client asks nothing more.
    asked: Option<I>,
    stopping: CancellationToken,
    feed: Feed,
    /// The first revision that watches which are level have not been told of.
    level: u64,
    watches: BTreeMap<i64, Watch>,
    /// Those that are not level.
    behind: BTreeSet<i64>,
    next_id: i64,
    chunk: Option<Chunk>,
    /// What was the last revision when the client asked how far it is: it is answered once all was told up to there.
    progress: VecDeque<u64>,
    ready: VecDeque<WatchResponse>,
    is_over: bool,
}

impl<I> Watching<I>
where
    I: Stream<Item = Result<WatchRequest, Status>> + Send + Unpin,
{
    async fn next(&mut self) -> Option<Result<WatchResponse, Status>> {
        loop {
            if self.is_over {
                return None;
            }
            if let Some(answer) = self.ready.pop_front() {
                return Some(Ok(answer));
            }
            // What the client asks does not wait for what is to be told.
            if let Some(asked) = self.asked.as_mut().and_then(|asked| asked.next().now_or_never()) {
                if let Err(status) = self.take(asked) {
                    return self.end(status);
                }
                continue;
            }
            if self.tell_how_far() || self.serve_chunk() || self.serve_behind() {
                continue;
            }
            if let Err(status) = self.read_or_wait().await {
                return self.end(status);
            }
        }
    }

    fn end(&mut self, status: Status) -> Option<Result<WatchResponse, Status>> {
        self.is_over = true;
        Some(Err(status))
    }

    /// The next part of the history for those that are level; where there is none, waits for whatever comes first.
    async fn read_or_wait(&mut self) -> Result<(), Status> {
        if !self.watches.is_empty() {
            self.feed.look();
            match self.feed.read(self.level, |revision| Some(revision.clone())) {
                Ok(part) if part.revisions.is_empty() => {
                    self.level = part.next;
                    self.hold();
                    if self.tell_how_far() {
                        return Ok(());
                    }
                }
                Ok(part) => {
                    self.chunk = Some(Chunk { part, served: None });
                    return Ok(());
                }
                Err(Error::Compacted { compacted, .. }) => {
                    let late = self.watches.iter().filter(|(_, watch)| watch.next < compacted).map(|(id, _)| *id);
                    let late: Vec<i64> = late.collect();
                    late.into_iter().for_each(|id| self.compacted(id, compacted));
                    self.level = compacted;
                    return Ok(());
                }
                Err(error) => return Err(of(&error)),
            }
        }
        let told = self.watches.values().filter(|w| w.progress).map(|w| w.told).min();
        let now = self.node.clock.now();
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(refuse(STOPPED)),
            asked = asked_next(&mut self.asked) => self.take(asked),
            changed = self.feed.changed(), if !self.watches.is_empty() => changed.map_err(|e| of(&e)),
            () = self.node.clock.sleep((told.unwrap_or(now) + PROGRESS_EVERY).saturating_duration_since(now)),
                if told.is_some() => {
                self.tell_progress();
                Ok(())
            }
        }
    }

    /// Takes in what the client asks.
    fn take(&mut self, asked: Option<Result<WatchRequest, Status>>) -> Result<(), Status> {
        match asked {
            // Its watches go on.
            None => self.asked = None,
            Some(asked) => match asked?.request_union {
                Some(Asked::Create(request)) => {
                    let answer = self.create(request);
                    self.ready.push_back(answer);
                }
                Some(Asked::Cancel(request)) => {
                    let answer = self.cancel(request.watch_id);
                    self.ready.extend(answer);
                }
                Some(Asked::Progress(_)) if self.progress.len() < PROGRESS_ASKED_MAX => {
                    self.progress.push_back(self.node.registry.revision());
                }
                Some(Asked::Progress(_)) => {}
                None => {}
            },
        }
        Ok(())
    }

    fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        let revision = self.node.registry.revision();
        let header = self.node.header_at(revision);
        let refused = |reason: &str| WatchResponse {
            header: header.clone(),
            watch_id: NO_WATCH,
            created: true,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..Default::default()
        };
        let key = if request.key.is_empty() { b"\0"[..].into() } else { request.key };
        let keys = keys(&key, &request.range_end);
        if keys.is_empty() {
            return refused("mvcc: watcher range is empty");
        }
        if request.watch_id != 0 && self.watches.contains_key(&request.watch_id) {
            return refused("mvcc: duplicate watch ID provided on the WatchStream");
        }
        let Ok(place) = self.node.watches.clone().try_acquire_owned() else {
            return refused("etcdserver: too many watches; cancel some first");
        };
        if self.watches.is_empty() {
            // Nobody was level with anything.
            self.chunk = None;
            self.level = revision + 1;
            self.hold();
        }
        let watch_id = match request.watch_id {
            0 => self.free_id(),
            id => id,
        };
        let next = match request.start_revision {
            0 => revision + 1,
            n => u64::try_from(n).unwrap_or(0),
        };
        let level = self.chunk.as_ref().map_or(self.level, |chunk| chunk.part.next);
        if next < level {
            self.behind.insert(watch_id);
            self.feed.hold(self.feed.position().min(next));
        }
        let watch = Watch {
            keys,
            next,
            prev_kv: request.prev_kv,
            puts: !request.filters.contains(&NO_PUT),
            deletes: !request.filters.contains(&NO_DELETE),
            fragment: request.fragment,
            progress: request.progress_notify,
            told: self.node.clock.now(),
            _place: place,
        };
        self.watches.insert(watch_id, watch);
        WatchResponse { header, watch_id, created: true, ..Default::default() }
    }

    fn free_id(&mut self) -> i64 {
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// The answer to who has enough; None where there is no such watch.
    fn cancel(&mut self, watch_id: i64) -> Option<WatchResponse> {
        let header = self.node.header();
        self.remove(watch_id).then(|| WatchResponse { header, watch_id, canceled: true, ..Default::default() })
    }

    fn remove(&mut self, id: i64) -> bool {
        self.behind.remove(&id);
        let was_there = self.watches.remove(&id).is_some();
        self.hold();
        was_there
    }

    /// What a watch waits for is gone.
    fn compacted(&mut self, id: i64, compacted: u64) {
        self.remove(id);
        let header = Some(self.node.header_without());
        let compact_revision = signed(compacted);
        self.ready.push_back(WatchResponse {
            header,
            watch_id: id,
            canceled: true,
            compact_revision,
            ..Default::default()
        });
    }

    /// The history is kept from where the first of those that are behind began, and then from where all are.
    fn hold(&self) {
        if self.behind.is_empty() {
            self.feed.hold(self.level);
        }
    }

    /// Up to this revision every watch was told all.
    fn seen(&self) -> u64 {
        let behind = self.behind.iter().filter_map(|id| self.watches.get(id)).map(|w| w.next).min();
        let level = if self.watches.is_empty() { self.node.registry.revision() + 1 } else { self.level };
        behind.unwrap_or(u64::MAX).min(level).saturating_sub(1)
    }

    /// Answers who asked how far it is, once it is there.
    fn tell_how_far(&mut self) -> bool {
        if self.progress.is_empty() {
            return false;
        }
        let seen = self.seen();
        if self.progress.pop_front_if(|at| *at <= seen).is_none() {
            return false;
        }
        let header = self.node.header_at(seen);
        self.ready.push_back(WatchResponse { header, watch_id: NO_WATCH, ..Default::default() });
        true
    }

    /// Makes the answer of the next watch that a chunk concerns. False where there is no chunk.
    fn serve_chunk(&mut self) -> bool {
        let Some(mut chunk) = self.chunk.take() else { return false };
        let from = chunk.served.map_or(Bound::Unbounded, Bound::Excluded);
        for (id, watch) in self.watches.range_mut((from, Bound::Unbounded)) {
            if self.behind.contains(id) {
                chunk.served = Some(*id);
                continue;
            }
            let (events, next) = watch.events(&chunk.part);
            watch.next = watch.next.max(next);
            // One that has been told only some of it is come to again.
            if next == chunk.part.next {
                chunk.served = Some(*id);
            }
            if events.is_empty() {
                continue;
            }
            watch.told = self.node.clock.now();
            let header = self.node.header_at(next - 1);
            let answer = WatchResponse { header, watch_id: *id, events, ..Default::default() };
            self.ready.extend(split(answer, watch.fragment));
            self.chunk = Some(chunk);
            return true;
        }
        self.level = chunk.part.next;
        self.hold();
        true
    }

    /// Makes the next answer of a watch that is behind. False where none is.
    fn serve_behind(&mut self) -> bool {
        let Some(id) = self.behind.first().copied() else { return false };
        let Some(watch) = self.watches.get_mut(&id) else { return self.behind.remove(&id) };
        match self.feed.read(watch.next, |revision| revision.of(&watch.keys)) {
            Ok(part) => {
                let (events, next) = watch.events(&part);
                watch.next = next;
                if !events.is_empty() {
                    watch.told = self.node.clock.now();
                    let header = self.node.header_at(next - 1);
                    let answer = WatchResponse { header, watch_id: id, events, ..Default::default() };
                    self.ready.extend(split(answer, watch.fragment));
                }
                if next >= self.level {
                    self.behind.remove(&id);
                }
                self.hold();
            }
            Err(Error::Compacted { compacted, .. }) => self.compacted(id, compacted),
            // It has stopped, which is seen where it is waited for.
            Err(_) => return false,
        }
        true
    }

    /// Tells those how far they are that asked for it and heard nothing for long.
    fn tell_progress(&mut self) {
        let now = self.node.clock.now();
        let header = self.node.header_at(self.level.saturating_sub(1));
        for (id, watch) in &mut self.watches {
            if watch.progress && now.saturating_duration_since(watch.told) >= PROGRESS_EVERY {
                watch.told = now;
                let header = header.clone();
                self.ready.push_back(WatchResponse { header, watch_id: *id, ..Default::default() });
            }
        }
    }
}

async fn asked_next<I>(asked: &mut Option<I>) -> Option<Result<WatchRequest, Status>>
where
    I: Stream<Item = Result<WatchRequest, Status>> + Unpin,
{
    match asked {
        Some(asked) => asked.next().await,
        None => std::future::pending().await,
    }
}

impl Watch {
    /// Its events of a part of the history, a bounded part of them, and the first revision behind those.
    fn events(&self, part: &Part) -> (Vec<Event>, u64) {
        let (mut events, mut bytes) = (Vec::new(), 0);
        for revision in part.revisions.iter().filter(|r| r.number >= self.next) {
            if bytes >= ANSWER_BYTES_MAX {
                return (events, revision.number);
            }
            for change in revision.changes.iter().filter(|c| self.keys.contains(&c.key)) {
                let is_wanted = if change.now.is_some() { self.puts } else { self.deletes };
                if is_wanted {
                    let event = self.event(revision, change, part.compacted);
                    bytes += event.encoded_len();
                    events.push(event);
                }
            }
        }
        (events, part.next)
    }

    fn event(&self, revision: &Revision, change: &Change, compacted: u64) -> Event {
        let before = match self.prev_kv {
            true => before(revision, change, compacted),
            false => None,
        };
        let prev_kv = before.map(|entry| pair(change.key.clone(), entry));
        match &change.now {
            Some(entry) => Event { kind: 0, kv: Some(pair(change.key.clone(), entry)), prev_kv },
            None => {
                let mod_revision = signed(revision.number);
                let kv = KeyValue { key: change.key.clone(), mod_revision, ..KeyValue::default() };
                Event { kind: DELETE, kv: Some(kv), prev_kv }
            }
        }
    }
}

/// What a key was in the revision before, as far as that is known still.
fn before<'r>(revision: &'r Revision, change: &'r Change, compacted: u64) -> Option<&'r Arc<Entry>> {
    let is_new = change.now.as_ref().is_some_and(|entry| entry.created == entry.modified);
    if is_new || revision.number <= compacted {
        return None;
    }
    let before = change.before.as_ref()?;
    match before.modified == revision.number {
        // Written and changed again in one transaction: what it was in between is nobody's business.
        true => revision.changes.iter().find(|c| c.key == change.key)?.before.as_ref(),
        false => Some(before),
    }
}

/// A long answer in pieces, for a client that puts them together.
fn split(answer: WatchResponse, fragment: bool) -> VecDeque<WatchResponse> {
    if !fragment || answer.events.len() < 2 || answer.encoded_len() < ANSWER_BYTES_MAX {
        return [answer].into();
    }
    let empty = WatchResponse { events: Vec::new(), fragment: true, ..answer.clone() };
    let (mut pieces, mut bytes) = (VecDeque::new(), usize::MAX);
    for event in answer.events {
        let more = event.encoded_len();
        if bytes.saturating_add(more) > ANSWER_BYTES_MAX {
            pieces.push_back(empty.clone());
            bytes = 0;
        }
        bytes += more;
        if let Some(piece) = pieces.back_mut() {
            piece.events.push(event);
        }
    }
    if let Some(last) = pieces.back_mut() {
        last.fragment = false;
    }
    pieces
}
