//! Tables are made here. What did not change is taken over from the table before: routes while the configuration is
//! the same, groups while their service is.

use super::{
    Action, Files, Forward, Group, Guard, OfSchemes, Redirect, Resolved, Respond, Route, RouteMeters, RouteTable,
    Rules, Tcp, group::GroupKey, index::Index, states::States,
};
use crate::{
    model::Catalog,
    proxy::{
        config::{self, Backend, HostPattern, Target},
        files::Site,
        h1::{Edits, Scheme},
    },
    serve::Handler,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Endpoints of all groups together: some 500 MB. Only routes that want many different parts of one large service come
/// near it; the table before then stays.
const ENDPOINTS_MAX: usize = if cfg!(test) { 50_000 } else { 2_000_000 };

/// What `cors` says in place of the upstream.
const CORS_FIELDS: [&str; 5] = [
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Max-Age",
];

/// Why there is no new table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Groups would hold too much.
    #[error(
        "{groups} groups would hold more than {ENDPOINTS_MAX} endpoints; give routes to one service the same tags and balance"
    )]
    TooLarge {
        /// How many groups there would be.
        groups: usize,
    },
}

/// A route of the process itself.
#[derive(Clone)]
pub struct BuiltIn {
    /// Its name in logs and metrics; in brackets, so that no route of the file has it.
    pub name: &'static str,
    /// What the path begins with.
    pub path_prefix: &'static str,
    /// The most that a request's body may have, in bytes.
    pub body_max: u64,
    /// Answers.
    pub handler: Arc<dyn Handler>,
}

/// Makes tables.
pub struct Builder {
    workers: usize,
    built_in: Vec<BuiltIn>,
    rules: Arc<Rules>,
    groups: BTreeMap<GroupKey, Arc<Group>>,
    states: States,
    meters: BTreeMap<Arc<str>, Arc<RouteMeters>>,
    versions: u64,
}

impl Builder {
    /// One that has made none yet. `workers`: how many threads count.
    pub fn new(workers: usize, built_in: Vec<BuiltIn>) -> Self {
        let rules = Rules {
            routes: [].into(),
            built_in: 0,
            order: [].into(),
            index: Index::default(),
            of_schemes: None,
            groups: [].into(),
            has_cors: false,
            tcp: [].into(),
        };
        let mut builder = Self {
            workers,
            built_in,
            rules: Arc::new(rules),
            groups: BTreeMap::new(),
            states: States::default(),
            meters: BTreeMap::new(),
            versions: 0,
        };
        builder.configure(&[]);
        builder
    }

    /// Takes other routes for the tables to come.
    pub fn configure(&mut self, routes: &[Arc<config::Route>]) {
        let keys: BTreeSet<GroupKey> = routes.iter().flat_map(|route| keys_of(route)).collect();
        let slots = self.slots(&keys);
        let by_key: BTreeMap<&GroupKey, usize> = keys.iter().zip(0..).collect();
        let of_file = self.rules.routes.iter().filter_map(|route| Some((&*route.config.as_ref()?.name, route)));
        let known: BTreeMap<&str, &Arc<Route>> = of_file.collect();
        let mut meters = BTreeMap::new();
        let mut meter = |name: &Arc<str>| {
            let known = self.meters.get(name).cloned();
            let one = known.unwrap_or_else(|| Arc::new(RouteMeters::new(name.clone(), self.workers)));
            meters.insert(name.clone(), one.clone());
            one
        };
        let mut made = Vec::new();
        for route in routes {
            // A route that did not change goes on as the same one.
            let is_same = |before: &&&Arc<Route>| before.config.as_ref().is_some_and(|config| **config == **route);
            let groups: Vec<usize> = keys_of(route).iter().filter_map(|key| by_key.get(key).copied()).collect();
            let same =
                known.get(&*route.name).filter(is_same).filter(|before| before.groups().eq(groups.iter().copied()));
            made.push(match same {
                Some(same) => {
                    meter(&same.name);
                    same.guard.iter().for_each(|guard| drop(meter(&guard.way.name)));
                    (*same).clone()
                }
                None => {
                    let guard = route.guard.as_ref().map(|_| meter(&guard_name(&route.name)));
                    Arc::new(of_config(route, &groups, meter(&route.name), guard))
                }
            });
        }
        let built_in = made.len();
        made.extend(self.built_in.iter().map(|b| Arc::new(of_built_in(b, meter(&b.name.into())))));
        self.meters = meters;
        let is_tcp = |route: &config::Route| matches!(route.to, Target::Tcp(_));
        let index = |scheme: Option<Scheme>| {
            let matched = routes.iter().enumerate().filter(|(_, r)| !is_tcp(r) && r.scheme == scheme);
            Index::new(matched.map(|(at, r)| (at, r.host.as_slice(), &r.path_prefix)))
        };
        let of_schemes = || OfSchemes { http: index(Some(Scheme::Http)), https: index(Some(Scheme::Https)) };
        self.rules = Arc::new(Rules {
            index: index(None),
            of_schemes: routes.iter().any(|r| r.scheme.is_some()).then(|| Box::new(of_schemes())),
            order: in_order(&made),
            tcp: (0..made.len()).filter(|at| made[*at].tcp().is_some()).collect(),
            has_cors: made.iter().any(|route| route.cors.is_some()),
            routes: made.into(),
            built_in,
            groups: slots.into(),
        });
    }

    /// A table of what is built in alone, for where no other one can be made.
    pub fn empty(&self) -> RouteTable {
        let mut alone = Self::new(self.workers, self.built_in.clone());
        alone.configure(&[]);
        let rules = alone.rules;
        RouteTable { rules, groups: [].into(), resolved: Arc::default(), revision: 0, version: 0 }
    }

    /// The table for a catalog. With an error, the one before still holds.
    pub fn build(
        &mut self,
        catalog: &Catalog,
        resolved: &Arc<Resolved>,
        now_micros: u64,
    ) -> Result<RouteTable, BuildError> {
        #[cfg(test)]
        assert!(!catalog.services.keys().any(|name| name.as_str() == super::tests::PANICS), "on purpose");
        let mut groups = Vec::with_capacity(self.rules.groups.len());
        let mut endpoints = 0;
        for (key, slot) in &self.rules.groups {
            let before = self.groups.get(key);
            let group = Group::make(key, *slot, before, catalog, resolved, &mut self.states, now_micros);
            endpoints += group.endpoints.len();
            if endpoints > ENDPOINTS_MAX {
                return Err(BuildError::TooLarge { groups: self.rules.groups.len() });
            }
            groups.push(group);
        }
        self.groups = groups.iter().map(|group| (group.key.clone(), group.clone())).collect();
        self.states.sweep();
        self.versions += 1;
        Ok(RouteTable {
            rules: self.rules.clone(),
            groups: groups.into(),
            resolved: resolved.clone(),
            revision: catalog.revision,
            version: self.versions,
        })
    }

    /// The host names that fixed upstreams need resolved.
    pub fn hosts(&self) -> BTreeSet<Arc<str>> {
        let upstreams = self.rules.groups.iter().flat_map(|(key, _)| match &key.backend {
            Backend::Upstreams(upstreams) => upstreams.as_slice(),
            Backend::Service { .. } => &[],
        });
        upstreams.map(|u| u.host.clone()).filter(|host| host.parse::<std::net::IpAddr>().is_err()).collect()
    }

    /// What is counted, by route.
    pub fn meters(&self) -> Vec<Arc<RouteMeters>> {
        self.meters.values().cloned().collect()
    }

    /// Instances of which something is known.
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// Each group's place in pickers: those that there were keep theirs, others take the lowest free ones.
    fn slots(&self, keys: &BTreeSet<GroupKey>) -> Vec<(GroupKey, usize)> {
        let before: BTreeMap<&GroupKey, usize> = self.rules.groups.iter().map(|(key, slot)| (key, *slot)).collect();
        let taken: BTreeSet<usize> = keys.iter().filter_map(|key| before.get(key).copied()).collect();
        let mut free = (0..).filter(|slot| !taken.contains(slot));
        let place = |key: &GroupKey| before.get(key).copied().or_else(|| free.next()).unwrap_or(0);
        keys.iter().cloned().zip(keys.iter().map(place)).collect()
    }
}

impl Route {
    /// Its own group, then those of its lines, then its guard's.
    fn groups(&self) -> impl Iterator<Item = usize> {
        let of = |forward: &Forward| {
            let lines: Vec<usize> = forward.lines.iter().map(|line| line.group).collect();
            [forward.group].into_iter().chain(lines)
        };
        let guard = self.guard.as_ref().and_then(|guard| guard.way.forward());
        self.forward().into_iter().chain(guard).flat_map(of)
    }
}

/// What there must be groups for: the route's own, then its lines, then its guard.
fn keys_of(route: &config::Route) -> Vec<GroupKey> {
    let own = match &route.to {
        Target::Forward(forward) | Target::Tcp(config::Tcp { forward, .. }) => Some(forward),
        Target::Files { .. } | Target::Redirect { .. } | Target::Respond { .. } => None,
    };
    let keys = |forward: &config::Forward| {
        let backends = [&forward.to].into_iter().chain(forward.split.iter().map(|line| &line.to));
        backends
            .map(|backend| GroupKey { backend: backend.clone(), balance: forward.balance.clone() })
            .collect::<Vec<_>>()
    };
    own.into_iter().chain(route.guard.as_ref().map(|guard| &guard.forward)).flat_map(keys).collect()
}

/// What a guarded route's questions are counted as. In brackets, so that no route of the file has it.
fn guard_name(route: &str) -> Arc<str> {
    format!("(auth of {route})").into()
}

/// The way to whom a guarded route asks. Without it the route would be open to all, so there is none without.
fn guard(config: &config::Guard, route: &config::Route, group: usize, meters: Option<Arc<RouteMeters>>) -> Box<Guard> {
    let key = keys_of(route).pop().expect("every guarded route has a key for its guard");
    let way = Arc::new(Route {
        name: guard_name(&route.name),
        action: Action::Forward(Forward::new(&config.forward, group, &[], key)),
        request_edits: None,
        response_edits: None,
        cors: None,
        guard: None,
        body_max: 0,
        meters: meters.expect("the questions of every guarded route are counted"),
        config: None,
        prefix: "".into(),
    });
    Box::new(Guard { way, config: config.clone() })
}

fn of_config(
    config: &Arc<config::Route>,
    groups: &[usize],
    meters: Arc<RouteMeters>,
    guard_meters: Option<Arc<RouteMeters>>,
) -> Route {
    let (guarded, groups) = match &config.guard {
        Some(asked) => {
            let (last, rest) = groups.split_last().expect("every guarded route has a group for its guard");
            (Some((asked, *last)), rest)
        }
        None => (None, groups),
    };
    let action = match (&config.to, groups.split_first().zip(keys_of(config).into_iter().next())) {
        (Target::Files { dir, spa, path }, _) => {
            Action::Files(Files { site: Arc::new(Site::new(dir.clone(), *spa)), change: path.clone() })
        }
        (Target::Redirect { to, status }, _) => Action::Redirect(Redirect::new(*status, to)),
        (Target::Respond { status, body, content_type }, _) => {
            Action::Respond(Respond { status: *status, content_type: content_type.clone(), body: body.clone() })
        }
        (Target::Tcp(tcp), found) => {
            let ((group, _), key) = found.expect("every route that forwards has a group");
            Action::Tcp(Tcp::new(tcp, Forward::new(&tcp.forward, *group, &[], key)))
        }
        (Target::Forward(forward), found) => {
            let ((group, lines), key) = found.expect("every route that forwards has a group");
            Action::Forward(Forward::new(forward, *group, lines, key))
        }
    };
    Route {
        name: config.name.clone(),
        action,
        request_edits: request_edits(config),
        response_edits: response_edits(config),
        cors: config.cors.clone(),
        guard: guarded.map(|(asked, group)| guard(asked, config, group, guard_meters)),
        body_max: if config.body_max == 0 { u64::MAX } else { config.body_max },
        meters,
        config: Some(config.clone()),
        prefix: config.path_prefix.clone(),
    }
}

/// What a guard says of the client is nothing that the client says itself.
fn request_edits(config: &config::Route) -> Option<Edits> {
    let said = &config.headers.request;
    match &config.guard {
        Some(guard) if !guard.copied.is_empty() => {
            Some(said.removing(&guard.copied.iter().map(String::as_str).collect::<Vec<_>>()))
        }
        _ => edits(said),
    }
}

/// What an upstream says of other origins is not for it to say where the route does: a browser refuses two answers.
fn response_edits(config: &config::Route) -> Option<Edits> {
    let said = &config.headers.response;
    match config.cors {
        Some(_) => Some(said.removing(&CORS_FIELDS)),
        None => edits(said),
    }
}

fn edits(edits: &Edits) -> Option<Edits> {
    (!edits.is_empty()).then(|| edits.clone())
}

fn of_built_in(built_in: &BuiltIn, meters: Arc<RouteMeters>) -> Route {
    Route {
        name: built_in.name.into(),
        action: Action::Handler(built_in.handler.clone()),
        request_edits: None,
        response_edits: None,
        body_max: built_in.body_max,
        meters,
        cors: None,
        guard: None,
        config: None,
        prefix: built_in.path_prefix.into(),
    }
}

/// As they are matched: those for one scheme first, by host, then by the longest prefix, then as they stand. One for several hosts stands where
/// its nearest host does.
fn in_order(routes: &[Arc<Route>]) -> Box<[usize]> {
    let rank = |host: &HostPattern| match host {
        HostPattern::Exact(_) => (0, Reverse(0)),
        HostPattern::Below(suffix) => (1, Reverse(suffix.len())),
    };
    let place = |at: &usize| {
        let route = &routes[*at];
        let host = route.config.iter().flat_map(|config| &config.host).map(rank).min();
        let is_for_all = route.config.as_ref().is_none_or(|config| config.scheme.is_none());
        (is_for_all, host.unwrap_or((2, Reverse(0))), Reverse(route.prefix.len()), *at)
    };
    let mut order: Vec<usize> = (0..routes.len()).collect();
    order.sort_by_key(place);
    order.into()
}
