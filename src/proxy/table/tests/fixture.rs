//! Routes and catalogs for tests.

use super::super::*;
use crate::{
    balance::Policy,
    base::Wall,
    model::{Catalog, Health, Instance, InstanceKey, Service, service::Source},
    proxy::config::{self, Backend, Balance, HeaderRules, HostPattern, PathChange, Target, Upstream},
    serve::{HandlerFn, Response},
};
use std::{collections::BTreeSet, time::Duration};

pub const NOW: u64 = 1_000_000_000;

/// A route to the service of its own name; change what is to be different.
pub fn route(name: &str, prefix: &str) -> config::Route {
    to(name, prefix, Backend::Service { name: name.parse().unwrap(), tags: BTreeSet::new() })
}

pub fn to(name: &str, prefix: &str, to: Backend) -> config::Route {
    config::Route {
        name: name.into(),
        scheme: None,
        host: Vec::new(),
        path_prefix: prefix.into(),
        path_suffix: Vec::new(),
        methods: Vec::new(),
        to: Target::Forward(config::Forward {
            to,
            balance: Balance::default(),
            path: PathChange::None,
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(60),
            retries: 1,
            host_header: None,
            split: Vec::new(),
            sticky: None,
        }),
        body_max: 1 << 20,
        headers: HeaderRules::default(),
        cors: None,
        guard: None,
    }
}

pub fn upstreams(name: &str, prefix: &str, list: &[(&str, u16, u32)]) -> config::Route {
    let one = |(host, port, weight): &(&str, u16, u32)| Upstream {
        host: (*host).into(),
        port: *port,
        weight: *weight,
        via: None,
    };
    to(name, prefix, Backend::Upstreams(list.iter().map(one).collect()))
}

pub fn forward(route: &mut config::Route) -> &mut config::Forward {
    match &mut route.to {
        Target::Forward(forward) => forward,
        _ => panic!("it does not forward"),
    }
}

pub fn on(hosts: &[&str], mut route: config::Route) -> config::Route {
    let host = |h: &&str| match h.strip_prefix('*') {
        Some(suffix) => HostPattern::Below(suffix.into()),
        None => HostPattern::Exact((*h).into()),
    };
    route.host = hosts.iter().map(host).collect();
    route
}

pub fn of_scheme(scheme: Scheme, mut route: config::Route) -> config::Route {
    route.scheme = Some(scheme);
    route
}

pub fn balanced(policy: Policy, mut route: config::Route) -> config::Route {
    forward(&mut route).balance.policy = policy;
    route
}

pub fn instance(service: &str, id: &str, port: u16) -> Instance {
    Instance {
        key: InstanceKey { service: service.parse().unwrap(), id: id.parse().unwrap() },
        address: "10.0.0.1".into(),
        port,
        weight: 1,
        tags: BTreeSet::new(),
        meta: Default::default(),
        health: Health::Passing,
        reason: None,
        source: Source::Api,
        targets: [std::net::SocketAddr::from(([10, 0, 0, 1], port))].into(),
        since: Wall::default(),
        created: 1,
        modified: 1,
    }
}

/// The catalog with these instances of one service in place of those that it had.
/// A service whose name alone makes the making of a table panic.
pub const PANICS: &str = "panics";

pub fn with(catalog: &Catalog, service: &str, instances: Vec<Instance>) -> Catalog {
    let mut next = catalog.clone();
    next.revision += 1;
    let service = Service {
        name: service.parse().unwrap(),
        instances: instances.into_iter().map(Arc::new).collect(),
        modified: next.revision,
    };
    next.services.insert(service.name.clone(), Arc::new(service));
    next
}

pub fn built_in(name: &'static str, prefix: &'static str) -> BuiltIn {
    let handler = Arc::new(HandlerFn(|_| async { Response::new(crate::serve::Body::empty()) }));
    BuiltIn { name, path_prefix: prefix, body_max: 1 << 16, handler }
}

pub fn builder(routes: Vec<config::Route>) -> Builder {
    let mut builder = Builder::new(2, vec![built_in("(vod)", "/vod/"), built_in("(media)", "/media/")]);
    builder.configure(&routes.into_iter().map(Arc::new).collect::<Vec<_>>());
    builder
}

pub fn table(routes: Vec<config::Route>) -> RouteTable {
    builder(routes).build(&Catalog::default(), &Arc::default(), NOW).unwrap()
}

/// The route's name, or why there is none.
pub fn found(table: &RouteTable, method: &str, host: &str, path: &str) -> String {
    found_by(Scheme::Http, table, method, host, path)
}

/// The same for a client that speaks so.
pub fn found_by(scheme: Scheme, table: &RouteTable, method: &str, host: &str, path: &str) -> String {
    let view = RequestView { scheme, method: method.as_bytes(), host: host.as_bytes(), path: path.as_bytes() };
    match table.find(&view) {
        Found::Route(found) => found.route.name.to_string(),
        Found::NotFound => "404".into(),
        Found::MethodNotAllowed(allow) => format!("405 {allow}"),
        Found::Refused(refusal) => refusal.name().into(),
    }
}

pub fn get(table: &RouteTable, path: &str) -> String {
    found(table, "GET", "any.example", path)
}
