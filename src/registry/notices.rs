//! What the registry tells of itself: events, as many as a log can keep, and a line for people.

use super::pace::Moment;
use crate::{events::Events, model::InstanceKey};
use serde_json::{Value, json};

/// Events at once, and from then on so many a second: the log keeps ten thousand of all kinds, and a site whose
/// instances flap must not push everything else out of it. What is left out is counted, and told.
const BURST: u64 = 500;
const PER_SECOND: u64 = 20;

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Notice {
    kind: &'static str,
    subject: String,
    data: Value,
}

impl Notice {
    pub fn of(kind: &'static str, key: &InstanceKey, data: Value) -> Self {
        Self { kind, subject: format!("{}/{}", key.service, key.id), data }
    }
}

/// Tells, within bounds.
pub(super) struct Teller {
    events: Events,
    left: u64,
    filled: Moment,
    skipped: u64,
}

impl Teller {
    pub fn new(events: Events) -> Self {
        Self { events, left: BURST, filled: 0, skipped: 0 }
    }

    pub fn tell(&mut self, notices: Vec<Notice>, now: Moment) {
        let seconds = now.saturating_sub(self.filled) / 1_000_000;
        self.filled += seconds * 1_000_000;
        self.left = self.left.saturating_add(seconds.saturating_mul(PER_SECOND)).min(BURST);
        for notice in notices {
            if self.left == 0 {
                self.skipped += 1;
                continue;
            }
            self.left -= 1;
            if self.skipped > 0 {
                tracing::warn!(skipped = self.skipped, "events of the registry left out, there are too many");
                self.events.emit("registry.skipped", "", json!({ "events": self.skipped }));
                self.skipped = 0;
            }
            tracing::debug!(kind = notice.kind, instance = notice.subject, data = %notice.data, "registry");
            self.events.emit(notice.kind, notice.subject, notice.data);
        }
    }
}
