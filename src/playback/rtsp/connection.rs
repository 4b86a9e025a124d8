//! One connection: requests in, answers and packets out, until the client leaves, does not read, or falls silent.

use super::{
    Shared,
    gate::Ticket,
    outbox::Outbox,
    outlet::Taken,
    session::{Session, Show},
};
use crate::rtsp::{
    Error as Fault,
    message::{BODY_MAX_BYTES, HEAD_MAX_BYTES, Item, Parser, Request, Response},
};
use serde_json::json;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::Instant};

/// A request is whole after so long, or it never will be.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// So long a connection may be there for nothing.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// What a session's client is told: it says something that often, or nobody is there. Who reads from the connection is
/// there, too.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(60);
/// The word and the deed: a client that is a little late is not thrown out.
const SESSION_GRACE: Duration = Duration::from_secs(15);
/// Who reads nothing for so long of what is live is cut; the group of pictures that it would go on with is long gone.
const STALLED_LIVE_MAX: Duration = Duration::from_secs(10);
/// Of footage: players stop reading while they are paused.
const STALLED_FILM_MAX: Duration = Duration::from_secs(300);
/// What was said last, a goodbye, is written within this.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);
pub(super) const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Pictures and sounds that are taken before what was taken is written.
const TAKEN_AT_ONCE_MAX: usize = 64;
/// So much is read before any of it is understood: a request and a report.
const READ_BYTES_MAX: usize = HEAD_MAX_BYTES + BODY_MAX_BYTES + 4096;

/// One client.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) ticket: Ticket,
    parser: Parser,
    outbox: Outbox,
    pub(super) session: Option<Session>,
    /// What was described last.
    pub(super) described: Option<super::program::Program>,
    /// What this client is to prove that it knows the token with.
    pub(super) nonce: Option<String>,
    pub(super) wrong_tries: u32,
    pub(super) agent: Option<String>,
    /// Nothing more is said but what waits to be written.
    pub(super) closing: bool,
    heard: Instant,
    /// Since when a request is there in part.
    part_since: Option<Instant>,
    /// Since when something waits and nothing was taken.
    stalled_since: Option<Instant>,
    pub(super) report_at: Instant,
}

enum Next {
    Read(std::io::Result<usize>),
    Writable,
    News,
    Heard,
    Time,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, socket: TcpStream, peer: SocketAddr, ticket: Ticket) -> Option<Self> {
        let local = socket.local_addr().ok()?;
        let now = shared.clock.now();
        Some(Self {
            shared,
            socket,
            peer,
            local,
            ticket,
            parser: Parser::default(),
            outbox: Outbox::default(),
            session: None,
            described: None,
            nonce: None,
            wrong_tries: 0,
            agent: None,
            closing: false,
            heard: now,
            part_since: None,
            stalled_since: None,
            report_at: now,
        })
    }

    /// Serves until it ends; says why, where we ended it.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) {
        let cut = tokio::select! {
            cut = self.serve() => cut,
            () = stop => {
                self.say_goodbye();
                let _ = self.outbox.write(&self.socket);
                None
            }
        };
        if let Some(reason) = cut {
            self.shared.meters.cut(reason);
            tracing::debug!(peer = %self.peer, reason, "an rtsp connection was cut");
        }
        self.end_session();
    }

    async fn serve(&mut self) -> Option<&'static str> {
        loop {
            match self.converse().await {
                Ok(()) => {}
                Err(fault) => self.refuse(&fault),
            }
            if self.pump().is_err() || (self.closing && self.outbox.is_empty()) {
                return None;
            }
            if let Some(reason) = self.is_over() {
                return Some(reason);
            }
            match self.next().await {
                Next::Read(Ok(0) | Err(_)) => return None,
                Next::Read(Ok(_)) | Next::Heard => self.heard = self.shared.clock.now(),
                Next::Writable | Next::News | Next::Time => {}
            }
        }
    }

    /// Answers what was asked, as long as answers are taken.
    async fn converse(&mut self) -> Result<(), Fault> {
        while !self.closing && self.outbox.has_room() {
            match self.parser.take()? {
                Some(Item::Request(request)) => self.answer(&request).await,
                // Reports of receivers: that they come is all that is wanted.
                Some(Item::Frame { .. }) => {}
                None => {
                    let empty = self.parser.buffer().is_empty();
                    self.part_since = if empty { None } else { self.part_since.or(Some(self.shared.clock.now())) };
                    return Ok(());
                }
            }
            self.part_since = None;
        }
        Ok(())
    }

    /// What cannot be understood ends the connection, with a word on why.
    fn refuse(&mut self, fault: &Fault) {
        let status = match fault {
            Fault::TooLarge(_) => 413,
            Fault::Malformed(_) => 400,
        };
        self.respond(Response::new(status).body("text/plain", format!("{fault}\n")), None);
        self.closing = true;
    }

    pub(super) fn respond(&mut self, response: Response, request: Option<&Request>) {
        self.shared.meters.answered(response.status());
        let response = response.header("Server", concat!("skyvis/", env!("CARGO_PKG_VERSION")));
        self.outbox.push(response.encode(request.and_then(|request| request.header("CSeq"))));
    }

    /// Takes what can be sent, and writes what is taken.
    fn pump(&mut self) -> std::io::Result<()> {
        loop {
            let now = (self.shared.clock.now(), self.shared.clock.wall());
            self.write(now.0)?;
            let Some(session) = self.session.as_mut().filter(|s| s.playing && !self.closing) else { return Ok(()) };
            let mut taken = 0;
            while self.outbox.is_empty() || (taken < TAKEN_AT_ONCE_MAX && self.outbox.has_room()) {
                match session.take(now.0) {
                    Taken::Chunk(chunk) => {
                        let sent = session.send(&chunk, &self.shared.name, now, &mut self.outbox);
                        self.shared.meters.sent_bytes.inc_by(sent as u64);
                        taken += 1;
                    }
                    Taken::Skipped(frames) => {
                        session.skipped += frames;
                        self.shared.meters.skipped(frames);
                        taken += 1;
                    }
                    Taken::Nothing => break,
                    Taken::Ended => {
                        // A camera that is away may be another when it is back.
                        self.closing |= matches!(session.show, Show::Live(_));
                        session.goodbye(&self.shared.name, now.1, &mut self.outbox);
                        break;
                    }
                }
                if self.stalled_since.is_some() {
                    break;
                }
            }
            if now.0 >= self.report_at {
                self.report_at = now.0 + REPORT_EVERY;
                session.report(&self.shared.name, now.1, &mut self.outbox);
            }
            if taken == 0 || self.stalled_since.is_some() {
                return self.write(now.0);
            }
        }
    }

    fn write(&mut self, now: Instant) -> std::io::Result<()> {
        let written = self.outbox.write(&self.socket)?;
        if self.outbox.is_empty() {
            self.stalled_since = None;
        } else if written > 0 || self.stalled_since.is_none() {
            self.stalled_since = Some(now);
        }
        // Who takes pictures is there.
        if written > 0 && self.session.as_ref().is_some_and(|s| s.playing && !s.is_by_datagrams()) {
            self.heard = now;
        }
        Ok(())
    }

    /// Whether its time is over, and why.
    fn is_over(&self) -> Option<&'static str> {
        let now = self.shared.clock.now();
        self.deadlines().into_iter().flatten().find(|(at, _)| *at <= now).map(|(_, reason)| reason)
    }

    fn deadlines(&self) -> [Option<(Instant, &'static str)>; 3] {
        let stalled_max = match self.session.as_ref().map(|session| &session.show) {
            _ if self.closing => LAST_WORDS_MAX,
            Some(Show::Film(_)) => STALLED_FILM_MAX,
            _ => STALLED_LIVE_MAX,
        };
        let silent_max = match &self.session {
            Some(_) => SESSION_TIMEOUT + SESSION_GRACE,
            None => IDLE_MAX,
        };
        [
            self.part_since.map(|since| (since + REQUEST_MAX, "slow request")),
            self.stalled_since.map(|since| (since + stalled_max, "does not read")),
            Some((
                self.heard + silent_max.max(if self.stalled_since.is_some() { stalled_max } else { silent_max }),
                "silent",
            )),
        ]
    }

    async fn next(&mut self) -> Next {
        let now = self.shared.clock.now();
        let mut wake = self.deadlines().into_iter().flatten().map(|(at, _)| at).min();
        let playing = self.session.as_ref().is_some_and(|session| session.playing);
        if playing {
            wake = wake.map(|at| at.min(self.report_at.max(now)));
        }
        let reads = !self.closing && self.outbox.has_room() && self.parser.buffer().len() < READ_BYTES_MAX;
        let writes = !self.outbox.is_empty();
        let Self { socket, parser, session, .. } = self;
        let read = async {
            loop {
                socket.readable().await?;
                match socket.try_read_buf(parser.buffer()) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
            }
        };
        let wait = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let shown = async {
            match session {
                Some(session) if playing && !writes => session.changed_or_heard(now).await,
                Some(session) if session.is_by_datagrams() => {
                    session.heard().await;
                    true
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            read = read, if reads => Next::Read(read),
            _ = socket.writable(), if writes => Next::Writable,
            heard = shown => if heard { Next::Heard } else { Next::News },
            () = wait => Next::Time,
        }
    }

    fn say_goodbye(&mut self) {
        if let Some(session) = self.session.as_mut().filter(|session| session.playing) {
            session.goodbye(&self.shared.name, self.shared.clock.wall(), &mut self.outbox);
        }
    }

    /// The session is over: who watched what, from where, for how long, how much.
    pub(super) fn end_session(&mut self) {
        let Some(session) = self.session.take() else { return };
        let Some(began) = session.began else { return };
        self.shared.events.emit(
            "viewer.left",
            &session.program.stream,
            json!({
                "by": "rtsp",
                "session": session.id,
                "address": self.peer.ip(),
                "agent": self.agent,
                "began": began,
                "from": session.program.footage.map(|footage| footage.from),
                "to": session.program.footage.and(session.last_wall),
                "bytes": session.sent_bytes,
                "skipped_frames": session.skipped,
            }),
        );
    }
}
