//! Which call a path is, and by which methods.

use super::{agent, catalog, event, health, session};
use http::Method;

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Agent(agent::Call),
    Catalog(catalog::Call),
    Health(health::Call),
    Keys,
    Session(session::Call),
    Txn,
    Event(event::Call),
    Leader,
    Peers,
    /// Access lists, which a real one refuses like this where they are off.
    Lists,
    /// Left out.
    Missing,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found<'p> {
    pub call: Call,
    pub methods: &'static [Method],
    /// What the call is about: the end of the path.
    pub rest: &'p str,
}

const READ: &[Method] = &[Method::GET];
const WRITE: &[Method] = &[Method::PUT];
/// Older clients say these by other methods.
const SAY: &[Method] = &[Method::PUT, Method::GET, Method::POST];
const KEYS: &[Method] = &[Method::GET, Method::PUT, Method::DELETE];
const ANY: &[Method] = &[Method::GET, Method::PUT, Method::POST, Method::DELETE];

/// A path that ends with a slash goes on with what the call is about. The first that fits counts.
const TABLE: &[(&str, Call, &[Method])] = &[
    ("agent/self", Call::Agent(agent::Call::Itself), READ),
    ("agent/members", Call::Agent(agent::Call::Members), READ),
    ("agent/version", Call::Agent(agent::Call::Version), READ),
    ("agent/metrics", Call::Agent(agent::Call::Metrics), READ),
    ("agent/maintenance", Call::Agent(agent::Call::Maintenance), WRITE),
    ("agent/services", Call::Agent(agent::Call::Services), READ),
    ("agent/service/register", Call::Agent(agent::Call::Register), WRITE),
    ("agent/service/deregister/", Call::Agent(agent::Call::Deregister), SAY),
    ("agent/service/maintenance/", Call::Agent(agent::Call::ServiceMaintenance), WRITE),
    ("agent/service/", Call::Agent(agent::Call::Service), READ),
    ("agent/checks", Call::Agent(agent::Call::Checks), READ),
    ("agent/check/register", Call::Agent(agent::Call::RegisterCheck), WRITE),
    ("agent/check/deregister/", Call::Agent(agent::Call::DeregisterCheck), SAY),
    ("agent/check/pass/", Call::Agent(agent::Call::Pass), SAY),
    ("agent/check/warn/", Call::Agent(agent::Call::Warn), SAY),
    ("agent/check/fail/", Call::Agent(agent::Call::Fail), SAY),
    ("agent/check/update/", Call::Agent(agent::Call::Update), WRITE),
    ("agent/health/service/id/", Call::Agent(agent::Call::HealthById), READ),
    ("agent/health/service/name/", Call::Agent(agent::Call::HealthByName), READ),
    ("catalog/register", Call::Catalog(catalog::Call::Register), WRITE),
    ("catalog/deregister", Call::Catalog(catalog::Call::Deregister), WRITE),
    ("catalog/datacenters", Call::Catalog(catalog::Call::Datacenters), READ),
    ("catalog/nodes", Call::Catalog(catalog::Call::Nodes), READ),
    ("catalog/node/", Call::Catalog(catalog::Call::Node), READ),
    ("catalog/node-services/", Call::Catalog(catalog::Call::NodeServices), READ),
    ("catalog/services", Call::Catalog(catalog::Call::Services), READ),
    ("catalog/service/", Call::Catalog(catalog::Call::Service), READ),
    ("health/node/", Call::Health(health::Call::Node), READ),
    ("health/checks/", Call::Health(health::Call::Checks), READ),
    ("health/service/", Call::Health(health::Call::Service), READ),
    ("health/state/", Call::Health(health::Call::State), READ),
    ("kv/", Call::Keys, KEYS),
    ("session/create", Call::Session(session::Call::Create), WRITE),
    ("session/renew/", Call::Session(session::Call::Renew), WRITE),
    ("session/destroy/", Call::Session(session::Call::Destroy), WRITE),
    ("session/info/", Call::Session(session::Call::Info), READ),
    ("session/node/", Call::Session(session::Call::Node), READ),
    ("session/list", Call::Session(session::Call::List), READ),
    ("txn", Call::Txn, WRITE),
    ("event/fire/", Call::Event(event::Call::Fire), WRITE),
    ("event/list", Call::Event(event::Call::List), READ),
    ("status/leader", Call::Leader, READ),
    ("status/peers", Call::Peers, READ),
    ("acl/", Call::Lists, ANY),
];

/// What the API has, and this front has not.
const LEFT_OUT: &[&str] = &[
    "agent/",
    "catalog/",
    "config",
    "connect/",
    "coordinate/",
    "discovery-chain/",
    "exported-services",
    "health/",
    "imported-services",
    "internal/",
    "namespace",
    "operator/",
    "partition",
    "peering",
    "query",
    "snapshot",
];

/// What a path behind `/v1/` leads to.
pub(super) fn find(path: &str) -> Option<Found<'_>> {
    for (place, call, methods) in TABLE {
        let rest = if place.ends_with('/') { path.strip_prefix(place) } else { (path == *place).then_some("") };
        if let Some(rest) = rest {
            return Some(Found { call: *call, methods, rest });
        }
    }
    let is_left_out = LEFT_OUT.iter().any(|place| path.starts_with(place));
    is_left_out.then_some(Found { call: Call::Missing, methods: ANY, rest: path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_calls_and_the_rest_may_hold_anything() {
        let found = find("agent/check/pass/service:api/1").unwrap();
        assert_eq!((found.call, found.rest), (Call::Agent(agent::Call::Pass), "service:api/1"));
        assert_eq!(find("agent/service/register").unwrap().call, Call::Agent(agent::Call::Register));
        assert_eq!(find("agent/service/web").unwrap().rest, "web");
        assert_eq!(find("connect/ca/roots").unwrap().call, Call::Missing);
        assert_eq!(find("acl/tokens").unwrap().call, Call::Lists);
        assert_eq!(find("nothing"), None);
    }
}
