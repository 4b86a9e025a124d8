//! Faults over HTTP, for whoever is not in the same process. No login: it is for tests, on loopback.
//!
//! | request | does |
//! |---|---|
//! | `GET /` | the state as JSON: per channel `online, deleted, stalled, silent, no_video, no_bandwidth, frames_sent, sessions_open, teardowns, …`, and `logins_failed` |
//! | `POST /channels/{n}/offline`, `…/online` | the NVR loses and finds the camera |
//! | `POST /channels/{n}/delete`, `…/restore` | the channel leaves every list, and comes back |
//! | `POST /channels/{n}/drop` | open connections are closed, once |
//! | `POST /channels/{n}/stall`, `…/silence`, `…/no-video` | nothing is read or written; no RTP; an SDP without video |
//! | `POST /channels/{n}/no-bandwidth` | SETUP answers 453; open sessions stay |
//! | `POST /channels/{n}/resume` | the end of these four |
//! | `POST /channels/{n}/lose?every=N` | each N-th RTP packet is lost on the way; 0: none |
//! | `POST /channels/{n}/jump?ms=N` | RTP timestamps jump; N may be negative |
//! | `POST /channels/{n}/pace?ppm=N` | the RTP clock runs too fast by so much, too slow where N is negative |
//! | `POST /channels/{n}/stray?every=N&ms=N` | every so many pictures one is stamped so far away; `every=0` ends it |
//! | `POST /channels/{n}/rtp-start?timestamp=N` | sessions begin with this RTP timestamp from now on |
//! | `POST /channels/{n}/resize?width=W&height=H` | the main picture's size changes within the stream |
//! | `POST /channels/{n}/recode?codec=h264\|h265` | the pictures are coded in another codec from now on, described or not |
//! | `POST /channels/{n}/picture?answers=fine\|proxied\|busy\|broken\|none\|cut` | how it answers to who asks for a picture |
//! | `POST /channels/{n}/motion?active=true\|false` | an event on the event stream |
//! | `POST /gateway/list?fault=F` | a gateway's list of devices: `null`, `empty`, `wrong-totals`, `half-page`, `second-page`, `error`, `busy`, `no-status`; `sane` ends it |
//! | `POST /gateway/slow?ms=N` | a gateway's answers come so late |
//! | `POST /devices/{d}/offline[?hint=N]`, `…/online`, `…/sleep` | the device of that number or `devIndex` behind a gateway |
//! | `POST /devices/{d}/delete`, `…/restore`, `…/add` | it leaves the list, and comes back; four numbers behind the last are there to be added |
//! | `POST /devices/{d}/channels-null`, `…/channels-told` | `VideoChannel` is null; is told again |
//! | `POST /devices/{d}/channels/{c}/add`, `…/remove`, `…/move` | a channel of it comes, goes, has another URL |
//! | `POST /device/offline`, `…/online` | every connection is closed and new ones are refused; back |
//! | `POST /device/reboot?ms=N` | away for so long, 3000 by default; lockouts are forgotten |
//! | `POST /device/password?new=P` | somebody changed the password |
//! | `POST /device/garbage`, `…/huge`, `…/sane` | ISAPI answers nonsense, or 10 MB; the end of either |
//! | `POST /device/skew?ms=N` | the device's clock, in sender reports and ISAPI, is so far ahead |
//! | `POST /device/unlock` | lockouts are forgotten |
//! | `POST /device/auth?ask=A` | other firmware: asks for `digest-md5`, `digest-sha256`, `both`, `basic`, `digest+basic` |
//! | `POST /device/certificate` | the certificate of HTTPS is made anew |
//!
//! A POST answers with the state after it, an unknown one with 404, a bad value with 400.

use super::{ChannelFault, DeviceFault, GatewayFault, PictureAnswer, Running, gateway};
use crate::{
    base::Secret,
    model::VideoCodec,
    serve::{Body, BoxFuture, Handler, Request, Response, problem},
};
use http::{HeaderValue, Method, StatusCode, header};
use std::time::Duration;

const REBOOT_DEFAULT_MS: u64 = 3000;

/// The control port's handler.
pub(super) struct Control(pub Running);

impl Handler for Control {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move { self.respond(&request) })
    }
}

impl Control {
    fn respond(&self, request: &Request) -> Response {
        let parts: Vec<&str> = request.path().split('/').filter(|p| !p.is_empty()).collect();
        let done = match (&request.method, parts.as_slice()) {
            (&Method::GET, []) => Ok(()),
            (&Method::POST, ["channels", number, verb]) => self.channel(number, verb, request),
            (&Method::POST, ["gateway", verb]) => self.gateway(gateway::gateway_fault(verb, request)),
            (&Method::POST, ["devices", device, verb @ ..]) => {
                self.gateway(gateway::device_fault(device, verb, request))
            }
            (&Method::POST, ["device", verb]) => device_fault(verb, request).map(|fault| self.0.device(fault)),
            _ => Err(Refusal::NotFound),
        };
        match done {
            Ok(()) => self.state(),
            Err(refusal) => refusal.response(),
        }
    }

    fn state(&self) -> Response {
        let mut response = Response::new(Body::bytes(format!("{:#}\n", self.0.state())));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    fn gateway(&self, fault: Option<GatewayFault>) -> Result<(), Refusal> {
        self.0.gateway(&fault.ok_or(Refusal::NotFound)?).map_err(|_| Refusal::NotFound)
    }

    fn channel(&self, number: &str, verb: &str, request: &Request) -> Result<(), Refusal> {
        let number = number.parse().map_err(|_| Refusal::NotFound)?;
        let fault = channel_fault(verb, request)?;
        self.0.channel(number, fault).map_err(|error| match error {
            super::Error::NoChannel(_) => Refusal::NotFound,
            other => Refusal::BadValue(other.to_string()),
        })
    }
}

fn channel_fault(verb: &str, request: &Request) -> Result<ChannelFault, Refusal> {
    Ok(match verb {
        "online" => ChannelFault::Online,
        "offline" => ChannelFault::Offline,
        "delete" => ChannelFault::Delete,
        "restore" => ChannelFault::Restore,
        "drop" => ChannelFault::Drop,
        "stall" => ChannelFault::Stall,
        "silence" => ChannelFault::Silence,
        "no-video" => ChannelFault::NoVideo,
        "no-bandwidth" => ChannelFault::NoBandwidth,
        "resume" => ChannelFault::Resume,
        "lose" => ChannelFault::Lose(value(request, "every")?),
        "jump" => ChannelFault::Jump(value(request, "ms")?),
        "pace" => ChannelFault::Pace(value(request, "ppm")?),
        "stray" => ChannelFault::Stray { every: value(request, "every")?, ms: value(request, "ms")? },
        "rtp-start" => ChannelFault::RtpStart(value(request, "timestamp")?),
        "resize" => ChannelFault::Resize(value(request, "width")?, value(request, "height")?),
        "recode" => ChannelFault::Recode(codec(&value::<String>(request, "codec")?)?),
        "picture" => ChannelFault::Picture(picture_answer(&value::<String>(request, "answers")?)?),
        "motion" => ChannelFault::Motion(value(request, "active")?),
        _ => return Err(Refusal::NotFound),
    })
}

fn codec(word: &str) -> Result<VideoCodec, Refusal> {
    match word {
        "h264" => Ok(VideoCodec::H264),
        "h265" => Ok(VideoCodec::H265),
        _ => Err(Refusal::BadValue("codec is h264 or h265".to_owned())),
    }
}

fn picture_answer(word: &str) -> Result<PictureAnswer, Refusal> {
    Ok(match word {
        "fine" => PictureAnswer::Fine,
        "proxied" => PictureAnswer::Proxied,
        "busy" => PictureAnswer::Busy,
        "broken" => PictureAnswer::Broken,
        "none" => PictureAnswer::None,
        "cut" => PictureAnswer::Cut,
        _ => return Err(Refusal::BadValue("answers is fine, proxied, busy, broken, none or cut".to_owned())),
    })
}

fn device_fault(verb: &str, request: &Request) -> Result<DeviceFault, Refusal> {
    Ok(match verb {
        "online" => DeviceFault::Online,
        "offline" => DeviceFault::Offline,
        "reboot" if request.query("ms").is_none() => DeviceFault::Reboot(Duration::from_millis(REBOOT_DEFAULT_MS)),
        "reboot" => DeviceFault::Reboot(Duration::from_millis(value(request, "ms")?)),
        "password" => DeviceFault::Password(Secret::new(value::<String>(request, "new")?)),
        "garbage" => DeviceFault::Garbage,
        "huge" => DeviceFault::Huge,
        "sane" => DeviceFault::Sane,
        "unlock" => DeviceFault::Unlock,
        "skew" => DeviceFault::Skew(value(request, "ms")?),
        "auth" => DeviceFault::Asks(value(request, "ask")?),
        "certificate" => DeviceFault::Certificate,
        _ => return Err(Refusal::NotFound),
    })
}

fn value<T: std::str::FromStr>(request: &Request, name: &str) -> Result<T, Refusal> {
    let parsed = request.query(name).and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Refusal::BadValue(format!("this needs ?{name}= with a fitting value")))
}

/// Why a request was not done.
enum Refusal {
    NotFound,
    BadValue(String),
}

impl Refusal {
    fn response(&self) -> Response {
        match self {
            Self::NotFound => {
                let detail = "there is no such channel or fault";
                problem(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
            }
            Self::BadValue(detail) => problem(StatusCode::BAD_REQUEST, "bad-value", "Bad value", detail.as_str()),
        }
    }
}
