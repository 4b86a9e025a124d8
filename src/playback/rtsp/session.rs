//! One session: its tracks, what it shows, and how far it has come.

use super::{
    datagrams::Datagrams,
    film::Shot,
    meters::Watches,
    outbox::Outbox,
    outlet::{Seat, Taken},
    press::{Chunk, Mark, channel, index, moved},
    program::Program,
};
use crate::{
    base::Wall,
    model::{TrackKind, frame::VIDEO_TIMESCALE},
    playback::pace::Pace,
    rtsp::rtcp,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// Who watches footage and reads too slowly for its pace is not hurried after: from so far behind on it is as if time had
/// stood still.
const LATE_MAX: Duration = Duration::from_secs(2);

/// A session between SETUP and TEARDOWN.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) program: Program,
    pub(super) tracks: Vec<Track>,
    pub(super) show: Show,
    pub(super) playing: bool,
    /// Held while it is played.
    pub(super) watches: Option<Watches>,
    /// When it was played first.
    pub(super) began: Option<Wall>,
    pub(super) sent_bytes: u64,
    pub(super) skipped: u64,
    /// When the last picture that was sent was taken.
    pub(super) last_wall: Option<Wall>,
    pace: Pace,
    /// Where packets go on, of footage.
    pub(super) marks: [Mark; 2],
}

/// A track that was set up.
pub(super) struct Track {
    pub(super) kind: TrackKind,
    pub(super) uri: String,
    pub(super) way: Way,
    pub(super) ssrc: u32,
    rate: u32,
    packets: u32,
    octets: u32,
    /// Timestamp and time of what was sent last.
    last: Option<(u32, Wall)>,
    reported: bool,
}

/// How a track's packets go out.
pub(super) enum Way {
    /// On these channels of the connection.
    Interleaved(u8, u8),
    Datagrams(Datagrams),
}

/// What is shown.
pub(super) enum Show {
    Nothing,
    Live(Seat),
    Film(Reel),
}

/// Footage at its pace.
pub(super) struct Reel {
    shots: mpsc::Receiver<Shot>,
    next: Option<Shot>,
    /// When the first one was due; None while it stands still.
    zero: Option<Instant>,
    /// How far it had come when it was stopped.
    stood_at: i64,
    pub(super) scale: f64,
    speed: f64,
    ended: bool,
}

impl Track {
    pub(super) fn new(kind: TrackKind, uri: String, way: Way, ssrc: u32, rate: u32) -> Self {
        let (packets, octets) = (0, 0);
        Self { kind, uri, way, ssrc, rate, packets, octets, last: None, reported: false }
    }

    /// A sender report: where the clock of live time stands now, or where what was sent last does.
    fn report(&mut self, name: &str, now: Option<Wall>, is_last: bool, outbox: &mut Outbox) {
        // A track of which nothing was sent says so when it is over, and nothing before.
        let Some((timestamp, wall)) = self.last.or_else(|| is_last.then_some((0, Wall::default()))) else { return };
        self.reported = true;
        let make = if is_last { rtcp::last_report } else { rtcp::sender_report };
        let (wall, timestamp) = match now {
            Some(now) => {
                let ticks = i128::from(now.micros_since(wall)) * i128::from(self.rate) / 1_000_000;
                (now, timestamp.wrapping_add(ticks as u32))
            }
            None => (wall, timestamp),
        };
        let sender = rtcp::Sender { ssrc: self.ssrc, packets: self.packets, octets: self.octets, name };
        self.control(outbox, |channel, out| make(channel, &sender, wall, timestamp, out));
    }

    fn control(&self, outbox: &mut Outbox, make: impl FnOnce(u8, &mut Vec<u8>)) {
        let mut out = Vec::new();
        match &self.way {
            Way::Interleaved(_, channel) => {
                make(*channel, &mut out);
                outbox.push(out);
            }
            Way::Datagrams(sockets) => {
                make(0, &mut out);
                sockets.send(&out, true);
            }
        }
    }
}

impl Session {
    pub(super) fn new(program: Program) -> Self {
        let marks = program.outlet.as_ref().map_or_else(|| [Mark::random(), Mark::random()], |o| *o.marks());
        Self {
            id: format!("{:016x}", rand::random::<u64>()),
            program,
            tracks: Vec::new(),
            show: Show::Nothing,
            playing: false,
            watches: None,
            began: None,
            sent_bytes: 0,
            skipped: 0,
            last_wall: None,
            pace: Pace::default(),
            marks,
        }
    }

    pub(super) fn rate(&self, kind: TrackKind) -> u32 {
        let speech = self.program.shape.speech.as_ref();
        match kind {
            TrackKind::Video => VIDEO_TIMESCALE,
            TrackKind::Audio => speech.map_or(VIDEO_TIMESCALE, |speech| speech.rate),
        }
    }

    /// Its packets go as datagrams, none of them with the connection.
    pub(super) fn is_by_datagrams(&self) -> bool {
        self.tracks.iter().any(|track| matches!(track.way, Way::Datagrams(_)))
    }

    /// What can be sent now.
    pub(super) fn take(&mut self, now: Instant) -> Taken {
        if !self.playing || self.pace.held(now).is_some() {
            return Taken::Nothing;
        }
        match &mut self.show {
            Show::Nothing => Taken::Nothing,
            Show::Live(seat) => seat.take(),
            Show::Film(reel) => reel.take(now),
        }
    }

    /// Sends one picture or sound, if its track was set up.
    pub(super) fn send(&mut self, chunk: &Chunk, name: &str, now: (Instant, Wall), outbox: &mut Outbox) -> usize {
        let is_live = matches!(self.show, Show::Live(_));
        let Some(track) = self.tracks.iter_mut().find(|track| track.kind == chunk.track) else { return 0 };
        let sent = match &track.way {
            Way::Interleaved(own, _) if *own == channel(chunk.track) => {
                outbox.push(chunk.bytes.clone());
                chunk.bytes.len()
            }
            Way::Interleaved(own, _) => {
                outbox.push(moved(&chunk.bytes, *own));
                chunk.bytes.len()
            }
            Way::Datagrams(sockets) => {
                let sent = sockets.send(&chunk.bytes, false);
                self.pace.sent(sent, now.0);
                sent
            }
        };
        track.packets = track.packets.wrapping_add(chunk.packets);
        track.octets = track.octets.wrapping_add(chunk.octets);
        track.last = Some((chunk.timestamp, chunk.wall));
        if !track.reported {
            // What receivers lay sound and pictures beside each other by.
            track.report(name, is_live.then_some(now.1), false, outbox);
        }
        let mark = &mut self.marks[index(chunk.track)];
        if !is_live {
            mark.sequence = chunk.sequence.wrapping_add(chunk.packets as u16);
        }
        if chunk.track == TrackKind::Video {
            self.last_wall = Some(chunk.wall);
        }
        self.sent_bytes += sent as u64;
        sent
    }

    pub(super) fn report(&mut self, name: &str, now: Wall, outbox: &mut Outbox) {
        let is_live = matches!(self.show, Show::Live(_));
        for track in &mut self.tracks {
            track.report(name, is_live.then_some(now), false, outbox);
        }
    }

    /// Says that this was all.
    pub(super) fn goodbye(&mut self, name: &str, now: Wall, outbox: &mut Outbox) {
        self.playing = false;
        self.watches = None;
        let is_live = matches!(self.show, Show::Live(_));
        for track in &mut self.tracks {
            track.report(name, is_live.then_some(now), true, outbox);
        }
    }

    /// Where packets of footage that is shown from somewhere else go on: timestamps behind all that were sent.
    pub(super) fn next_marks(&mut self) -> [Mark; 2] {
        let lasts: Vec<(TrackKind, u32, u32)> =
            self.tracks.iter().filter_map(|track| Some((track.kind, track.last?.0, track.rate))).collect();
        for (kind, timestamp, rate) in lasts {
            self.marks[index(kind)].base = timestamp.wrapping_add(rate / 10);
        }
        self.marks
    }

    /// Comes back once there may be something new to send, or, with true, once a client that gets datagrams has sent a
    /// report.
    pub(super) async fn changed_or_heard(&mut self, now: Instant) -> bool {
        let held = self.pace.held(now);
        let Self { show, tracks, .. } = self;
        let changed = async {
            match (held, show) {
                (Some(until), _) => tokio::time::sleep_until(until).await,
                (None, Show::Nothing) => std::future::pending().await,
                (None, Show::Live(seat)) => seat.changed().await,
                (None, Show::Film(reel)) => reel.changed().await,
            }
        };
        tokio::select! {
            () = changed => false,
            () = heard(tracks) => true,
        }
    }

    /// Comes back once a client that gets datagrams has sent a report.
    pub(super) async fn heard(&self) {
        heard(&self.tracks).await;
    }
}

async fn heard(tracks: &[Track]) {
    let mut sockets = tracks.iter().filter_map(|track| match &track.way {
        Way::Datagrams(sockets) => Some(sockets),
        Way::Interleaved(..) => None,
    });
    match (sockets.next(), sockets.next()) {
        (None, _) => std::future::pending().await,
        (Some(one), None) => one.heard().await,
        (Some(one), Some(other)) => tokio::select! {
            () = one.heard() => {}
            () = other.heard() => {}
        },
    }
}

impl Reel {
    pub(super) fn new(shots: mpsc::Receiver<Shot>, first: Shot, scale: f64) -> Self {
        Self { shots, next: Some(first), zero: None, stood_at: 0, scale, speed: 1.0, ended: false }
    }

    /// How much faster than its pace it is sent.
    pub(super) fn speed(&self) -> f64 {
        self.speed
    }

    /// Nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.next.is_none() && (self.ended || (self.shots.is_closed() && self.shots.is_empty()))
    }

    /// Goes on, at so many times its pace.
    pub(super) fn go(&mut self, now: Instant, speed: f64) {
        self.stop(now);
        self.speed = speed;
        let before = Duration::from_micros(u64::try_from(self.stood_at).unwrap_or(0)).div_f64(speed);
        self.zero = Some(now.checked_sub(before).unwrap_or(now));
    }

    /// Stands still.
    pub(super) fn stop(&mut self, now: Instant) {
        if let Some(zero) = self.zero.take() {
            let run = now.saturating_duration_since(zero).mul_f64(self.speed);
            self.stood_at = i64::try_from(run.as_micros()).unwrap_or(i64::MAX);
        }
    }

    fn due(&self, shot: &Shot) -> Option<Instant> {
        let after = Duration::from_micros(u64::try_from(shot.due_micros).unwrap_or(0)).div_f64(self.speed);
        self.zero.map(|zero| zero + after)
    }

    fn take(&mut self, now: Instant) -> Taken {
        if self.next.is_none() {
            self.next = self.shots.try_recv().ok();
        }
        let Some(shot) = &self.next else {
            return if self.is_over() { Taken::Ended } else { Taken::Nothing };
        };
        match self.due(shot) {
            Some(due) if due <= now => {
                if let Some(zero) = self.zero.as_mut().filter(|_| due + LATE_MAX < now) {
                    *zero += now - due;
                }
                self.next.take().map_or(Taken::Nothing, |shot| Taken::Chunk(shot.chunk))
            }
            _ => Taken::Nothing,
        }
    }

    async fn changed(&mut self) {
        match &self.next {
            Some(shot) => match self.due(shot) {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            },
            None => {
                self.next = self.shots.recv().await;
                self.ended = self.next.is_none();
            }
        }
    }
}

/// The chunk that a film begins with, once it is there.
pub(super) async fn first_of(shots: &mut mpsc::Receiver<Shot>, limit: Duration) -> Option<Shot> {
    tokio::time::timeout(limit, shots.recv()).await.ok().flatten()
}

/// When a shot was taken.
pub(super) fn wall_of(shot: &Shot) -> Wall {
    Arc::as_ref(&shot.chunk).wall
}
