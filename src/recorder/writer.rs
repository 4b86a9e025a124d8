//! Carries actions out on the disk, in the order that survives a crash at any point:
//!
//! 1. A new file is written as `….mp4.tmp`: header and first fragment in one write.
//! 2. It is synced, and so are directories that were made for it.
//! 3. It is renamed to `….mp4`, and its directory is synced. So no `.mp4` is without a whole fragment.
//! 4. Its row is committed. So no row is without its file.
//! 5. Each further fragment is appended in one write, and synced as the settings ask; only then is it listed.
//! 6. At the end the file is synced, and its row committed complete, with its table and its checksum.
//!
//! The writer does what goes into the system's memory, 1 and the writing of 5, and waits for no sync: what came from the
//! camera outlives a kill from then on, however slow the disk is. The [`Follower`] does the rest behind it, in this
//! order, over a queue that is bounded: where the disk hangs, the writer waits at last.
//!
//! A write that fails is cut back to the last whole fragment. A sync that fails is never tried again: what the file
//! holds beyond the last sync is in doubt. Either way the file ends there with what is listed, what was written to it
//! since is counted as lost, and recording goes on with a new one. The follower's failures meet the writer before its
//! next write, or while it is idle.

use super::{
    Error, Sync,
    assembler::{Action, Opening},
    file::{Out, Place},
    follow::{Begun, Ended, Follower, Link, STEPS_MAX, Step, Written},
    metrics::StreamCounts,
};
use crate::{
    archive::Archive,
    base::Clock,
    disk::{self, Disk},
    events::Events,
    media::fmp4::{
        Origin,
        write::{Fragment, FragmentTrack, empty_table, fragment, init},
    },
    model::{Checksum, GapCause, Segment, StreamKey, Sum},
};
use std::collections::VecDeque;
use tokio::sync::{mpsc, oneshot};

/// What the writer of one stream stands on.
#[derive(Clone)]
pub struct Tools {
    /// The stream.
    pub stream: StreamKey,
    /// Where files are listed.
    pub archive: Archive,
    /// Where files lie.
    pub disk: Disk,
    /// Time.
    pub clock: Clock,
    /// Where files are reported.
    pub events: Events,
    /// What is counted.
    pub counts: StreamCounts,
}

/// The writer of one stream: at most one file is open.
pub struct Writer {
    tools: Tools,
    /// Of files from the next one on.
    checksum: Checksum,
    /// Said, but nothing is written yet.
    opening: Option<Opening>,
    open: Option<Open>,
    /// Why frames are missing before the next file.
    missing: Option<GapCause>,
    /// Milliseconds in which the last files begin: the archive does not know all of them yet.
    begun: VecDeque<i64>,
    steps: mpsc::Sender<Step>,
    link: Link,
}

/// The open file.
struct Open {
    /// None after a failed operation.
    out: Option<Out>,
    sequence: u32,
}

impl Writer {
    /// Nothing is open. What the writer does comes to nothing unless the follower runs beside it.
    pub fn new(tools: Tools, sync: Sync, checksum: Checksum) -> (Self, Follower) {
        let (steps, taken) = mpsc::channel(STEPS_MAX);
        let link = Link::new(sync);
        let follower = Follower::new(tools.clone(), taken, link.clone());
        let (missing, begun) = (None, VecDeque::new());
        (Self { tools, checksum, opening: None, open: None, missing, begun, steps, link }, follower)
    }

    /// How files are summed up, from the next one on: a sum is of a whole file.
    pub fn set_checksum(&mut self, checksum: Checksum) {
        self.checksum = checksum;
    }

    /// When to sync, from now on.
    pub fn set_sync(&mut self, sync: Sync) {
        self.link.with(|link| link.pace.set_policy(sync));
    }

    /// Whether syncs are further apart than was asked, because the disk cannot keep up.
    pub fn is_stretched(&self) -> bool {
        self.link.with(|link| link.pace.is_stretched())
    }

    /// The steps to the follower, whatever the writer does: without room the writer is held up.
    #[cfg(test)]
    pub fn steps(&self) -> mpsc::WeakSender<Step> {
        self.steps.downgrade()
    }

    /// Whether a file is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether something of the open file was listed since this was asked last.
    pub fn has_news(&mut self) -> bool {
        self.is_open() && self.link.with(|link| std::mem::take(&mut link.news))
    }

    /// Frames are missing before the next file, and this is why. The ledger hears of it with that file: those before it
    /// are still on their way.
    pub fn set_missing(&mut self, cause: GapCause) {
        self.missing = Some(cause);
    }

    /// Carries one action out, as far as the system's memory. After an error no file is open; what was open is closed and
    /// listed as far as it is whole.
    pub async fn apply(&mut self, action: Action) -> Result<(), Error> {
        self.notice().await?;
        let done = match action {
            Action::Open(opening) => {
                self.opening = Some(opening);
                Ok(())
            }
            Action::Append { video, audio } => self.append(video, audio).await,
            Action::Close => self.close().await,
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => Err(self.give_up(error).await),
        }
    }

    /// Nothing is to be written now; what was written may be due for a sync, or may have failed.
    pub async fn idle(&mut self) -> Result<(), Error> {
        self.notice().await?;
        if self.is_open() && self.steps.capacity() == STEPS_MAX {
            self.send(Step::Idle).await?;
        }
        Ok(())
    }

    /// Waits until all that was carried out is listed, as durable as the settings ask, or has failed.
    pub async fn settled(&mut self) -> Result<(), Error> {
        self.catch_up().await?;
        self.notice().await
    }

    async fn catch_up(&mut self) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.send(Step::Asked(done)).await?;
        Ok(answer.await.map_err(|_| disk::Error::Stopped)?)
    }

    /// Meets a failure of the follower.
    async fn notice(&mut self) -> Result<(), Error> {
        match self.link.with(|link| link.failure.take()) {
            None => Ok(()),
            Some(error) => Err(self.give_up(error).await),
        }
    }

    /// Ends what is open, as far as it is whole. What fails in that adds nothing to the error that is told.
    async fn give_up(&mut self, error: Error) -> Error {
        let _ = self.close().await;
        let _ = self.catch_up().await;
        self.link.with(|link| link.failure = None);
        error
    }

    async fn append(&mut self, video: FragmentTrack, audio: FragmentTrack) -> Result<(), Error> {
        let audio = (!audio.samples.is_empty()).then_some(audio);
        let sequence = self.open.as_ref().map_or(1, |open| open.sequence + 1);
        let fragment = fragment(sequence, video, audio)?;
        match self.opening.take() {
            Some(opening) => self.begin(opening, fragment).await,
            None => self.extend(fragment).await,
        }
    }

    /// The first fragment of a file.
    async fn begin(&mut self, opening: Opening, fragment: Fragment) -> Result<(), Error> {
        // A file that is still open here was never closed by whoever gave the actions.
        self.close().await?;
        if self.begun.contains(&opening.start.millis()) {
            self.settled().await?;
        }
        let at = self.tools.clock.now();
        let Tools { archive, stream, disk, .. } = &self.tools;
        let (start, suffix) = archive.free_name(stream, opening.start).await?;
        let origin = Origin { stream: stream.clone(), start, session: opening.session, index: opening.index };
        let header = init(&opening.format, &origin);
        let mut table = empty_table(&opening.format);
        table.init_bytes = u32::try_from(header.len()).unwrap_or(u32::MAX);
        (table.video, table.audio) = fragment.samples_at(header.len() as u64);
        let mut segment = Segment {
            stream: stream.clone(),
            start,
            duration_ticks: table.video.duration_ticks(),
            bytes: header.len() as u64 + fragment.bytes,
            frames: u32::try_from(table.video.sizes.len()).unwrap_or(u32::MAX),
            session: opening.session,
            index: opening.index,
            name_suffix: suffix,
            closed: false,
            sum: Sum::None,
        };
        let place = Place { archive: archive.clone(), stream: stream.clone(), start, suffix, checksum: self.checksum };
        let created = disk.run(move |files| place.create(files, &header, &fragment)).await??;
        segment.name_suffix = created.suffix;
        self.tools.counts.bytes.inc_by(segment.bytes);
        self.open = Some(Open { out: Some(created.out), sequence: 1 });
        self.begun.push_back(start.millis());
        if self.begun.len() > STEPS_MAX {
            self.begun.pop_front();
        }
        let (codec, missing) = (opening.format.video.codec, self.missing.take());
        self.send(Step::Begun(Begun { nameless: created.nameless, segment, table, codec, missing, at })).await
    }

    /// One more fragment.
    async fn extend(&mut self, fragment: Fragment) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(out) = open.out.take() else { return Ok(()) };
        let at = self.tools.clock.now();
        let (video, audio) = fragment.samples_at(out.bytes());
        let bytes = fragment.bytes;
        open.out = Some(self.tools.disk.run(move |_| out.append(&fragment)).await??);
        open.sequence += 1;
        self.tools.counts.bytes.inc_by(bytes);
        self.send(Step::Written(Written { video, audio, bytes, at })).await
    }

    /// The file is complete.
    async fn close(&mut self) -> Result<(), Error> {
        self.opening = None;
        let Some(open) = self.open.take() else { return Ok(()) };
        let whole = open.out.is_some();
        self.send(Step::Ended(Ended { whole, sum: open.out.map_or(Sum::None, Out::sum) })).await
    }

    async fn send(&self, step: Step) -> Result<(), Error> {
        Ok(self.steps.send(step).await.map_err(|_| disk::Error::Stopped)?)
    }
}

#[cfg(test)]
mod tests;
