//! Plays: grants to see a stream, and who made use of them.

use crate::{
    admin::{
        api::{Api, json},
        call::Call,
        failure::Failure,
        paging::{Page, page},
        views::{DoneView, PlayView},
    },
    base::{Secret, Wall, units::parse_duration},
    model::{Range, StreamKey},
    playback::plays::{Error, PasswordHash, PlayId, PlaySpec, Shown, View},
    serve::{Request, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// A play is a few lines.
const BODY_BYTES_MAX: usize = 16 << 10;
const EXAMPLE: &str = r#"send for example {"stream": "nvr1/3/main", "from": "2026-11-21T08:30:00Z", "to": "2026-11-21T08:35:00Z", "password": "…", "expires_in": "2h"}"#;

/// The body of a request for a play.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    stream: String,
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    live: bool,
    password: Option<String>,
    password_hash: Option<String>,
    expires_in: Option<Length>,
    max_viewers: Option<u32>,
}

/// `"2h"`, or a whole number of seconds.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a duration such as \"2h\"")]
enum Length {
    Text(String),
    Seconds(u64),
}

/// A password as it was given.
enum Given {
    None,
    Plain(Secret),
    Hash(PasswordHash),
}

impl Asked {
    fn spec(&self) -> Result<PlaySpec, Failure> {
        let bad = |field: &str, what: &dyn std::fmt::Display| Failure::body(format!("`{field}`: {what}"));
        let moment = |field: &'static str, text: &Option<String>| match text {
            None => Err(bad(field, &format!("is missing; give `from` and `to`, or \"live\": true; {EXAMPLE}"))),
            Some(text) => text.parse::<Wall>().map_err(|e| bad(field, &e)),
        };
        let shown = match self.live {
            true if self.from.is_some() || self.to.is_some() => {
                return Err(bad(
                    "live",
                    &"stands beside `from` or `to`; a play shows what is live or what was recorded",
                ));
            }
            true => Shown::Live,
            false => Shown::Recorded(Range { from: moment("from", &self.from)?, to: moment("to", &self.to)? }),
        };
        let expires_in = match &self.expires_in {
            None => None,
            Some(Length::Seconds(seconds)) => Some(Duration::from_secs(*seconds)),
            Some(Length::Text(text)) => Some(parse_duration(text).map_err(|e| bad("expires_in", &e))?),
        };
        let stream: StreamKey = self.stream.parse().map_err(|e| bad("stream", &e))?;
        Ok(PlaySpec { stream, shown, expires_in, viewers_max: self.max_viewers })
    }

    fn given(&self) -> Result<Given, Failure> {
        match (&self.password, &self.password_hash) {
            (Some(_), Some(_)) => Err(Failure::body("`password_hash` stands beside `password`; give one of them")),
            (Some(plain), None) => {
                let secret = Secret::new(plain);
                PasswordHash::check(&secret).map_err(|e| Failure::body(format!("`password`: {e}")))?;
                Ok(Given::Plain(secret))
            }
            (None, Some(hash)) => {
                let hash = PasswordHash::parse(hash);
                hash.map(Given::Hash).map_err(|e| Failure::body(format!("`password_hash`: {e}")))
            }
            (None, None) => Ok(Given::None),
        }
    }
}

pub(in crate::admin) async fn create(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let base = base(&api, &call.request);
    let bytes = call.request.body(BODY_BYTES_MAX).await?;
    // What was sent may hold a password: no part of it is said again.
    let asked: Asked = serde_json::from_slice(&bytes)
        .map_err(|e| Failure::body(format!("line {} column {}: {}; {EXAMPLE}", e.line(), e.column(), fault(&e))))?;
    let (spec, given) = (asked.spec()?, asked.given()?);
    let plays = api.deps.plays.clone();
    // Whoever hangs up has asked all the same: half a play is none.
    let work = async move {
        let hash = match given {
            Given::None => None,
            Given::Plain(password) => Some(plays.hash(password).await?),
            Given::Hash(hash) => Some(hash),
        };
        plays.create(spec, hash).await
    };
    let play = match api.to_its_end("create play", work).await? {
        Err(Error::Grant(e)) => return Err(Failure::body(e)),
        made => made?,
    };
    let totals = api.deps.plays.totals(&play.id);
    let mut response = json(&PlayView::of(&play, totals, &base, api.deps.clock.wall()))?;
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/plays/{}", play.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// What is wrong with a body, in words that repeat nothing of it.
fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let names_a_field =
        ["missing field", "unknown field", "duplicate field"].iter().any(|begin| text.starts_with(begin));
    match error.classify() {
        serde_json::error::Category::Data if names_a_field => text,
        serde_json::error::Category::Data => "a field is not of the kind that it should be".to_owned(),
        _ => "it is not JSON".to_owned(),
    }
}

pub(in crate::admin) async fn list(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let base = base(&api, &call.request);
    let now = api.deps.clock.wall();
    let chosen = page(api.deps.plays.list(), |play| play.id.to_string(), call.cursor::<String>()?, call.limit()?);
    let view = |play: Arc<_>| PlayView::of(&play, api.deps.plays.totals(&play.id), &base, now);
    json(&Page { items: chosen.items.into_iter().map(view).collect::<Vec<_>>(), next: chosen.next })
}

pub(in crate::admin) async fn one(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let play = api.deps.plays.get(&id(&call)?).ok_or(Error::NotKnown)?;
    let base = base(&api, &call.request);
    json(&PlayView::of(&play, api.deps.plays.totals(&play.id), &base, api.deps.clock.wall()))
}

pub(in crate::admin) async fn revoke(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let (id, plays) = (id(&call)?, api.deps.plays.clone());
    api.to_its_end("revoke play", async move { plays.revoke(&id).await }).await??;
    json(&DoneView { done: true })
}

pub(in crate::admin) async fn views_of(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let id = id(&call)?;
    seen(&api, &call, Some(id)).await
}

pub(in crate::admin) async fn views(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    seen(&api, &call, None).await
}

async fn seen(api: &Api, call: &Call, of: Option<PlayId>) -> Result<Response, Failure> {
    let (limit, cursor) = (call.limit()?, call.cursor::<Place>()?);
    let mut found = api.deps.plays.views(of, cursor.map(|place| place.0), limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(place, _)| Place(place.clone()).to_string());
    let items: Vec<View> = found.into_iter().map(|(_, view)| view).collect();
    json(&Page { items, next })
}

/// Where a view lies among all, as hexadecimal digits.
struct Place(Vec<u8>);

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 32 || !text.is_ascii() {
            return Err(());
        }
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| ());
        (0..16).map(|n| byte(2 * n)).collect::<Result<_, _>>().map(Self)
    }
}

fn id(call: &Call) -> Result<PlayId, Failure> {
    call.argument("id").parse().map_err(|e| Failure::not_found(format!("{e}; GET /api/v1/plays lists them")))
}

/// What links are built on: as configured, else where the request was sent to.
fn base(api: &Api, request: &Request) -> String {
    api.deps.plays.config().wan_endpoint.unwrap_or_else(|| {
        let host = request.header(header::HOST).or_else(|| request.uri.authority().map(|a| a.as_str()));
        format!("http://{}", host.filter(|h| !h.is_empty()).unwrap_or("localhost"))
    })
}
