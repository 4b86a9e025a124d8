//! `/v1/txn`: several operations on keys, all or none.

use super::{
    fields::Fields,
    front::{Asked, Front, Reply},
    kv::{name, place, places, shape},
    refusal::Refusal,
};
use crate::registry::{Act, Entry, Error, Guard, Keys, OpAnswer, Step};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// Operations of one transaction. That of the real one.
const OPS_MAX: usize = 128;

/// An operation as it was asked for.
struct Asking {
    verb: String,
    key: String,
    index: u64,
    session: Arc<str>,
    /// The steps that it takes.
    steps: usize,
}

pub(super) async fn call(front: &Front, asked: Asked) -> Result<Reply, Refusal> {
    let body: Value =
        serde_json::from_slice(&asked.body).map_err(|e| Refusal::bad(format!("Failed to parse body: {e}")))?;
    let Value::Array(ops) = body else { return Err(Refusal::bad("Failed to parse body: it is not a list")) };
    if ops.len() > OPS_MAX {
        let text = format!("Transaction contains too many operations ({} > {OPS_MAX})", ops.len());
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let (mut askings, mut steps) = (Vec::new(), Vec::new());
    for op in &ops {
        let op = Fields::of(op, "op")?;
        let Some(kv) = op.object("KV")? else {
            return Err(Refusal::left_out("operations on nodes, services and checks in transactions"));
        };
        let (asking, own) = read(front, &kv)?;
        askings.push(asking);
        steps.extend(own);
    }
    match front.registry.steps(steps).await {
        Ok(stepped) => match stepped.done {
            Ok(answers) => Ok(Reply::json(&json!({ "Results": results(front, &askings, answers), "Errors": null }))),
            Err(failed) => Ok(refused(faults(front, &askings, &failed))),
        },
        Err(Error::NoSession(id)) => {
            let at = askings.iter().position(|asking| asking.verb == "lock" && asking.session == id).unwrap_or(0);
            Ok(refused(vec![json!({ "OpIndex": at, "What": format!("invalid session {:?}", &*id) })]))
        }
        Err(error) => Err(error.into()),
    }
}

fn refused(faults: Vec<Value>) -> Reply {
    Reply { status: StatusCode::CONFLICT, ..Reply::json(&json!({ "Results": null, "Errors": faults })) }
}

fn read(front: &Front, kv: &Fields) -> Result<(Asking, Vec<Step>), Refusal> {
    let (verb, key) = (kv.text("Verb")?, kv.text("Key")?);
    let value = STANDARD.decode(kv.text("Value")?).map(Bytes::from);
    let value = value.map_err(|e| Refusal::bad(format!("Failed to parse body: illegal base64 data: {e}")))?;
    let (flags, index) = (kv.number("Flags")?, kv.number("Index")?);
    let session: Arc<str> = kv.text("Session")?.into();
    let own = place(front, &key);
    let step = |guard: Option<Guard>, act: Act| vec![Step { guard, key: own.clone(), act }];
    let steps = match verb.as_str() {
        "set" => step(None, Act::Put(value, flags)),
        "cas" => step(Some(Guard::Modified(index)), Act::Put(value, flags)),
        "lock" => step(Some(Guard::FreeFor(session.clone())), Act::Lock(value, flags, session.clone())),
        "unlock" => step(Some(Guard::HeldBy(session.clone())), Act::Unlock(value, flags)),
        "get" => step(Some(Guard::Present), Act::Look),
        "get-or-empty" => step(None, Act::Look),
        "get-tree" => tree(front, &key, Act::Range),
        "check-index" => step(Some(Guard::Modified(index)), Act::Look),
        "check-session" => step(Some(Guard::HeldBy(session.clone())), Act::Look),
        "check-not-exists" => step(Some(Guard::Absent), Act::Look),
        "delete" => step(None, Act::Delete),
        "delete-tree" => tree(front, &key, Act::DeleteAll),
        "delete-cas" => {
            let guard = if index == 0 { Guard::Never } else { Guard::Modified(index) };
            step(Some(guard), Act::Delete)
        }
        other => return Err(Refusal::bad(format!("unknown KV verb {other:?}"))),
    };
    if key.is_empty() && !verb.ends_with("-tree") {
        return Err(Refusal::bad("Must provide key"));
    }
    Ok((Asking { verb, key, index, session, steps: steps.len() }, steps))
}

fn tree(front: &Front, key: &str, act: fn(Keys) -> Act) -> Vec<Step> {
    let all = places(front, key).into_iter();
    all.map(|keys| Step { guard: None, key: Bytes::new(), act: act(keys) }).collect()
}

fn results(front: &Front, askings: &[Asking], answers: Vec<OpAnswer>) -> Vec<Value> {
    let mut answers = answers.into_iter();
    let mut all = Vec::new();
    for asking in askings {
        let is_read = asking.verb.starts_with("get");
        for answer in answers.by_ref().take(asking.steps) {
            let mut show = |name: &str, entry: &Entry| all.push(json!({ "KV": shape(name, entry, is_read) }));
            match answer {
                OpAnswer::Put { now, .. } => show(&asking.key, &now),
                OpAnswer::Range(found) if found.entries.is_empty() && asking.verb == "get-or-empty" => {
                    show(&asking.key, &nothing());
                }
                OpAnswer::Range(found) => {
                    found.entries.iter().for_each(|(key, entry)| show(&name(front, key), entry));
                }
                OpAnswer::Delete(_) | OpAnswer::Txn(..) => {}
            }
        }
    }
    all
}

/// A key that is not there, where that is an answer.
fn nothing() -> Entry {
    Entry { value: Bytes::new(), created: 0, modified: 0, version: 0, lease: 0, side: None }
}

fn faults(front: &Front, askings: &[Asking], failed: &[usize]) -> Vec<Value> {
    let mut begin = 0;
    let mut all = Vec::new();
    for (at, asking) in askings.iter().enumerate() {
        let own = begin..begin + asking.steps;
        begin = own.end;
        if failed.iter().any(|step| own.contains(step)) {
            all.push(json!({ "OpIndex": at, "What": asking.fault(front) }));
        }
    }
    all
}

impl Asking {
    /// Why it could not be done.
    fn fault(&self, front: &Front) -> String {
        let (key, entry) = (&self.key, front.registry.get(&place(front, &self.key)));
        match (self.verb.as_str(), entry) {
            ("cas", _) => format!("failed to set key {key:?}, index is stale"),
            ("lock", _) => format!("failed to lock key {key:?}, lock is already held"),
            ("unlock", _) => format!("failed to unlock key {key:?}, lock isn't held, or is held by another session"),
            ("delete-cas", _) => format!("failed to delete key {key:?}, index is stale"),
            ("check-index", Some(entry)) => {
                format!("failed index check for key {key:?}, current modify index {} != {}", entry.modified, self.index)
            }
            ("check-index", None) => format!("failed to check index, key {key:?} doesn't exist"),
            ("check-session", Some(entry)) => {
                let holder = entry.holder().map_or("", |holder| holder);
                format!("failed session check for key {key:?}, current session {holder:?} != {:?}", &*self.session)
            }
            ("check-session", None) => format!("failed to check session, key {key:?} doesn't exist"),
            ("check-not-exists", _) => format!("key {key:?} exists"),
            _ => format!("key {key:?} doesn't exist"),
        }
    }
}
