//! The query parameters of the table of routes.

use super::{call, handlers::pauses, route::Parameter};
use crate::{base::Wall, model::StreamKey};
use schemars::json_schema;

pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    required: false,
    summary: "How many items at most",
    schema: |_| json_schema!({ "type": "integer", "minimum": 1, "maximum": call::LIMIT_MAX, "default": call::LIMIT_DEFAULT }),
};
pub(super) const CURSOR: Parameter = Parameter {
    name: "cursor",
    required: false,
    summary: "The `next` of a former answer: go on behind it",
    schema: |_| json_schema!({ "type": "string" }),
};

pub(super) const STREAM: Parameter = Parameter {
    name: "stream",
    required: true,
    summary: "Whose footage: <device>/<channel>/<main|sub>",
    schema: |g| g.subschema_for::<StreamKey>(),
};
pub(super) const FROM: Parameter = Parameter {
    name: "from",
    required: false,
    summary: "First moment; without it, from the oldest on",
    schema: |g| g.subschema_for::<Wall>(),
};
pub(super) const TO: Parameter = Parameter {
    name: "to",
    required: false,
    summary: "First moment after; without it, up to now",
    schema: |g| g.subschema_for::<Wall>(),
};
pub(super) const AFTER: Parameter = Parameter {
    name: "after",
    required: false,
    summary: "Begin behind the event with this id, 0: at the oldest; without it, with what happens from now on",
    schema: |_| json_schema!({ "type": "integer", "minimum": 0 }),
};
pub(super) const KIND: Parameter = Parameter {
    name: "kind",
    required: false,
    summary: "Only these kinds, by commas: `presence.*,disk.full`; with `!` in front all but these: `!segment.*`",
    schema: |_| json_schema!({ "type": "string" }),
};

pub(super) const DEEP: Parameter = Parameter {
    name: "deep",
    required: false,
    summary: "`true`: read every byte and compare checksums, too",
    schema: |_| json_schema!({ "type": "boolean", "default": false }),
};

pub(super) const ANY_STREAM: Parameter = Parameter {
    required: false,
    summary: "Whose footage: <device>/<channel>/<main|sub>; without it, that of every stream that has some",
    ..STREAM
};

pub(super) const GAPS_OF: Parameter = Parameter {
    summary: "Whose gaps: <device>/<channel>/<main|sub>; without it, those of every stream that should be recorded or was",
    ..ANY_STREAM
};
pub(super) const GAPS_FROM: Parameter = Parameter {
    summary: "First moment; without it, from the begin of what is known on, and of every stream from 24 hours ago",
    ..FROM
};
pub(super) const GAPS: &[Parameter] = &[GAPS_OF, GAPS_FROM, TO, LIMIT, CURSOR];

pub(super) const REASON: Parameter = Parameter {
    name: "reason",
    required: false,
    summary: "Why, in your words; shown as the stream's reason",
    schema: |_| json_schema!({ "type": "string", "maxLength": pauses::REASON_CHARS_MAX }),
};
pub(super) const FOR: Parameter = Parameter {
    name: "for",
    required: false,
    summary: "How long, such as 30m; without `for` and `until`, until it is resumed",
    schema: |_| json_schema!({ "type": "string", "examples": ["30m"] }),
};
pub(super) const UNTIL: Parameter = Parameter {
    name: "until",
    required: false,
    summary: "When it ends by itself",
    schema: |g| g.subschema_for::<Wall>(),
};

pub(super) const URL: Parameter = Parameter {
    name: "url",
    required: false,
    summary: "Only the route that a request for this URL (or path) would meet",
    schema: |_| json_schema!({ "type": "string", "examples": ["https://media.example.com/api/users"] }),
};
pub(super) const METHOD: Parameter = Parameter {
    name: "method",
    required: false,
    summary: "With `url`: the method of that request",
    schema: |_| json_schema!({ "type": "string", "default": "GET" }),
};
pub(super) const TAGS: Parameter = Parameter {
    name: "tags",
    required: false,
    summary: "Only an instance that carries all of them, by commas",
    schema: |_| json_schema!({ "type": "string" }),
};
pub(super) const PREFIX: Parameter = Parameter {
    name: "prefix",
    required: false,
    summary: "Only keys that begin like this; without it, all",
    schema: |_| json_schema!({ "type": "string" }),
};
pub(super) const IS_PREFIX: Parameter = Parameter {
    name: "prefix",
    required: false,
    summary: "`true`: all keys that begin like this; the answer is then a list",
    schema: |_| json_schema!({ "type": "boolean", "default": false }),
};
pub(super) const RAW: Parameter = Parameter {
    name: "raw",
    required: false,
    summary: "`true`: the bytes of the value and nothing else",
    schema: |_| json_schema!({ "type": "boolean", "default": false }),
};
pub(super) const AFTER_REVISION: Parameter = Parameter {
    name: "after",
    required: false,
    summary: "Wait for a change behind this revision; what is there then, or after `wait`, is the answer",
    schema: |_| json_schema!({ "type": "integer", "minimum": 0 }),
};
pub(super) const WAIT: Parameter = Parameter {
    name: "wait",
    required: false,
    summary: "How long to wait for a change, 10m at most",
    schema: |_| json_schema!({ "type": "string", "default": "30s" }),
};
pub(super) const IF_REVISION: Parameter = Parameter {
    name: "if_revision",
    required: false,
    summary: "Only where this revision changed the key last, 0: only where it is not there; else 409",
    schema: |_| json_schema!({ "type": "integer", "minimum": 0 }),
};
pub(super) const LEASE: Parameter = Parameter {
    name: "lease",
    required: false,
    summary: "The lease that the key goes with",
    schema: |_| json_schema!({ "type": "integer" }),
};

pub(super) const FOOTAGE: &[Parameter] = &[STREAM, FROM, TO, LIMIT, CURSOR];
pub(super) const SPANS: &[Parameter] = &[ANY_STREAM, FROM, TO, LIMIT, CURSOR];
pub(super) const LIST: &[Parameter] = &[LIMIT, CURSOR];
