//! `/v1/event/…`: words that are passed around. Kept in memory, the last of them.

use super::{
    front::{Asked, Front, Reply},
    node::new_uuid,
    refusal::Refusal,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};
use tokio::sync::watch;

/// As many as the real one keeps.
const EVENTS_MAX: usize = 256;
/// The longest payload. The real one passes them on in single datagrams.
const PAYLOAD_BYTES_MAX: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Fire,
    List,
}

/// What was said last.
#[derive(Debug)]
pub(super) struct Events {
    kept: Mutex<VecDeque<(u64, Value)>>,
    newest: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self { kept: Mutex::default(), newest: watch::Sender::new(1) }
    }
}

impl Events {
    /// `now` in milliseconds: so numbers also grow over a restart, which forgets what was said.
    fn add(&self, now: u64, event: Value) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = kept.back().map_or(now, |(last, _)| now.max(last + 1));
        if kept.len() == EVENTS_MAX {
            kept.pop_front();
        }
        kept.push_back((number, event));
        self.newest.send_replace(number);
    }

    fn named(&self, name: &str) -> (Vec<Value>, u64) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let own = || kept.iter().filter(|(_, event)| name.is_empty() || event["Name"] == name);
        (own().map(|(_, event)| event.clone()).collect(), own().map(|(number, _)| *number).max().unwrap_or(1))
    }
}

pub(super) async fn call(front: &Front, call: Call, asked: Asked) -> Result<Reply, Refusal> {
    match call {
        Call::Fire => fire(front, &asked),
        Call::List => list(front, &asked).await,
    }
}

fn fire(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    if asked.rest.is_empty() {
        return Err(Refusal::bad("Missing name"));
    }
    if asked.body.len() > PAYLOAD_BYTES_MAX {
        return Err(Refusal::failed(format!("user event exceeds configured limit of {PAYLOAD_BYTES_MAX} bytes")));
    }
    let payload = match asked.body.is_empty() {
        true => Value::Null,
        false => STANDARD.encode(&asked.body).into(),
    };
    let filter = |name: &str| asked.ask.text(name).unwrap_or("");
    let event = json!({
        "ID": new_uuid(),
        "Name": asked.rest,
        "Payload": payload,
        "NodeFilter": filter("node"),
        "ServiceFilter": filter("service"),
        "TagFilter": filter("tag"),
        "Version": 1,
        "LTime": 0,
    });
    let now = u64::try_from(front.clock.wall().millis()).unwrap_or(1);
    front.events.add(now, event.clone());
    Ok(Reply::json(&event))
}

async fn list(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let name = asked.ask.text("name").unwrap_or("");
    let mut newest = front.events.newest.subscribe();
    let patience = front.patience(asked);
    let mut patience = std::pin::pin!(patience);
    loop {
        newest.borrow_and_update();
        let (events, index) = front.events.named(name);
        let is_over = asked.ask.index == 0
            || index > asked.ask.index
            || tokio::select! {
                changed = newest.changed() => changed.is_err(),
                () = &mut patience => true,
                () = asked.ended() => true,
            };
        if is_over {
            return Ok(Reply { index: Some(index), ..Reply::json(&Value::Array(events)) });
        }
    }
}
