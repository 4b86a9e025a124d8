//! Who asks to watch: what they offer, their answer, and their session.

use super::{
    CONTENT_TYPE, Config, Deps, Error, OFFER_BYTES_MAX, addresses,
    board::Board,
    framing::Packets,
    meters::Meters,
    net::{Doors, Sockets},
    offer::Offer,
    session::{Parts, Past, Session},
    shots::{Coded, Shots, Sound},
    stun,
    terms::{self, Keys},
};
use crate::{
    base::{Clock, TaskGroup},
    events::Events,
    model::{StreamKey, VideoCodec},
    playback::{
        Error as PlaybackError,
        live::{Flows, Names},
        plays::Watching,
    },
    serve::{self, Request, Response},
};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{ALLOW as ALLOW_HEADER, CACHE_CONTROL, CONTENT_TYPE as CONTENT_TYPE_HEADER, LOCATION, USER_AGENT},
};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};
use tokio::{net::UdpSocket, time::Instant};

/// Methods of a stream's address.
pub(in crate::playback) const ALLOW: &str = "POST, OPTIONS";
/// Methods of a session's address.
pub(in crate::playback) const ALLOW_SESSION: &str = "DELETE, OPTIONS";
/// What becomes of the sound, in an answer's head.
const SOUND: HeaderName = HeaderName::from_static("x-skyvis-sound");
/// As who watches so is counted.
const NAMES: Names = Names {
    way: "WebRTC",
    viewers: "webrtc_viewers",
    skips: "webrtc_viewer_skips",
    skipped: "webrtc_viewer_skipped_frames",
};

/// Shows what is live by WebRTC. Cheap to clone.
#[derive(Clone)]
pub struct Whep(Arc<Shared>);

struct Shared {
    config: RwLock<Config>,
    door: Option<Door>,
    keys: Keys,
    flows: Flows<Shots>,
    board: Arc<Board>,
    events: Events,
    group: TaskGroup,
    clock: Clock,
    meters: Meters,
}

/// What sessions send by.
struct Door {
    udp: Arc<UdpSocket>,
    at: SocketAddr,
}

/// Takes what comes, until the group stops.
pub struct WhepTask(Doors);

impl WhepTask {
    /// Runs to the stop.
    pub async fn run(self) {
        self.0.run().await;
    }
}

pub(super) fn build(config: Config, sockets: Option<Sockets>, deps: Deps) -> Result<(Whep, Option<WhepTask>), Error> {
    let Deps { hub, events, group, clock, metrics } = deps;
    let meters = Meters::new(&metrics);
    let board = Arc::new(Board::default());
    let (door, task) = match sockets {
        None => (None, None),
        Some(sockets) => {
            let at = sockets.address();
            let (udp, tcp) = sockets.split();
            let doors = Doors {
                udp: udp.clone(),
                tcp,
                board: board.clone(),
                group: group.clone(),
                clock: clock.clone(),
                meters: meters.clone(),
            };
            (Some(Door { udp, at }), Some(WhepTask(doors)))
        }
    };
    let shared = Shared {
        config: RwLock::new(config),
        door,
        keys: Keys::new()?,
        flows: Flows::new(hub, clock.clone(), group.clone(), &metrics, NAMES),
        board,
        events,
        group,
        clock,
        meters,
    };
    Ok((Whep(Arc::new(shared)), task))
}

impl Whep {
    /// Where it is bound, if it is.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.door.as_ref().map(|door| door.at)
    }

    /// Takes a new config; sessions from now on follow it.
    pub fn apply(&self, config: Config) {
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Answers an offer and begins a session, which ends with its play, where it is watched by one.
    pub(in crate::playback) async fn begin(
        &self,
        request: Request,
        stream: &StreamKey,
        watching: Option<Watching>,
    ) -> Result<Response, PlaybackError> {
        let shared = &self.0;
        let door = shared.door.as_ref().ok_or(Error::Off)?;
        let address = request.peer.address.map(|address| address.ip().to_canonical());
        let agent = request.header(USER_AGENT).map(str::to_owned);
        let path = request.path().to_owned();
        let offered = read(request).await?;
        // It is looked at before anything is begun for it.
        Offer::read(&offered, true)?;
        shared.board.has_room(address)?;
        let viewer = shared.flows.join(stream).await?;
        let coded = viewer.coded().ok_or_else(|| PlaybackError::NotLive(stream.clone()))?;
        let offer = Offer::read(&offered, coded.sound == Sound::Telephone)?;
        let announced = shared.config.read().unwrap_or_else(PoisonError::into_inner).announced.clone();
        let locals = addresses::for_viewer(door.at, &announced, address);
        let agreed = terms::agree(&shared.keys, &offer, &coded, &locals, shared.clock.now())?;
        let stop = shared.group.stop_token().child_token();
        let (place, heard) = shared.board.enter(agreed.name.clone(), address, stop)?;
        let (id, answer) = (place.post.id.clone(), agreed.answer.clone());
        let parts = Parts {
            agreed,
            coded: (*coded).clone(),
            viewer,
            place,
            heard,
            udp: door.udp.clone(),
            locals,
            watching,
            clock: shared.clock.clone(),
            meters: shared.meters.clone(),
        };
        let (whep, stream) = (self.clone(), stream.clone());
        let session = Session::new(parts);
        let told = id.clone();
        shared.group.spawn("webrtc session", async move {
            let past = session.run().await;
            whep.tell(&stream, &told, address, agent, &past);
        });
        let sound = match &coded.sound {
            Sound::None => "none".to_owned(),
            Sound::Telephone if offer.audio.is_some() => "g711".to_owned(),
            Sound::Telephone => "left out: the offer takes none".to_owned(),
            Sound::LeftOut(what) => format!("left out: the camera's is {what}, WebRTC takes G.711"),
        };
        created(&format!("{path}/{id}"), answer, &sound)
    }

    /// Ends a session. Who knows its address began it.
    pub(in crate::playback) fn end(&self, id: &str) -> Result<Response, Error> {
        self.0.board.of_id(id).ok_or(Error::NoSession)?.stop.cancel();
        Ok(Response::default())
    }

    /// Who watched what, once somebody did.
    fn tell(
        &self,
        stream: &StreamKey,
        id: &str,
        address: Option<std::net::IpAddr>,
        agent: Option<String>,
        past: &Past,
    ) {
        let Some(began) = past.shown else { return };
        let data = json!({
            "by": "webrtc",
            // The whole of it would let who reads this end a session.
            "session": &id[..8],
            "address": address,
            "agent": agent,
            "began": began,
            "bytes": past.bytes,
            "skipped_frames": past.skipped,
            "tcp": past.by_tcp,
            "reason": past.reason,
        });
        self.0.events.emit("viewer.left", stream, data);
    }
}

/// The body of a request that is an offer.
async fn read(request: Request) -> Result<bytes::Bytes, Error> {
    let kind = request.header(CONTENT_TYPE_HEADER).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(CONTENT_TYPE) {
        return Err(Error::ContentType);
    }
    request.body(OFFER_BYTES_MAX).await.map_err(|error| match error {
        serve::Error::BodyTooLong { .. } => Error::TooLong,
        other => Error::Body(other.to_string()),
    })
}

fn created(location: &str, answer: String, sound: &str) -> Result<Response, PlaybackError> {
    let mut response = Response::new(answer.into());
    *response.status_mut() = StatusCode::CREATED;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| Error::Failed(error.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(LOCATION, value(location)?);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SOUND, value(sound)?);
    Ok(response)
}

/// What can be done at an address, to who asks first.
pub(in crate::playback) fn options(allow: &'static str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ALLOW_HEADER, HeaderValue::from_static(allow));
    headers.insert(HeaderName::from_static("accept-post"), HeaderValue::from_static(CONTENT_TYPE));
    response
}

pub(super) fn fuzz(data: &[u8]) {
    static KEYS: OnceLock<Option<Keys>> = OnceLock::new();
    let _ = stun::callee(data);
    let mut packets = Packets::default();
    packets.buffer().extend_from_slice(data);
    while let Ok(Some(packet)) = packets.take() {
        let _ = stun::callee(&packet);
    }
    let Ok(offer) = Offer::read(data, true) else { return };
    let again = Offer::read(offer.text.as_bytes(), true);
    assert!(again.is_ok_and(|again| again == offer), "what is taken is taken again as it is");
    let Some(keys) = KEYS.get_or_init(|| Keys::new().ok()) else { return };
    let coded = Coded { codec: VideoCodec::H264, profile: None, sound: Sound::Telephone, reordered: false };
    let at = [SocketAddr::from(([192, 0, 2, 1], 8_189))];
    let _ = terms::agree(keys, &offer, &coded, &at, Instant::now());
}
