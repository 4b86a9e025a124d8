//! Image mode: one picture a period, asked of the camera, else made of a key frame. A picture is written as a segment is:
//! `….jpg.tmp` in one write, synced, renamed, directory synced, then its row.
//!
//! No session is held for it: the frames are not wanted (`Hub::hold`), and come only while somebody else reads them, or
//! for the moment in which a key frame is waited for.

use super::{
    Error, Settings, Sync,
    file::{Created, Place},
    metrics::StreamCounts,
    stream::{Orders, Shared},
    timetable::Timetable,
};
use crate::{
    base::{Backoff, Kind},
    disk::Files,
    live::{Hold, NoPicture, PICTURES, Picture},
    media::{
        fmp4::{Origin, write::Fragment},
        jpeg::{self, Mark},
    },
    model::{GapCause, Segment, SessionId, StreamKey, VideoCodec, frame::VIDEO_TIMESCALE, segment::PICTURE},
};
use serde_json::json;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Waits between two tries within one period.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(8);
/// A session is set up and its first key frame is there within so long; smart codecs send one each 10 s or so.
const KEY_FRAME_WAIT_MAX: Duration = Duration::from_secs(20);
/// A picture that was taken so much later than the one before ends does not follow it: footage is missing between.
const FOLLOWS_WITHIN_MICROS: i64 = 1_000_000;

/// The pictures of one stream.
pub struct Stills {
    shared: Shared,
    stream: StreamKey,
    orders: watch::Receiver<Orders>,
    counts: StreamCounts,
    /// The picture before this one.
    last: Option<Segment>,
    /// Tries that failed since the last picture.
    failures: u32,
}

impl Stills {
    /// Nothing is taken yet.
    pub fn new(shared: Shared, stream: StreamKey, orders: watch::Receiver<Orders>, counts: StreamCounts) -> Self {
        Self { shared, stream, orders, counts, last: None, failures: 0 }
    }

    /// Takes pictures until `stop`, or until the stream has no publisher any more.
    pub async fn run(mut self, stop: CancellationToken) {
        self.shared.hub.hold(&self.stream, Some(Hold { reason: PICTURES.into() }));
        self.shared.board.set(&self.stream, false, None);
        let mut streams = self.shared.hub.streams();
        let (hub, stream) = (self.shared.hub.clone(), self.stream.clone());
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            // The sender lives as long as the hub that we hold.
            _ = streams.wait_for(|live| !live.contains(&stream)) => {}
            () = self.take_all() => {}
        }
        hub.hold(&stream, None);
        self.shared.board.remove(&stream);
    }

    async fn take_all(&mut self) {
        let clock = self.shared.clock.clone();
        loop {
            let orders = self.orders.borrow_and_update().clone();
            let table = Timetable::new(&self.stream, orders.settings.segment, clock.now());
            let mut due = table.next(clock.now());
            loop {
                tokio::select! {
                    biased;
                    changed = self.orders.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    () = tokio::time::sleep_until(due) => {}
                }
                if self.is_wanted(&orders) {
                    self.take_one(&orders, &table, due).await;
                }
                due = table.next(clock.now().max(due));
            }
        }
    }

    /// Tries until it has the picture of this period, or the period is over.
    async fn take_one(&mut self, orders: &Orders, table: &Timetable, due: Instant) {
        let (clock, end, settings) = (self.shared.clock.clone(), table.next(due), &orders.settings);
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        loop {
            let cause;
            let taken = match timeout(settings.segment.max(KEY_FRAME_WAIT_MAX), self.picture()).await {
                Ok(taken) => taken,
                Err(_) => Err(failed(GapCause::Unreachable, "no picture came in time".to_owned())),
            };
            match taken {
                Ok(picture) => {
                    let lasts = table.lasts(clock.now().saturating_duration_since(due));
                    match self.save(picture, lasts, settings).await {
                        Ok(()) => return self.well(),
                        Err(error) => {
                            if let Some(trouble) = error.trouble() {
                                self.shared.archive.report_failure(trouble, &error.to_string());
                            }
                            if error.kind() == Kind::NoSpace {
                                self.shared.archive.poke_retention();
                            }
                            self.tell(error.reason(), &error.to_string());
                            cause = error.cause();
                        }
                    }
                }
                Err(none) => {
                    self.tell("no_picture", &none.text);
                    cause = none.cause;
                }
            }
            let wait = backoff.next(rand::random());
            if clock.now() + wait >= end {
                return self.absent(cause);
            }
            clock.sleep(wait).await;
        }
    }

    /// Whether pictures are wanted now, by schedule and pause; says so where they are not.
    fn is_wanted(&self, orders: &Orders) -> bool {
        let plan = orders.plan();
        let unwanted = plan.unwanted(self.shared.clock.wall());
        let reason = unwanted.map_or_else(|| PICTURES.to_owned(), |cause| plan.reason(cause));
        self.shared.hub.hold(&self.stream, Some(Hold { reason: reason.into() }));
        if let Some(cause) = unwanted {
            self.shared.board.set(&self.stream, false, Some(cause.as_str()));
            self.absent(cause);
        }
        unwanted.is_none()
    }

    /// A period has no picture: footage is missing from where the last one ends.
    fn absent(&self, cause: GapCause) {
        let now = self.shared.clock.wall();
        let from = self.last.as_ref().map_or(now, |last| last.end().min(now));
        self.shared.archive.ledger().absent(&self.stream, cause, from);
    }

    async fn picture(&self) -> Result<Picture, NoPicture> {
        match self.shared.hub.picture(&self.stream).await {
            Err(none) if none.unsupported => self.of_key_frame(none).await,
            taken => taken,
        }
    }

    /// From the stream itself, which the camera sends while we read it.
    async fn of_key_frame(&self, none: NoPicture) -> Result<Picture, NoPicture> {
        let frame = self.shared.hub.key_frame(&self.stream);
        let Ok(Some(frame)) = timeout(KEY_FRAME_WAIT_MAX, frame).await else {
            return Err(failed(GapCause::StreamError, format!("{}; and no key frame came", none.text)));
        };
        let (taken, format) = (frame.wall, frame.format.clone());
        let data = match (format.video.codec, self.shared.hub.decoder()) {
            (VideoCodec::Mjpeg, _) => frame.data,
            (_, Some(decoder)) => decoder
                .jpeg(frame, None)
                .await
                .map_err(|why| failed(GapCause::StreamError, format!("{}; of a key frame: {why}", none.text)))?,
            (_, None) => return Err(none),
        };
        let (width, height) = jpeg::size(&data).map_err(|e| failed(GapCause::StreamError, e.to_string()))?;
        Ok(Picture { data, width, height, taken })
    }

    async fn save(&mut self, picture: Picture, lasts: Duration, settings: &Settings) -> Result<(), Error> {
        let Picture { data, width, height, taken } = picture;
        let begun = self.shared.clock.now();
        let archive = &self.shared.archive;
        let (start, suffix) = archive.free_name(&self.stream, taken).await?;
        let (session, index) = self.place_of(start);
        let ticks = u32::try_from(lasts.as_micros() * u128::from(VIDEO_TIMESCALE) / 1_000_000).unwrap_or(u32::MAX);
        let mark = Mark { origin: Origin { stream: self.stream.clone(), start, session, index }, ticks, width, height };
        let (at, comment) = jpeg::mark(&data, &mark);
        let bytes = (data.len() + comment.len()) as u64;
        let head = [&data[..at], &comment].concat();
        let (video, audio) = Default::default();
        let whole = Fragment { head, body: vec![data.slice(at..)], bytes, video, audio };
        let stream = self.stream.clone();
        let (durable, checksum) = (settings.sync != Sync::Off, settings.checksum);
        let place = Place { archive: archive.clone(), stream, start, suffix: suffix | PICTURE, checksum };
        let make = move |files: &Files| -> Result<_, Error> {
            let Created { out, suffix, nameless } = place.create(files, &[], &whole)?;
            Ok((out, suffix, nameless.name(durable)?.directory))
        };
        let (out, name_suffix, directory) = self.shared.disk.syncs().run(make).await??;
        self.counts.write_seconds.observe((self.shared.clock.now() - begun).as_secs_f64());
        self.counts.bytes.inc_by(bytes);
        let segment = Segment {
            stream: self.stream.clone(),
            start,
            duration_ticks: u64::from(ticks),
            bytes,
            frames: 1,
            session,
            index,
            name_suffix,
            closed: true,
            sum: out.sum(),
        };
        let table = jpeg::table(&mark, u32::try_from(bytes).unwrap_or(u32::MAX));
        self.last = Some(segment.clone());
        if let Err(error) = archive.added(segment.clone(), table).await {
            // It is listed all the same; the index takes it later, or the next start does.
            tracing::warn!(stream = %segment.stream, %error, "the index did not take a picture yet");
        }
        let end = segment.end();
        let data = json!({ "start": start, "end": end, "bytes": bytes, "frames": 1, "codec": "jpeg" });
        self.shared.events.emit("segment.closed", &segment.stream, data);
        directory.map_err(Error::from)
    }

    /// The session and number of a picture: the next of the session of the one before, where nothing is missing between.
    fn place_of(&self, start: crate::base::Wall) -> (SessionId, u32) {
        let follows = |last: &&Segment| start > last.start && start.micros_since(last.end()) <= FOLLOWS_WITHIN_MICROS;
        match self.last.as_ref().filter(follows) {
            Some(last) => (last.session, last.index.wrapping_add(1)),
            None => (SessionId(rand::random()), 0),
        }
    }

    fn well(&mut self) {
        let failures = std::mem::take(&mut self.failures);
        self.shared.board.set(&self.stream, true, None);
        if failures > 0 {
            tracing::info!(stream = %self.stream, failures, "recording again");
            self.shared.archive.report_written();
            self.shared.events.emit("recording.resumed", &self.stream, json!({}));
        }
    }

    fn tell(&mut self, reason: &str, text: &str) {
        self.failures += 1;
        if self.shared.board.set(&self.stream, false, Some(reason)) {
            tracing::error!(stream = %self.stream, error = text, reason, "no picture is recorded, trying again");
            let data = json!({ "reason": reason, "error": text });
            self.shared.events.emit("recording.failed", &self.stream, data);
        } else {
            tracing::debug!(stream = %self.stream, error = text, reason, "no picture again");
        }
    }
}

fn failed(cause: GapCause, text: String) -> NoPicture {
    NoPicture { unsupported: false, cause, text }
}

#[cfg(test)]
mod tests;
