//! One stream: by ffmpeg while that works, else as it comes. `serve` never fails.

use super::{
    Error, Settings, State,
    config::Limits,
    flight::Flight,
    metrics::StreamCounts,
    run::{Run, Session, Why},
    status::{self, Board},
    tool::Tool,
};
use crate::{
    base::{Backoff, Clock, metrics::Gauge},
    events::Events,
    live::{Absence, Delivery, Hub, Publisher, Reader},
    model::{Frame, SessionId, StreamFormat, StreamKey, TrackKind},
};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// Failures in a row, with no picture between them, after which the original is recorded instead.
const FAILURES_MAX: u32 = 3;

/// What all streams share.
#[derive(Clone)]
pub struct Shared {
    /// Where sources are.
    pub sources: Hub,
    /// Where streams go.
    pub hub: Hub,
    /// Time.
    pub clock: Clock,
    /// Where news are told.
    pub events: Events,
    /// What streams do.
    pub board: Board,
    /// ffmpeg, or why there is none.
    pub tool: watch::Receiver<Result<Tool, Error>>,
    /// Processes that run.
    pub running: Arc<AtomicUsize>,
    /// How many may.
    pub processes_max: watch::Receiver<usize>,
    /// How long things may take.
    pub limits: Limits,
}

/// One stream.
pub struct Stream {
    shared: Shared,
    key: StreamKey,
    settings: watch::Receiver<Option<Settings>>,
    counts: StreamCounts,
    /// How long the original is recorded after failures.
    patience: Backoff,
    /// ffmpeg is not tried before.
    not_before: Option<(Instant, Error)>,
}

/// What to do next.
enum Next {
    /// Begin anew, with this frame if there is one.
    Begin(Option<Frame>),
    /// Pass these on as they came, and what follows.
    Original(Vec<Frame>),
    /// The source is gone.
    Ended,
}

/// A place among the processes that may run.
struct Place {
    running: Arc<AtomicUsize>,
    processes: Gauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.processes.dec();
    }
}

impl Stream {
    /// Nothing runs yet.
    pub fn new(
        shared: Shared,
        key: StreamKey,
        settings: watch::Receiver<Option<Settings>>,
        counts: StreamCounts,
    ) -> Self {
        let patience = Backoff::new(shared.limits.original_first, shared.limits.original_most);
        Self { shared, key, settings, counts, patience, not_before: None }
    }

    /// Serves the stream until its source is gone, or `stop`; then what runs is killed.
    pub async fn run(mut self, stop: CancellationToken) {
        let publisher = self.shared.hub.publisher(&self.key);
        self.shared.board.show(&self.key, |_| {});
        let sources = self.shared.sources.clone();
        let mut demand = publisher.demand();
        loop {
            // Nobody wants its frames: then ours are not wanted of the camera either.
            let hold = demand.borrow_and_update().clone();
            sources.hold(&self.key, hold.clone());
            let Some(reader) = sources.reader(&self.key) else { break };
            let reader = Some(reader).filter(|_| hold.is_none());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = demand.changed() => publisher.break_session("its frames are not wanted"),
                () = self.serve_where_wanted(reader, &publisher) => {}
            }
        }
        sources.hold(&self.key, None);
        self.shared.board.remove(&self.key);
    }

    async fn serve_where_wanted(&mut self, reader: Option<Reader>, publisher: &Publisher) {
        let Some(reader) = reader else {
            let mut streams = self.shared.sources.streams();
            // The sender lives as long as the hub that we hold.
            let _ = streams.wait_for(|live| !live.contains(&self.key)).await;
            return;
        };
        let absence = reader.absence();
        tokio::select! {
            () = self.serve(reader, publisher) => {}
            () = relay(absence, publisher) => {}
        }
    }

    async fn serve(&mut self, mut reader: Reader, publisher: &Publisher) {
        let mut next = Next::Begin(None);
        loop {
            next = match next {
                Next::Ended => return,
                Next::Original(frames) => self.original(frames, &mut reader, publisher).await,
                Next::Begin(frame) => {
                    let Some(frame) = first(frame, &mut reader).await else { return };
                    match self.admitted() {
                        Ok((tool, place)) => {
                            let next = self.transcode(&tool, frame, &mut reader, publisher).await;
                            drop(place);
                            next
                        }
                        Err(error) => {
                            self.tell_original(&error);
                            Next::Original(vec![frame])
                        }
                    }
                }
            };
        }
    }

    /// Whether ffmpeg may run now.
    fn admitted(&mut self) -> Result<(Tool, Place), Error> {
        let now = self.shared.clock.now();
        if self.settings.has_changed().unwrap_or(false) {
            // What failed may have been a setting.
            self.settings.mark_unchanged();
            self.not_before = None;
        }
        if let Some((until, error)) = &self.not_before
            && now < *until
        {
            return Err(error.clone());
        }
        self.not_before = None;
        let tool = self.shared.tool.borrow_and_update().clone()?;
        let most = *self.shared.processes_max.borrow();
        let place = Place { running: self.shared.running.clone(), processes: self.counts.processes.clone() };
        place.processes.inc();
        if place.running.fetch_add(1, Ordering::Relaxed) >= most {
            let error = Error::Limit(most);
            self.not_before = Some((now + self.shared.limits.original_first, error.clone()));
            return Err(error);
        }
        Ok((tool, place))
    }

    /// By ffmpeg, begun anew as often as it fails and has answered something since.
    async fn transcode(&mut self, tool: &Tool, first: Frame, reader: &mut Reader, publisher: &Publisher) -> Next {
        let source = first.format.clone();
        let mut session = Session { id: SessionId(rand::random()), flight: Flight::default(), source, coded: None };
        session.flight.give(first);
        let mut failures = 0;
        loop {
            let before = session.flight.answered();
            let board = (self.shared.board.clone(), self.key.clone());
            let on_format = move |format: &StreamFormat| show_running(&board.0, &board.1, format);
            let clock = self.shared.clock.clone();
            let run = Run {
                stream: &self.key,
                publisher,
                settings: self.settings.clone(),
                tool,
                limits: self.shared.limits,
                clock: &clock,
                counts: &self.counts,
                on_format: &on_format,
            };
            let error = match run.run(&mut session, reader).await {
                Ok(why) => return self.done(why, &mut session, publisher),
                Err(error) => error,
            };
            let progress = session.flight.answered() != before;
            if progress {
                self.patience.reset();
            }
            failures = if progress { 1 } else { failures + 1 };
            self.counts.restarts.inc();
            self.shared.board.show(&self.key, |status| status.restarts += 1);
            tracing::warn!(stream = %self.key, %error, failures, "ffmpeg failed");
            if failures >= FAILURES_MAX || matches!(error, Error::Start(_)) && !progress {
                return self.give_up(error, &mut session, publisher);
            }
            if session.flight.again().is_empty() {
                publisher.break_session(&error.to_string());
                return Next::Begin(None);
            }
            clock.sleep(self.shared.limits.retry_first * failures).await;
        }
    }

    /// A run came to its end in order: what follows does not go on from it.
    fn done(&mut self, why: Why, session: &mut Session, publisher: &Publisher) -> Next {
        if let Some(format) = &session.coded {
            for sound in session.flight.rest_of_sounds() {
                publisher.publish(Frame { session: session.id, format: format.clone(), ..sound });
            }
        }
        match why {
            Why::Ended => Next::Ended,
            Why::Break(reason) => {
                publisher.break_session(&reason);
                Next::Begin(None)
            }
            Why::Skipped(frames) => {
                self.counts.skipped.inc_by(frames);
                tracing::warn!(stream = %self.key, frames, "ffmpeg is too slow: frames were left out");
                publisher.break_session("ffmpeg is too slow: frames were left out");
                Next::Begin(None)
            }
            Why::Missing(cause) => {
                publisher.missing(cause);
                publisher.break_session("frames are missing at the source");
                Next::Begin(None)
            }
            Why::Anew(frame, reason) => {
                publisher.break_session(reason);
                Next::Begin(Some(frame).filter(|f| f.key && f.track == TrackKind::Video))
            }
        }
    }

    fn give_up(&mut self, error: Error, session: &mut Session, publisher: &Publisher) -> Next {
        publisher.break_session(&error.to_string());
        let wait = self.patience.next(1.0);
        self.tell_original(&error);
        self.not_before = Some((self.shared.clock.now() + wait, error));
        Next::Original(session.flight.unanswered())
    }

    /// Passes the source on as it comes, until ffmpeg may be tried and a key frame is there to begin with.
    async fn original(&mut self, frames: Vec<Frame>, reader: &mut Reader, publisher: &Publisher) -> Next {
        let mut session = SessionId(rand::random());
        for frame in frames {
            self.pass(frame, session, publisher);
        }
        loop {
            match reader.next().await {
                None => return Next::Ended,
                Some(Delivery::Break(reason)) => {
                    publisher.break_session(&reason);
                    return Next::Begin(None);
                }
                Some(Delivery::Missing(cause)) => publisher.missing(cause),
                Some(Delivery::Skipped { .. }) => {
                    publisher.break_session("frames were left out");
                    session = SessionId(rand::random());
                }
                Some(Delivery::Frame(frame)) => {
                    if frame.key && frame.track == TrackKind::Video && self.may_try() {
                        publisher.break_session("ffmpeg is tried again");
                        return Next::Begin(Some(frame));
                    }
                    self.pass(frame, session, publisher);
                }
            }
        }
    }

    fn may_try(&self) -> bool {
        let now = self.shared.clock.now();
        let other = self.settings.has_changed().unwrap_or(false);
        let due = self.not_before.as_ref().is_none_or(|(until, _)| now >= *until);
        self.shared.tool.borrow().is_ok() && (due || other)
    }

    fn pass(&self, frame: Frame, session: SessionId, publisher: &Publisher) {
        if frame.track == TrackKind::Video {
            self.counts.original.inc();
        }
        let format = status::shown(&frame.format);
        self.shared.board.show(&self.key, |status| status.format = Some(format));
        publisher.publish(Frame { session, ..frame });
    }

    fn tell_original(&self, error: &Error) {
        let news = self.shared.board.show(&self.key, |status| {
            (status.state, status.reason) = (State::Original, Some(error.reason()));
            status.detail = Some(error.to_string());
        });
        if news {
            tracing::warn!(stream = %self.key, %error, "the original is recorded, not transcoded");
            let data = json!({ "reason": error.reason(), "error": error.to_string() });
            self.shared.events.emit("transcode.original", &self.key, data);
        }
    }
}

fn show_running(board: &Board, key: &StreamKey, format: &StreamFormat) {
    board.show(key, |status| {
        (status.state, status.reason, status.detail) = (State::Running, None, None);
        status.format = Some(status::shown(format));
    });
}

/// Says of the stream what is said of its source, for as long as there is one.
async fn relay(mut absence: watch::Receiver<Option<Absence>>, publisher: &Publisher) {
    loop {
        if let Some(absence) = *absence.borrow_and_update() {
            publisher.absent(absence);
        }
        if absence.changed().await.is_err() {
            // What is left in the source's ring is still to be read.
            std::future::pending::<()>().await;
        }
    }
}

/// The frame to begin with. None once the source is gone.
async fn first(frame: Option<Frame>, reader: &mut Reader) -> Option<Frame> {
    if let Some(frame) = frame {
        return Some(frame);
    }
    loop {
        match reader.next().await? {
            Delivery::Frame(frame) if frame.key && frame.track == TrackKind::Video => return Some(frame),
            _ => {}
        }
    }
}
