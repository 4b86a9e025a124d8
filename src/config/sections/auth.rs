//! `auth` of a route.

use super::{duration, unbuilt, upstream};
use crate::{
    balance::Policy,
    config::reader::{Scope, as_text, clip},
    proxy::{
        config::{Backend, Balance, Forward, Guard, HeaderRules, PathChange, Upstream},
        h1::Edits,
    },
};
use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
/// A person waits for it, before anything is served.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TARGET_BYTES_MAX: usize = 4 << 10;

/// What the question has of its own, and what is asked about a file or a part of it and not about who may have it: with
/// that, an answer could be 304 or 206.
const NOT_ASKED: [&str; 10] = [
    "X-Forwarded-Method",
    "X-Forwarded-Uri",
    "X-Original-Method",
    "X-Original-URI",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
    "Range",
];

const RIGHT: &str = "write for example \"http://10.0.0.5:9000/may\", or \"http://SERVICE/may\"";

/// None where it is not there, or empty.
pub(super) fn read(scope: &Scope<'_>) -> Option<Guard> {
    scope.section("auth", |scope| {
        unbuilt::auth(scope);
        let forward = scope.value("forward", None, |n| match as_text(n)?.as_str() {
            "" => Ok(None),
            text => asked(text).map(|asked| Some((text.to_owned(), asked))),
        });
        let copied = names(scope, "copy_headers");
        let told = names(scope, "answer_headers");
        let timeout = duration(scope, "timeout", TIMEOUT_DEFAULT, &TIMEOUT);
        if forward.is_none() && ["copy_headers", "answer_headers", "timeout"].into_iter().any(|key| scope.has(key)) {
            scope.missing("forward", "forward = \"http://10.0.0.5:9000/may\"");
        }
        let edits = Edits::new(Vec::new(), NOT_ASKED.map(str::to_owned).to_vec());
        let (written, asked) = forward?;
        let forward = Forward {
            to: asked.to,
            balance: Balance { policy: Policy::RoundRobin, ..Balance::default() },
            path: PathChange::None,
            connect_timeout: CONNECT_TIMEOUT.min(timeout),
            timeout,
            retries: 1,
            host_header: Some(asked.host.into()),
            split: Vec::new(),
            sticky: None,
        };
        let edits = edits.ok()?;
        Some(Guard { written: written.into(), forward, target: asked.target.into(), copied, told, edits })
    })
}

/// What cannot stand beside it.
pub(super) fn check(scope: &Scope<'_>, guard: &Guard, headers: &HeaderRules) {
    let sets = |name: &&String| headers.written.request_set.iter().any(|(set, _)| set.eq_ignore_ascii_case(name));
    if let Some(name) = guard.copied.iter().find(sets) {
        scope.fault("auth", format!("copies `{name}`, which `headers.request_set` sets too; remove one of the two"));
    }
}

/// Whom to ask, and for what.
struct Whom {
    to: Backend,
    host: String,
    target: String,
}

fn asked(text: &str) -> Result<Whom, String> {
    let (place, words) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let Some((scheme, rest)) = place.split_once("://") else {
        return Err(format!("`{}` is not a URL; {RIGHT}", clip(text)));
    };
    let (authority, target) = match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('?') => (&rest[..at], format!("/{}", &rest[at..])),
        Some(at) => (&rest[..at], rest[at..].to_owned()),
        None => (rest, "/".to_owned()),
    };
    if target.len() > TARGET_BYTES_MAX || target.contains('#') || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("`{}` has a path that no URL has; write it percent-encoded, without `#`", clip(text)));
    }
    let to = match authority.parse() {
        // One word, and no port: nothing that a resolver knows.
        Ok(name)
            if scheme == "http" && words.is_empty() && !authority.contains(['.', ':']) && authority != "localhost" =>
        {
            Backend::Service { name, tags: BTreeSet::new() }
        }
        _ => Backend::Upstreams(vec![fixed(scheme, authority, words)?]),
    };
    Ok(Whom { to, host: authority.to_owned(), target })
}

fn fixed(scheme: &str, authority: &str, words: &str) -> Result<Upstream, String> {
    upstream::one(&format!("{scheme}://{authority} {words}"))
}

/// Names of fields; those that say how a message is read are nobody's to copy.
fn names(scope: &Scope<'_>, key: &'static str) -> Vec<String> {
    let names = scope.list(key, Vec::new(), as_text);
    if let Err(error) = Edits::new(Vec::new(), names.clone()) {
        scope.fault(key, error.to_string());
    }
    names
}
