//! The simulated gateway's ISAPI: HTTP with digest and lockout, and JSON.

use super::estate::{ListFault, Member, State, index_of, number_of, path};
use crate::{
    rtsp::digest::Nonces,
    serve::{Body, BoxFuture, Handler, Request, Response},
    sim::{
        access::{self, Access, Door, Knock},
        login::Standing,
        running::Running,
        state::Answers,
    },
};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long a nonce is good for.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// The longest body of a request, in bytes.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// What the `Huge` fault answers with, in bytes.
const HUGE_BYTES: usize = 10 * 1024 * 1024;
/// The most devices of one page, whatever is asked for.
const PAGE_MAX: u64 = 200;

/// A status of the gateway's own.
struct Failure {
    http: StatusCode,
    code: u32,
    text: &'static str,
    sub: &'static str,
    error: u32,
}

const BAD_FORMAT: Failure = Failure {
    http: StatusCode::BAD_REQUEST,
    code: 5,
    text: "Invalid Format",
    sub: "badJsonFormat",
    error: 0x5000_0002,
};
const NO_SUCH_DEVICE: Failure = Failure {
    http: StatusCode::OK,
    code: 6,
    text: "Invalid Content",
    sub: "theDeviceIdDoesNotExist",
    error: 0x4000_113B,
};
const NETWORK: Failure =
    Failure { http: StatusCode::OK, code: 3, text: "Device Error", sub: "networkError", error: 0x2000_0009 };
const NOT_SUPPORTED: Failure =
    Failure { http: StatusCode::NOT_FOUND, code: 4, text: "Invalid Operation", sub: "notSupport", error: 0x4000_0001 };
const BUSY: Failure = Failure {
    http: StatusCode::SERVICE_UNAVAILABLE,
    code: 2,
    text: "Device Busy",
    sub: "deviceBusy",
    error: 0x2000_0002,
};

/// ISAPI of one simulated gateway.
pub(in crate::sim) struct Isapi {
    running: Running,
    nonces: Mutex<Nonces>,
}

impl Isapi {
    pub fn new(running: Running) -> Self {
        let lifetime = running.device.options.nonce_lifetime.unwrap_or(NONCE_LIFETIME);
        Self { running, nonces: Mutex::new(Nonces::new(lifetime)) }
    }

    async fn respond(&self, request: Request) -> Response {
        let device = &self.running.device;
        let peer = request.peer.address.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |a| a.ip());
        let authorization = request.header(header::AUTHORIZATION);
        let access = {
            let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            let uri = request.uri.path_and_query().map_or("/", |uri| uri.as_str());
            let knock = Knock { door: Door::Isapi, peer, method: request.method.as_str(), uri, authorization };
            access::check(device, &mut nonces, &knock)
        };
        let slow = device.estate.as_ref().map_or(Duration::ZERO, |estate| estate.state().slow);
        if !slow.is_zero() {
            device.options.clock.sleep(slow).await;
        }
        if let Access::Refused { challenges, standing } = access {
            return refusal(request.path(), &challenges, standing);
        }
        match device.state.borrow().answers {
            Answers::Sane => {}
            Answers::Garbage => {
                return answer(StatusCode::OK, Body::bytes(&b"{\"SearchResult\":{\"MatchList\":[{\"Dev\xff\x00"[..]));
            }
            Answers::Huge => return answer(StatusCode::OK, Body::bytes(vec![b'['; HUGE_BYTES])),
        }
        let at = request.path().to_owned();
        match self.find(request).await {
            Ok(document) => answer(StatusCode::OK, Body::bytes(document.to_string())),
            Err(failure) => answer(failure.http, Body::bytes(failure.document(&at).to_string())),
        }
    }

    async fn find(&self, request: Request) -> Result<Value, Failure> {
        let json_wanted = request.query("format").as_deref() == Some("json");
        let (method, index) = (request.method.clone(), request.query("devIndex"));
        let host =
            request.header(header::HOST).and_then(|h| h.rsplit_once(':')).map_or("127.0.0.1", |(h, _)| h).to_owned();
        let path = request.path().to_ascii_lowercase();
        let body = match method {
            Method::POST => {
                let bytes = request.body(BODY_MAX_BYTES).await.map_err(|_| BAD_FORMAT)?;
                serde_json::from_slice(&bytes).map_err(|_| BAD_FORMAT)?
            }
            _ => Value::Null,
        };
        let Some(estate) = self.running.device.estate.as_ref().filter(|_| json_wanted) else {
            return Err(NOT_SUPPORTED);
        };
        let mut state = estate.state();
        let last = path.rsplit('/').next().unwrap_or_default().to_owned();
        *state.requests.entry(last).or_default() += 1;
        match (method, path.as_str(), index) {
            (Method::GET, "/isapi/system/deviceinfo", None) => Ok(self.info()),
            (Method::GET, "/isapi/security/usercheck", None) => {
                Ok(json!({"userCheck":{"statusValue":200,"statusString":"OK"}}))
            }
            (Method::POST, "/isapi/contentmgmt/devicemgmt/devicelist", None) => list(&state, &body),
            (Method::GET, "/isapi/contentmgmt/devicemgmt/channelinfo", Some(index)) => {
                channels(member(&state, &index)?)
            }
            (Method::POST, "/isapi/system/streammedia", Some(index)) => {
                let port = self.running.rtsp_addr.port();
                stream(member(&state, &index)?, &body, &format!("{host}:{port}"))
            }
            _ => Err(NOT_SUPPORTED),
        }
    }

    fn info(&self) -> Value {
        let port = self.running.device.options.http_port;
        json!({"DeviceInfo":{
            "deviceName": "Hik Device Gateway", "deviceID": format!("GW{port:05}"), "deviceType": "gateway",
            "model": "DS-GWAS0101", "serialNumber": format!("DS-GWAS010120260101E{port:08}"),
            "firmwareVersion": "V1.8.0", "firmwareReleasedDate": "build 250110",
        }})
    }
}

fn member<'a>(state: &'a State, index: &str) -> Result<&'a Member, Failure> {
    let number = number_of(index).ok_or(NO_SUCH_DEVICE)?;
    let found = state.members.iter().find(|m| m.number == number && m.listed);
    found.ok_or(NO_SUCH_DEVICE)
}

fn list(state: &State, body: &Value) -> Result<Value, Failure> {
    let search = body.get("SearchDescription").ok_or(BAD_FORMAT)?;
    let position = search["position"].as_u64().ok_or(BAD_FORMAT)?;
    let count = search["maxResult"].as_u64().filter(|n| *n > 0).ok_or(BAD_FORMAT)?.min(PAGE_MAX);
    match state.list {
        ListFault::Error => return Err(NETWORK),
        ListFault::Busy => return Err(BUSY),
        ListFault::SecondPage if position > 0 => return Err(NETWORK),
        _ => {}
    }
    let statuses = search["Filter"]["devStatus"].as_array().filter(|s| !s.is_empty());
    let fits = |m: &&Member| m.listed && statuses.is_none_or(|s| s.iter().any(|w| w == m.status.as_str()));
    let total = state.members.iter().filter(fits).count();
    let total = match state.list {
        ListFault::WrongTotals => total + 2,
        ListFault::Empty => 0,
        _ => total,
    };
    if matches!(state.list, ListFault::Null | ListFault::Empty) {
        return Ok(json!({"SearchResult":{"MatchList": null, "numOfMatches": 0, "totalMatches": total}}));
    }
    let (skip, take) = (usize::try_from(position).unwrap_or(usize::MAX), usize::try_from(count).unwrap_or(1));
    let mut page: Vec<Value> =
        state.members.iter().filter(fits).skip(skip).take(take).map(|m| device(m, state.list)).collect();
    if state.list == ListFault::HalfPage {
        page.truncate(page.len() / 2);
    }
    Ok(json!({"SearchResult":{"numOfMatches": page.len(), "MatchList": page, "totalMatches": total}}))
}

fn device(m: &Member, fault: ListFault) -> Value {
    let mut device = json!({
        "devIndex": index_of(m.number), "devName": format!("Site {:02}", m.number), "devMode": "DS-7604NI-K1",
        "devType": "encodingDev", "protocolType": "ehomeV5", "devStatus": m.status.as_str(), "activeStatus": true,
        "videoChannelNum": m.channels.len(), "EhomeParams": {"EhomeID": format!("site{:02}", m.number)},
        "devVersion": "V4.30.085", "devSerial": format!("DS-7604NI-K10120260101CCRRE{:08}WCVU", m.number),
        "offlineHint": m.hint,
    });
    if fault == ListFault::NoStatus
        && let Some(fields) = device.as_object_mut()
    {
        fields.remove("devStatus");
    }
    json!({"Device": device})
}

fn channels(m: &Member) -> Result<Value, Failure> {
    if m.channels_null || m.status != super::estate::Status::Online {
        return Ok(json!({"ChannelInfo":{"VideoChannel": null}}));
    }
    let channel = |id: &u32| json!({"Channel":{"id": id, "name": format!("Camera {id:02}")}});
    Ok(json!({"ChannelInfo":{"VideoChannel": m.channels.keys().map(channel).collect::<Vec<_>>()}}))
}

fn stream(m: &Member, body: &Value, at: &str) -> Result<Value, Failure> {
    let wanted = body.get("StreamInfo").ok_or(BAD_FORMAT)?;
    let channel: u32 = wanted["id"].as_str().and_then(|id| id.parse().ok()).ok_or(BAD_FORMAT)?;
    let profile = match (wanted["streamType"].as_str(), wanted["method"].as_str()) {
        (Some("main"), Some("preview")) => "MAIN",
        (Some("sub"), Some("preview")) => "SUB",
        _ => return Err(NOT_SUPPORTED),
    };
    if m.status != super::estate::Status::Online {
        return Err(NETWORK);
    }
    let moved = m.channels.get(&channel).ok_or(Failure { http: StatusCode::OK, ..NOT_SUPPORTED })?;
    let path = path(m.number, channel, *moved, profile);
    Ok(json!({"MediaAccessInfo":{"URL": format!("rtsp://{at}{path}?streamform=rtp")}}))
}

impl Failure {
    fn document(&self, path: &str) -> Value {
        json!({"ResponseStatus":{
            "requestURL": path, "statusCode": self.code, "statusString": self.text, "subStatusCode": self.sub,
            "errorCode": self.error, "errorMsg": self.sub,
        }})
    }
}

impl Handler for Isapi {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(self.respond(request))
    }
}

fn answer(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::SERVER, HeaderValue::from_static("nginx"));
    response
}

/// 401 as the gateway's description shows it: without a wrapper.
fn refusal(path: &str, challenges: &[String], standing: Standing) -> Response {
    let (status, seconds, left) = match standing {
        Standing::Free { tries_left } => ("unlock", 0, tries_left),
        Standing::Locked { seconds } => ("lock", seconds, 0),
    };
    let body = json!({
        "requestURL": path, "statusCode": 4, "statusString": "Invalid Operation", "subStatusCode": "badAuthorization",
        "errorCode": 0x4000_0003, "errorMsg": "badAuthorization",
        "lockStatus": status, "retryTimes": left, "resLockTime": seconds,
    });
    let mut response = answer(StatusCode::UNAUTHORIZED, Body::bytes(body.to_string()));
    for value in challenges.iter().filter_map(|challenge| HeaderValue::from_str(challenge).ok()) {
        response.headers_mut().append(header::WWW_AUTHENTICATE, value);
    }
    response
}
