//! `/v1/kv/…`: the same keys as everybody else's.

use super::{
    front::{Asked, Front, JSON, Reply},
    refusal::Refusal,
};
use crate::registry::{Act, Entry, Guard, Keys, Step, Stepped};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Keys by the names that they have here.
type Found = BTreeMap<String, Arc<Entry>>;

pub(super) async fn call(front: &Front, asked: Asked) -> Result<Reply, Refusal> {
    match asked.method {
        Method::PUT => put(front, &asked).await,
        Method::DELETE => delete(front, &asked).await,
        _ => get(front, &asked).await,
    }
}

/// What a key of this API is called in the registry: readers of services' keys leave out the slash that they begin with.
pub(super) fn place(front: &Front, key: &str) -> Bytes {
    let (prefix, slashed) = (front.registry.service_prefix(), [b"/", key.as_bytes()].concat());
    match prefix.starts_with(b"/") && slashed.starts_with(&prefix) {
        true => slashed.into(),
        false => Bytes::copy_from_slice(key.as_bytes()),
    }
}

/// The other way round.
pub(super) fn name(front: &Front, key: &[u8]) -> String {
    let prefix = front.registry.service_prefix();
    let shown = if prefix.starts_with(b"/") && key.starts_with(&prefix) { &key[1..] } else { key };
    String::from_utf8_lossy(shown).into_owned()
}

/// Where all keys are that begin so.
pub(super) fn places(front: &Front, prefix: &str) -> Vec<Keys> {
    let (services, slashed) = (front.registry.service_prefix(), [b"/", prefix.as_bytes()].concat());
    if !services.starts_with(b"/") {
        return vec![Keys::prefix(Bytes::copy_from_slice(prefix.as_bytes()))];
    }
    if slashed.starts_with(&services) {
        return vec![Keys::prefix(slashed)];
    }
    let own = Keys::prefix(Bytes::copy_from_slice(prefix.as_bytes()));
    match services.starts_with(&slashed) {
        true => vec![own, Keys::prefix(services)],
        false => vec![own],
    }
}

/// How an entry is shown; without its value where that is not asked for.
pub(super) fn shape(name: &str, entry: &Entry, with_value: bool) -> Value {
    let side = entry.side.as_deref();
    let value = match with_value && !entry.value.is_empty() {
        true => Value::from(STANDARD.encode(&entry.value)),
        false => Value::Null,
    };
    let mut shape = json!({
        "LockIndex": side.map_or(0, |side| side.locks),
        "Key": name,
        "Flags": side.map_or(0, |side| side.flags),
        "Value": value,
        "CreateIndex": entry.created,
        "ModifyIndex": entry.modified,
    });
    if let Some(session) = entry.holder() {
        shape["Session"] = Value::from(&**session);
    }
    shape
}

async fn get(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let (ask, is_list) = (&asked.ask, asked.ask.has("keys"));
    let is_tree = ask.has("recurse") || is_list;
    if asked.rest.is_empty() && !is_tree {
        return Err(Refusal::bad("Missing key name"));
    }
    let keys = match is_tree {
        true => places(front, &asked.rest),
        false => vec![Keys::One(place(front, &asked.rest))],
    };
    let (found, index) = newest(front, asked, &keys).await;
    let reply = if is_list {
        let separator = ask.text("separator").or(ask.text("seperator")).unwrap_or("");
        list(&found, &asked.rest, separator)
    } else if found.is_empty() {
        None
    } else if ask.has("raw") && !is_tree {
        let value = found.into_values().next().map(|entry| entry.value.clone()).unwrap_or_default();
        let fields = vec![("x-content-type-options", "nosniff".to_owned())];
        Some(Reply { fields, ..Reply::text(value) })
    } else {
        let all: Vec<Value> = found.iter().map(|(name, entry)| shape(name, entry, true)).collect();
        Some(Reply { content_type: JSON, ..Reply::json(&Value::Array(all)) })
    };
    let none = || Reply { status: StatusCode::NOT_FOUND, ..Reply::done() };
    Ok(Reply { index: Some(index.max(1)), ..reply.unwrap_or_else(none) })
}

/// Names up to the separator behind what they all begin with. None: nothing begins so.
fn list(found: &Found, prefix: &str, separator: &str) -> Option<Reply> {
    if found.is_empty() && !prefix.is_empty() {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for name in found.keys() {
        let rest = name.get(prefix.len()..).unwrap_or("");
        let cut = if separator.is_empty() { None } else { rest.find(separator) };
        let shown = cut.map_or(name.as_str(), |at| &name[..prefix.len() + at + separator.len()]);
        if names.last() != Some(&shown) {
            names.push(shown);
        }
    }
    Some(Reply::json(&json!(names)))
}

/// What is there, once it is news for the client.
async fn newest(front: &Front, asked: &Asked, keys: &[Keys]) -> (Found, u64) {
    let look = || {
        let mut found = Found::new();
        let mut index = 0;
        for keys in keys {
            let (entries, newest) = front.registry.newest(keys);
            index = index.max(newest);
            found.extend(entries.into_iter().map(|(key, entry)| (name(front, &key), entry)));
        }
        (found, index.max(1))
    };
    if asked.ask.index == 0 {
        return look();
    }
    // They begin before the look: so nothing that comes in between is missed.
    let from = front.registry.revision() + 1;
    let mut followers: Vec<_> = keys.iter().map(|keys| front.registry.follow(keys.clone(), Some(from))).collect();
    let (found, index) = look();
    if index > asked.ask.index {
        return (found, index);
    }
    let patience = front.patience(asked);
    let news = futures_util::future::select_all(followers.iter_mut().map(|follower| Box::pin(follower.next())));
    tokio::select! {
        _ = news => {}
        () = patience => {}
        () = asked.ended() => {}
    }
    look()
}

fn number(asked: &Asked, name: &str) -> Result<Option<u64>, Refusal> {
    let bad = |_| Refusal::bad(format!("Invalid value for ?{name}"));
    asked.ask.text(name).map(|text| text.parse().map_err(bad)).transpose()
}

async fn put(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    if asked.rest.is_empty() {
        return Err(Refusal::bad("Missing key name"));
    }
    let conflicting = ["cas", "acquire", "release"].into_iter().filter(|name| asked.ask.has(name));
    let conflicting: Vec<String> = conflicting.map(|name| format!("?{name}")).collect();
    if conflicting.len() > 1 {
        return Err(Refusal::bad(format!("Conflicting flags: {}\n", conflicting.join(", "))));
    }
    let (flags, value) = (number(asked, "flags")?.unwrap_or(0), asked.body.clone());
    let (guard, act) = if let Some(index) = number(asked, "cas")? {
        (Some(Guard::Modified(index)), Act::Put(value, flags))
    } else if let Some(session) = asked.ask.text("acquire") {
        let session: Arc<str> = session.into();
        (Some(Guard::FreeFor(session.clone())), Act::Lock(value, flags, session))
    } else if let Some(session) = asked.ask.text("release") {
        (Some(Guard::HeldBy(session.into())), Act::Unlock(value, flags))
    } else {
        (None, Act::Put(value, flags))
    };
    let step = Step { guard, key: place(front, &asked.rest), act };
    let stepped = front.registry.steps(vec![step]).await.map_err(in_words)?;
    Ok(Reply::json(&Value::Bool(stepped.done.is_ok())))
}

/// A session that is not there is the store's refusal.
fn in_words(error: crate::registry::Error) -> Refusal {
    match error {
        crate::registry::Error::NoSession(id) => Refusal::failed(format!("invalid session {:?}", &*id)),
        error => error.into(),
    }
}

async fn delete(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let (cas, is_tree) = (number(asked, "cas")?, asked.ask.has("recurse"));
    if cas.is_some() && is_tree {
        return Err(Refusal::bad("Conflicting flags: ?cas, ?recurse\n"));
    }
    if asked.rest.is_empty() && !is_tree {
        return Err(Refusal::bad("Missing key name"));
    }
    let key = place(front, &asked.rest);
    let steps = match is_tree {
        true => {
            let all = places(front, &asked.rest).into_iter();
            all.map(|keys| Step { guard: None, key: Bytes::new(), act: Act::DeleteAll(keys) }).collect()
        }
        false => {
            let guard = cas.map(|index| if index == 0 { Guard::Never } else { Guard::Modified(index) });
            vec![Step { guard, key: key.clone(), act: Act::Delete }]
        }
    };
    let Stepped { done, .. } = front.registry.steps(steps).await.map_err(in_words)?;
    // What is not there is gone as asked.
    let is_gone = || cas != Some(0) && front.registry.get(&key).is_none();
    Ok(Reply::json(&Value::Bool(done.is_ok() || is_gone())))
}
