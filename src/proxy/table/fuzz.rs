//! Routes and requests made of any bytes: what is found must be what looking at every route finds, and what is passed
//! on must be a path. Driven by `fuzzing`.

use super::{Action, Builder, Found, RequestView, Rewrite};
use crate::{
    model::Catalog,
    proxy::{
        config::{self, Backend, Balance, HeaderRules, HostPattern, PathChange, Target},
        h1::{Scheme, path::normalise},
    },
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Routes of one input. More would only be slower.
const ROUTES_MAX: usize = 16;
const REQUESTS_MAX: usize = 32;

/// Lines of text: `host prefix suffix method change scheme` is a route, `?host method path` a request for all of them, and
/// `!host method path` one over TLS.
pub fn routes(data: &[u8]) {
    let lines = || data.split(|b| *b == b'\n');
    let routes: Vec<Arc<config::Route>> = lines()
        .filter(|l| !l.starts_with(b"?") && !l.starts_with(b"!"))
        .filter_map(route)
        .take(ROUTES_MAX)
        .zip(0..)
        .map(named)
        .collect();
    let mut builder = Builder::new(1, Vec::new());
    builder.configure(&routes);
    let Ok(table) = builder.build(&Catalog::default(), &Arc::default(), 1) else { return };
    let request = |line: &'_ [u8]| match line.split_first()? {
        (b'?', _) => Some(Scheme::Http),
        (b'!', _) => Some(Scheme::Https),
        _ => None,
    };
    for (scheme, line) in lines().filter_map(|line| Some((request(line)?, &line[1..]))).take(REQUESTS_MAX) {
        let mut words = line.splitn(3, |b| *b == b' ');
        let (Some(host), Some(method), Some(path)) = (words.next(), words.next(), words.next()) else { continue };
        let mut normal = Vec::new();
        let doubts = normalise(path, true, &mut normal);
        match table.find(&RequestView { scheme, method, host, path }) {
            Found::Refused(_) => assert!(doubts.is_err() || !doubts.is_ok_and(|d| d.is_empty()), "without a doubt"),
            Found::NotFound => assert_eq!(best(&routes, (scheme, method), host, &normal), None),
            Found::MethodNotAllowed(allow) => {
                assert_eq!(best(&routes, (scheme, method), host, &normal), None);
                let first = allow.split(", ").next().unwrap_or("");
                assert!(
                    best(&routes, (scheme, first.as_bytes()), host, &normal).is_some(),
                    "{allow} is not served either"
                );
            }
            Found::Route(found) => {
                assert_eq!(best(&routes, (scheme, method), host, &normal), Some(&*found.route.name));
                assert_eq!(*found.path, *normal, "the copy that was matched");
                let Action::Forward(forward) = &found.route.action else { continue };
                let mut out = Vec::new();
                forward.target(path, &found.path, None, &mut out);
                let is_changed = out != path;
                assert!(!is_changed || (out.starts_with(b"/") && !out.starts_with(b"//")), "{out:?} is no path");
                let clean = |bytes: &[u8]| !bytes.iter().any(|b| b.is_ascii_control() || *b == b' ');
                assert!(clean(&out) || !clean(path), "what no path may hold came from nowhere");
            }
        }
    }
}

fn named((mut route, n): (config::Route, usize)) -> Arc<config::Route> {
    route.name = n.to_string().into();
    Arc::new(route)
}

fn route(line: &[u8]) -> Option<config::Route> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let mut next = || words.next().filter(|word| !word.is_empty() && *word != "-");
    let host = next().map(|h| match h.strip_prefix('*') {
        Some(suffix) => HostPattern::Below(suffix.to_ascii_lowercase().into()),
        None => HostPattern::Exact(h.to_ascii_lowercase().into()),
    });
    let mut prefix = Vec::new();
    normalise(next().unwrap_or("/").as_bytes(), true, &mut prefix).ok()?;
    let list = |word: Option<&str>| word.map(Arc::from).into_iter().collect();
    let (path_suffix, methods) = (list(next()), list(next()));
    let path = match next().map(|change| change.split_once('>')) {
        Some(Some((from, to))) => PathChange::Rewrite(Rewrite::new(from, to).ok()?),
        Some(None) => PathChange::Strip(String::from_utf8(prefix.clone()).ok()?.into()),
        None => PathChange::None,
    };
    let scheme = match next() {
        Some("http") => Some(Scheme::Http),
        Some("https") => Some(Scheme::Https),
        _ => None,
    };
    Some(config::Route {
        name: "".into(),
        scheme,
        host: host.into_iter().collect(),
        path_prefix: String::from_utf8(prefix).ok()?.into(),
        path_suffix,
        methods,
        to: Target::Forward(config::Forward {
            to: Backend::Service { name: "s".parse().ok()?, tags: BTreeSet::new() },
            balance: Balance::default(),
            path,
            connect_timeout: Duration::ZERO,
            timeout: Duration::ZERO,
            retries: 0,
            host_header: None,
            split: Vec::new(),
            sticky: None,
        }),
        body_max: 0,
        headers: HeaderRules::default(),
        cors: None,
        guard: None,
    })
}

/// The name of the best route, by looking at every one.
fn best<'c>(
    routes: &'c [Arc<config::Route>],
    (scheme, method): (Scheme, &[u8]),
    host: &[u8],
    path: &[u8],
) -> Option<&'c str> {
    let host = super::index::bare(host).to_ascii_lowercase();
    let host = if host.len() > 253 { Vec::new() } else { host };
    let weight = |route: &config::Route| {
        let on_host = match route.host.first() {
            None => Some(0),
            Some(HostPattern::Exact(name)) => (name.as_bytes() == host && !host.is_empty()).then_some(usize::MAX),
            Some(HostPattern::Below(suffix)) => {
                let below = suffix.starts_with('.') && host.ends_with(suffix.as_bytes()) && host.len() > suffix.len();
                below.then_some(suffix.len())
            }
        }?;
        let is = |m: &Arc<str>| m.as_bytes() == method || (&**m == "GET" && method == b"HEAD");
        let takes = route.scheme.is_none_or(|of| of == scheme)
            && path.starts_with(route.path_prefix.as_bytes())
            && route.path_suffix.iter().all(|s| path.ends_with(s.as_bytes()))
            && (route.methods.is_empty() || route.methods.iter().any(is));
        takes.then_some((route.scheme.is_some(), on_host, route.path_prefix.len()))
    };
    let mut best: Option<((bool, usize, usize), &str)> = None;
    for route in routes {
        if let Some(weight) = weight(route).filter(|w| best.is_none_or(|(b, _)| *w > b)) {
            best = Some((weight, &route.name));
        }
    }
    best.map(|(_, name)| name)
}
