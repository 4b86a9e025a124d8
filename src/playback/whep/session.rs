//! One session: its connection, what it is sent, and how it ends. The library does no I/O and knows no time; both are here.

use super::{
    board::{Heard, Place},
    course::Course,
    framing::framed,
    meters::Meters,
    shots::{Coded, Shot, Shots, What},
    terms::{Agreed, Voice},
};
use crate::{
    base::{Clock, Wall},
    playback::{
        live::{Taken, Viewer},
        pace::Pace,
        plays::Watching,
        rtsp::Outbox,
    },
};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    net::{SocketAddr, SocketAddrV6},
    sync::Arc,
    time::Duration,
};
use str0m::{
    Event, IceConnectionState, Input, Output, Rtc,
    media::{Frequency, MediaTime, Mid, Pt},
    net::{DatagramRecv, Protocol, Receive, Transmit},
};
use tokio::{
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Who was answered and does not call within this time never will.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(15);
/// Who takes nothing of a connection for so long is cut.
const DEAF_MAX: Duration = Duration::from_secs(10);
/// Connections of one session: a browser tries each address once.
const LINKS_MAX: usize = 8;
/// Pictures and sounds that are sent in one go before others have their turn.
const TURN_SHOTS_MAX: usize = 16;
/// Steps of the library in one go. It has done all that it can do long before.
const TURN_STEPS_MAX: usize = 10_000;
/// Pictures are shown as soon as they are decoded, or so much later at most where that makes them come evenly.
const SHOWN_LATER_MAX: MediaTime = MediaTime::from_millis(100);

/// A session that was agreed on.
pub(super) struct Session {
    rtc: Rtc,
    video: (Mid, Pt),
    voice: Option<Voice>,
    coded: Coded,
    viewer: Viewer<Shots>,
    course: Course,
    place: Place,
    heard: mpsc::Receiver<Heard>,
    udp: Arc<UdpSocket>,
    /// Where it is called, by what it was told.
    locals: Vec<SocketAddr>,
    links: HashMap<SocketAddr, Link>,
    /// Datagrams that wait for their time.
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    pace: Pace,
    watching: Option<Watching>,
    clock: Clock,
    meters: Meters,
    began: Instant,
    /// When pictures began to go.
    shown: Option<Wall>,
    /// All is sent that there is.
    level: bool,
    sent_bytes: u64,
    by_tcp: bool,
}

/// What a session is made of.
pub(super) struct Parts {
    pub(super) agreed: Agreed,
    pub(super) coded: Coded,
    pub(super) viewer: Viewer<Shots>,
    pub(super) place: Place,
    pub(super) heard: mpsc::Receiver<Heard>,
    pub(super) udp: Arc<UdpSocket>,
    pub(super) locals: Vec<SocketAddr>,
    pub(super) watching: Option<Watching>,
    pub(super) clock: Clock,
    pub(super) meters: Meters,
}

/// How a session went.
pub(super) struct Past {
    /// Why it ended, in a word.
    pub(super) reason: &'static str,
    /// None: nobody ever called.
    pub(super) shown: Option<Wall>,
    pub(super) bytes: u64,
    pub(super) skipped: u64,
    pub(super) by_tcp: bool,
}

/// A connection that packets go by.
struct Link {
    socket: Arc<TcpStream>,
    outbox: Outbox,
    /// When it took something last, or had nothing to take.
    moved: Instant,
}

/// Why it ends, in a word.
type End = &'static str;

impl Session {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { agreed, coded, viewer, place, heard, udp, locals, watching, clock, meters } = parts;
        let Agreed { rtc, video, audio, .. } = agreed;
        let began = clock.now();
        Self {
            rtc,
            video,
            voice: audio,
            coded,
            viewer,
            course: Course::default(),
            place,
            heard,
            udp,
            locals,
            links: HashMap::new(),
            waiting: VecDeque::new(),
            pace: Pace::default(),
            watching,
            clock,
            meters,
            began,
            shown: None,
            level: false,
            sent_bytes: 0,
            by_tcp: false,
        }
    }

    /// Runs to its end.
    pub(super) async fn run(mut self) -> Past {
        self.meters.sessions.inc();
        let reason = self.go_on().await;
        // The other side is told, as far as that goes at once.
        if self.rtc.close().is_ok() {
            let now = self.clock.now();
            let _ = self.drain(now);
            self.pace = Pace::default();
            self.send(now);
        }
        self.meters.sessions.dec();
        self.meters.ended(reason);
        let Self { shown, sent_bytes, by_tcp, viewer, .. } = &self;
        Past { reason, shown: *shown, bytes: *sent_bytes, skipped: viewer.skipped(), by_tcp: *by_tcp }
    }

    async fn go_on(&mut self) -> End {
        let stop = self.place.post.stop.clone();
        let over = self.watching.as_ref().map_or_else(CancellationToken::new, Watching::stop);
        loop {
            let now = self.clock.now();
            let due = match self.advance(now) {
                Ok(due) => due,
                Err(reason) => return reason,
            };
            let full = self.links.values().find(|link| !link.outbox.is_empty()).map(|link| link.socket.clone());
            tokio::select! {
                () = stop.cancelled() => return "ended",
                () = over.cancelled() => return "revoked",
                Some(heard) = self.heard.recv() => {
                    let now = self.clock.now();
                    if let Err(reason) = self.hear(heard, now) {
                        return reason;
                    }
                }
                () = self.viewer.changed(), if self.level => {}
                _ = async { full.as_ref().expect("looked at before").writable().await }, if full.is_some() => {}
                () = self.clock.sleep(due.saturating_duration_since(now)) => {}
            }
        }
    }

    /// Does what can be done now. When there is something to do again, whatever else happens.
    fn advance(&mut self, now: Instant) -> Result<Instant, End> {
        let mut due = self.drain(now)?;
        self.send(now);
        let mut turn = 0;
        self.level = false;
        while self.shown.is_some() && self.has_room() {
            if turn == TURN_SHOTS_MAX {
                due = now;
                break;
            }
            turn += 1;
            match self.viewer.take() {
                Taken::Next(coded, shot) => {
                    if coded.is_some_and(|coded| !self.coded.goes_on_as(&coded)) {
                        return Err("changed");
                    }
                    self.show(&shot, now)?;
                }
                Taken::Wait => {
                    self.level = true;
                    break;
                }
                Taken::End => return Err("camera gone"),
            }
            due = self.drain(now)?;
            self.send(now);
        }
        let connect = self.began + CONNECT_MAX;
        if self.shown.is_none() {
            if now >= connect {
                return Err("never came");
            }
            due = due.min(connect);
        }
        for link in self.links.values().filter(|link| !link.outbox.is_empty()) {
            if now >= link.moved + DEAF_MAX {
                return Err("deaf");
            }
            due = due.min(link.moved + DEAF_MAX);
        }
        Ok(self.pace.held(now).filter(|_| !self.waiting.is_empty()).map_or(due, |held| due.min(held)))
    }

    /// Whether a picture more can be on its way.
    fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.links.values().all(|link| link.outbox.has_room())
    }

    /// Has the library do all that it can do now.
    fn drain(&mut self, now: Instant) -> Result<Instant, End> {
        let failed = |error: str0m::RtcError| {
            tracing::debug!(%error, "a session of webrtc failed");
            "failed"
        };
        self.rtc.handle_input(Input::Timeout(now.into_std())).map_err(failed)?;
        for _ in 0..TURN_STEPS_MAX {
            match self.rtc.poll_output().map_err(failed)? {
                Output::Timeout(at) if at <= now.into_std() => {
                    self.rtc.handle_input(Input::Timeout(now.into_std())).map_err(failed)?;
                }
                Output::Timeout(at) => return Ok(Instant::from_std(at)),
                Output::Transmit(packet) => self.queue(packet),
                Output::Event(event) => self.learn(&event, now)?,
            }
        }
        Ok(now)
    }

    fn queue(&mut self, packet: Transmit) {
        let Transmit { proto, destination, contents, .. } = packet;
        if proto == Protocol::Udp {
            return self.waiting.push_back((destination, contents.into()));
        }
        if let Some(link) = self.links.get_mut(&destination) {
            self.by_tcp = true;
            link.outbox.push(framed(&contents));
        }
    }

    fn learn(&mut self, event: &Event, now: Instant) -> Result<(), End> {
        match event {
            Event::Connected => self.shown = Some(self.clock.wall()),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => return Err("gone"),
            Event::Closed => return Err("left"),
            Event::KeyframeRequest(_) if self.course.begins_again(now) => {
                self.meters.begun_again.inc();
                self.viewer.begin_again();
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives a picture or sound to the library.
    fn show(&mut self, shot: &Shot, now: Instant) -> Result<(), End> {
        let (mid, number, rate) = match shot.what {
            What::Picture { .. } => (self.video.0, Some(self.video.1), Frequency::NINETY_KHZ),
            What::Sound(law) => match &self.voice {
                Some(voice) => (voice.mid, voice.payload_type(law), Frequency::EIGHT_KHZ),
                None => return Ok(()),
            },
        };
        let (Some(number), Some(ticks)) = (number, self.course.place(shot.what, shot.ticks, now)) else {
            return Ok(());
        };
        let Some(mut writer) = self.rtc.writer(mid) else { return Ok(()) };
        if shot.what == (What::Picture { key: true }) {
            // It holds until another is told.
            writer = writer.playout_delay(MediaTime::ZERO, SHOWN_LATER_MAX);
        }
        let age = u64::try_from(self.clock.wall().micros_since(shot.wall)).unwrap_or(0);
        let taken = now.checked_sub(Duration::from_micros(age)).unwrap_or(now);
        let written = writer.write(number, taken.into_std(), MediaTime::new(ticks, rate), shot.data.clone());
        written.map_err(|error| {
            tracing::debug!(%error, "a picture could not be sent by webrtc");
            "failed"
        })
    }

    /// Sends what goes now.
    fn send(&mut self, now: Instant) {
        let mut sent = 0;
        let is_v6 = self.udp.local_addr().is_ok_and(|at| at.is_ipv6());
        while self.pace.held(now).is_none() {
            let Some((to, packet)) = self.waiting.pop_front() else { break };
            match self.udp.try_send_to(&packet, as_bound(to, is_v6)) {
                Ok(_) => sent += packet.len(),
                // It is asked for again where it matters.
                Err(_) => drop(self.meters.lost.inc()),
            }
            self.pace.sent(packet.len(), now);
        }
        self.links.retain(|_, link| match link.outbox.write(&link.socket) {
            Ok(written) => {
                sent += written;
                if written > 0 || link.outbox.is_empty() {
                    link.moved = now;
                }
                true
            }
            Err(_) => false,
        });
        if sent > 0 {
            self.sent_bytes += sent as u64;
            self.meters.sent_bytes.inc_by(sent as u64);
            if let Some(watching) = &self.watching {
                watching.showed(sent as u64);
            }
        }
    }

    fn hear(&mut self, heard: Heard, now: Instant) -> Result<(), End> {
        match heard {
            Heard::Datagram(source, bytes) => {
                if self.take(Protocol::Udp, source, &bytes, now)? {
                    self.place.is_at(source);
                }
            }
            Heard::Linked(source, bytes) => drop(self.take(Protocol::Tcp, source, &bytes, now)?),
            Heard::Link(source, socket) if self.links.len() < LINKS_MAX => {
                self.links.insert(source, Link { socket, outbox: Outbox::default(), moved: now });
            }
            Heard::Link(..) => {}
            Heard::Unlinked(source) => drop(self.links.remove(&source)),
        }
        Ok(())
    }

    /// Gives a packet to the library; whether it proved to be this session's.
    fn take(&mut self, proto: Protocol, source: SocketAddr, bytes: &Bytes, now: Instant) -> Result<bool, End> {
        let Ok(contents) = DatagramRecv::try_from(&bytes[..]) else { return Ok(false) };
        // Which of its names was called makes no difference: it is one socket.
        let Some(destination) = self.locals.iter().find(|at| at.is_ipv4() == source.is_ipv4()).copied() else {
            return Ok(false);
        };
        let input = Input::Receive(now.into_std(), Receive { proto, source, destination, contents });
        if !self.rtc.accepts(&input) {
            return Ok(false);
        }
        match self.rtc.handle_input(input) {
            Ok(()) => Ok(true),
            Err(error) => {
                tracing::debug!(%error, "a session of webrtc failed");
                Err("failed")
            }
        }
    }
}

/// As the socket takes addresses.
fn as_bound(to: SocketAddr, is_v6: bool) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) if is_v6 => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        to => to,
    }
}
