//! What each method is answered (RFC 2326, 10).

use super::{
    address::{self, Address, Footage},
    connection::{Connection, REPORT_EVERY, SESSION_TIMEOUT},
    datagrams::Datagrams,
    film::{AHEAD_MAX, Film},
    gate::{REALM, Word},
    outlet::Seat,
    press::index,
    program::{FIRST_PICTURE_MAX, Program},
    session::{Reel, Session, Show, Track, Way, first_of, wall_of},
};
use crate::{
    base::{Kind, Wall},
    playback::Error,
    rtsp::{
        digest::{self, Algorithm},
        message::{Request, Response},
        play::{self, Point, Span},
        transport::Asked,
    },
};
use serde_json::json;
use std::time::Duration;
use tokio::sync::mpsc;

const METHODS: &str = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";
/// After so many wrong tries a connection is closed.
const WRONG_TRIES_MAX: u32 = 5;
/// How much slower and faster footage is shown.
const SCALES: (f64, f64) = (1.0 / 16.0, 32.0);
/// How much slower and faster it is sent.
const SPEEDS: (f64, f64) = (1.0 / 8.0, 8.0);
/// The longest name that a client gives itself, as it is kept.
const AGENT_CHARS_MAX: usize = 200;

/// An answer that is no success.
struct Refusal(Response);

impl From<u16> for Refusal {
    fn from(status: u16) -> Self {
        Self(Response::new(status))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            _ if matches!(error, Error::MotionJpeg(_)) => 415,
            Kind::Invalid | Kind::Conflict => 400,
            Kind::NotFound => 404,
            Kind::Denied => 403,
            Kind::Busy | Kind::Peer | Kind::Stopped => 503,
            Kind::NoSpace | Kind::Storage | Kind::Internal => 500,
        };
        if status == 500 {
            tracing::error!(%error, "footage could not be shown by RTSP");
        }
        Self(Response::new(status).body("text/plain", format!("{error}\n")))
    }
}

type Answer = Result<Response, Refusal>;

impl Connection {
    /// Answers one request.
    pub(super) async fn answer(&mut self, request: &Request) {
        if let Some(agent) = request.header("User-Agent") {
            let clip = |text: &str| text.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect();
            self.agent.get_or_insert_with(|| clip(agent));
        }
        let answer = match self.admit(request).await {
            Ok(()) => self.answer_to(request).await,
            refused => refused.map(|()| Response::new(200)),
        };
        let response = answer.unwrap_or_else(|Refusal(response)| response);
        let torn_down = request.method == "TEARDOWN" && response.status() == 200;
        self.respond(response, Some(request));
        if torn_down {
            self.end_session();
        }
    }

    /// What is asked of all requests alike.
    async fn admit(&mut self, request: &Request) -> Result<(), Refusal> {
        if request.header("CSeq").is_none() {
            return Err(400.into());
        }
        if let Some(option) = request.header("Require").or(request.header("Proxy-Require")) {
            return Err(Refusal(Response::new(551).header("Unsupported", option)));
        }
        if request.method == "OPTIONS" || self.ticket.is_known() {
            return Ok(());
        }
        match self.shared.gate.judge(request, self.peer.ip(), self.nonce.as_deref()) {
            Word::Welcome => {
                self.ticket.known();
                Ok(())
            }
            Word::Never => {
                self.closing = true;
                let why = "RTSP needs the operator's token, and none is set: set playback.token_file\n";
                Err(Refusal(Response::new(403).body("text/plain", why)))
            }
            Word::Prove => Err(self.challenge()),
            Word::Wrong(delay) => {
                self.wrong_tries += 1;
                self.closing |= self.wrong_tries >= WRONG_TRIES_MAX;
                self.shared.clock.sleep(delay).await;
                Err(self.challenge())
            }
            Word::TooMany(wait) => {
                self.closing = true;
                let seconds = wait.as_secs().saturating_add(1);
                Err(Refusal(Response::new(503).header("Retry-After", seconds.to_string())))
            }
        }
    }

    /// Both algorithms; many clients take the last that they are told of, and know MD5 alone.
    fn challenge(&mut self) -> Refusal {
        let nonce = self.nonce.get_or_insert_with(|| format!("{:032x}", rand::random::<u128>()));
        let each = [Algorithm::Sha256, Algorithm::Md5].map(|a| digest::challenge(a, REALM, nonce, false, false));
        Refusal(each.into_iter().fold(Response::new(401), |response, line| response.header("WWW-Authenticate", line)))
    }

    async fn answer_to(&mut self, request: &Request) -> Answer {
        match request.method.as_str() {
            "OPTIONS" => Ok(Response::new(200).header("Public", METHODS)),
            "DESCRIBE" => self.describe(request).await,
            "SETUP" => self.set_up(request).await,
            "PLAY" => self.play(request).await,
            "PAUSE" => self.pause(request),
            "TEARDOWN" => {
                self.is_ours(request)?;
                Ok(self.in_session(Response::new(200)))
            }
            // Clients send them to show that they are there; there is nothing to be got or set.
            "GET_PARAMETER" | "SET_PARAMETER" if request.body.is_empty() => {
                if request.header("Session").is_some() {
                    self.is_ours(request)?;
                }
                Ok(self.in_session(Response::new(200)))
            }
            "GET_PARAMETER" | "SET_PARAMETER" => Err(451.into()),
            "ANNOUNCE" | "RECORD" => Err(Refusal(Response::new(405).header("Allow", METHODS))),
            _ => Err(501.into()),
        }
    }

    /// The session that a request means.
    fn is_ours(&mut self, request: &Request) -> Result<&mut Session, Refusal> {
        let id = request.header("Session").map(|id| id.split(';').next().unwrap_or(id).trim().to_owned());
        match &mut self.session {
            Some(session) if id.is_none_or(|id| id == session.id) => Ok(session),
            _ => Err(454.into()),
        }
    }

    fn in_session(&self, response: Response) -> Response {
        match &self.session {
            Some(session) => {
                response.header("Session", format!("{};timeout={}", session.id, SESSION_TIMEOUT.as_secs()))
            }
            None => response,
        }
    }

    async fn describe(&mut self, request: &Request) -> Answer {
        if request.header("Accept").is_some_and(|all| !all.contains("application/sdp") && !all.contains("*/*")) {
            return Err(Refusal::from(415));
        }
        let address = Address::parse(&request.uri)?;
        let program = Program::find(&self.shared, &address).await?;
        let (base, query) = address::base(&request.uri);
        let local = self.local.ip().to_canonical();
        let text = program.description(&base, &query, local, self.shared.clock.wall());
        self.described = Some(program);
        Ok(Response::new(200).header("Content-Base", format!("{base}/")).body("application/sdp", text.into_bytes()))
    }

    async fn set_up(&mut self, request: &Request) -> Answer {
        let address = Address::parse(&request.uri)?;
        if self.session.is_some() && self.is_ours(request)?.playing {
            return Err(455.into());
        }
        let asked = Asked::parse(request.header("Transport").unwrap_or_default(), address.track.unwrap_or(1));
        let asked = asked.ok_or(Refusal::from(461))?;
        let known = self.session.as_ref().map(|session| &session.program).or(self.described.as_ref());
        let program = match known.filter(|program| program.is(&address)) {
            Some(program) => program.clone(),
            // One session of one stream: what is in it cannot be controlled together with anything else.
            None if self.session.is_some() => return Err(459.into()),
            None => Program::find(&self.shared, &address).await?,
        };
        let number = address.track.unwrap_or(1);
        let kind = program.track(number).ok_or(Refusal::from(404))?;
        let (way, transport) = self.way(asked).await?;
        let session = self.session.get_or_insert_with(|| Session::new(program));
        let ssrc = session.marks[index(kind)].ssrc;
        let track = Track::new(kind, request.uri.clone(), way, ssrc, session.rate(kind));
        session.tracks.retain(|track| track.kind != kind);
        session.tracks.push(track);
        let response = Response::new(200).header("Transport", format!("{transport};ssrc={ssrc:08X};mode=\"PLAY\""));
        Ok(self.in_session(response))
    }

    /// How a track goes out, and how that is said. Datagrams go to the client's own address and nowhere else.
    async fn way(&self, asked: Asked) -> Result<(Way, String), Refusal> {
        match asked {
            Asked::Interleaved(rtp, rtcp) => {
                let taken = |way: &Way| match way {
                    Way::Interleaved(a, b) => [a, b].into_iter().any(|n| *n == rtp || *n == rtcp),
                    Way::Datagrams(_) => false,
                };
                let others = self.session.iter().flat_map(|session| &session.tracks);
                if rtp == rtcp || others.map(|track| &track.way).any(taken) {
                    return Err(461.into());
                }
                let text = format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}");
                Ok((Way::Interleaved(rtp, rtcp), text))
            }
            Asked::Datagrams(rtp, rtcp) => {
                if rtp == 0 || rtcp == 0 {
                    return Err(461.into());
                }
                let sockets = Datagrams::open(self.local.ip(), self.peer.ip(), (rtp, rtcp)).await.map_err(|error| {
                    tracing::warn!(%error, "no ports for a viewer by datagrams");
                    Refusal::from(503)
                })?;
                let port = sockets.port();
                let source = self.local.ip().to_canonical();
                let text =
                    format!("RTP/AVP;unicast;source={source};client_port={rtp}-{rtcp};server_port={port}-{}", port + 1);
                Ok((Way::Datagrams(sockets), text))
            }
        }
    }

    async fn play(&mut self, request: &Request) -> Answer {
        let span = match request.header("Range") {
            Some(header) => Some(Span::parse(header).ok_or(Refusal::from(457))?),
            None => None,
        };
        let factor = |name| match request.header(name) {
            Some(header) => play::factor(header).map(Some).ok_or(Refusal::from(400)),
            None => Ok(None),
        };
        let (scale, speed) = (factor("Scale")?, factor("Speed")?);
        let now = self.shared.clock.now();
        let session = self.is_ours(request)?;
        if session.tracks.is_empty() {
            return Err(455.into());
        }
        let (range, rtp_info) = match session.program.footage {
            None => self.play_live(span).await?,
            Some(footage) => self.play_footage(footage, span, (scale, speed)).await?,
        };
        self.begins();
        self.report_at = now + REPORT_EVERY;
        let mut response = Response::new(200).header("Range", range);
        let shown = self.session.as_ref().map(|session| match &session.show {
            Show::Film(reel) => (reel.scale, reel.speed()),
            _ => (1.0, 1.0),
        });
        let (showing, sending) = shown.unwrap_or((1.0, 1.0));
        if scale.is_some() || (showing - 1.0).abs() > f64::EPSILON {
            response = response.header("Scale", format!("{showing:.3}"));
        }
        if speed.is_some() {
            response = response.header("Speed", format!("{sending:.3}"));
        }
        if let Some(info) = rtp_info {
            response = response.header("RTP-Info", info);
        }
        Ok(self.in_session(response))
    }

    /// Begins with the current group of pictures, or goes on. What was live is seen as footage.
    async fn play_live(&mut self, span: Option<Span>) -> Result<(String, Option<String>), Refusal> {
        if span
            .is_some_and(|span| matches!(span.from, Some(Point::Clock(_))) || matches!(span.to, Some(Point::Clock(_))))
        {
            return Err(457.into());
        }
        let stream = self.session.as_ref().map(|session| session.program.stream.clone());
        let outlet = self.session.as_ref().and_then(|session| session.program.outlet.clone());
        let (Some(outlet), Some(stream)) = (outlet, stream) else { return Err(454.into()) };
        let mut seat = Seat::new(&outlet);
        let first = tokio::time::timeout(FIRST_PICTURE_MAX, async {
            loop {
                if let Some(first) = seat.begin() {
                    return first;
                }
                seat.changed().await;
            }
        });
        let Ok((sequences, micros)) = first.await else { return Err(Error::NotLive(stream).into()) };
        let Some(session) = &mut self.session else { return Err(454.into()) };
        let info = session.tracks.iter().map(|track| {
            let base = session.marks[index(track.kind)].base;
            let ticks = i128::from(micros) * i128::from(session.rate(track.kind)) / 1_000_000;
            let sequence = sequences[index(track.kind)];
            format!("url={};seq={sequence};rtptime={}", track.uri, base.wrapping_add(ticks as u32))
        });
        let info = info.collect::<Vec<_>>().join(",");
        session.show = Show::Live(seat);
        session.playing = true;
        Ok(("npt=now-".to_owned(), Some(info)))
    }

    async fn play_footage(
        &mut self,
        footage: Footage,
        span: Option<Span>,
        (scale, speed): (Option<f64>, Option<f64>),
    ) -> Result<(String, Option<String>), Refusal> {
        let now = self.shared.clock.now();
        let Some(session) = &mut self.session else { return Err(454.into()) };
        let at = |point: Point| match point {
            Point::Npt(after) => Some(footage.from.plus(after)),
            Point::Clock(at) => Some(at.max(footage.from)),
            Point::Now => None,
        };
        let by_clock = span.is_some_and(|span| matches!(span.from.or(span.to), Some(Point::Clock(_))));
        let speed = speed.map_or(1.0, |speed| if speed > 0.0 { speed.clamp(SPEEDS.0, SPEEDS.1) } else { 1.0 });
        let before = match &session.show {
            Show::Film(reel) => Some(reel.scale),
            _ => None,
        };
        // Backwards is not shown, and the answer says so.
        let scale = scale.map_or(before.unwrap_or(1.0), |s| if s > 0.0 { s.clamp(SCALES.0, SCALES.1) } else { 1.0 });
        let same = before.is_some_and(|before| (before - scale).abs() < f64::EPSILON);
        let here = session.last_wall.filter(|_| same && span.is_none_or(|span| span.from.is_none()));
        if let (Show::Film(reel), Some(here)) = (&mut session.show, here)
            && span.is_none_or(|span| span.to.is_none())
            && !reel.is_over()
        {
            reel.go(now, speed);
            session.playing = true;
            return Ok((range_text(footage, here, footage.to, by_clock), None));
        }
        let from = match span.and_then(|span| span.from) {
            Some(point) => at(point).ok_or(Refusal::from(457))?,
            None => session.last_wall.filter(|_| before.is_some()).unwrap_or(footage.from),
        };
        let to = match span.and_then(|span| span.to) {
            Some(point) => {
                Some(at(point).ok_or(Refusal::from(457))?.min(footage.to.unwrap_or(Wall::from_micros(i64::MAX))))
            }
            None => footage.to,
        };
        if to.is_some_and(|to| to <= from) {
            return Err(457.into());
        }
        let marks = session.next_marks();
        let (shots, mut taken) = mpsc::channel(AHEAD_MAX);
        let film = Film {
            library: self.shared.library.clone(),
            stream: session.program.stream.clone(),
            shape: session.program.shape.clone(),
            marks,
            asked: Footage { from, to },
            scale,
        };
        self.shared.group.spawn("rtsp film", film.run(shots));
        let first = first_of(&mut taken, FIRST_PICTURE_MAX).await.ok_or(Refusal::from(457))?;
        let info = session.tracks.iter().map(|track| {
            let mark = marks[index(track.kind)];
            format!("url={};seq={};rtptime={}", track.uri, mark.sequence, mark.base)
        });
        let info = info.collect::<Vec<_>>().join(",");
        let range = range_text(footage, wall_of(&first), to, by_clock);
        let mut reel = Reel::new(taken, first, scale);
        reel.go(self.shared.clock.now(), speed);
        session.show = Show::Film(reel);
        session.playing = true;
        Ok((range, Some(info)))
    }

    /// Somebody watches.
    fn begins(&mut self) {
        let Some(session) = &mut self.session else { return };
        let transport = if session.is_by_datagrams() { "udp" } else { "tcp" };
        session.watches.get_or_insert_with(|| self.shared.meters.watches(transport));
        if session.began.is_none() {
            session.began = Some(self.shared.clock.wall());
            self.shared.events.emit(
                "viewer.joined",
                &session.program.stream,
                json!({
                    "by": "rtsp",
                    "session": session.id,
                    "transport": transport,
                    "address": self.peer.ip(),
                    "agent": self.agent,
                    "from": session.program.footage.map(|footage| footage.from),
                    "to": session.program.footage.and_then(|footage| footage.to),
                }),
            );
        }
    }

    fn pause(&mut self, request: &Request) -> Answer {
        let now = self.shared.clock.now();
        let session = self.is_ours(request)?;
        match &mut session.show {
            Show::Nothing => return Err(455.into()),
            // Who goes on later begins with what is live then.
            Show::Live(_) => session.show = Show::Nothing,
            Show::Film(reel) => reel.stop(now),
        }
        session.playing = false;
        session.watches = None;
        Ok(self.in_session(Response::new(200)))
    }
}

/// The range that is shown, as it was asked for: by the clock, or in seconds from the begin of what was described.
fn range_text(footage: Footage, from: Wall, to: Option<Wall>, by_clock: bool) -> String {
    if by_clock {
        let to = to.map(play::clock_text).unwrap_or_default();
        return format!("clock={}-{to}", play::clock_text(from));
    }
    let seconds = |at: Wall| {
        let after = u64::try_from(at.micros_since(footage.from)).unwrap_or(0);
        Duration::from_micros(after).as_secs_f64()
    };
    let to = to.map(|to| format!("{:.3}", seconds(to))).unwrap_or_default();
    format!("npt={:.3}-{to}", seconds(from))
}
