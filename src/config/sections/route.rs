//! `[[proxy.route]]`.

use super::{Origin, auth, cors, duration, split, upstream};
use crate::{
    balance::Policy,
    config::{
        fault::Place,
        reader::{Scope, as_choice, as_flag, as_integer, as_size, as_text, clip, within},
        sections::unbuilt,
    },
    proxy::{
        config::{
            Backend, Balance, Forward, HashOn, HeaderRules, HostPattern, PathChange, Route, Target, WrittenRules,
        },
        h1::{Edits, Scheme},
        table::{BadRewrite, Rewrite, Template},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

/// Names stand in labels of metrics.
const NAME_BYTES_MAX: usize = 64;
/// Each one is a line of `/metrics` and more; a site has tens.
const ROUTES_MAX: usize = 10_000;
const BODY_MAX_DEFAULT: u64 = 1 << 20;
const CONNECT_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(86_400);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
const SLOW_START: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);
const RETRIES: RangeInclusive<i64> = 0..=16;
const RETRIES_DEFAULT: u32 = 1;
/// A longer answer belongs into a file.
const RESPOND_BYTES_MAX: usize = 64 << 10;
const LOCATION_BYTES_MAX: usize = 4 << 10;
/// Of statuses, those with which a client goes elsewhere.
const REDIRECTS: [i64; 5] = [301, 302, 303, 307, 308];

/// What a route may lead to.
const TARGETS: [&str; 5] = ["service", "upstreams", "dir", "redirect", "respond"];

/// What clients may have to speak.
const SCHEMES: [(&str, Option<Scheme>); 3] = [("http", Some(Scheme::Http)), ("https", Some(Scheme::Https)), ("", None)];

/// All routes. `None` after a fault in one of them.
pub(super) fn all(scope: &Scope<'_>, origin: &Origin<'_>) -> Option<Vec<Route>> {
    let mut seen: BTreeMap<Arc<str>, Option<Place>> = BTreeMap::new();
    let routes = scope.sections("route", |scope| {
        let name = scope.required("name", "name = \"api\"", |n| name(as_text(n)?));
        if let Some(name) = &name {
            match seen.get(name) {
                Some(Some(Place::Line(line))) => {
                    let problem = format!("`{name}` is the name of the route at line {line} too; give each its own");
                    scope.fault("name", problem);
                }
                _ => drop(seen.insert(name.clone(), scope.place("name").cloned())),
            }
        }
        one(scope, origin, name)
    });
    if routes.len() > ROUTES_MAX {
        scope.fault("route", format!("stands here {} times; {ROUTES_MAX} are the most", routes.len()));
    }
    routes.into_iter().collect()
}

fn one(scope: &Scope<'_>, origin: &Origin<'_>, name: Option<Arc<str>>) -> Option<Route> {
    unbuilt::route(scope);
    let scheme = scope.value("scheme", None, |n| as_choice(n, &SCHEMES));
    let host = scope.list("host", Vec::new(), |n| host(&as_text(n)?));
    let path_prefix = scope.value("path_prefix", "/".into(), |n| prefix(&as_text(n)?));
    let path_suffix = scope.list("path_suffix", Vec::new(), |n| suffix(&as_text(n)?));
    let methods = scope.list("methods", Vec::new(), |n| method(as_text(n)?));
    let body_max = scope.value("body_max", BODY_MAX_DEFAULT, as_size);
    let headers = scope.section("headers", headers);
    let cors = cors::read(scope);
    let guard = auth::read(scope);
    let to = target(scope, origin);
    let (to, headers) = (to?, headers?);
    if !matches!(to, Target::Forward(_)) && !headers.request.is_empty() {
        scope.fault(
            "headers",
            "has rules for requests, and this route passes none on; remove `request_set` and `request_remove`",
        );
    }
    if let Some(guard) = &guard {
        auth::check(scope, guard, &headers);
    }
    if let Target::Redirect { to, .. } = &to
        && to.leads_back().is_some_and(|back| back.host.is_none() && (back.scheme.is_none() || back.scheme == scheme))
    {
        scope.fault("redirect", "leads every request back to where it is; let it lead to another scheme, host or path");
    }
    if cors.is_some() && proxy_says_cors(&headers) {
        scope.fault(
            "headers",
            "sets an Access-Control header beside `cors`, which says all of them; remove one of the two",
        );
    }
    Some(Route { name: name?, scheme, host, path_prefix, path_suffix, methods, to, body_max, headers, cors, guard })
}

fn proxy_says_cors(headers: &HeaderRules) -> bool {
    let is_it = |name: &String| name.to_ascii_lowercase().starts_with("access-control-allow-");
    headers.written.response_set.iter().any(|(name, _)| is_it(name))
}

fn target(scope: &Scope<'_>, origin: &Origin<'_>) -> Option<Target> {
    let given: Vec<&'static str> = TARGETS.into_iter().filter(|key| scope.has(key)).collect();
    match given.as_slice() {
        [] => scope.missing(
            "service",
            "service = \"web-api\", upstreams = [\"http://10.0.0.5:9000\"], dir, redirect or respond",
        ),
        [_] => {}
        [first, second, ..] => {
            scope.fault(second, format!("stands beside `{first}`; a route leads to one of them, so remove the other"));
        }
    }
    let forward = forward(scope);
    let spa = scope.value("spa", false, as_flag);
    if spa && given.as_slice() != ["dir"] {
        scope.fault("spa", "means nothing without `dir`; remove it, or serve files by `dir`");
    }
    let redirect = given.contains(&"redirect").then(|| scope.section("redirect", redirect)).flatten();
    let respond = given.contains(&"respond").then(|| scope.section("respond", respond)).flatten();
    match given.as_slice() {
        ["service"] => {
            let name = scope.optional("service", |n| {
                as_text(n)?.parse().map_err(|e: crate::model::service::BadName| e.to_string())
            });
            let (forward, tags) = forward?;
            let to = Backend::Service { name: name?, tags };
            let split = split::read(scope, &to)?;
            Some(Target::Forward(Forward { to, split, ..forward }))
        }
        ["upstreams"] => {
            let upstreams = upstream::list(scope);
            let (forward, tags) = forward?;
            if !tags.is_empty() {
                scope.fault("tags", "choose among a service's instances, and this route has `upstreams`; remove them");
            }
            let to = Backend::Upstreams(upstreams);
            let split = split::read(scope, &to)?;
            Some(Target::Forward(Forward { to, split, ..forward }))
        }
        ["dir"] => {
            let dir = scope.optional("dir", |n| match as_text(n)?.as_str() {
                "" => Err("is empty; write a directory, for example \"/srv/www\"".to_owned()),
                dir => Ok(origin.path(dir).into()),
            });
            for key in FORWARD_KEYS.into_iter().filter(|key| !PATH_KEYS.contains(key) && scope.has(key)) {
                scope.fault(key, "means nothing beside `dir`, which passes nothing on; remove it");
            }
            let (forward, _) = forward?;
            Some(Target::Files { dir: dir?, spa, path: forward.path })
        }
        [other @ ("redirect" | "respond")] => {
            for key in FORWARD_KEYS.into_iter().filter(|key| scope.has(key)) {
                scope.fault(key, format!("means nothing beside `{other}`, which passes nothing on; remove it"));
            }
            redirect.or(respond)
        }
        _ => None,
    }
}

/// What only those that pass requests on can use.
const FORWARD_KEYS: [&str; 12] = [
    "strip_prefix",
    "rewrite",
    "balance",
    "hash_on",
    "slow_start",
    "tags",
    "connect_timeout",
    "timeout",
    "retries",
    "host_header",
    "split",
    "sticky",
];

/// Those of them that files can use as well.
const PATH_KEYS: [&str; 2] = ["strip_prefix", "rewrite"];

/// How one of several is chosen.
pub(super) fn balance(scope: &Scope<'_>) -> Balance {
    let policies = Policy::ALL.map(|p| (p.as_str(), p));
    let policy = scope.value("balance", Policy::RoundRobin, |n| as_choice(n, &policies));
    let hash_on = scope.optional("hash_on", |n| hash_on(&as_text(n)?));
    if policy != Policy::Hash && hash_on.is_some() {
        scope.fault("hash_on", "means nothing without balance = \"hash\"; add that, or remove it");
    }
    let slow_start = duration(scope, "slow_start", Duration::ZERO, &SLOW_START);
    Balance { policy, hash_on: hash_on.unwrap_or_default(), slow_start }
}

/// `connect_timeout`
pub(super) fn connect_timeout(scope: &Scope<'_>) -> Duration {
    duration(scope, "connect_timeout", CONNECT_TIMEOUT_DEFAULT, &CONNECT_TIMEOUT)
}

/// The keys of routes that pass requests on, and the tags.
fn forward(scope: &Scope<'_>) -> Option<(Forward, BTreeSet<Arc<str>>)> {
    let balance = balance(scope);
    let tags = scope.list("tags", Vec::new(), |n| tag(as_text(n)?));
    let strip = scope.value("strip_prefix", None, |n| match as_text(n)?.as_str() {
        "" => Ok(None),
        text => prefix(text).map(Some),
    });
    let has_rewrite = scope.has("rewrite");
    let rewrite = scope.section("rewrite", |s| has_rewrite.then(|| rewrite(s)));
    if strip.is_some() && has_rewrite {
        scope.fault("rewrite", "stands beside `strip_prefix`; use one of them");
    }
    let path = match (strip, rewrite) {
        (_, Some(rewrite)) => PathChange::Rewrite(rewrite?),
        (Some(prefix), None) => PathChange::Strip(prefix),
        (None, None) => PathChange::None,
    };
    let forward = Forward {
        to: Backend::Upstreams(Vec::new()),
        balance,
        path,
        connect_timeout: connect_timeout(scope),
        timeout: duration(scope, "timeout", TIMEOUT_DEFAULT, &TIMEOUT),
        retries: scope.value("retries", RETRIES_DEFAULT, |n| {
            u32::try_from(within(as_integer(n)?, &RETRIES, |n| *n)?).map_err(|e| e.to_string())
        }),
        host_header: scope.value("host_header", None, |n| host_header(&as_text(n)?)),
        split: Vec::new(),
        sticky: scope.value("sticky", None, |n| split::sticky(&as_text(n)?)),
    };
    Some((forward, tags.into_iter().collect()))
}

fn rewrite(scope: &Scope<'_>) -> Option<Rewrite> {
    let from = scope.required("from", "from = \"^/old/(.*)$\"", as_text);
    let to = scope.required("to", "to = \"/new/$1\"", as_text);
    Rewrite::new(&from?, &to?)
        .map_err(|bad| match bad {
            BadRewrite::From(why) => scope.fault("from", why),
            BadRewrite::To(why) => scope.fault("to", why),
        })
        .ok()
}

fn redirect(scope: &Scope<'_>) -> Option<Target> {
    let to = scope.required("to", "to = \"https://{host}{uri}\"", |n| {
        let text = as_text(n)?;
        match () {
            () if text.len() > LOCATION_BYTES_MAX => Err("is too long for a URL".to_owned()),
            () if text.chars().any(|c| c.is_control() || c == ' ') || !text.is_ascii() => {
                Err("holds what no URL may; write it percent-encoded".to_owned())
            }
            () if !["/", "http://", "https://", "{scheme}://"].iter().any(|begin| text.starts_with(begin)) => {
                Err(format!("`{}` is no place to go to; write for example \"https://{{host}}{{uri}}\"", clip(&text)))
            }
            () => Template::parse(&text),
        }
    });
    let status = scope.value("status", 308, |n| match as_integer(n)? {
        status if REDIRECTS.contains(&status) => Ok(status as u16),
        status => Err(format!("must be 301, 302, 303, 307 or 308, not {status}")),
    });
    Some(Target::Redirect { to: to?, status })
}

fn respond(scope: &Scope<'_>) -> Option<Target> {
    let status = scope.value("status", 200, |n| {
        u16::try_from(within(as_integer(n)?, &(200..=599), |n| *n)?).map_err(|e| e.to_string())
    });
    let body = scope.value("body", Template::parse("").ok()?, |n| match as_text(n)? {
        text if text.len() > RESPOND_BYTES_MAX => Err("is longer than 64 KiB; serve it from somewhere".to_owned()),
        text => Template::parse(&text),
    });
    if matches!(status, 204 | 205 | 304) && !body.as_str().is_empty() {
        scope.fault("body", format!("cannot be there with status {status}; remove it, or use status 200"));
    }
    let content_type = match body.as_str().trim_start().bytes().next() {
        Some(b'{' | b'[') => "application/json",
        Some(b'<') => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    let content_type = scope.value("type", content_type.into(), |n| match as_text(n)? {
        text if text.contains('/') && !text.chars().any(char::is_control) && text.is_ascii() => Ok(text.into()),
        text => Err(format!("`{}` is not a media type; write for example \"text/html\"", clip(&text))),
    });
    Some(Target::Respond { status, body, content_type })
}

fn headers(scope: &Scope<'_>) -> Option<HeaderRules> {
    let names = |key: &'static str| scope.list(key, Vec::new(), as_text);
    let written = WrittenRules {
        request_set: scope.texts("request_set"),
        request_remove: names("request_remove"),
        response_set: scope.texts("response_set"),
        response_remove: names("response_remove"),
    };
    let edits = |set: &Vec<(String, String)>, remove: &Vec<String>, keys: [&'static str; 2]| {
        // Each by itself, so that the fault stands at the key that has it.
        for (key, alone) in
            [(keys[0], Edits::new(set.clone(), Vec::new())), (keys[1], Edits::new(Vec::new(), remove.clone()))]
        {
            alone.map_err(|e| scope.fault(key, e.to_string())).ok()?;
        }
        Edits::new(set.clone(), remove.clone()).map_err(|e| scope.fault(keys[0], e.to_string())).ok()
    };
    let request = edits(&written.request_set, &written.request_remove, ["request_set", "request_remove"]);
    let response = edits(&written.response_set, &written.response_remove, ["response_set", "response_remove"]);
    Some(HeaderRules { request: request?, response: response?, written })
}

pub(super) fn name(text: String) -> Result<Arc<str>, String> {
    let right = "write 1 to 64 bytes without control characters, not in round brackets, for example \"api\"";
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control) && text.trim() == text;
    // In brackets stand those that are built in.
    match fits && !text.starts_with('(') {
        true => Ok(text.into()),
        false => Err(format!("`{}` is not a name for a route; {right}", clip(&text))),
    }
}

pub(super) fn host(text: &str) -> Result<HostPattern, String> {
    let wrong = |why: &str| {
        Err(format!("`{}` {why}; write for example \"media.example.com\" or \"*.example.com\"", clip(text)))
    };
    let (is_below, name) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
    if name.contains("://") || name.contains('/') {
        return wrong("is not a host");
    }
    if name.contains('*') {
        return wrong("has a star that is not the first label");
    }
    match url::Host::parse(name.strip_suffix('.').unwrap_or(name)) {
        Ok(url::Host::Domain(name)) if is_below => Ok(HostPattern::Below(format!(".{name}").into())),
        Ok(_) if is_below => wrong("has a star before an address"),
        Ok(host) => Ok(HostPattern::Exact(host.to_string().into())),
        Err(_) if name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            wrong("has a port, which does not count")
        }
        Err(_) => wrong("is not a host"),
    }
}

/// The begin of a path, in the way in which paths are compared.
fn prefix(text: &str) -> Result<Arc<str>, String> {
    let right = "write for example \"/api/\"";
    if !text.starts_with('/') {
        return Err(format!("`{}` does not begin with `/`; {right}", clip(text)));
    }
    if text.contains(['?', '#', '*', '\\']) || text.chars().any(char::is_control) {
        return Err(format!("`{}` holds what no path has, and is no pattern but a plain begin; {right}", clip(text)));
    }
    let normal = normal(text).filter(|normal| !normal.1);
    normal
        .map(|n| n.0)
        .ok_or_else(|| format!("`{}` has `//`, `.` or `..` in it, which no path keeps; {right}", clip(text)))
}

fn suffix(text: &str) -> Result<Arc<str>, String> {
    if text.is_empty() || text.contains(['?', '#', '*', '\\']) || text.chars().any(char::is_control) {
        return Err(format!("`{}` is not the end of a path; write for example \".mp4\"", clip(text)));
    }
    // As a path of its own, without what makes it one.
    let (whole, _) = normal(&format!("/x{text}")).ok_or("is not the end of a path; write for example \".mp4\"")?;
    Ok(whole["/x".len()..].into())
}

/// A path as it is compared: what must be encoded is. True beside it where segments of it are left out.
fn normal(text: &str) -> Option<(Arc<str>, bool)> {
    use crate::proxy::h1::path::{Doubts, normalise};
    let mut encoded = Vec::new();
    for b in text.bytes() {
        match b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}') {
            true => encoded.push(b),
            false => encoded.extend_from_slice(format!("%{b:02X}").as_bytes()),
        }
    }
    let mut out = Vec::new();
    let doubts = normalise(&encoded, true, &mut out).ok()?;
    let left_out = Doubts::DOTS.and(Doubts::ENCODED_DOTS).and(Doubts::EMPTY_SEGMENT);
    Some((String::from_utf8(out).ok()?.into(), doubts.has(left_out)))
}

fn method(text: String) -> Result<Arc<str>, String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let upper = text.to_ascii_uppercase();
    match () {
        () if text.is_empty() || !text.bytes().all(is_token) => {
            Err(format!("`{}` is not a method; write for example \"GET\"", clip(&text)))
        }
        () if matches!(upper.as_str(), "CONNECT" | "TRACE") => Err(format!("`{text}` is never passed on; remove it")),
        () if text != upper => {
            Err(format!("`{}` is not \"{upper}\": methods have a case; write \"{upper}\"", clip(&text)))
        }
        () => Ok(text.into()),
    }
}

pub(super) fn tag(text: String) -> Result<Arc<str>, String> {
    match text.is_empty() || text.chars().any(char::is_control) {
        true => Err("is not a tag; write for example \"v2\"".to_owned()),
        false => Ok(text.into()),
    }
}

fn hash_on(text: &str) -> Result<HashOn, String> {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b"=;:,\"".contains(&b));
    match text.split_once(':') {
        None if text == "ip" => Ok(HashOn::Ip),
        None if text == "uri" => Ok(HashOn::Uri),
        Some(("header", name)) if is_name(name) => Ok(HashOn::Header(name.to_ascii_lowercase().into())),
        Some(("cookie", name)) if is_name(name) => Ok(HashOn::Cookie(name.into())),
        _ => {
            Err(format!("`{}` is unknown; write \"ip\", \"uri\", \"header:X-User\" or \"cookie:session\"", clip(text)))
        }
    }
}

fn host_header(text: &str) -> Result<Option<Arc<str>>, String> {
    let is_host = || {
        let url = url::Url::parse(&format!("http://{text}/")).ok()?;
        let plain = url.username().is_empty() && url.password().is_none() && url.path() == "/" && url.query().is_none();
        (plain && text.is_ascii() && !text.contains(['/', '?', '#', '@', ' '])).then_some(())
    };
    match text {
        "" => Ok(None),
        _ if is_host().is_some() => Ok(Some(text.into())),
        _ => Err(format!("`{}` is not a host; write for example \"api.internal\" or \"10.0.0.5:9000\"", clip(text))),
    }
}
