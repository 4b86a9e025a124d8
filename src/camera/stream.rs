//! One stream: `run` never fails, `session::attempt` is one attempt. Between them lies when to try again.

use super::{
    StreamView, Timings, Transport,
    board::Board,
    budget::Budget,
    failure::{Failure, FailureKind},
    gateway::Errands,
    session,
    still::StreamStills,
};
use crate::{
    base::{Backoff, Clock, metrics::Counter},
    hikvision::Client,
    live::{Absence, Hold, Hub, Publisher},
    model::{DeviceId, GapCause, Profile, StreamKey, StreamState},
};
use retina::client::{Credentials, SessionGroup};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// A device that takes no connection is asked again this often; a refused connection costs nobody anything.
const LOST_RETRY: Duration = Duration::from_secs(1);
/// First wait after any other failure.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// Longest wait after any other failure.
const RETRY_MOST: Duration = Duration::from_secs(8);
/// A session that ran this long was a good one: what ends it is not the failure of before.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// Whether a stream may be fetched, as its device sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Not now.
    Closed {
        /// What the stream shows.
        state: StreamState,
        /// Why.
        reason: String,
        /// What the footage that is missing is to be put down to; None: nothing is known yet.
        cause: Option<GapCause>,
    },
    /// Yes.
    Open {
        /// From where, without credentials.
        url: String,
        /// From one picture to the next, as far as the device says.
        interval: Duration,
    },
}

impl Gate {
    /// Makes it `new`; true where who goes through must look again. A session that runs goes on where the device
    /// now says another rate of pictures.
    pub(super) fn set(&mut self, new: Gate) -> bool {
        let differs = match (&*self, &new) {
            (Gate::Open { url, .. }, Gate::Open { url: new, .. }) => url != new,
            (old, new) => old != new,
        };
        *self = new;
        differs
    }
}

/// What the streams of one device share with each other and with its poll.
pub(super) struct Shared {
    pub board: Arc<Board>,
    pub hub: Hub,
    /// Where streams go that are transcoded first, and which these are.
    pub transcoded: (Hub, Vec<Profile>),
    pub budget: Budget,
    /// Sessions whose end the device may not have seen yet.
    pub sessions: Arc<SessionGroup>,
    /// Wakes the poll: something happened that it should look into.
    pub wake: Arc<Notify>,
    /// Word that is left for a gateway's task; None where the device is no gateway.
    pub errands: Option<Arc<Errands>>,
    pub timings: watch::Receiver<Timings>,
    /// Who asks the device, once there is one.
    client: Mutex<Option<Arc<Client>>>,
    /// When the last frame of any stream came, in milliseconds since `began`; 0: never.
    last_frame_ms: AtomicU64,
    began: Instant,
}

impl Shared {
    pub(super) fn new(board: Arc<Board>, hub: Hub, timings: watch::Receiver<Timings>, budget: Budget) -> Self {
        Self {
            board,
            hub,
            transcoded: (Hub::default(), Vec::new()),
            client: Mutex::default(),
            budget,
            sessions: Arc::default(),
            wake: Arc::default(),
            errands: None,
            timings,
            last_frame_ms: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    /// Who asks the device from now on.
    pub(super) fn set_client(&self, client: Client) -> Arc<Client> {
        let client = Arc::new(client);
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        client
    }

    /// Who asks the device.
    pub(super) fn client(&self) -> Option<Arc<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Some streams go to `sources` instead, where they are transcoded.
    pub(super) fn with_transcoded(self, sources: Hub, profiles: Vec<Profile>) -> Self {
        Self { transcoded: (sources, profiles), ..self }
    }

    /// Where the frames of a stream go.
    fn publisher(&self, key: &StreamKey) -> Publisher {
        let (sources, transcoded) = &self.transcoded;
        if transcoded.contains(&key.profile) { sources.publisher(key) } else { self.hub.publisher(key) }
    }

    /// The same for a gateway.
    pub(super) fn of_gateway(self) -> Self {
        Self { errands: Some(Arc::default()), ..self }
    }

    /// What the streams of one device behind this gateway share: its budget and its poll, not its sessions.
    pub(super) fn behind(&self) -> Self {
        let Self { board, hub, transcoded, budget, wake, errands, timings, .. } = self;
        let fresh = Self::new(board.clone(), hub.clone(), timings.clone(), budget.clone());
        Self { wake: wake.clone(), errands: errands.clone(), transcoded: transcoded.clone(), ..fresh }
    }

    /// A device behind this gateway is to begin its sessions anew.
    pub(super) fn begin_anew(&self, device: &DeviceId) {
        if let Some(errands) = &self.errands {
            errands.begin_anew(device);
            self.wake.notify_one();
        }
    }

    /// When the last frame of any stream came.
    pub(super) fn last_frame(&self) -> Option<Instant> {
        match self.last_frame_ms.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(self.began + Duration::from_millis(ms)),
        }
    }
}

/// What a stream counts.
pub(super) struct Counters {
    pub frames: Counter,
    pub dropped: Counter,
    pub jumps: Counter,
    pub lost: Counter,
    pub reconnects: Counter,
    pub floods: Counter,
}

/// One stream of one device.
pub(super) struct Stream {
    pub key: StreamKey,
    pub credentials: Credentials,
    pub audio: bool,
    /// As configured; [`Stream::carrier`] says what sessions go by.
    pub transport: Transport,
    pub shared: Arc<Shared>,
    pub counters: Counters,
    /// The session of now has delivered.
    running: AtomicBool,
    /// Some session has delivered.
    ran: AtomicBool,
    /// The device needs a relay: it floods us, or names a track as the client does not know it.
    relayed: AtomicBool,
    /// The stream has no key frames: what completes itself stands in for them.
    by_recovery: AtomicBool,
}

impl Stream {
    pub(super) fn new(
        key: StreamKey,
        credentials: Credentials,
        (audio, transport): (bool, Transport),
        shared: Arc<Shared>,
        counters: Counters,
    ) -> Self {
        let [running, ran, relayed, by_recovery] = [false; 4].map(AtomicBool::new);
        Self { key, credentials, audio, transport, shared, counters, running, ran, relayed, by_recovery }
    }

    /// Fetches the stream whenever the gate is open, until told to stop.
    pub(super) async fn run(&self, mut gate: watch::Receiver<Gate>, stop: CancellationToken) {
        // Opened before the first session, so that who records is there for the first frame.
        let publisher = self.shared.publisher(&self.key);
        let mut demand = publisher.demand();
        let _stills = self.offer_stills(&gate, &demand);
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let mut told = None;
        loop {
            let now = gate.borrow_and_update().clone();
            let held = demand.borrow_and_update().clone();
            let wait = match now {
                // Pictures say how it is.
                Gate::Open { .. } if held.as_ref().is_some_and(Hold::is_for_pictures) => {
                    backoff.reset();
                    self.show(|view| {
                        (view.fps, view.bitrate) = (0.0, 0);
                        if view.state != StreamState::Running {
                            (view.state, view.reason) = (StreamState::Connecting, None);
                        }
                    });
                    None
                }
                _ if held.as_ref().is_some_and(|hold| !hold.is_for_pictures()) => {
                    backoff.reset();
                    self.show_idle(StreamState::Paused, held.map(|hold| hold.reason.to_string()));
                    None
                }
                Gate::Closed { state, reason, cause } => {
                    backoff.reset();
                    self.show_idle(state, Some(reason));
                    self.tell_absent(&publisher, cause);
                    None
                }
                Gate::Open { url, interval } => {
                    self.show_connecting();
                    let began = Instant::now();
                    let failure = tokio::select! {
                        biased;
                        () = stop.cancelled() => None,
                        _ = gate.changed() => None,
                        _ = demand.changed() => None,
                        failure = session::attempt(self, &publisher, &url, interval) => Some(failure),
                    };
                    let ran = self.running.swap(false, Ordering::Relaxed);
                    // Told before the break, so that who hears of the break can see why.
                    if let Some(failure) = &failure {
                        self.tell_absent(&publisher, Some(self.cause(failure, ran)));
                    } else if let Gate::Closed { cause, .. } = &*gate.borrow() {
                        self.tell_absent(&publisher, *cause);
                    }
                    if ran {
                        if began.elapsed() >= STEADY_AFTER {
                            backoff.reset();
                        }
                        publisher.break_session(failure.as_ref().map_or("the stream is stopped", |f| &f.text));
                    }
                    match failure {
                        Some(failure) => Some(self.failed(&failure, ran, &mut told, &mut backoff)),
                        None if stop.is_cancelled() => break,
                        None if gate.has_changed().is_err() => break,
                        None => continue,
                    }
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = gate.changed() => if changed.is_err() { break },
                _ = demand.changed() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Pictures of it can be asked for, for as long as the answer is kept.
    fn offer_stills(&self, gate: &watch::Receiver<Gate>, demand: &watch::Receiver<Option<Hold>>) -> Offer {
        let stills = StreamStills {
            key: self.key.clone(),
            shared: self.shared.clone(),
            gate: gate.clone(),
            demand: demand.clone(),
        };
        self.shared.hub.set_stills(&self.key, Some(Arc::new(stills)));
        Offer { hub: self.shared.hub.clone(), key: self.key.clone() }
    }

    /// Shows a failure and says how long to wait.
    fn failed(&self, failure: &Failure, ran: bool, told: &mut Option<String>, backoff: &mut Backoff) -> Duration {
        let Failure { kind, text } = failure;
        // A camera that is away for a night fails thousands of times in one way; that is one line.
        if ran || told.as_deref() != Some(text) {
            tracing::warn!(stream = %self.key, reason = text, "session ended");
            *told = Some(text.clone());
        }
        let state = if *kind == FailureKind::Locked { StreamState::Locked } else { StreamState::Backoff };
        self.show_idle(state, Some(text.clone()));
        if *kind == FailureKind::Flood {
            self.counters.floods.inc();
        }
        if let (FailureKind::NoSuchStream, Some(errands)) = (kind, &self.shared.errands) {
            errands.doubt(&self.key);
            self.shared.wake.notify_one();
        }
        if ran {
            self.shared.budget.lost();
        }
        if ran || matches!(kind, FailureKind::Refused | FailureKind::Locked) {
            // The device may be gone, or the account locked; its poll finds out.
            self.shared.wake.notify_one();
        }
        match kind {
            FailureKind::Lost | FailureKind::Silent | FailureKind::Locked => {
                LOST_RETRY.mul_f64(rand::random_range(0.6..1.0))
            }
            FailureKind::Refused | FailureKind::NoSuchStream | FailureKind::Flood | FailureKind::Other => {
                backoff.next(rand::random())
            }
        }
    }

    /// Leaves word why no frames come.
    fn tell_absent(&self, publisher: &Publisher, cause: Option<GapCause>) {
        if let Some(cause) = cause {
            publisher.absent(Absence { cause, since: self.clock().wall() });
        }
    }

    /// What the footage is to be put down to that is missing because of a failure. `ran`: frames had come before it.
    fn cause(&self, failure: &Failure, ran: bool) -> GapCause {
        match failure.kind {
            FailureKind::Lost if !ran => GapCause::Unreachable,
            FailureKind::Lost
            | FailureKind::Silent
            | FailureKind::NoSuchStream
            | FailureKind::Flood
            | FailureKind::Other => GapCause::StreamError,
            FailureKind::Refused => GapCause::Auth,
            FailureKind::Locked => self.shared.budget.cause(Instant::now()),
        }
    }

    /// A further try of one that fails is still a failure until it runs: its state does not change with each.
    fn show_connecting(&self) {
        self.show(|view| {
            if !matches!(view.state, StreamState::Backoff | StreamState::Locked) {
                view.state = StreamState::Connecting;
                view.reason = None;
            }
        });
    }

    fn show_idle(&self, state: StreamState, reason: Option<String>) {
        let locked = (state == StreamState::Locked).then(|| self.shared.budget.locked(Instant::now())).flatten();
        self.show(|view| {
            view.state = state;
            view.reason = reason;
            view.until = locked.and_then(|locked| locked.until_wall);
            view.fps = 0.0;
            view.bitrate = 0;
        });
    }

    /// Changes what is shown of the stream.
    pub(super) fn show(&self, change: impl FnOnce(&mut StreamView)) {
        self.shared.board.stream(&self.key, change);
    }

    /// The session of now delivers; one that follows another is a reconnect.
    pub(super) fn session_runs(&self) {
        self.running.store(true, Ordering::Relaxed);
        if self.ran.swap(true, Ordering::Relaxed) {
            self.counters.reconnects.inc();
            self.show(|view| view.reconnects += 1);
        }
        tracing::info!(stream = %self.key, "stream runs");
    }

    /// Whether sessions go through a relay.
    pub(super) fn is_relayed(&self) -> bool {
        self.relayed.load(Ordering::Relaxed)
    }

    /// What sessions go by. Datagrams would pass a relay by: where there is one, it is TCP.
    pub(super) fn carrier(&self) -> Transport {
        if self.is_relayed() { Transport::Tcp } else { self.transport }
    }

    /// From the next session on they do.
    pub(super) fn relay(&self, reason: &str) {
        if !self.relayed.swap(true, Ordering::Relaxed) {
            tracing::info!(stream = %self.key, reason, "its sessions go through a relay from now on");
        }
    }

    /// Whether an earlier session found that this stream has no key frames.
    pub(super) fn is_by_recovery(&self) -> bool {
        self.by_recovery.load(Ordering::Relaxed)
    }

    /// It has none, or has some after all.
    pub(super) fn set_by_recovery(&self, now: bool) {
        if self.by_recovery.swap(now, Ordering::Relaxed) != now && now {
            tracing::info!(stream = %self.key, "no key frames come, files begin at pictures that complete themselves");
        }
    }

    /// A frame came: the device is there.
    pub(super) fn pulse(&self) {
        let ms = self.shared.began.elapsed().as_millis();
        self.shared.last_frame_ms.store(u64::try_from(ms).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// A picture went to the readers.
    pub(super) fn count_frame(&self) {
        self.counters.frames.inc();
    }

    /// A picture could not be decoded, since one before it was lost.
    pub(super) fn count_dropped(&self) {
        self.counters.dropped.inc();
    }

    /// The camera's stamps jumped.
    pub(super) fn count_jump(&self) {
        self.counters.jumps.inc();
    }

    /// Packets were lost on the way.
    pub(super) fn count_lost(&self, packets: u16) {
        self.counters.lost.inc_by(u64::from(packets));
        self.show(|view| view.packets_lost = self.counters.lost.get());
    }

    /// The clock that the room goes by.
    pub(super) fn clock(&self) -> &Clock {
        self.shared.board.clock()
    }
}

/// Takes back what was offered, when it is dropped.
struct Offer {
    hub: Hub,
    key: StreamKey,
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.hub.set_stills(&self.key, None);
    }
}

/// Waits so long, or for ever.
async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_rate_of_pictures_is_no_reason_to_end_a_session() {
        let open = |url: &str, ms| Gate::Open { url: url.into(), interval: Duration::from_millis(ms) };
        let mut gate = open("rtsp://a/1", 40);
        assert!(!gate.set(open("rtsp://a/1", 80)));
        assert_eq!(gate, open("rtsp://a/1", 80), "the next session knows");
        assert!(gate.set(open("rtsp://b/1", 80)));
        let closed = Gate::Closed { state: StreamState::Offline, reason: "gone".into(), cause: None };
        assert!(gate.set(closed.clone()) && !gate.set(closed));
    }
}
