//! `[[proxy.tcp]]`.

use super::{duration, network::address, route, upstream};
use crate::{
    balance::Policy,
    config::{
        AdminListen,
        fault::Place,
        reader::{Scope, as_choice, as_integer, as_text, within},
    },
    proxy::{
        config::{Backend, Balance, Forward, HeaderRules, HostPattern, PathChange, Route, Target, Tcp},
        tcp::PreludeVersion,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

/// Each is a socket of each worker.
const ROUTES_MAX: usize = 1_000;
const IDLE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(7 * 86_400);
/// What brokers and databases are used to: their own heartbeats are shorter.
const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3_600);
const CONNECTIONS: RangeInclusive<i64> = 0..=10_000_000;
const PRELUDES: [(&str, Option<PreludeVersion>); 3] =
    [("off", None), ("v1", Some(PreludeVersion::V1)), ("v2", Some(PreludeVersion::V2))];

/// What else is listened on, and which names are taken.
pub(super) struct Beside<'a> {
    pub(super) http: &'a [SocketAddr],
    pub(super) admin: &'a AdminListen,
    pub(super) routes: &'a [Route],
}

/// All of them. `None` after a fault in one.
pub(super) fn all(scope: &Scope<'_>, beside: &Beside<'_>) -> Option<Vec<Route>> {
    let mut names: BTreeMap<Arc<str>, Option<Place>> =
        beside.routes.iter().map(|route| (route.name.clone(), None)).collect();
    let mut before: Vec<(SocketAddr, Vec<HostPattern>)> = Vec::new();
    let routes = scope.sections("tcp", |scope| {
        let route = one(scope)?;
        let Target::Tcp(tcp) = &route.to else { return None };
        if names.insert(route.name.clone(), None).is_some() {
            let problem = format!("`{}` is the name of another route too; give each its own", route.name);
            scope.fault(if scope.has("name") { "name" } else { "listen" }, problem);
        }
        let (listen, sni) = (tcp.listen, &tcp.sni);
        if listen.port() != 0 && (beside.http.contains(&listen) || *beside.admin == AdminListen::Tcp(listen)) {
            scope.fault("listen", format!("{listen} is where HTTP is served too; give one of them another port"));
        }
        for (_, other) in before.iter().filter(|(at, _)| *at == listen && listen.port() != 0) {
            if sni.is_empty() && other.is_empty() {
                let problem =
                    format!("{listen} leads elsewhere already; give one another port, or tell them apart by `sni`");
                scope.fault("listen", problem);
            }
            if let Some(name) = sni.iter().find(|name| other.contains(name)) {
                scope.fault("sni", format!("`{name}` leads elsewhere at {listen} already; remove one"));
            }
        }
        before.push((listen, sni.clone()));
        Some(route)
    });
    if routes.len() > ROUTES_MAX {
        scope.fault("tcp", format!("stands here {} times; {ROUTES_MAX} are the most", routes.len()));
    }
    routes.into_iter().collect()
}

fn one(scope: &Scope<'_>) -> Option<Route> {
    let listen = scope.required("listen", "listen = \"0.0.0.0:5672\"", |n| address(&as_text(n)?));
    let name = scope.optional("name", |n| route::name(as_text(n)?));
    let sni: Vec<HostPattern> = scope.list("sni", Vec::new(), |n| route::host(&as_text(n)?));
    let to = backend(scope);
    let balance = route::balance(scope);
    if balance.policy == Policy::Hash && scope.has("hash_on") {
        scope.fault("hash_on", "is always \"ip\" here, since nothing else is known of a connection; remove it");
    }
    let connect_timeout = route::connect_timeout(scope);
    let idle_timeout = duration(scope, "idle_timeout", IDLE_TIMEOUT_DEFAULT, &IDLE_TIMEOUT);
    let connections_max = scope.value("max_connections", 0, |n| {
        usize::try_from(within(as_integer(n)?, &CONNECTIONS, |n| *n)?).map_err(|e| e.to_string())
    });
    let prelude = scope.value("proxy_protocol", None, |n| as_choice(n, &PRELUDES));
    let forward = forward(to?, balance, connect_timeout);
    let listen = listen?;
    let of_first = sni.first().map(|first| format!(" {first}")).unwrap_or_default();
    let name = name.unwrap_or_else(|| format!("tcp {listen}{of_first}").into());
    let tcp = Tcp { listen, sni, forward, idle_timeout, connections_max, prelude };
    Some(Route {
        name,
        scheme: None,
        host: Vec::new(),
        path_prefix: "/".into(),
        path_suffix: Vec::new(),
        methods: Vec::new(),
        to: Target::Tcp(tcp),
        body_max: 0,
        headers: HeaderRules::default(),
        cors: None,
        guard: None,
    })
}

fn backend(scope: &Scope<'_>) -> Option<Backend> {
    let tags: BTreeSet<Arc<str>> = scope.list("tags", Vec::new(), |n| route::tag(as_text(n)?)).into_iter().collect();
    let service =
        scope.optional("service", |n| as_text(n)?.parse().map_err(|e: crate::model::service::BadName| e.to_string()));
    match (scope.has("service"), scope.has("upstreams")) {
        (true, true) => {
            scope.fault("upstreams", "stands beside `service`; a route leads to one of them, so remove the other");
            None
        }
        (true, false) => Some(Backend::Service { name: service?, tags }),
        (false, true) => {
            if !tags.is_empty() {
                scope.fault("tags", "choose among a service's instances, and this route has `upstreams`; remove them");
            }
            Some(Backend::Upstreams(upstream::of_tcp(scope)))
        }
        (false, false) => {
            scope.missing("service", "service = \"rabbit\", or upstreams = [\"10.0.0.5:5672\"]");
            None
        }
    }
}

fn forward(to: Backend, balance: Balance, connect_timeout: Duration) -> Forward {
    Forward {
        to,
        balance,
        path: PathChange::None,
        connect_timeout,
        timeout: connect_timeout,
        retries: 0,
        host_header: None,
        split: Vec::new(),
        sticky: None,
    }
}
