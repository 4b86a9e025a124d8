//! Pauses that people ask for.

use crate::{
    admin::{
        api::{Api, json},
        call::Call,
        failure::Failure,
        views::{DoneView, PauseView},
    },
    base::{Wall, units::parse_duration},
    model::StreamKey,
    serve::Response,
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// The longest reason that is kept.
pub(in crate::admin) const REASON_CHARS_MAX: usize = 200;
/// A body longer than this is not one of ours.
const BODY_BYTES_MAX: usize = 16 << 10;
/// A pause that is to last longer is better left without an end.
const FOR_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// What the query or the body says; the query outweighs the body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    reason: Option<String>,
    #[serde(rename = "for")]
    length: Option<String>,
    until: Option<String>,
}

pub(in crate::admin) async fn pause(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let stream = known(&api, &call)?;
    let text = |name: &str| call.text(name).map(str::to_owned);
    let query = Asked { reason: text("reason"), length: text("for"), until: text("until") };
    let body = body(call).await?;
    let asked = Asked {
        reason: query.reason.or(body.reason),
        length: query.length.or(body.length),
        until: query.until.or(body.until),
    };
    let now = api.deps.clock.wall();
    let (reason, until) = asked.checked(now)?;
    let pause = api.deps.recorder.pause(&stream, reason, until).await?;
    json(&PauseView::of(pause))
}

pub(in crate::admin) async fn resume(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let stream = known(&api, &call)?;
    api.deps.recorder.resume(&stream).await?;
    json(&DoneView { done: true })
}

/// The stream of the path. One that is away, or was never there since the start, can be paused as well.
fn known(api: &Api, call: &Call) -> Result<StreamKey, Failure> {
    let (key, snapshot) = super::streams::key_of(api, call)?;
    let shown = snapshot.streams.iter().any(|s| s.key == key);
    let kept = || api.deps.archive.ledger().expected().contains(&key) || api.deps.recorder.pauses().contains_key(&key);
    match shown || kept() {
        true => Ok(key),
        false => Err(super::streams::none_such(&key, &snapshot)),
    }
}

async fn body(call: Call) -> Result<Asked, Failure> {
    let bytes = call.request.body(BODY_BYTES_MAX).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Asked::default());
    }
    serde_json::from_slice(&bytes).map_err(|e| {
        Failure::body(format!(
            "{e}; send for example {{\"reason\": \"works in hall 3\", \"for\": \"30m\"}}, or nothing"
        ))
    })
}

impl Asked {
    fn checked(self, now: Wall) -> Result<(Option<String>, Option<Wall>), Failure> {
        let reason = self.reason.map(|r| r.trim().to_owned()).filter(|r| !r.is_empty());
        let too_long = |r: &String| r.chars().count() > REASON_CHARS_MAX || r.chars().any(char::is_control);
        if reason.as_ref().is_some_and(too_long) {
            return Err(Failure::parameter("reason", format!("is no line of {REASON_CHARS_MAX} characters at most")));
        }
        let until = match (self.length, self.until) {
            (Some(_), Some(_)) => return Err(Failure::parameter("until", "is given beside `for`; give one of them")),
            (Some(length), None) => {
                let length = parse_duration(&length).map_err(|e| Failure::parameter("for", e))?;
                if length.is_zero() || length > FOR_MAX {
                    return Err(Failure::parameter(
                        "for",
                        "lies between 1ms and ten years; without it a pause has no end",
                    ));
                }
                Some(now.plus(length))
            }
            (None, Some(until)) => {
                let until: Wall = until.parse().map_err(|e| Failure::parameter("until", e))?;
                if until <= now {
                    return Err(Failure::parameter("until", format!("{until} is over; give a time to come")));
                }
                Some(until)
            }
            (None, None) => None,
        };
        Ok((reason, until))
    }
}
