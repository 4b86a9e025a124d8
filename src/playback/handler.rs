//! One request: who asks, what for, and the answer.

use super::{
    Config, Deps, Error, hls,
    live::{self, Flows, Muxer, Names, Shows},
    metrics::Meters,
    plan::{Plan, Planner},
    plays::Plays,
    query,
    route::{self, Route},
    send::{self, Content, IMMUTABLE, NOW, REVALIDATE, Sender},
    still::{self, Stills},
    token,
    whep::{self, Whep},
};
use crate::{
    base::{Kind, Wall},
    model::{Range, StreamKey},
    serve::{BoxFuture, Handler, Request, Response, websocket::WebSocket},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::Method;
use std::sync::{Arc, PoisonError, RwLock};

pub(super) const MP4: &str = "video/mp4";
const JPEG: &str = "image/jpeg";
/// As who watches by WebSocket is counted.
const BY_SOCKET: Names = Names {
    way: "WebSocket",
    viewers: "live_viewers",
    skips: "live_viewer_skips",
    skipped: "live_viewer_skipped_frames",
};
pub(super) const PLAYLIST: &str = "application/vnd.apple.mpegurl";

/// Serves footage: `/media/<device>/<channel>/<main|sub>/vod.mp4`, `…/vod.m3u8` and what that names under `…/hls/`; and
/// plays, under `/vod/`.
pub struct Playback {
    config: RwLock<Config>,
    pub(super) planner: Planner,
    pub(super) plays: Plays,
    shows: Shows,
    flows: Flows<Muxer>,
    pub(super) whep: Whep,
    stills: Stills,
    pub(super) sender: Sender,
}

impl Playback {
    pub(super) fn new(config: Config, deps: Deps) -> Self {
        let Deps { footage, plays, hub, whep, group, disk, clock, metrics } = deps;
        let meters = Meters::new(&metrics);
        let shows = Shows::new(hub.clone(), clock.clone(), group.clone(), &metrics);
        let flows = Flows::new(hub.clone(), clock.clone(), group, &metrics, BY_SOCKET);
        let stills = Stills::new(hub);
        let planner = Planner::new(footage, disk.clone(), clock.clone(), meters.clone());
        Self {
            config: RwLock::new(config),
            planner,
            plays,
            shows,
            flows,
            whep,
            stills,
            sender: Sender { disk, clock, meters },
        }
    }

    /// Takes a new config; requests from now on follow it.
    pub fn apply(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    async fn answer(&self, mut request: Request) -> Result<(Response, &'static str), Error> {
        let (stream, route) = self.admit(&request)?;
        if route == Route::Whep && request.method == Method::POST {
            return Ok((self.whep.begin(request, &stream, None).await?, "ok"));
        }
        let request = &mut request;
        match route {
            Route::Whep => Ok((whep::options(whep::ALLOW), "ok")),
            Route::WhepSession(session) => Ok((self.whep_session(request, &session)?, "ok")),
            Route::Mp4 => self.mp4(request, &stream).await,
            Route::Playlist => self.playlist(request, &stream).await,
            Route::Live(asked) => {
                let seal = route::token_seal(token::in_query(request).as_ref());
                self.live(request, &stream, &asked, &seal).await
            }
            Route::LiveSocket => self.live_socket(request, &stream).await,
            Route::Snapshot => self.snapshot(request, &stream).await,
            Route::Init { hash, segment } => {
                let bytes = hls::init(&self.planner, &stream, &hash, segment).await?;
                let content = content(MP4, IMMUTABLE, hash);
                Ok(send::bytes(request, &bytes, &content, &self.sender.meters))
            }
            Route::Part(range) => {
                let (plan, _) = hls::part(&self.planner, &stream, &range).await?;
                let content = content(MP4, IMMUTABLE, plan.layout.tag.clone());
                Ok(send::plan(request, plan, &content, &self.sender))
            }
        }
    }

    /// Under `/media/` the token comes first: who may not ask learns nothing of what there is. The address of a session is
    /// known to whoever began it alone, and players send no token to it.
    fn admit(&self, request: &Request) -> Result<(StreamKey, Route), Error> {
        route::is_media(request)?;
        let found = route::parse(request);
        if !matches!(found, Ok((_, Route::WhepSession(_)))) {
            token::check(&self.config.read().unwrap_or_else(PoisonError::into_inner), request)?;
        }
        let found = found?;
        found.1.takes(&request.method)?;
        Ok(found)
    }

    /// Ends a session of WebRTC, or says that this can be done.
    pub(super) fn whep_session(&self, request: &Request, session: &str) -> Result<Response, Error> {
        if request.method == Method::OPTIONS {
            return Ok(whep::options(whep::ALLOW_SESSION));
        }
        Ok(self.whep.end(session)?)
    }

    async fn mp4(&self, request: &Request, stream: &StreamKey) -> Result<(Response, &'static str), Error> {
        self.file_of(request, stream, asked(request)?).await
    }

    /// What is live: the playlist, or what it names.
    pub(super) async fn live(
        &self,
        request: &Request,
        stream: &StreamKey,
        asked: &live::Asked,
        seal: route::Seal<'_>,
    ) -> Result<(Response, &'static str), Error> {
        let (bytes, content) = match self.shows.answer(stream, asked, seal).await? {
            live::Answer::Text(text) => (text.into(), content(PLAYLIST, NOW, String::new())),
            live::Answer::Media(bytes) => (bytes, content(MP4, IMMUTABLE, asked.uri().unwrap_or_default())),
        };
        Ok(send::bytes(request, &bytes, &content, &self.sender.meters))
    }

    /// What is live, by WebSocket.
    async fn live_socket(&self, request: &mut Request, stream: &StreamKey) -> Result<(Response, &'static str), Error> {
        let (socket, messages) = self.socket(request, stream).await?;
        Ok((socket.open(request, messages), "ok"))
    }

    /// A request for WebSocket, and what is sent by it.
    pub(super) async fn socket(
        &self,
        request: &mut Request,
        stream: &StreamKey,
    ) -> Result<(WebSocket, impl Stream<Item = Bytes> + Send + use<>), Error> {
        let socket = WebSocket::asked(request).map_err(Error::NoSocket)?;
        let viewer = self.flows.join(stream).await?;
        let meters = self.sender.meters.clone();
        let messages = viewer.messages().inspect(move |message| {
            meters.sent_bytes.inc_by(message.len() as u64);
        });
        Ok((socket, messages))
    }

    /// A range as one file.
    pub(super) async fn file_of(
        &self,
        request: &Request,
        stream: &StreamKey,
        range: Range,
    ) -> Result<(Response, &'static str), Error> {
        let plan = self.planner.mp4(stream, range).await?;
        Ok(self.send_mp4(request, (stream, range), plan))
    }

    fn send_mp4(
        &self,
        request: &Request,
        (stream, range): (&StreamKey, Range),
        plan: Arc<Plan>,
    ) -> (Response, &'static str) {
        let mut content = content(MP4, REVALIDATE, plan.layout.tag.clone());
        let save = request.query("download").is_some_and(|v| v != "0");
        content.file_name = Some((file_name(stream, range), save));
        send::plan(request, plan, &content, &self.sender)
    }

    /// The recorded picture of a moment, or one of now.
    async fn snapshot(&self, request: &Request, stream: &StreamKey) -> Result<(Response, &'static str), Error> {
        let width = still::width(request)?;
        let (still, cache) = match query::optional_moment(request, "at")? {
            None => (self.stills.now(stream, width).await?, NOW),
            Some(at) => (self.stills.at(&self.planner, stream, at, width).await?, REVALIDATE),
        };
        Ok(send::bytes(request, &still.jpeg, &content(JPEG, cache, still.tag), &self.sender.meters))
    }

    async fn playlist(&self, request: &Request, stream: &StreamKey) -> Result<(Response, &'static str), Error> {
        let from = query::moment(request, "from")?;
        let seal = route::token_seal(token::in_query(request).as_ref());
        let text = match query::optional_moment(request, "to")? {
            Some(to) => {
                let range = query::checked(Range { from, to })?;
                hls::whole(&self.planner, stream, range, &seal).await?
            }
            None => hls::growing(&self.planner, stream, from, &seal).await?,
        };
        let content = content(PLAYLIST, REVALIDATE, text.tag);
        Ok(send::bytes(request, &text.bytes, &content, &self.sender.meters))
    }
}

impl Handler for Playback {
    /// What many ranges of one file are asked of, one after the other.
    fn at_hand(&self, request: &Request) -> Option<Response> {
        let (stream, Route::Mp4) = self.admit(request).ok()? else { return None };
        let range = asked(request).ok()?;
        let plan = self.planner.mp4_at_hand(&stream, range)?;
        let (response, outcome) = self.send_mp4(request, (&stream, range), plan);
        self.sender.meters.count(outcome);
        Some(response)
    }

    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            if request.path().starts_with("/vod/") {
                let (response, outcome) = self.vod(request).await;
                self.sender.meters.count(outcome);
                return response;
            }
            let path = request.path().to_owned();
            match self.answer(request).await {
                Ok((response, outcome)) => {
                    self.sender.meters.count(outcome);
                    response
                }
                Err(error) => {
                    self.sender.meters.count(error.outcome());
                    log(&path, &error);
                    error.response()
                }
            }
        })
    }
}

/// What is nobody's fault outside is told to the operator.
pub(super) fn log(path: &str, error: &Error) {
    if !matches!(error.kind(), Kind::Invalid | Kind::NotFound | Kind::Denied | Kind::Busy | Kind::Peer) {
        tracing::error!(path, %error, "footage could not be served");
    }
}

/// The range of time that a request names.
fn asked(request: &Request) -> Result<Range, Error> {
    query::checked(Range { from: query::moment(request, "from")?, to: query::moment(request, "to")? })
}

pub(super) fn content(content_type: &'static str, cache_control: &'static str, tag: String) -> Content {
    Content { content_type, cache_control, tag, file_name: None }
}

/// `nvr1-3-main_20261121T083000Z_20261121T083500Z.mp4`: names that sort in time and that every system takes.
fn file_name(stream: &StreamKey, range: Range) -> String {
    let stamp = |at: Wall| {
        let utc = at.to_timestamp().to_zoned(jiff::tz::TimeZone::UTC);
        utc.strftime("%Y%m%dT%H%M%SZ").to_string()
    };
    format!("{}_{}_{}.mp4", stream.to_string().replace(['/', ':'], "-"), stamp(range.from), stamp(range.to))
}
