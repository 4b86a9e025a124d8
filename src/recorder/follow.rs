//! Follows the writer of one stream: what it wrote is made durable, gets its name and is listed, in the order that the
//! writer's words on top tell. One step after the other; fragments that came while a sync was on its way share the next.

use super::{
    Error, Sync,
    file::{Named, Nameless},
    sync::Pace,
    writer::Tools,
};
use crate::{
    disk::{self, Syncer},
    model::{GapCause, SampleTable, Segment, Sum, TrackSamples, VideoCodec},
};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Steps that wait. The writer is ahead by so many fragments at most, 8 s of the usual ones: longer than a disk takes
/// that is only slow, and than it takes to tell one that hangs. Their bytes are the system's; of each step a few hundred
/// bytes are ours.
pub const STEPS_MAX: usize = 16;

/// What the writer did.
pub enum Step {
    /// A file has its first fragment.
    Begun(Begun),
    /// It has one more.
    Written(Written),
    /// Nothing was written for a while.
    Idle,
    /// It is complete.
    Ended(Ended),
    /// Somebody waits until all steps before this one are done.
    Asked(oneshot::Sender<()>),
}

/// A file has its first fragment.
pub struct Begun {
    /// To give it its name.
    pub nameless: Nameless,
    /// As it is listed.
    pub segment: Segment,
    /// Where its samples lie.
    pub table: SampleTable,
    /// How its pictures are coded.
    pub codec: VideoCodec,
    /// Why frames are missing before it.
    pub missing: Option<GapCause>,
    /// When its write began.
    pub at: Instant,
}

/// A file has one more fragment.
pub struct Written {
    /// Its pictures.
    pub video: TrackSamples,
    /// Its sound.
    pub audio: TrackSamples,
    /// Its length.
    pub bytes: u64,
    /// When its write began.
    pub at: Instant,
}

/// A file is complete.
pub struct Ended {
    /// It holds exactly what was told of it.
    pub whole: bool,
    /// Of all its bytes.
    pub sum: Sum,
}

/// What writer and follower tell each other beside the steps.
#[derive(Clone)]
pub struct Link(Arc<Mutex<Linked>>);

/// See [`Link`].
pub struct Linked {
    /// When to sync.
    pub pace: Pace,
    /// What failed, for the writer to meet; the first where there were more.
    pub failure: Option<Error>,
    /// Something of the file that was begun last was listed.
    pub news: bool,
}

impl Link {
    /// Nothing has happened.
    pub fn new(sync: Sync) -> Self {
        Self(Arc::new(Mutex::new(Linked { pace: Pace::new(sync), failure: None, news: false })))
    }

    /// Looks, or changes something.
    pub fn with<T>(&self, f: impl FnOnce(&mut Linked) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The follower of one stream's writer.
pub struct Follower {
    tools: Tools,
    steps: mpsc::Receiver<Step>,
    link: Link,
    /// The file that grows.
    file: Option<Listed>,
}

/// A file that has its name and is listed.
struct Listed {
    segment: Segment,
    syncer: Syncer,
    /// Something was listed since the last sync.
    dirty: bool,
    synced: Instant,
    /// It failed: nothing more of it is listed.
    failed: bool,
    /// Somebody took it away.
    vanished: bool,
}

impl Follower {
    /// Follows the steps of a writer.
    pub fn new(tools: Tools, steps: mpsc::Receiver<Step>, link: Link) -> Self {
        Self { tools, steps, link, file: None }
    }

    /// Follows until the writer is gone and all that it did is done.
    pub async fn run(mut self) {
        let mut taken = Vec::with_capacity(STEPS_MAX);
        loop {
            let (due, clock) = (self.due(), self.tools.clock.clone());
            let due = async {
                match due {
                    Some(due) => clock.sleep(due.saturating_duration_since(clock.now())).await,
                    None => std::future::pending().await,
                }
            };
            // A power cut costs what was not synced: nobody's next word is waited for once it is due.
            let came = tokio::select! {
                biased;
                came = self.steps.recv_many(&mut taken, STEPS_MAX) => came,
                () = due => {
                    self.sync().await;
                    continue;
                }
            };
            if came == 0 {
                return;
            }
            let mut written = Vec::new();
            for step in taken.drain(..) {
                match step {
                    Step::Written(more) => written.push(more),
                    other => {
                        self.list(std::mem::take(&mut written)).await;
                        self.take(other).await;
                    }
                }
            }
            self.list(written).await;
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Begun(begun) => self.begin(begun).await,
            Step::Written(written) => self.list(vec![written]).await,
            Step::Idle => {
                if self.growing().is_some_and(|file| file.dirty) && self.is_due() {
                    self.sync().await;
                }
            }
            Step::Ended(ended) => self.end(ended).await,
            // Whoever asked may have gone away.
            Step::Asked(done) => drop(done.send(())),
        }
    }

    /// Steps 2 to 4.
    async fn begin(&mut self, begun: Begun) {
        let Begun { nameless, segment, table, codec, missing, at } = begun;
        let durable = self.link.with(|link| link.pace.is_durable());
        let asked = self.tools.clock.now();
        let named = self.tools.disk.syncs().run(move |_| nameless.name(durable)).await;
        let Named { syncer, directory } = match named.and_then(|result| result) {
            Ok(named) => named,
            Err(error) => {
                self.lost(&table.video, &table.audio);
                return self.fail(error);
            }
        };
        let synced = self.synced(asked);
        if let Some(cause) = missing {
            self.tools.archive.ledger().missing(&segment.stream, cause);
        }
        let file = Listed { segment: segment.clone(), syncer, dirty: false, synced, failed: false, vanished: false };
        self.file = Some(file);
        if let Err(error) = self.tools.archive.opened(segment.clone(), table).await {
            // It is listed all the same, and its row is committed when it is closed, or after a crash at the next start.
            tracing::warn!(stream = %segment.stream, %error, "the index did not take a new segment");
        }
        let data = json!({ "start": segment.start, "codec": codec.as_str() });
        self.tools.events.emit("segment.opened", &segment.stream, data);
        self.listed(at);
        if let Err(error) = directory {
            self.fail(error);
        }
    }

    /// Step 5.
    async fn list(&mut self, written: Vec<Written>) {
        let due = !written.is_empty() && self.is_due();
        let failed = due && !self.sync().await;
        for Written { video, audio, bytes, at } in written {
            let Some(file) = self.growing().filter(|_| !failed) else {
                self.lost(&video, &audio);
                continue;
            };
            file.dirty |= !due;
            let segment = &mut file.segment;
            segment.bytes += bytes;
            segment.duration_ticks += video.duration_ticks();
            segment.frames = segment.frames.saturating_add(u32::try_from(video.sizes.len()).unwrap_or(u32::MAX));
            let segment = segment.clone();
            self.tools.archive.extended(segment, &video, &audio);
            self.listed(at);
        }
    }

    /// Step 6.
    async fn end(&mut self, ended: Ended) {
        let durable = self.link.with(|link| {
            link.news = false;
            link.pace.is_durable()
        });
        if durable && self.growing().is_some_and(|file| file.dirty) {
            self.sync().await;
        }
        let Some(file) = self.file.take() else { return };
        if file.vanished {
            if let Err(error) = self.tools.archive.vanished(&file.segment).await {
                // The next start finds that there is no file.
                tracing::warn!(stream = %file.segment.stream, %error, "the index still lists a file that was removed");
            }
            return;
        }
        let whole = ended.whole && !file.failed;
        let sum = if whole { ended.sum } else { Sum::None };
        let segment = Segment { closed: true, sum, ..file.segment };
        if let Err(error) = self.tools.archive.closed(segment.clone(), whole).await {
            tracing::warn!(stream = %segment.stream, %error, "the index did not take a closed segment yet");
        }
        let data = json!({
            "start": segment.start,
            "end": segment.end(),
            "bytes": segment.bytes,
            "frames": segment.frames,
        });
        self.tools.events.emit("segment.closed", &segment.stream, data);
    }

    /// The file that grows and has not failed.
    fn growing(&mut self) -> Option<&mut Listed> {
        self.file.as_mut().filter(|file| !file.failed)
    }

    /// When what is not durable yet is to be.
    fn due(&mut self) -> Option<Instant> {
        let synced = self.growing().filter(|file| file.dirty)?.synced;
        Some(synced + self.link.with(|link| link.pace.interval())?)
    }

    fn is_due(&mut self) -> bool {
        let now = self.tools.clock.now();
        let Some(synced) = self.growing().map(|file| file.synced) else { return false };
        self.link.with(|link| link.pace.is_due(now - synced))
    }

    /// Makes durable what was written to the file that grows. False where that failed: it may not be tried again.
    async fn sync(&mut self) -> bool {
        let Some(syncer) = self.growing().map(|file| file.syncer.clone()) else { return false };
        let asked = self.tools.clock.now();
        // What is durable in a file without a name is lost all the same.
        let sync = move |_: &disk::Files| syncer.sync_data().and_then(|()| syncer.check_named());
        let done = self.tools.disk.syncs().run(sync).await.and_then(|result| result);
        if let Err(error) = done {
            self.fail(error);
            return false;
        }
        let synced = self.synced(asked);
        if let Some(file) = self.growing() {
            (file.dirty, file.synced) = (false, synced);
        }
        true
    }

    fn synced(&self, asked: Instant) -> Instant {
        let now = self.tools.clock.now();
        let interval = self.link.with(|link| {
            link.pace.took(now - asked);
            link.pace.interval()
        });
        self.tools.counts.sync_interval.set(interval.map_or(0.0, |interval| interval.as_secs_f64()));
        now
    }

    fn listed(&self, at: Instant) {
        self.tools.counts.write_seconds.observe((self.tools.clock.now() - at).as_secs_f64());
        self.link.with(|link| link.news = true);
    }

    /// The file ends with what is listed of it, once the writer has let go of it.
    fn fail(&mut self, error: disk::Error) {
        if let Some(file) = &mut self.file {
            file.failed = true;
            file.vanished |= matches!(error, disk::Error::Vanished(_));
        }
        let error = Error::from(error);
        // Of frames that were written to it since; the next file may be begun already.
        self.tools.archive.ledger().missing(&self.tools.stream, error.cause());
        self.link.with(|link| {
            link.failure.get_or_insert(error);
        });
    }

    /// Frames that were written and are not listed.
    fn lost(&self, video: &TrackSamples, audio: &TrackSamples) {
        self.tools.counts.left_out("disk_failed", (video.sizes.len() + audio.sizes.len()) as u64);
    }
}
