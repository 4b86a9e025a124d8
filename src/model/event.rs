//! What happened, for the log, the console and webhooks.

use crate::base::Wall;
use serde::{Deserialize, Serialize};

/// What an event is about. The text form has two parts, `presence.online`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct EventKind(pub String);

impl EventKind {
    /// `kind` such as `presence.online`, `stream.running`, `segment.closed`, `config.reloaded`, `disk.full`.
    pub fn new(kind: impl Into<String>) -> Self {
        Self(kind.into())
    }
}

/// One line of the durable log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Event {
    /// Grows by one; what `Last-Event-ID` names. 0 until it is in the log.
    pub id: u64,
    /// When.
    pub time: Wall,
    /// What.
    pub kind: EventKind,
    /// Whom: a device id, a stream key, or empty.
    pub subject: String,
    /// The rest, by kind. Never holds a secret.
    pub data: serde_json::Value,
}
