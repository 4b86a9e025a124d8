//! The recording of one stream: frames through the assembler to the writer, again and again after failures, until the
//! stream ends or it is told to stop.

use super::{
    Error, LEAD, Pause, Plan, Settings,
    assembler::{Action, Assembler},
    cadence::Cadence,
    cut::Rules,
    follow::Follower,
    metrics::StreamCounts,
    plan::Stretch,
    prelude::Prelude,
    status::Board,
    writer::{Tools, Writer},
};
use crate::{
    archive::Archive,
    base::{Backoff, Clock, Kind, Wall},
    events::Events,
    live::{Absence, Delivery, Hold, Hub, Reader},
    model::{Frame, GapCause, StreamKey, TrackKind, frame::VIDEO_TIMESCALE, span::JOIN_MICROS_MAX},
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
/// Frames of before the end of a window may be on their way for so long behind it.
const TRAIL: Duration = Duration::from_secs(2);
/// A stream that is not wanted is looked at this often for whether it is: the wall clock may be set.
const REST_MAX: Duration = Duration::from_secs(30);
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
    /// No frames are wanted for some time.
    Unwanted,
}

/// Pictures that are missing before one.
struct Hole {
    cause: GapCause,
    ends_file: bool,
}

/// What a stream is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders {
    /// How it is recorded.
    pub settings: Settings,
    /// A pause that somebody asked for.
    pub pause: Option<Pause>,
}

impl Orders {
    /// When it is wanted.
    pub fn plan(&self) -> Plan {
        Plan { schedule: self.settings.schedule.clone(), pause: self.pause.clone() }
    }
}

/// The recording of one stream.
pub struct Recording {
    shared: Shared,
    stream: StreamKey,
    orders: watch::Receiver<Orders>,
    plan: Plan,
    /// What the plan says of the time around the last picture.
    stretch: Option<Stretch>,
    prelude: Prelude,
    /// The session has broken, or none has begun.
    broken: bool,
    /// Frames are missing at the source before the next picture.
    missing: Option<GapCause>,
    /// The last picture is the first that is not wanted.
    flipped: bool,
    /// How often pictures come.
    cadence: Cadence,
    counts: StreamCounts,
    assembler: Assembler,
    writer: Writer,
    backoff: Backoff,
    last_append: Instant,
    last_skip: Option<Instant>,
}

/// Records a stream until it ends or `stop`; what is held is written and the file closed before it returns.
pub async fn record(
    shared: Shared,
    stream: StreamKey,
    orders: watch::Receiver<Orders>,
    counts: StreamCounts,
    stop: CancellationToken,
) {
    let (recording, follower) = Recording::new(shared, stream, orders, counts);
    tokio::join!(recording.run(stop), follower.run());
}

impl Recording {
    /// Nothing is recorded yet.
    fn new(
        shared: Shared,
        stream: StreamKey,
        orders: watch::Receiver<Orders>,
        counts: StreamCounts,
    ) -> (Self, Follower) {
        let (now, plan) = (orders.borrow().settings.clone(), orders.borrow().plan());
        let tools = Tools {
            stream: stream.clone(),
            archive: shared.archive.clone(),
            disk: shared.disk.clone(),
            clock: shared.clock.clone(),
            events: shared.events.clone(),
            counts: counts.clone(),
        };
        let (writer, follower) = Writer::new(tools, now.sync, now.checksum);
        let recording = Self {
            assembler: Assembler::new(Rules::of(&now)),
            writer,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
            last_append: shared.clock.now(),
            last_skip: None,
            shared,
            stream,
            orders,
            plan,
            stretch: None,
            prelude: Prelude::default(),
            broken: true,
            missing: None,
            flipped: false,
            cadence: Cadence::default(),
            counts,
        };
        (recording, follower)
    }

    /// The follower has nothing more to do once this is over and `self` is gone.
    async fn run(mut self, stop: CancellationToken) {
        self.shared.board.set(&self.stream, false, None);
        loop {
            let now = self.shared.clock.wall();
            self.hold(now);
            if !self.plan.takes(now) {
                self.rest_begins(now);
                if !self.rest(&stop).await {
                    break;
                }
                continue;
            }
            let Some(reader) = self.shared.hub.reader(&self.stream) else { break };
            match self.run_once(reader, &stop).await {
                Ok(Ended::Stopped) => break,
                Ok(Ended::Unwanted) => {}
                // Its publisher may have been replaced by another one.
                Ok(Ended::Stream) => {
                    // What was amiss before is still the cause.
                    if !self.shared.archive.ledger().is_broken(&self.stream) {
                        self.absent(GapCause::Restart, self.shared.clock.wall());
                    }
                }
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
        let mut absence = reader.absence();
        self.nothing_before();
        self.tell_absence(*absence.borrow_and_update());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // What is in the ring was live before the stop.
                    while let Some(delivery) = reader.try_read() {
                        self.take(delivery).await?;
                    }
                    self.end_file().await?;
                    return Ok(Ended::Stopped);
                }
                // Before frames: what is asked for holds from the next one on.
                Ok(()) = self.orders.changed() => self.apply_orders(),
                delivery = reader.next() => match delivery {
                    Some(delivery) => {
                        let breaks = matches!(delivery, Delivery::Break(_));
                        self.take(delivery).await?;
                        if breaks {
                            let connecting =
                                Absence { cause: GapCause::Connecting, since: self.shared.clock.wall() };
                            let told = *absence.borrow_and_update();
                            self.tell_absence(Some(told.unwrap_or(connecting)));
                        }
                        if std::mem::take(&mut self.flipped) && self.is_done(self.shared.clock.wall()) {
                            return Ok(Ended::Unwanted);
                        }
                    }
                    None => {
                        self.end_file().await?;
                        return Ok(Ended::Stream);
                    }
                },
                Ok(()) = absence.changed() => {
                    let told = *absence.borrow_and_update();
                    self.tell_absence(told);
                }
                _ = idle.tick() => {
                    self.idle().await?;
                    if self.looks_away().await? {
                        return Ok(Ended::Unwanted);
                    }
                }
            }
        }
    }

    async fn take(&mut self, delivery: Delivery) -> Result<(), Error> {
        let breaks = matches!(delivery, Delivery::Break(_));
        let actions = match delivery {
            Delivery::Frame(frame) => return self.take_frame(frame).await,
            Delivery::Skipped { frames } => {
                self.skipped(frames);
                self.prelude.clear();
                self.cadence.clear();
                self.finish().await?;
                self.writer.set_missing(GapCause::Overload);
                return Ok(());
            }
            Delivery::Missing(cause) => {
                self.prelude.clear();
                self.missing = Some(cause);
                Vec::new()
            }
            Delivery::Break(reason) => {
                tracing::debug!(stream = %self.stream, %reason, "session ended");
                self.nothing_before();
                self.assembler.finish()
            }
        };
        self.carry_out(actions).await?;
        if breaks {
            self.writer.settled().await?;
            // Nothing comes until the camera is back, which may be days.
            self.shared.board.set(&self.stream, false, None);
        }
        Ok(())
    }

    /// A frame is recorded, or kept for when it is known whether it is wanted.
    async fn take_frame(&mut self, frame: Frame) -> Result<(), Error> {
        let picture = frame.track == TrackKind::Video;
        if picture {
            self.broken = false;
            let before = self.stretch.and_then(|s| s.unwanted);
            if !self.stretch.is_some_and(|stretch| stretch.holds(frame.wall)) {
                self.stretch = Some(self.plan.stretch(frame.wall));
            }
            let unwanted = self.stretch.and_then(|s| s.unwanted);
            if let Some(cause) = unwanted
                && before != unwanted
            {
                self.end_file().await?;
                self.flipped = true;
                self.hold(frame.wall);
                self.unwanted(cause, frame.wall);
            } else if unwanted.is_none() && before.is_some() {
                self.hold(frame.wall);
                // What is to be said if no footage comes now.
                self.absent(GapCause::Connecting, frame.wall);
            }
        }
        if self.stretch.is_some_and(|s| s.unwanted.is_some()) {
            self.prelude.push(frame);
            return Ok(());
        }
        if picture && let Some(hole) = self.hole_before(&frame) {
            if hole.ends_file {
                self.finish().await?;
            }
            // Behind what was held: a file that began with some of that would take the cause for its own.
            self.writer.set_missing(hole.cause);
        }
        let mut actions = Vec::new();
        for earlier in self.prelude.take() {
            actions.extend(self.assembler.push(earlier));
        }
        actions.extend(self.assembler.push(frame));
        self.carry_out(actions).await
    }

    /// What comes next follows nothing.
    fn nothing_before(&mut self) {
        (self.broken, self.missing) = (true, None);
        self.cadence.clear();
        self.prelude.clear();
    }

    /// What is missing before a picture that a person would miss, where the picture needs none of it. Then the file ends
    /// before it: one that went on would show the last picture all the while, and call it footage. Where it needs those
    /// before, a file that began with it could not be played: then only the ledger tells.
    fn hole_before(&mut self, frame: &Frame) -> Option<Hole> {
        let told = self.missing.take();
        let Some(step) = self.cadence.step(frame.session, frame.ticks) else {
            return told.map(|cause| Hole { cause, ends_file: false });
        };
        let micros = step.hole.saturating_mul(1_000_000) / i64::from(VIDEO_TIMESCALE);
        if micros <= JOIN_MICROS_MAX || !(told.is_some() || step.is_long) {
            return None;
        }
        if told.is_none() && !frame.key {
            let (from, to) = (frame.wall.plus_micros(-micros), frame.wall);
            self.shared.archive.ledger().silent(&self.stream, from, to);
            return None;
        }
        Some(Hole { cause: told.unwrap_or(GapCause::Silence), ends_file: true })
    }

    /// Says that frames are not wanted, or are again.
    fn hold(&self, at: Wall) {
        let hold = self.plan.unwanted(at).map(|cause| Hold { reason: self.plan.reason(cause).into() });
        self.shared.hub.hold(&self.stream, hold);
    }

    /// No frame is wanted from `at` on.
    fn unwanted(&self, cause: GapCause, at: Wall) {
        self.absent(cause, at);
        self.shared.board.set(&self.stream, false, Some(cause.as_str()));
    }

    /// Nobody fetches frames for us for some time.
    fn rest_begins(&mut self, now: Wall) {
        self.stretch = None;
        if let Some(cause) = self.plan.unwanted(now) {
            self.unwanted(cause, now);
        }
    }

    /// Rests while no frames are wanted. False where it was told to stop meanwhile.
    async fn rest(&mut self, stop: &CancellationToken) -> bool {
        let now = self.shared.clock.wall();
        let wanted = self.plan.next_wanted(now).map(|at| at.micros_since(now));
        let micros = wanted.and_then(|micros| u64::try_from(micros).ok()).map(Duration::from_micros);
        let wait = micros.map_or(REST_MAX, |wait| wait.saturating_sub(LEAD).min(REST_MAX));
        let clock = self.shared.clock.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            Ok(()) = self.orders.changed() => self.apply_orders(),
            () = clock.sleep(wait) => {}
        }
        true
    }

    /// Whether frames that come are of no use any more: the last one was not wanted, and none is for some time.
    fn is_done(&self, now: Wall) -> bool {
        self.stretch.is_some_and(|s| s.unwanted.is_some()) && !self.plan.takes(now)
    }

    /// As [`Recording::is_done`], of a stream that sends nothing. What was on its way at the end of the window is here.
    async fn looks_away(&mut self) -> Result<bool, Error> {
        let now = self.shared.clock.wall();
        if self.is_done(now) {
            return Ok(true);
        }
        let over = !self.plan.takes(now) && self.plan.unwanted(now.minus(TRAIL)).is_some();
        if over {
            self.end_file().await?;
            return Ok(true);
        }
        // A window begins or ends while nothing comes: that changes whose doing it is.
        if self.broken {
            self.hold(now);
            let stretch = self.plan.stretch(now);
            let before = self.stretch.replace(stretch).and_then(|s| s.unwanted);
            match stretch.unwanted {
                Some(cause) if before != stretch.unwanted => self.unwanted(cause, now),
                None if before.is_some() => {
                    self.shared.board.set(&self.stream, false, None);
                    let why = self.shared.hub.reader(&self.stream).and_then(|r| *r.absence().borrow());
                    self.absent(why.map_or(GapCause::Connecting, |a| a.cause), now);
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Why nothing comes, while nothing does. Frames that are on their way are recorded first.
    fn tell_absence(&self, absence: Option<Absence>) {
        let Some(absence) = absence.filter(|_| self.broken) else { return };
        match self.plan.unwanted(absence.since) {
            Some(cause) => self.absent(cause, absence.since),
            None => self.absent(absence.cause, absence.since),
        }
    }

    fn absent(&self, cause: GapCause, at: Wall) {
        self.shared.archive.ledger().absent(&self.stream, cause, at);
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
        if self.writer.has_news() {
            self.well();
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Error> {
        let actions = self.assembler.finish();
        self.carry_out(actions).await
    }

    /// As [`Recording::finish`], where nothing is written for some time: what is said of that time is said behind all that
    /// was recorded.
    async fn end_file(&mut self) -> Result<(), Error> {
        self.finish().await?;
        self.writer.settled().await
    }

    async fn idle(&mut self) -> Result<(), Error> {
        self.count_dropped();
        if self.assembler.holds() && self.shared.clock.now() - self.last_append >= HELD_MAX {
            let actions = self.assembler.flush();
            self.carry_out(actions).await?;
        }
        self.writer.idle().await?;
        if self.writer.has_news() {
            self.well();
        }
        Ok(())
    }

    fn apply_orders(&mut self) {
        let orders = self.orders.borrow_and_update().clone();
        self.assembler.set_rules(Rules::of(&orders.settings));
        self.writer.set_sync(orders.settings.sync);
        self.writer.set_checksum(orders.settings.checksum);
        let plan = orders.plan();
        if plan != self.plan {
            self.plan = plan;
            // What the last picture was stays what it was: the next one is asked anew.
            if let Some(stretch) = &mut self.stretch {
                stretch.until = stretch.from;
            }
            self.hold(self.shared.clock.wall());
        }
    }

    /// Something reached the disk and is listed.
    fn well(&mut self) {
        self.shared.archive.ledger().present(&self.stream);
        let failures = self.backoff.failures();
        self.backoff.reset();
        let stretched = self.writer.is_stretched();
        let news = self.shared.board.set(&self.stream, true, stretched.then_some("sync_stretched"));
        if failures > 0 {
            tracing::info!(stream = %self.stream, failures, "recording again");
            self.shared.archive.report_written();
            self.shared.events.emit("recording.resumed", &self.stream, json!({}));
        } else if news && stretched {
            tracing::warn!(stream = %self.stream, "the disk is too slow to be synced as often as asked");
            self.shared.events.emit("recording.sync_stretched", &self.stream, json!({}));
        }
    }

    fn tell(&mut self, error: &Error) {
        let reason = error.reason();
        if let Some(trouble) = error.trouble() {
            self.shared.archive.report_failure(trouble, &error.to_string());
        }
        let now = self.shared.clock.wall();
        self.absent(self.plan.unwanted(now).unwrap_or(error.cause()), now);
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
            let data = json!({ "frames": frames, "reason": "slow_disk" });
            self.shared.events.emit("recording.frames_left_out", &self.stream, data);
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
