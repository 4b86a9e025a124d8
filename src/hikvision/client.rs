//! One device's ISAPI: one request at a time, over a connection that is kept.

use super::{
    Error, LockState,
    answers::{self, ChannelState, Identity, ProxyChannel, StreamInfo, VideoInput},
    auth::{Challenge, Login},
    status::{judge, lock_state_of},
    xml::{self, Node},
};
use crate::{
    base::Secret,
    model::Trust,
    outbound::{self, Address, Connection, Limits},
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::sync::Mutex;

/// The longest answer that is read: a picture of 12 megapixels has 3 MB, 256 channels of three streams are 1.2 MB.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// `statusCode` of a picture that could not be taken just then.
const STATUS_DEVICE_ERROR: u32 = 3;
/// `statusCode` of a recorder that has its pictures at another path.
const STATUS_BAD_CONTENT: u32 = 6;
/// Channels whose state is asked for one by one, where the device has no list of states.
const SINGLE_STATES_MAX: usize = 64;
/// A device on the local net takes a connection at once or not at all; waiting longer only delays the next try.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Where a device is and how to log in.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// Port of its ISAPI.
    pub port: u16,
    /// Whom to believe to be the device, over TLS; None: plain HTTP.
    pub tls: Option<Trust>,
    /// Account.
    pub user: String,
    /// Password; any character may stand in it.
    pub password: Secret,
    /// The most that one request may take.
    pub timeout: Duration,
}

/// One device. Small devices answer busy to two requests at once, so requests queue here.
pub struct Client {
    target: Target,
    inner: Mutex<Inner>,
    /// A login was sent that everybody on the way can read.
    in_clear: AtomicBool,
}

#[derive(Default)]
struct Inner {
    connection: Option<Connection>,
    challenge: Option<Challenge>,
    /// The path that the challenge was given for.
    given_for: String,
    /// This device takes an answer only at the path that its challenge was given for.
    tied: bool,
    /// The device serves the same tree without `/ISAPI` in front.
    bare: bool,
}

/// An answer as it came.
pub(super) struct Raw {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What is asked of a device. All of it is reading, so that it may be sent again.
pub(super) struct Ask<'a> {
    pub method: Method,
    pub path: &'a str,
    /// What is understood.
    pub accept: &'static str,
    /// A JSON document, where one is sent along.
    pub body: Option<Bytes>,
}

impl<'a> Ask<'a> {
    /// A GET of a document in XML.
    pub(super) fn xml(path: &'a str) -> Self {
        Self { method: Method::GET, path, accept: "application/xml, text/xml, */*", body: None }
    }
}

impl Client {
    /// A client of one device; nothing is sent yet.
    pub fn new(target: Target) -> Self {
        Self { target, inner: Mutex::default(), in_clear: AtomicBool::new(false) }
    }

    /// Model, serial number, firmware.
    pub async fn identity(&self) -> Result<Identity, Error> {
        answers::identity(&self.get("/ISAPI/System/deviceInfo").await?)
    }

    /// The streams that the device lists.
    pub async fn streams(&self) -> Result<Vec<StreamInfo>, Error> {
        answers::streams(&self.get("/ISAPI/Streaming/channels").await?)
    }

    /// A camera's own inputs, with the names that people gave them.
    pub async fn inputs(&self) -> Result<Vec<VideoInput>, Error> {
        answers::inputs(&self.get("/ISAPI/System/Video/inputs/channels").await?)
    }

    /// The cameras that a recorder has been given.
    pub async fn proxied(&self) -> Result<Vec<ProxyChannel>, Error> {
        answers::proxied(&self.get("/ISAPI/ContentMgmt/InputProxy/channels").await?)
    }

    /// Which of a recorder's cameras are there. Where the list of states is missing, `known` channels are asked for
    /// one by one.
    pub async fn proxied_states(&self, known: &[u32]) -> Result<Vec<ChannelState>, Error> {
        match self.get("/ISAPI/ContentMgmt/InputProxy/channels/status").await {
            Ok(root) => answers::states(&root),
            Err(e @ Error::Unsupported { .. }) => {
                let states = self.single_states(known).await?;
                // Where no single state can be had either, nothing is known; that is not "all are gone".
                if states.is_empty() { Err(e) } else { Ok(states) }
            }
            Err(e) => Err(e),
        }
    }

    async fn single_states(&self, known: &[u32]) -> Result<Vec<ChannelState>, Error> {
        let mut states = Vec::new();
        for id in known.iter().take(SINGLE_STATES_MAX) {
            match self.get(&format!("/ISAPI/ContentMgmt/InputProxy/channels/{id}/status")).await {
                Ok(root) => states.extend(answers::state(&root)),
                // A slot without a camera; the others still count.
                Err(Error::Unsupported { .. } | Error::Device { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(states)
    }

    /// What a stream shows now, as a JPEG that has been looked at by nobody. `id` is the stream's: channel × 100 + 1, or
    /// + 2 for the small one.
    pub async fn picture(&self, id: u32) -> Result<Bytes, Error> {
        let path = format!("/ISAPI/Streaming/channels/{id}/picture");
        match self.try_picture(&path).await? {
            Ok(jpeg) => Ok(jpeg),
            // Recorders that have their cameras' pictures elsewhere say that they do not understand.
            Err((Some(STATUS_BAD_CONTENT), _)) => {
                let path = format!("/ISAPI/ContentMgmt/StreamingProxy/channels/{id}/picture");
                self.try_picture(&path).await?.map_err(|(_, error)| error)
            }
            // The encoder was busy.
            Err((Some(STATUS_DEVICE_ERROR), _)) => self.try_picture(&path).await?.map_err(|(_, error)| error),
            Err((_, error)) => Err(error),
        }
    }

    /// The inner error is what the device says instead, with its statusCode: errors come with HTTP 200.
    async fn try_picture(&self, path: &str) -> Result<Result<Bytes, (Option<u32>, Error)>, Error> {
        let ask = Ask { method: Method::GET, path, accept: "image/jpeg, */*", body: None };
        let raw = self.send(&ask).await?;
        if raw.status.is_success() && raw.body.starts_with(&[0xff, 0xd8]) {
            return Ok(Ok(raw.body));
        }
        let code = xml::parse(&raw.body).ok().and_then(|root| root.number_at(&["statusCode"]));
        Ok(Err(match judge(path, raw.status.as_u16(), &raw.body) {
            Err(error) => (code, error),
            Ok(_) => (code, Error::Nonsense { path: path.into(), detail: "it is no picture".into() }),
        }))
    }

    /// The port of its RTSP, where the device tells.
    pub async fn rtsp_port(&self) -> Result<Option<u16>, Error> {
        Ok(answers::rtsp_port(&self.get("/ISAPI/Security/adminAccesses").await?))
    }

    /// Whether the account is locked, asked without logging in: it spends no try. None where the device does not say.
    pub async fn lock_state(&self) -> Result<Option<LockState>, Error> {
        let raw = self.send_anonymously(&Ask::xml("/ISAPI/Security/userCheck")).await?;
        Ok(lock_state_of(&raw.body))
    }

    /// Whether the device asks for the password itself, where others on the net can read it.
    pub fn sends_password_in_clear(&self) -> bool {
        self.in_clear.load(Ordering::Relaxed)
    }

    /// Drops the challenge in force, so that the next request spends one login answer at most.
    pub async fn forget_challenge(&self) {
        self.inner.lock().await.challenge = None;
    }

    /// Sends one request without a login.
    pub(super) async fn send_anonymously(&self, ask: &Ask<'_>) -> Result<Raw, Error> {
        let mut inner = self.inner.lock().await;
        self.exchange(&mut inner, ask, None).await
    }

    /// Sends one request with a login, as soon as the ones before it are answered.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Raw, Error> {
        let mut inner = self.inner.lock().await;
        self.authorized(&mut inner, ask).await
    }

    async fn get(&self, path: &str) -> Result<Node, Error> {
        let ask = Ask::xml(path);
        let mut inner = self.inner.lock().await;
        let raw = self.authorized(&mut inner, &ask).await?;
        if raw.status != StatusCode::NOT_FOUND || inner.bare {
            return judge(path, raw.status.as_u16(), &raw.body);
        }
        // Firmware of the first years serves the same tree without the prefix.
        inner.bare = true;
        let bare = self.authorized(&mut inner, &ask).await;
        let fine = bare.as_ref().is_ok_and(|r| r.status.is_success());
        inner.bare = fine;
        judge(path, raw.status.as_u16(), &raw.body).or_else(|e| match bare {
            Ok(bare) if fine => judge(path, bare.status.as_u16(), &bare.body),
            Ok(_) => Err(e),
            Err(refused) => Err(refused),
        })
    }

    /// Sends, and answers a challenge. At most one answer to a challenge kept from an earlier request and one to a
    /// fresh one; a second to a fresh one only where the device says that nothing but the nonce was wrong.
    async fn authorized(&self, inner: &mut Inner, ask: &Ask<'_>) -> Result<Raw, Error> {
        let mut spent = 0;
        let elsewhere = inner.given_for != ask.path;
        let mut challenge = inner.challenge.take().filter(|_| !(inner.tied && elsewhere));
        let mut kept = challenge.is_some();
        let mut renewed = false;
        let mut stale = false;
        loop {
            let answered = challenge.is_some();
            let authorization = challenge.as_mut().map(|c| self.answer(c, inner.bare, ask)).transpose()?;
            let raw = match self.exchange(inner, ask, authorization).await {
                Ok(raw) if refused(&raw) => raw,
                // The password was not refused: the challenge is as good as before.
                Ok(raw) => {
                    // What was refused of an earlier path's challenge was taken of this one's.
                    inner.tied |= renewed && elsewhere && !stale;
                    if !kept {
                        ask.path.clone_into(&mut inner.given_for);
                    }
                    // A password is not shown again before the device was asked whether nothing better will do by now.
                    let keeps = |c: &Challenge| !c.is_basic() || self.target.tls.is_some();
                    inner.challenge = challenge.filter(keeps).map(|c| c.after(&raw.headers));
                    return Ok(raw);
                }
                Err(e) => {
                    inner.challenge = challenge;
                    return Err(e);
                }
            };
            let lock = lock_state_of(&raw.body);
            let fresh = Challenge::read(&raw.headers);
            stale = fresh.as_ref().is_ok_and(Challenge::stale);
            spent += u32::from(answered && !stale);
            if let Some(LockState { locked: true, unlock_s, .. }) = lock {
                return Err(Error::Locked { answers: spent, unlock_s });
            }
            let fresh = match (fresh, &challenge) {
                (Ok(fresh), None) => fresh,
                (Ok(fresh), Some(old)) if !renewed && fresh.differs(old) && (stale || kept) => fresh,
                (Err(detail), None) => return Err(Error::Nonsense { path: ask.path.into(), detail }),
                _ => {
                    let retries_left = lock.and_then(|l| l.retries_left);
                    return Err(Error::AuthRefused { answers: spent, retries_left });
                }
            };
            renewed |= answered;
            kept = false;
            challenge = Some(fresh);
        }
    }

    fn answer(&self, challenge: &mut Challenge, bare: bool, ask: &Ask<'_>) -> Result<String, Error> {
        let login = Login {
            user: &self.target.user,
            password: self.target.password.expose(),
            method: ask.method.as_str(),
            uri: on_the_wire(bare, ask.path),
            body: ask.body.as_deref().unwrap_or_default(),
        };
        self.in_clear.store(challenge.is_basic() && self.target.tls.is_none(), Ordering::Relaxed);
        challenge.answer(&login).map_err(|detail| Error::Nonsense { path: ask.path.into(), detail })
    }

    async fn exchange(&self, inner: &mut Inner, ask: &Ask<'_>, authorization: Option<String>) -> Result<Raw, Error> {
        let path = ask.path;
        let uri = on_the_wire(inner.bare, path);
        let request = || {
            let request = http::Request::builder().method(&ask.method).uri(uri).header(header::ACCEPT, ask.accept);
            let mut request = match &ask.body {
                Some(_) => request.header(header::CONTENT_TYPE, "application/json"),
                None => request,
            };
            if let Some(authorization) = &authorization {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            request
                .body(ask.body.clone().unwrap_or_default())
                .map_err(|e| failed(path, outbound::Error::Invalid(e.to_string())))
        };
        let kept = inner.connection.take().filter(Connection::is_open);
        if let Some(mut connection) = kept {
            match connection.request(request()?).await {
                // The device closed the kept connection meanwhile; these are all reads and may be sent again.
                Err(outbound::Error::Protocol(_)) => {}
                Err(e) => return Err(failed(path, e)),
                Ok(response) => return Ok(self.keep(inner, connection, response)),
            }
        }
        let mut connection = self.outbound().connect().await.map_err(|e| failed(path, e))?;
        let response = connection.request(request()?).await.map_err(|e| failed(path, e))?;
        Ok(self.keep(inner, connection, response))
    }

    fn keep(&self, inner: &mut Inner, connection: Connection, response: http::Response<Bytes>) -> Raw {
        inner.connection = Some(connection);
        let (head, body) = response.into_parts();
        Raw { status: head.status, headers: head.headers, body }
    }

    fn outbound(&self) -> outbound::Client {
        let Target { host, port, tls, timeout, .. } = &self.target;
        let limits = Limits {
            connect: (*timeout).min(CONNECT_MAX),
            total: *timeout,
            idle: *timeout,
            body_bytes_max: BODY_BYTES_MAX,
        };
        let client = outbound::Client::new(Address::Tcp { host: host.clone(), port: *port }, limits);
        match tls {
            Some(trust) => client.over_tls(*trust),
            None => client,
        }
    }
}

/// Whether the login was not taken. Some say so by another status, with the state of the lock in the body; what an
/// account may not see, or a device does not have, is no refusal.
fn refused(raw: &Raw) -> bool {
    raw.status == StatusCode::UNAUTHORIZED || raw.status == StatusCode::FORBIDDEN && lock_state_of(&raw.body).is_some()
}

/// An answer without end is nonsense of a device that is there, not silence of one that is gone.
fn failed(path: &str, e: outbound::Error) -> Error {
    match e {
        outbound::Error::BodyTooLarge { .. } => Error::Nonsense { path: path.into(), detail: e.to_string() },
        e @ outbound::Error::Untrusted { .. } => Error::Untrusted(e),
        e => Error::Unreachable(e),
    }
}

/// The path as this device wants it.
fn on_the_wire(bare: bool, path: &str) -> &str {
    if bare { path.strip_prefix("/ISAPI").unwrap_or(path) } else { path }
}
