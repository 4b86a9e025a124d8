//! The simulated device's ISAPI: HTTP with digest, lockout, and the documents that clients of cameras ask for.
//!
//! Never does: writing of settings, save for the password and a reboot; footage (it has none).
//!
//! Flow: [`Isapi`] checks who asks (`access`), picks what is asked for, and answers with one of `device`, `channels`
//! or `events`, unless a fault has it answer nonsense.

mod channels;
mod device;
mod events;
mod xml;

use super::{
    DeviceFault, DeviceKind,
    access::{self, Access, Door, Knock},
    login::Standing,
    running::Running,
    state::Answers,
};
use crate::{
    rtsp::digest::Nonces,
    serve::{Body, BoxFuture, Handler, Request, Response},
};
use http::{HeaderValue, Method, StatusCode, header};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use xml::Element;

/// How long a nonce of ISAPI is good for.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// The longest body of a request, in bytes.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// What the `Huge` fault answers with, in bytes.
const HUGE_BYTES: usize = 10 * 1024 * 1024;
/// How long a device that was told to reboot is away.
const REBOOT: Duration = Duration::from_secs(3);
/// Neither XML nor text.
const GARBAGE: &[u8] = b"<?xml version=\"1.0\"?><DeviceInfo><deviceName>&&</model>\xff\xfe\x00<<Dev";

/// What firmware without `userCheck` in its refusals answers.
const DOCUMENT_ERROR: &str = "<!DOCTYPE html>\n<html><head><title>Document Error: Unauthorized</title></head>\n\
    <body><h2>Access Error: 401 -- Unauthorized</h2>\n<p>Authentication Error: Access Denied! \
    Authorization required.</p></body></html>\n";

/// ISAPI of one simulated device.
pub(super) struct Isapi {
    running: Running,
    nonces: Mutex<Nonces>,
}

/// An answer before it is put into HTTP.
enum Answer {
    Document(Element),
    /// A JPEG.
    Picture(Vec<u8>),
    /// A status of Hikvision's own, with HTTP's.
    Status(StatusCode, Status),
    Events,
}

/// The outcomes that `ResponseStatus` knows, as far as they are given here.
#[derive(Clone, Copy)]
enum Status {
    Ok,
    DeviceError,
    NotSupported,
    BadContent,
    BadXml,
}

impl Isapi {
    pub fn new(running: Running) -> Self {
        let lifetime = running.device.options.nonce_lifetime.unwrap_or(NONCE_LIFETIME);
        Self { running, nonces: Mutex::new(Nonces::new(lifetime)) }
    }

    async fn respond(&self, request: Request) -> Response {
        let device = &self.running.device;
        let peer = request.peer.address.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |a| a.ip());
        let method = if request.head_only { "HEAD" } else { request.method.as_str() };
        let authorization = request.header(header::AUTHORIZATION);
        let access = {
            let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            let uri = request.uri.path_and_query().map_or("/", |uri| uri.as_str());
            access::check(device, &mut nonces, &Knock { door: Door::Isapi, peer, method, uri, authorization })
        };
        if let Access::Refused { challenges, standing } = access {
            return refusal(&challenges, device.options.tells_lock.then_some(standing));
        }
        match device.state.borrow().answers {
            Answers::Sane => {}
            Answers::Garbage => return answer(StatusCode::OK, Body::bytes(GARBAGE)),
            Answers::Huge => return answer(StatusCode::OK, Body::bytes(vec![b'<'; HUGE_BYTES])),
        }
        match self.find(request).await {
            Answer::Document(document) => answer(StatusCode::OK, Body::bytes(self.text(document))),
            Answer::Status(http, status) => answer(http, Body::bytes(self.text(status.document()))),
            Answer::Picture(jpeg) => {
                let mut response = answer(StatusCode::OK, Body::bytes(jpeg));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
                response
            }
            Answer::Events => events::stream(&self.running),
        }
    }

    async fn find(&self, request: Request) -> Answer {
        let device = &self.running.device;
        // Case matters to no device that was seen.
        let path = request.path().to_ascii_lowercase();
        let Some(path) = path.strip_prefix("/isapi/") else { return not_supported(StatusCode::NOT_FOUND) };
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let nvr = device.options.kind == DeviceKind::Nvr;
        if request.method != Method::GET {
            let parts = parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
            return self.change(request, &parts).await;
        }
        match parts.as_slice() {
            ["system", rest @ ..] if rest.first() != Some(&"video") => {
                device::system(device, rest).map_or_else(|| not_supported(StatusCode::NOT_FOUND), Answer::Document)
            }
            ["security", "usercheck"] => Answer::Document(device::user_check()),
            ["security", "adminaccesses"] => Answer::Document(device::admin_accesses(device)),
            ["contentmgmt", "storage"] => Answer::Document(device::storage(device)),
            ["system", "video", "inputs", "channels", rest @ ..] if !nvr => channels::inputs(device, rest),
            ["contentmgmt", "streamingproxy", "channels", rest @ ..] if nvr => channels::proxied(device, rest),
            ["streaming", "channels", rest @ ..] => channels::streaming(device, rest),
            ["contentmgmt", "inputproxy", "channels", rest @ ..] if nvr => channels::proxies(device, rest),
            ["event", "triggers"] => Answer::Document(events::triggers(device)),
            ["event", "notification", "alertstream"] => Answer::Events,
            ["contentmgmt", "inputproxy" | "streamingproxy", ..] | ["system", "video", ..] => {
                not_supported(StatusCode::FORBIDDEN)
            }
            _ => not_supported(StatusCode::NOT_FOUND),
        }
    }

    async fn change(&self, request: Request, parts: &[String]) -> Answer {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (put, post) = (request.method == Method::PUT, request.method == Method::POST);
        let Ok(body) = request.body(BODY_MAX_BYTES).await else {
            return Answer::Status(StatusCode::BAD_REQUEST, Status::BadContent);
        };
        let body = String::from_utf8_lossy(&body);
        match parts.as_slice() {
            ["contentmgmt", "search"] if post => Answer::Document(device::no_matches(&body)),
            ["system", "reboot"] if put => {
                self.running.device(DeviceFault::Reboot(REBOOT));
                Answer::Status(StatusCode::OK, Status::Ok)
            }
            ["security", "users", "1"] if put => match device::content(&body, "password") {
                Some(new) if (8..=16).contains(&new.len()) => {
                    self.running.device(DeviceFault::Password(crate::base::Secret::new(new)));
                    Answer::Status(StatusCode::OK, Status::Ok)
                }
                _ => Answer::Status(StatusCode::BAD_REQUEST, Status::BadContent),
            },
            _ => not_supported(StatusCode::FORBIDDEN),
        }
    }

    /// A whole document. The recorders speak the newer namespace, the cameras the older one; both are in the field.
    fn text(&self, root: Element) -> String {
        let namespace = match self.running.device.options.kind {
            DeviceKind::Camera => "http://www.hikvision.com/ver20/XMLSchema",
            DeviceKind::Nvr | DeviceKind::Gateway => "http://www.isapi.org/ver20/XMLSchema",
        };
        let root = root.attribute("version", "2.0").attribute("xmlns", namespace);
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{root}")
    }
}

impl Handler for Isapi {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(self.respond(request))
    }
}

impl Status {
    fn document(self) -> Element {
        let (code, text, sub) = match self {
            Self::Ok => (1, "OK", "ok"),
            Self::DeviceError => (3, "Device Error", "deviceError"),
            Self::NotSupported => (4, "Invalid Operation", "notSupport"),
            Self::BadXml => (6, "Invalid XML Content", "badXmlContent"),
            Self::BadContent => (6, "Invalid Content", "badParameters"),
        };
        Element::new("ResponseStatus").with("statusCode", code).with("statusString", text).with("subStatusCode", sub)
    }
}

fn not_supported(http: StatusCode) -> Answer {
    Answer::Status(http, Status::NotSupported)
}

fn answer(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=\"UTF-8\""));
    headers.insert(header::SERVER, HeaderValue::from_static("App-webs/"));
    response
}

/// 401 with what newer firmware says of the lockout, whatever was asked for, or with the web page of older firmware.
fn refusal(challenges: &[String], standing: Option<Standing>) -> Response {
    let mut response = match standing {
        Some(standing) => answer(StatusCode::UNAUTHORIZED, Body::bytes(user_check(standing))),
        None => answer(StatusCode::UNAUTHORIZED, Body::bytes(DOCUMENT_ERROR)),
    };
    if standing.is_none() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    }
    for value in challenges.iter().filter_map(|c| HeaderValue::from_str(c).ok()) {
        response.headers_mut().append(header::WWW_AUTHENTICATE, value);
    }
    response
}

fn user_check(standing: Standing) -> String {
    let (status, seconds, left) = match standing {
        Standing::Free { tries_left } => ("unlock", 0, tries_left),
        Standing::Locked { seconds } => ("lock", seconds, 0),
    };
    let body = Element::new("userCheck")
        .with("statusValue", 401)
        .with("statusString", "Unauthorized")
        .with("isActivated", true)
        .with("lockStatus", status)
        .with("unlockTime", seconds)
        .with("retryLoginTime", left);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}")
}
