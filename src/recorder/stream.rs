//! The recording of one stream: frames through the assembler to the writer, again and again after failures, until the
//! stream ends or it is told to stop.

use super::{
    Error, Settings,
    assembler::{Action, Assembler},
    cut::Rules,
    metrics::StreamCounts,
    status::Board,
    sync::Pace,
    writer::{Tools, Writer},
};
use crate::{
    archive::Archive,
    base::{Backoff, Clock, Kind},
    events::Events,
    live::{Delivery, Hub, Reader},
    model::StreamKey,
};
use serde_json::json;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// How often a stream is looked at that sends nothing.
const IDLE_EVERY: Duration = Duration::from_millis(500);
/// Pictures that are held while no more come go out after so long, so that they are listed within two seconds.
const HELD_MAX: Duration = Duration::from_millis(700);
/// After so long it is tried again whatever the disk says.
const WELL_WAIT_MAX: Duration = Duration::from_secs(8);
/// How long to wait at least after a failure.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(8);
/// Skips that follow one another within so long are one burst, logged once.
const BURST: Duration = Duration::from_secs(10);

/// What all streams share.
#[derive(Clone)]
pub struct Shared {
    /// Where frames come from.
    pub hub: Hub,
    /// Where files are listed.
    pub archive: Archive,
    /// Where files lie.
    pub disk: crate::disk::Disk,
    /// Time.
    pub clock: Clock,
    /// Where news are told.
    pub events: Events,
    /// What streams do.
    pub board: Board,
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// There is no publisher any more.
    Stream,
    /// It was told to stop.
    Stopped,
}

/// The recording of one stream.
pub struct Recording {
    shared: Shared,
    stream: StreamKey,
    settings: watch::Receiver<Settings>,
    counts: StreamCounts,
    assembler: Assembler,
    writer: Writer,
    backoff: Backoff,
    last_append: Instant,
    last_skip: Option<Instant>,
}

impl Recording {
    /// Nothing is recorded yet.
    pub fn new(shared: Shared, stream: StreamKey, settings: watch::Receiver<Settings>, counts: StreamCounts) -> Self {
        let now = *settings.borrow();
        let tools = Tools {
            stream: stream.clone(),
            archive: shared.archive.clone(),
            disk: shared.disk.clone(),
            clock: shared.clock.clone(),
            events: shared.events.clone(),
            counts: counts.clone(),
        };
        Self {
            assembler: Assembler::new(Rules::of(&now)),
            writer: Writer::new(tools, Pace::new(now.sync)),
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
            last_append: shared.clock.now(),
            last_skip: None,
            shared,
            stream,
            settings,
            counts,
        }
    }

    /// Records until the stream ends or `stop`; what is held is written and the file closed before it returns.
    pub async fn run(mut self, stop: CancellationToken) {
        self.shared.board.set(&self.stream, false, None);
        while let Some(reader) = self.shared.hub.reader(&self.stream) {
            match self.run_once(reader, &stop).await {
                Ok(Ended::Stopped) => break,
                // Its publisher may have been replaced by another one.
                Ok(Ended::Stream) => {}
                Err(error) => {
                    self.assembler.abandon();
                    self.count_dropped();
                    self.tell(&error);
                    if stop.is_cancelled() || !self.wait(&error, &stop).await {
                        break;
                    }
                }
            }
        }
        self.shared.board.remove(&self.stream);
    }

    /// One attempt: until the end, or the first failure.
    async fn run_once(&mut self, mut reader: Reader, stop: &CancellationToken) -> Result<Ended, Error> {
        let mut idle = tokio::time::interval(IDLE_EVERY);
        idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // What is in the ring was live before the stop.
                    while let Some(delivery) = reader.try_read() {
                        self.take(delivery).await?;
                    }
                    self.finish().await?;
                    return Ok(Ended::Stopped);
                }
                delivery = reader.next() => match delivery {
                    Some(delivery) => self.take(delivery).await?,
                    None => {
                        self.finish().await?;
                        return Ok(Ended::Stream);
                    }
                },
                Ok(()) = self.settings.changed() => self.apply_settings(),
                _ = idle.tick() => self.idle().await?,
            }
        }
    }

    async fn take(&mut self, delivery: Delivery) -> Result<(), Error> {
        let breaks = matches!(delivery, Delivery::Break(_));
        let actions = match delivery {
            Delivery::Frame(frame) => self.assembler.push(frame),
            Delivery::Skipped { frames } => {
                self.skipped(frames);
                self.assembler.finish()
            }
            Delivery::Missing(_) => Vec::new(),
            Delivery::Break(reason) => {
                tracing::debug!(stream = %self.stream, %reason, "session ended");
                self.assembler.finish()
            }
        };
        self.carry_out(actions).await?;
        if breaks {
            // Nothing comes until the camera is back, which may be days.
            self.shared.board.set(&self.stream, false, None);
        }
        Ok(())
    }

    async fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), Error> {
        if actions.is_empty() {
            return Ok(());
        }
        let mut actions = actions.into_iter();
        while let Some(action) = actions.next() {
            let frames = frames_of(&action);
            if let Err(error) = self.writer.apply(action).await {
                let lost = frames + actions.map(|a| frames_of(&a)).sum::<u64>();
                self.counts.left_out("disk_failed", lost);
                return Err(error);
            }
        }
        self.last_append = self.shared.clock.now();
        self.count_dropped();
        if self.writer.is_open() {
            self.well();
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Error> {
        let actions = self.assembler.finish();
        self.carry_out(actions).await
    }

    async fn idle(&mut self) -> Result<(), Error> {
        self.count_dropped();
        if self.assembler.holds() && self.shared.clock.now() - self.last_append >= HELD_MAX {
            let actions = self.assembler.flush();
            self.carry_out(actions).await?;
        }
        self.writer.idle().await
    }

    fn apply_settings(&mut self) {
        let settings = *self.settings.borrow_and_update();
        self.assembler.set_rules(Rules::of(&settings));
        self.writer.pace().set_policy(settings.sync);
    }

    /// Something reached the disk.
    fn well(&mut self) {
        let failures = self.backoff.failures();
        self.backoff.reset();
        let stretched = self.writer.pace().is_stretched();
        let news = self.shared.board.set(&self.stream, true, stretched.then_some("sync_stretched"));
        if failures > 0 {
            tracing::info!(stream = %self.stream, failures, "recording again");
            self.shared.archive.report_written();
            self.shared.events.emit("recording.resumed", &self.stream, json!({}));
        } else if news && stretched {
            tracing::warn!(stream = %self.stream, "the disk is too slow to be synced as often as asked");
        }
    }

    fn tell(&mut self, error: &Error) {
        let reason = error.reason();
        if let Some(trouble) = error.trouble() {
            self.shared.archive.report_failure(trouble, &error.to_string());
        }
        if self.shared.board.set(&self.stream, false, Some(reason)) {
            tracing::error!(stream = %self.stream, %error, reason, "recording failed, trying again");
            let data = json!({ "reason": reason, "error": error.to_string() });
            self.shared.events.emit("recording.failed", &self.stream, data);
        } else {
            tracing::debug!(stream = %self.stream, %error, reason, "recording failed again");
        }
    }

    /// Waits until another try is worth it. False where it was told to stop meanwhile.
    async fn wait(&mut self, error: &Error, stop: &CancellationToken) -> bool {
        let wait = self.backoff.next(rand::random());
        let (clock, archive) = (self.shared.clock.clone(), self.shared.archive.clone());
        let full = error.kind() == Kind::NoSpace;
        let enough = async {
            if full {
                archive.poke_retention();
            }
            // Where the disk is said to be well all the same, it is this file or these frames.
            let troubled = archive.health().borrow().trouble.is_some();
            match troubled {
                true => until_well(&clock, &archive).await,
                false => clock.sleep(wait).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => false,
            () = enough => true,
        }
    }

    fn skipped(&mut self, frames: u64) {
        self.counts.left_out("slow_disk", frames);
        let now = self.shared.clock.now();
        let of_burst = self.last_skip.replace(now).is_some_and(|last| now - last < BURST);
        if !of_burst {
            tracing::warn!(stream = %self.stream, frames, "the disk is too slow: frames were left out");
        }
    }

    fn count_dropped(&mut self) {
        let dropped = self.assembler.take_dropped();
        self.counts.left_out("before_key_frame", dropped.before_key);
        self.counts.left_out("late_sound", dropped.audio);
        self.counts.left_out("disk_failed", dropped.failed);
    }
}

/// Waits until the disk is said to be well, but not for ever.
async fn until_well(clock: &Clock, archive: &Archive) {
    let mut health = archive.health();
    tokio::select! {
        // An error says that the archive is gone: there is nothing to wait for.
        _ = health.wait_for(|health| health.trouble.is_none()) => {}
        () = clock.sleep(WELL_WAIT_MAX) => {}
    }
}

fn frames_of(action: &Action) -> u64 {
    match action {
        Action::Append { video, audio } => (video.samples.len() + audio.samples.len()) as u64,
        Action::Open(_) | Action::Close => 0,
    }
}
