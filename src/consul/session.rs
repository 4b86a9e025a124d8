//! `/v1/session/…`: who holds keys.

use super::{
    fields::Fields,
    front::{Asked, Front, Reply},
    node::new_uuid,
    refusal::Refusal,
    time,
};
use crate::{
    model::Health,
    registry::{Error, Owner, Session},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long a session may be asked to last without being renewed.
const TTL_MIN: Duration = Duration::from_secs(10);
const TTL_MAX: Duration = Duration::from_secs(86_400);
/// For how long what a session held stays free where it does not say, and at most.
const DELAY_DEFAULT: Duration = Duration::from_secs(15);
const DELAY_MAX: Duration = Duration::from_secs(60);
/// The check that says that a node is there; ours always is.
const ALIVE: &str = "serfHealth";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Create,
    Renew,
    Destroy,
    Info,
    Node,
    List,
}

/// What is kept of a session beside what the registry knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Words {
    name: String,
    node: String,
    ttl: String,
    node_checks: Vec<String>,
    service_checks: Vec<Value>,
}

pub(super) async fn call(front: &Front, call: Call, asked: Asked) -> Result<Reply, Refusal> {
    if asked.rest.is_empty() && !matches!(call, Call::Create | Call::List) {
        return Err(Refusal::bad(if call == Call::Node { "Missing node name" } else { "Missing session" }));
    }
    let id: Arc<str> = asked.rest.as_str().into();
    match call {
        Call::Create => create(front, &asked).await,
        Call::Renew => match front.registry.renew_session(id).await {
            Ok(session) => Ok(Reply::json(&json!([shape(&session)]))),
            Err(Error::NoSession(id)) => Err(Refusal::unknown(format!("Session id '{id}' not found"))),
            Err(error) => Err(error.into()),
        },
        Call::Destroy => {
            front.registry.end_session(id).await?;
            Ok(Reply::json(&Value::Bool(true)))
        }
        Call::Info => read(front, &asked, |session| *session.id == *asked.rest).await,
        Call::Node => read(front, &asked, |session| words(session).node == asked.rest).await,
        Call::List => read(front, &asked, |_| true).await,
    }
}

fn words(session: &Session) -> Words {
    serde_json::from_str(&session.words).unwrap_or_default()
}

fn shape(session: &Session) -> Value {
    let words = words(session);
    let service_checks = if words.service_checks.is_empty() { Value::Null } else { Value::Array(words.service_checks) };
    json!({
        "ID": &*session.id,
        "Name": words.name,
        "Node": words.node,
        "LockDelay": u64::try_from(session.delay.as_nanos()).unwrap_or(u64::MAX),
        "Behavior": if session.deletes { "delete" } else { "release" },
        "TTL": words.ttl,
        "NodeChecks": words.node_checks,
        "ServiceChecks": service_checks,
        "CreateIndex": session.created,
        "ModifyIndex": session.created,
    })
}

/// Sessions, once there is news of any.
async fn read(front: &Front, asked: &Asked, is_wanted: impl Fn(&Session) -> bool) -> Result<Reply, Refusal> {
    let mut revisions = front.registry.revisions();
    let patience = front.patience(asked);
    let mut patience = std::pin::pin!(patience);
    loop {
        revisions.borrow_and_update();
        let (sessions, index) = front.registry.sessions();
        let index = index.max(1);
        let is_over = asked.ask.index == 0
            || index > asked.ask.index
            || tokio::select! {
                changed = revisions.changed() => changed.is_err(),
                () = &mut patience => true,
                () = asked.ended() => true,
            };
        if is_over {
            let all = sessions.iter().filter(|session| is_wanted(session)).map(|session| shape(session)).collect();
            return Ok(Reply { index: Some(index), ..Reply::json(&Value::Array(all)) });
        }
    }
}

async fn create(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let fields = Fields::read(&asked.body)?;
    let node = Some(fields.text("Node")?).filter(|node| !node.is_empty()).unwrap_or_else(|| front.node.to_string());
    let host = front.host(&node).ok_or_else(|| Refusal::failed("Missing node registration"))?;
    let deletes = match fields.text("Behavior")?.as_str() {
        "" | "release" => false,
        "delete" => true,
        other => return Err(Refusal::failed(format!("Invalid Behavior setting '{other}'"))),
    };
    let ttl = fields.text("TTL")?;
    let length = match ttl.as_str() {
        "" => Duration::ZERO,
        text => {
            let bad = || Refusal::failed(format!("Session TTL '{text}' invalid: time: invalid duration {text:?}"));
            time::read(text).ok_or_else(bad)?
        }
    };
    if !length.is_zero() && !(TTL_MIN..=TTL_MAX).contains(&length) {
        let (least, most) = (time::show(TTL_MIN), time::show(TTL_MAX));
        let text = format!("Invalid Session TTL '{}', must be between [{least}={most}]", length.as_nanos());
        return Err(Refusal::failed(text));
    }
    let words = Words {
        name: fields.text("Name")?,
        node: node.clone(),
        ttl,
        node_checks: node_checks(&fields)?,
        service_checks: fields.get("ServiceChecks").and_then(Value::as_array).cloned().unwrap_or_default(),
    };
    let mut checks = Vec::new();
    let of_services = words.service_checks.iter().filter_map(|check| check["ID"].as_str());
    for id in words.node_checks.iter().map(String::as_str).chain(of_services) {
        // That of another node is one like others.
        if id != ALIVE || !host.is_ours {
            checks.push(standing(front, &node, id)?);
        }
    }
    let id = new_uuid();
    let session = Session {
        id: id.as_str().into(),
        words: serde_json::to_string(&words).map_err(|e| Refusal::failed(e.to_string()))?.into(),
        ttl: (!length.is_zero()).then_some(length),
        deletes,
        delay: delay(&fields)?,
        checks,
        created: 0,
    };
    front.registry.create_session(session).await?;
    Ok(Reply::json(&json!({ "ID": id })))
}

/// The checks of its node that a session stands on; where nothing is said, that it is there.
fn node_checks(fields: &Fields) -> Result<Vec<String>, Refusal> {
    if !fields.has("Checks") && !fields.has("NodeChecks") {
        return Ok(vec![ALIVE.to_owned()]);
    }
    Ok(fields.texts("Checks")?.into_iter().chain(fields.texts("NodeChecks")?).collect())
}

/// A number below a thousand means seconds.
fn delay(fields: &Fields) -> Result<Duration, Refusal> {
    let delay = match fields.get("LockDelay") {
        None => return Ok(DELAY_DEFAULT),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(seconds @ 0..1_000) => Duration::from_secs(seconds),
            Some(nanos) => Duration::from_nanos(nanos),
            None => return Err(Refusal::bad("Request decode failed: LockDelay is negative")),
        },
        Some(_) => fields.time("LockDelay")?,
    };
    Ok(delay.min(DELAY_MAX))
}

/// A check that is there and is not critical, with whose it is.
fn standing(front: &Front, node: &str, id: &str) -> Result<(Owner, Arc<str>), Refusal> {
    let of_node = front.registry.node(node).and_then(|known| {
        let named = known.checks.iter().find(|named| &*named.asked.id == id)?.clone();
        Some((Owner::Node(known.name.clone()), named))
    });
    let of_services = || {
        front.seats_on(node).into_iter().find_map(|seat| {
            let named = seat.record.checks.iter().find(|named| &*named.asked.id == id)?.clone();
            Some((Owner::Instance(seat.record.key.clone()), named))
        })
    };
    let (owner, named) =
        of_node.or_else(of_services).ok_or_else(|| Refusal::failed(format!("Missing check '{id}' registration")))?;
    match named.verdict.health {
        Health::Critical => Err(Refusal::failed(format!("Check '{id}' is in critical state"))),
        _ => Ok((owner, named.asked.id.clone())),
    }
}
