//! The key-value space.

use crate::{
    admin::{
        api::{Api, body, json},
        call::Call,
        failure::Failure,
        views::{KeyView, KeysDeletedView, KeysView},
    },
    base::units::parse_duration,
    registry::{Error, Keys, Query, Registry, VALUE_BYTES_MAX, show},
    serve::Response,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The longest that a reader may wait for a change: that of Consul.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How long it waits where `after` stands alone.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);
/// JSON makes a value longer: base64, quotes, escapes.
const JSON_BODY_BYTES_MAX: usize = 8 << 20;

/// A value in JSON. Any other type of content is the value itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    value: Option<String>,
    base64: Option<String>,
}

pub(in crate::admin) async fn get(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let key = key(&call);
    if flag(&call, "prefix")? {
        return list_of(&api, &call, key).await;
    }
    let registry = &api.deps.registry;
    if let Some(after) = call.whole_number("after")? {
        let now = registry.get(&key).map_or(0, |entry| entry.modified);
        if now <= after {
            let stop = call.request.stopping.clone();
            change_of(registry, Keys::One(key.clone()), after, wait(&call)?, &stop).await?;
        }
    }
    let entry = registry.get(&key).ok_or_else(|| no_key(&key))?;
    match flag(&call, "raw")? {
        true => Ok(body("application/octet-stream", entry.value.clone())),
        false => json(&KeyView::of(&key, &entry)),
    }
}

pub(in crate::admin) async fn list(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let prefix = Bytes::from(call.text("prefix").unwrap_or_default().to_owned());
    list_of(&api, &call, prefix).await
}

async fn list_of(api: &Api, call: &Call, prefix: Bytes) -> Result<Response, Failure> {
    let registry = &api.deps.registry;
    if let Some(after) = call.whole_number("after")? {
        let stop = call.request.stopping.clone();
        change_of(registry, Keys::prefix(prefix.clone()), after, wait(call)?, &stop).await?;
    }
    let keys = match call.text("cursor") {
        None => Keys::prefix(prefix),
        Some(cursor) => {
            let bad =
                || Failure::parameter("cursor", "is none that was handed out; send the `next` of a former answer");
            let mut behind = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
            // The first key that can come behind it.
            behind.push(0);
            match Keys::prefix(prefix) {
                Keys::Between(_, end) => Keys::Between(behind.into(), end),
                _ => Keys::From(behind.into()),
            }
        }
    };
    let limit = call.limit()?;
    let found = registry.range(&Query { keys, at: None, limit: Some(limit) })?;
    let last = found.entries.last().filter(|_| found.count > found.entries.len());
    json(&KeysView {
        next: last.map(|(key, _)| URL_SAFE_NO_PAD.encode(key)),
        items: found.entries.iter().map(|(key, entry)| KeyView::of(key, entry)).collect(),
        revision: found.revision,
    })
}

pub(in crate::admin) async fn put(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let key = key(&call);
    let if_revision = call.whole_number("if_revision")?;
    let lease = call.parsed::<i64>("lease")?.unwrap_or(0);
    let is_json = call.request.header(CONTENT_TYPE).is_some_and(|t| t.trim_start().starts_with("application/json"));
    let bytes = call.request.body(if is_json { JSON_BODY_BYTES_MAX } else { VALUE_BYTES_MAX }).await?;
    let value = if is_json { value_of(&bytes)? } else { bytes };
    let (registry, at) = (api.deps.registry.clone(), key.clone());
    let work = async move { registry.put(at, value, lease, if_revision).await };
    match api.to_its_end("put", work).await?? {
        Some(entry) => json(&KeyView::of(&key, &entry)),
        None => Err(stale(&api.deps.registry, &key)),
    }
}

pub(in crate::admin) async fn delete(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let key = key(&call);
    let (prefix, if_revision) = (flag(&call, "prefix")?, call.whole_number("if_revision")?);
    if prefix && if_revision.is_some() {
        return Err(Failure::parameter("if_revision", "is for one key; leave `prefix` away"));
    }
    let keys = if prefix { Keys::prefix(key.clone()) } else { Keys::One(key.clone()) };
    let registry = api.deps.registry.clone();
    let work = async move { registry.delete(keys, if_revision).await };
    match api.to_its_end("delete", work).await?? {
        Some(0) if !prefix => Err(no_key(&key)),
        Some(deleted) => json(&KeysDeletedView { deleted }),
        None => Err(stale(&api.deps.registry, &key)),
    }
}

fn key(call: &Call) -> Bytes {
    Bytes::from(call.argument("key").to_owned())
}

fn no_key(key: &[u8]) -> Failure {
    Failure::not_found(format!("there is no key `{}`", show(key)))
}

fn stale(registry: &Registry, key: &[u8]) -> Failure {
    let key_shown = show(key);
    Failure::changed_meanwhile(match registry.get(key) {
        Some(entry) => format!("key `{key_shown}` was changed last by revision {}; read it again", entry.modified),
        None => format!("there is no key `{key_shown}`; `if_revision=0` asks for just that"),
    })
}

fn value_of(bytes: &Bytes) -> Result<Bytes, Failure> {
    let right = "send {\"value\": \"text\"} or {\"base64\": \"…\"}, or the value itself under any other content type";
    let asked: Value = serde_json::from_slice(bytes).map_err(|e| Failure::body(format!("{e}; {right}")))?;
    match (asked.value, asked.base64) {
        (Some(text), None) => Ok(text.into()),
        (None, Some(text)) => {
            STANDARD.decode(text).map(Bytes::from).map_err(|e| Failure::body(format!("base64: {e}; {right}")))
        }
        _ => Err(Failure::body(right)),
    }
}

fn flag(call: &Call, name: &str) -> Result<bool, Failure> {
    Ok(call.parsed(name)?.unwrap_or(false))
}

fn wait(call: &Call) -> Result<Duration, Failure> {
    let Some(text) = call.text("wait") else { return Ok(WAIT_DEFAULT) };
    let wait = parse_duration(text).map_err(|e| Failure::parameter("wait", e))?;
    Ok(wait.min(WAIT_MAX))
}

/// Waits until a revision behind `after` changes one of the keys, or the time is over. History that is gone counts as a
/// change: whoever asks has to read anew.
async fn change_of(
    registry: &Registry,
    keys: Keys,
    after: u64,
    wait: Duration,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let mut watcher = registry.follow(keys, Some(after.saturating_add(1)));
    tokio::select! {
        changed = watcher.next() => match changed {
            Ok(_) | Err(Error::Compacted { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        },
        () = stop.cancelled() => Ok(()),
        () = tokio::time::sleep(wait) => Ok(()),
    }
}
