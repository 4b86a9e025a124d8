//! One RTSP connection: requests in, answers and packets out, until the client leaves, falls silent, or a fault ends
//! it.

use super::{
    Shared,
    session::{AUDIO_TRACK, METADATA_TRACK, Session, VIDEO_TRACK},
    target::{self, Target},
};
use crate::{
    rtsp::{
        digest::Nonces,
        message::{Item, Parser, Request, Response},
        sdp,
        transport::Asked,
    },
    sim::{
        access::{self, Access, Door, Knock},
        source::Unit,
    },
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{broadcast::error::RecvError, watch},
    time::{Instant, sleep_until},
};

const REPORT_EVERY: Duration = Duration::from_secs(5);
/// RTSP's nonces last as long as their connection; this is longer.
const NONCE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
const METHODS: &str = "OPTIONS, DESCRIBE, PLAY, PAUSE, SETUP, TEARDOWN, SET_PARAMETER, GET_PARAMETER";

/// Serves a connection until it ends.
pub(super) async fn run(socket: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let (reader, writer) = socket.into_split();
    let (target, target_seen) = watch::channel(None);
    let now = shared.device.options.clock.now();
    let mut connection = Connection {
        shared: shared.clone(),
        peer,
        reader,
        writer,
        parser: Parser::default(),
        nonces: Nonces::new(shared.device.options.nonce_lifetime.unwrap_or(NONCE_LIFETIME)),
        session: None,
        target,
        heard: now,
        report_at: now,
        out: Vec::new(),
    };
    tokio::select! {
        () = connection.serve() => {}
        () = cut(&shared, target_seen) => {}
    }
}

/// Returns when a fault closes the connection: the device's end, or that of the channel that it is about.
async fn cut(shared: &Shared, mut target: watch::Receiver<Option<About>>) {
    let mut device = shared.device.state.subscribe();
    loop {
        let about = *target.borrow_and_update();
        let gone = async {
            let found = about.and_then(|a| shared.device.channel(a.channel).map(|c| (c, a.drops)));
            let Some((channel, drops)) = found else { return std::future::pending().await };
            let _ = channel.state.subscribe().wait_for(|s| s.drops != drops || !s.reachable()).await;
        };
        tokio::select! {
            _ = device.wait_for(|s| !s.online) => return,
            () = gone => return,
            changed = target.changed() => if changed.is_err() { return },
        }
    }
}

/// The channel that a connection is about, and how often it had been dropped by then.
#[derive(Clone, Copy)]
struct About {
    channel: u32,
    drops: u64,
}

struct Connection {
    shared: Arc<Shared>,
    peer: SocketAddr,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    parser: Parser,
    nonces: Nonces,
    session: Option<Session>,
    /// The channel that this connection is about, for whoever cuts it.
    target: watch::Sender<Option<About>>,
    heard: Instant,
    report_at: Instant,
    out: Vec<u8>,
}

enum Next {
    Bytes(std::io::Result<usize>),
    Unit(Result<Arc<Unit>, RecvError>),
    Report,
    Silence,
}

impl Connection {
    async fn serve(&mut self) {
        self.converse().await;
        self.hear_last_words();
    }

    /// A client may say TEARDOWN and close at once, which our next write notices before our next read: what it said
    /// counts all the same.
    fn hear_last_words(&mut self) {
        loop {
            match self.parser.take() {
                Ok(Some(Item::Request(request))) => {
                    self.answer(&request);
                }
                Ok(Some(Item::Frame { .. })) => {}
                Ok(None) => {
                    if !self.reader.try_read_buf(self.parser.buffer()).is_ok_and(|len| len > 0) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    async fn converse(&mut self) {
        loop {
            loop {
                match self.parser.take() {
                    Ok(Some(Item::Request(request))) => {
                        let closes = self.answer(&request);
                        if self.flush().await.is_err() || closes {
                            return;
                        }
                    }
                    // Receiver reports: the client lives.
                    Ok(Some(Item::Frame { .. })) => self.heard = self.now(),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, peer = %self.peer, "closing an rtsp connection");
                        return;
                    }
                }
            }
            match self.next().await {
                Next::Bytes(Ok(0) | Err(_)) | Next::Silence => return,
                Next::Bytes(Ok(_)) => {}
                Next::Unit(Ok(unit)) => self.send(&unit),
                Next::Unit(Err(RecvError::Lagged(_))) => self.session.iter_mut().for_each(Session::skip_to_key),
                Next::Unit(Err(RecvError::Closed)) => return,
                Next::Report => self.report(),
            }
            if self.flush().await.is_err() {
                return;
            }
        }
    }

    async fn next(&mut self) -> Next {
        let Self { session, reader, parser, shared, .. } = self;
        let session_timeout = shared.device.options.session_timeout;
        let open = session.is_some();
        let units = session.as_mut().and_then(|s| s.playing.as_mut());
        let reports = units.is_some() && shared.device.options.sender_reports;
        let unit = async {
            match units {
                Some(units) => units.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            got = reader.read_buf(parser.buffer()) => Next::Bytes(got),
            unit = unit => Next::Unit(unit),
            () = sleep_until(self.report_at), if reports => Next::Report,
            () = sleep_until(self.heard + session_timeout), if open => Next::Silence,
        }
    }

    fn now(&self) -> Instant {
        self.shared.device.options.clock.now()
    }

    /// Writes what there is to write, once the channel does not stall.
    async fn flush(&mut self) -> std::io::Result<()> {
        let about = *self.target.borrow();
        if let Some(channel) = about.and_then(|a| self.shared.device.channel(a.channel)) {
            // An error would mean that the channel is gone, and then `cut` ends all this.
            let _ = channel.state.subscribe().wait_for(|s| !s.stalled).await;
        }
        if !self.out.is_empty() {
            self.writer.write_all(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    fn silent(&self) -> bool {
        let channel = self.session.as_ref().and_then(|s| self.shared.device.channel(s.target.channel));
        channel.is_some_and(|c| c.state.borrow().silent)
    }

    fn send(&mut self, unit: &Unit) {
        let silent = self.silent();
        let Some(session) = &mut self.session else { return };
        if silent {
            session.skip_to_key();
        } else {
            session.send(unit, &mut self.out);
        }
    }

    fn report(&mut self) {
        self.report_at = self.now() + REPORT_EVERY;
        if !self.silent()
            && let Some(session) = &self.session
        {
            session.report(&mut self.out);
        }
    }

    /// Puts the answer to `request` into `out`. True where the connection ends with it.
    fn answer(&mut self, request: &Request) -> bool {
        let mut tail = Vec::new();
        let response = match request.method.as_str() {
            "OPTIONS" => Response::new(200).header("Public", METHODS),
            method => match self.check(method, request) {
                Access::Refused { challenges, .. } => challenges
                    .into_iter()
                    .fold(Response::new(401), |response, challenge| response.header("WWW-Authenticate", challenge)),
                Access::Granted => match method {
                    "DESCRIBE" => self.describe(request),
                    "SETUP" => self.setup(request),
                    "PLAY" => self.play(),
                    "PAUSE" => self.pause(),
                    "GET_PARAMETER" | "SET_PARAMETER" => self.in_session(|_| Response::new(200)),
                    "TEARDOWN" => self.tear_down(&mut tail),
                    _ => Response::new(501),
                },
            },
        };
        let torn_down = request.method == "TEARDOWN" && response.status() == 200;
        // A request that was refused keeps no session alive.
        if response.status() != 401 {
            self.heard = self.now();
        }
        let date = self.shared.device.wall().to_timestamp().strftime("%a, %b %d %Y %H:%M:%S GMT").to_string();
        // Two blanks and an American date: as the devices send it.
        self.out.append(&mut tail);
        self.out.extend(response.header("Date", format!(" {date}")).encode(request.header("CSeq")));
        torn_down
    }

    fn check(&mut self, method: &str, request: &Request) -> Access {
        let (authorization, peer) = (request.header("Authorization"), self.peer.ip());
        let knock = Knock { door: Door::Rtsp, peer, method, uri: &request.uri, authorization };
        access::check(&self.shared.device, &mut self.nonces, &knock)
    }

    /// The stream that a URI means, if this device has it and it is online. Notes it for faults to come.
    fn find(&mut self, uri: &str) -> Option<Target> {
        let target = match &self.shared.device.estate {
            None => Target::parse(uri)?,
            Some(estate) => Target::behind(uri, |path| estate.target(path))?,
        };
        let channel = self.shared.device.channel(target.channel)?;
        let state = *channel.state.borrow();
        if !state.reachable() {
            return None;
        }
        self.target.send_replace(Some(About { channel: target.channel, drops: state.drops }));
        Some(target)
    }

    fn describe(&mut self, request: &Request) -> Response {
        let Some(target) = self.find(&request.uri) else { return Response::new(404) };
        let shared = &self.shared;
        let options = &shared.device.options;
        let Some(source) = shared.sources.get(target.channel, target.profile) else { return Response::new(404) };
        let hidden = shared.device.channel(target.channel).is_some_and(|c| c.state.borrow().no_video);
        let (codec, parameter_sets, size) = source.describe();
        let parameter_sets = if options.in_band { Vec::new() } else { parameter_sets };
        let video = sdp::Video { codec, parameter_sets, size, lying_profile: options.lying_profile };
        let url = target::base(&request.uri).to_owned();
        let description = sdp::Description {
            url: url.clone(),
            query: String::new(),
            video: (!hidden).then_some(video),
            audio: options.audio.then(|| options.sound.description()),
            metadata: options.metadata_track,
        };
        Response::new(200)
            .header("Content-Base", format!("{url}/"))
            .body("application/sdp", description.to_text().into_bytes())
    }

    fn setup(&mut self, request: &Request) -> Response {
        let Some(target) = self.find(&request.uri) else { return Response::new(404) };
        let options = &self.shared.device.options;
        let track = target.track.unwrap_or(VIDEO_TRACK);
        let exists = match track {
            VIDEO_TRACK => true,
            AUDIO_TRACK => options.audio,
            METADATA_TRACK => options.metadata_track,
            _ => false,
        };
        if !exists {
            return Response::new(404);
        }
        let channel = self.shared.device.channel(target.channel);
        if self.session.is_none() && channel.is_some_and(|c| c.state.borrow().no_bandwidth) {
            return Response::new(453);
        }
        let transport = request.header("Transport").unwrap_or_default();
        let Some(asked) = Asked::parse(transport, track) else { return Response::new(461) };
        let same = |s: &Session| (s.target.channel, s.target.profile) == (target.channel, target.profile);
        match &self.session {
            // One session per connection, of one stream: as the devices have it.
            Some(session) if !same(session) => return Response::new(459),
            Some(_) => {}
            None => self.session = Some(Session::new(self.shared.device.clone(), target)),
        }
        let timeout = options.session_timeout.as_secs();
        let ends = (options.listen, self.peer.ip());
        self.in_session(|session| {
            let url = format!("{}/{}", target::base(&request.uri), sdp::track_name(track));
            let Ok(transport) = session.add_track(track, asked, ends, url) else { return Response::new(500) };
            // Several blanks before the session's id: as the devices send it.
            Response::new(200)
                .header("Session", format!("       {};timeout={timeout}", session.id))
                .header("Transport", transport)
        })
    }

    fn play(&mut self) -> Response {
        let (shared, now) = (self.shared.clone(), self.now());
        self.report_at = now;
        self.in_session(|session| {
            let target = session.target;
            let Some(source) = shared.sources.get(target.channel, target.profile) else { return Response::new(404) };
            let info = session.play(source, source.listen(&shared.group));
            Response::new(200).header("Session", format!("       {}", session.id)).header("RTP-Info", info)
        })
    }

    fn pause(&mut self) -> Response {
        self.in_session(|session| {
            session.playing = None;
            Response::new(200).header("Session", session.id.clone())
        })
    }

    fn tear_down(&mut self, out: &mut Vec<u8>) -> Response {
        match self.session.take() {
            Some(session) => {
                session.tear_down(out);
                Response::new(200)
            }
            // A session of another connection: as the devices answer.
            None => Response::new(500),
        }
    }

    fn in_session(&mut self, f: impl FnOnce(&mut Session) -> Response) -> Response {
        self.session.as_mut().map_or_else(|| Response::new(454), f)
    }
}
