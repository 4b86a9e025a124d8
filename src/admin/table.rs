//! The table of routes: the one place where the API is written down. The router reads it, and so does the API's
//! description.

use super::{
    auth::Access::{Operator, Probe, Shell},
    handlers::{console, devices, events, footage, gaps, keys, pauses, routes, services, streams, system, upkeep},
    paging::Page,
    route::{
        Answer::{Json, Media},
        Parameter, Route,
    },
    views,
};
use crate::{base::Wall, camera, model::StreamKey};
use http::Method;
use schemars::json_schema;

const LIMIT: Parameter = Parameter {
    name: "limit",
    required: false,
    summary: "How many items at most",
    schema: |_| json_schema!({ "type": "integer", "minimum": 1, "maximum": super::call::LIMIT_MAX, "default": super::call::LIMIT_DEFAULT }),
};
const CURSOR: Parameter = Parameter {
    name: "cursor",
    required: false,
    summary: "The `next` of a former answer: go on behind it",
    schema: |_| json_schema!({ "type": "string" }),
};

const STREAM: Parameter = Parameter {
    name: "stream",
    required: true,
    summary: "Whose footage: <device>/<channel>/<main|sub>",
    schema: |g| g.subschema_for::<StreamKey>(),
};
const FROM: Parameter = Parameter {
    name: "from",
    required: false,
    summary: "First moment; without it, from the oldest on",
    schema: |g| g.subschema_for::<Wall>(),
};
const TO: Parameter = Parameter {
    name: "to",
    required: false,
    summary: "First moment after; without it, up to now",
    schema: |g| g.subschema_for::<Wall>(),
};
const AFTER: Parameter = Parameter {
    name: "after",
    required: false,
    summary: "Begin behind the event with this id, 0: at the oldest; without it, with what happens from now on",
    schema: |_| json_schema!({ "type": "integer", "minimum": 0 }),
};
const KIND: Parameter = Parameter {
    name: "kind",
    required: false,
    summary: "Only these kinds, by commas: `presence.*,disk.full`",
    schema: |_| json_schema!({ "type": "string" }),
};

const DEEP: Parameter = Parameter {
    name: "deep",
    required: false,
    summary: "`true`: read every byte and compare checksums, too",
    schema: |_| json_schema!({ "type": "boolean", "default": false }),
};

const ANY_STREAM: Parameter = Parameter {
    required: false,
    summary: "Whose footage: <device>/<channel>/<main|sub>; without it, that of every stream that has some",
    ..STREAM
};

const GAPS_OF: Parameter = Parameter {
    summary: "Whose gaps: <device>/<channel>/<main|sub>; without it, those of every stream that should be recorded or was",
    ..ANY_STREAM
};
const GAPS_FROM: Parameter = Parameter {
    summary: "First moment; without it, from the begin of what is known on, and of every stream from 24 hours ago",
    ..FROM
};
const GAPS: &[Parameter] = &[GAPS_OF, GAPS_FROM, TO, LIMIT, CURSOR];

const REASON: Parameter = Parameter {
    name: "reason",
    required: false,
    summary: "Why, in your words; shown as the stream's reason",
    schema: |_| json_schema!({ "type": "string", "maxLength": super::handlers::pauses::REASON_CHARS_MAX }),
};
const FOR: Parameter = Parameter {
    name: "for",
    required: false,
    summary: "How long, such as 30m; without `for` and `until`, until it is resumed",
    schema: |_| json_schema!({ "type": "string", "examples": ["30m"] }),
};
const UNTIL: Parameter = Parameter {
    name: "until",
    required: false,
    summary: "When it ends by itself",
    schema: |g| g.subschema_for::<Wall>(),
};

const URL: Parameter = Parameter {
    name: "url",
    required: false,
    summary: "Only the route that a request for this URL (or path) would meet",
    schema: |_| json_schema!({ "type": "string", "examples": ["https://media.example.com/api/users"] }),
};
const METHOD: Parameter = Parameter {
    name: "method",
    required: false,
    summary: "With `url`: the method of that request",
    schema: |_| json_schema!({ "type": "string", "default": "GET" }),
};
const TAGS: Parameter = Parameter {
    name: "tags",
    required: false,
    summary: "Only an instance that carries all of them, by commas",
    schema: |_| json_schema!({ "type": "string" }),
};
const PREFIX: Parameter = Parameter {
    name: "prefix",
    required: false,
    summary: "Only keys that begin like this; without it, all",
    schema: |_| json_schema!({ "type": "string" }),
};
const IS_PREFIX: Parameter = Parameter {
    name: "prefix",
    required: false,
    summary: "`true`: all keys that begin like this; the answer is then a list",
    schema: |_| json_schema!({ "type": "boolean", "default": false }),
};
const RAW: Parameter = Parameter {
    name: "raw",
    required: false,
    summary: "`true`: the bytes of the value and nothing else",
    schema: |_| json_schema!({ "type": "boolean", "default": false }),
};
const AFTER_REVISION: Parameter = Parameter {
    name: "after",
    required: false,
    summary: "Wait for a change behind this revision; what is there then, or after `wait`, is the answer",
    schema: |_| json_schema!({ "type": "integer", "minimum": 0 }),
};
const WAIT: Parameter = Parameter {
    name: "wait",
    required: false,
    summary: "How long to wait for a change, 10m at most",
    schema: |_| json_schema!({ "type": "string", "default": "30s" }),
};
const IF_REVISION: Parameter = Parameter {
    name: "if_revision",
    required: false,
    summary: "Only where this revision changed the key last, 0: only where it is not there; else 409",
    schema: |_| json_schema!({ "type": "integer", "minimum": 0 }),
};
const LEASE: Parameter = Parameter {
    name: "lease",
    required: false,
    summary: "The lease that the key goes with",
    schema: |_| json_schema!({ "type": "integer" }),
};

const FOOTAGE: &[Parameter] = &[STREAM, FROM, TO, LIMIT, CURSOR];
const SPANS: &[Parameter] = &[ANY_STREAM, FROM, TO, LIMIT, CURSOR];
const LIST: &[Parameter] = &[LIMIT, CURSOR];
const NONE: Option<&[Parameter]> = Some(&[]);

/// A route's function as the table holds it.
macro_rules! run {
    ($function:path) => {
        |api, call| Box::pin($function(api, call))
    };
}

/// The schema of a serialised type.
macro_rules! schema {
    ($type:ty) => {
        Json(|g| g.subschema_for::<$type>())
    };
}

/// Every route; the first that fits wins.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        pattern: "/healthz",
        summary: "The process is alive",
        query: None,
        access: Probe,
        answer: Media("text/plain"),
        run: run!(system::healthz),
    },
    Route {
        method: Method::GET,
        pattern: "/readyz",
        summary: "Listeners, store and index are open; cameras never hold it back",
        query: None,
        access: Probe,
        answer: Media("text/plain"),
        run: run!(system::readyz),
    },
    Route {
        method: Method::GET,
        pattern: "/metrics",
        summary: "Metrics for Prometheus",
        query: None,
        access: Operator,
        answer: Media("text/plain"),
        run: run!(system::metrics),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/openapi.json",
        summary: "This description",
        query: NONE,
        access: Operator,
        answer: Json(|_| json_schema!({ "type": "object" })),
        run: run!(system::openapi),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/status",
        summary: "Version, uptime, phase, counts, disk",
        query: NONE,
        access: Operator,
        answer: schema!(views::StatusView),
        run: run!(system::status),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/devices",
        summary: "Every configured device",
        query: Some(LIST),
        access: Operator,
        answer: schema!(Page<camera::DeviceView>),
        run: run!(devices::list),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/devices/{id}",
        summary: "One device",
        query: NONE,
        access: Operator,
        answer: schema!(camera::DeviceView),
        run: run!(devices::one),
    },
    Route {
        method: Method::POST,
        pattern: "/api/v1/devices/{id}/reconnect",
        summary: "Forget that the password was refused and begin the device's sessions anew",
        query: NONE,
        access: Operator,
        answer: schema!(views::DoneView),
        run: run!(devices::reconnect),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/media-urls",
        summary: "The table of media URLs, one row a channel",
        query: Some(LIST),
        access: Operator,
        answer: schema!(Page<camera::MediaUrl>),
        run: run!(devices::media_urls),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/streams",
        summary: "Every stream",
        query: Some(LIST),
        access: Operator,
        answer: schema!(Page<views::StreamView>),
        run: run!(streams::list),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/streams/{key}",
        summary: "One stream",
        query: NONE,
        access: Operator,
        answer: schema!(views::StreamView),
        run: run!(streams::one),
    },
    Route {
        method: Method::POST,
        pattern: "/api/v1/streams/{key}/pause",
        summary: "Do not record the stream, until it is resumed or the time is over; kept over restarts. `reason`, `for` and `until` may also be sent as a JSON object",
        query: Some(&[REASON, FOR, UNTIL]),
        access: Operator,
        answer: schema!(views::PauseView),
        run: run!(pauses::pause),
    },
    Route {
        method: Method::POST,
        pattern: "/api/v1/streams/{key}/resume",
        summary: "Record the stream again; nothing happens to one that is not paused",
        query: NONE,
        access: Operator,
        answer: schema!(views::DoneView),
        run: run!(pauses::resume),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/gaps",
        summary: "Time in which streams should have been recorded and were not, with the cause, and how much of the wanted time is there",
        query: Some(GAPS),
        access: Operator,
        answer: schema!(views::GapsView),
        run: run!(gaps::gaps),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/recordings",
        summary: "Footage as spans, runs without a gap",
        query: Some(SPANS),
        access: Operator,
        answer: schema!(views::RecordingsView),
        run: run!(footage::recordings),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/segments",
        summary: "Footage as files, the one being written among them",
        query: Some(FOOTAGE),
        access: Operator,
        answer: schema!(views::SegmentsView),
        run: run!(footage::segments),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/routes",
        summary: "The proxy's routes in the order in which they are matched, who serves them, and why somebody does not",
        query: Some(&[URL, METHOD, LIMIT, CURSOR]),
        access: Operator,
        answer: schema!(views::RoutesView),
        run: run!(routes::list),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/events",
        summary: "What happens, as server-sent events; `Last-Event-ID` resumes",
        query: Some(&[AFTER, KIND]),
        access: Operator,
        answer: Media("text/event-stream"),
        run: run!(events::stream),
    },
    Route {
        method: Method::POST,
        pattern: "/api/v1/backup",
        summary: "A consistent copy of the store, streamed",
        query: NONE,
        access: Operator,
        answer: Media("application/octet-stream"),
        run: run!(upkeep::backup),
    },
    Route {
        method: Method::POST,
        pattern: "/api/v1/reindex",
        summary: "Make the index of footage anew from the files",
        query: NONE,
        access: Operator,
        answer: schema!(views::ReindexView),
        run: run!(footage::reindex),
    },
    Route {
        method: Method::POST,
        pattern: "/api/v1/verify",
        summary: "Compare the index with the files of footage; changes nothing",
        query: Some(&[DEEP]),
        access: Operator,
        answer: schema!(views::VerifyView),
        run: run!(footage::verify),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/config",
        summary: "The effective config, secrets blanked",
        query: NONE,
        access: Operator,
        answer: Json(|_| json_schema!({ "type": "object" })),
        run: run!(system::config),
    },
    Route {
        method: Method::POST,
        pattern: "/api/v1/reload",
        summary: "Read the config file again, all or nothing",
        query: NONE,
        access: Operator,
        answer: schema!(views::ReloadView),
        run: run!(system::reload),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/services",
        summary: "Services that have instances",
        query: Some(LIST),
        access: Operator,
        answer: schema!(Page<views::ServiceView>),
        run: run!(services::list),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/services/{name}",
        summary: "One service with all of its instances",
        query: NONE,
        access: Operator,
        answer: schema!(views::ServiceInstancesView),
        run: run!(services::one),
    },
    Route {
        method: Method::DELETE,
        pattern: "/api/v1/services/{name}",
        summary: "Remove all instances of a service, but those of the configuration file",
        query: NONE,
        access: Operator,
        answer: schema!(views::WrittenView),
        run: run!(services::remove_service),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/services/{name}/pick",
        summary: "One live instance, in turn and by weight; 503 where there is none",
        query: Some(&[TAGS]),
        access: Operator,
        answer: schema!(views::PickView),
        run: run!(services::pick),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/services/{name}/instances/{id}",
        summary: "One instance",
        query: NONE,
        access: Operator,
        answer: schema!(views::InstanceView),
        run: run!(services::instance),
    },
    Route {
        method: Method::PUT,
        pattern: "/api/v1/services/{name}/instances/{id}",
        summary: "Register an instance: {address, port, weight, tags, meta, ttl, check, deregister_after}; answered when it is durable and the proxy serves it. The same again renews its ttl and changes nothing",
        query: NONE,
        access: Operator,
        answer: schema!(views::WrittenView),
        run: run!(services::register),
    },
    Route {
        method: Method::DELETE,
        pattern: "/api/v1/services/{name}/instances/{id}",
        summary: "Remove an instance; answered when it is durable and the proxy does not use it any more",
        query: NONE,
        access: Operator,
        answer: schema!(views::WrittenView),
        run: run!(services::deregister),
    },
    Route {
        method: Method::POST,
        pattern: "/api/v1/services/{name}/instances/{id}/renew",
        summary: "An instance with a ttl says that it is still there",
        query: NONE,
        access: Operator,
        answer: schema!(views::RenewedView),
        run: run!(services::renew),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/kv",
        summary: "Keys and their values, in order",
        query: Some(&[PREFIX, LIMIT, CURSOR, AFTER_REVISION, WAIT]),
        access: Operator,
        answer: schema!(views::KeysView),
        run: run!(keys::list),
    },
    Route {
        method: Method::GET,
        pattern: "/api/v1/kv/{key}",
        summary: "One key, or with `prefix` those that begin like it",
        query: Some(&[IS_PREFIX, RAW, LIMIT, CURSOR, AFTER_REVISION, WAIT]),
        access: Operator,
        answer: schema!(views::KeyView),
        run: run!(keys::get),
    },
    Route {
        method: Method::PUT,
        pattern: "/api/v1/kv/{key}",
        summary: "Write a key: the body is its value, or as application/json {value} or {base64}. The same again changes nothing",
        query: Some(&[IF_REVISION, LEASE]),
        access: Operator,
        answer: schema!(views::KeyView),
        run: run!(keys::put),
    },
    Route {
        method: Method::DELETE,
        pattern: "/api/v1/kv/{key}",
        summary: "Delete a key, or with `prefix` those that begin like it",
        query: Some(&[IS_PREFIX, IF_REVISION]),
        access: Operator,
        answer: schema!(views::KeysDeletedView),
        run: run!(keys::delete),
    },
    Route {
        method: Method::GET,
        pattern: "/media/{stream}/vod.mp4",
        summary: "Footage from `from` to `to` as one MP4 file, ranges and entity tags included",
        query: None,
        access: Shell,
        answer: Media("video/mp4"),
        run: run!(console::media),
    },
    Route {
        method: Method::GET,
        pattern: "/media/{stream}/vod.m3u8",
        summary: "Footage from `from` to `to` as HLS; without `to` it goes on with what is recorded now",
        query: None,
        access: Shell,
        answer: Media("application/vnd.apple.mpegurl"),
        run: run!(console::media),
    },
    Route {
        method: Method::GET,
        pattern: "/media/{rest}",
        summary: "What the playlists point to",
        query: None,
        access: Shell,
        answer: Media("video/mp4"),
        run: run!(console::media),
    },
    Route {
        method: Method::GET,
        pattern: "/",
        summary: "The console",
        query: None,
        access: Shell,
        answer: Media("text/html"),
        run: run!(console::asset),
    },
    Route {
        method: Method::GET,
        pattern: "/console/{file}",
        summary: "The console's files",
        query: None,
        access: Shell,
        answer: Media("text/plain"),
        run: run!(console::asset),
    },
];

/// Methods and paths of the API that this version does not have.
pub(super) const NOT_BUILT: &[(&str, &str)] = &[
    ("POST", "/api/v1/devices"),
    ("POST PUT DELETE", "/api/v1/devices/{id}"),
    ("POST", "/api/v1/devices/{id}/reboot"),
    ("GET POST DELETE", "/api/v1/plays"),
    ("GET POST DELETE", "/api/v1/plays/{id}"),
    ("GET POST DELETE", "/api/v1/jobs"),
    ("GET POST DELETE", "/api/v1/jobs/{rest}"),
    ("POST", "/api/v1/queues/{rest}"),
    ("GET POST DELETE", "/api/v1/webhooks"),
    ("GET POST DELETE", "/api/v1/webhooks/{rest}"),
    ("GET POST", "/vod/{rest}"),
    ("POST", "/media/{stream}/whep"),
];
