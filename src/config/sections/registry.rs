//! `[registry]`: services that are always there, and where other registries' clients find them.

use super::{Origin, network, secret, unbuilt};
use crate::{
    config::{
        Fronts,
        reader::{Scope, as_duration, as_flag, as_integer, as_text, within},
        tree::{Node, Value},
    },
    model::{InstanceId, InstanceKey, ServiceName, service::WEIGHT_MAX},
    registry::{CheckAsked, Config, Fault, Spec, StaticInstance},
};
use std::{collections::BTreeMap, sync::Arc};

/// Where the sites' scripts write their services.
const SERVICE_PREFIX_DEFAULT: &str = "/bmi/skyvis/services/web/";
/// A key has room for names beside it.
const SERVICE_PREFIX_BYTES_MAX: usize = 200;

/// `[registry]`
pub(super) fn read(scope: &Scope<'_>, origin: &Origin<'_>) -> (Config, Fronts) {
    unbuilt::registry(scope);
    let mut instances: Vec<StaticInstance> = scope.sections("service", service).into_iter().flatten().collect();
    instances.sort_by(|a, b| a.key.cmp(&b.key));
    for pair in instances.windows(2).filter(|pair| pair[0].key == pair[1].key) {
        let InstanceKey { service, id } = &pair[0].key;
        scope.fault("service", format!("`{service}` has two instances `{id}`; give one of them another id"));
    }
    let service_prefix = scope.value("service_prefix", SERVICE_PREFIX_DEFAULT.to_owned(), service_prefix);
    let fronts = Fronts {
        etcd_listen: scope.value("etcd_listen", None, |n| network::listen(n, "127.0.0.1:2379")),
        consul_listen: scope.value("consul_listen", None, |n| network::listen(n, "127.0.0.1:8500")),
        consul_token: secret::read(scope, "consul_token", "consul_token_file", origin),
    };
    (Config { instances, service_prefix }, fronts)
}

/// Where keys are services; empty: nowhere.
fn service_prefix(node: &Node) -> Result<String, String> {
    let text = as_text(node)?;
    match text.len() <= SERVICE_PREFIX_BYTES_MAX && (text.is_empty() || text.ends_with('/')) {
        true => Ok(text),
        false => Err(format!(
            "`{text}` has to end with a slash and to have {SERVICE_PREFIX_BYTES_MAX} bytes at most; write for example \
             \"{SERVICE_PREFIX_DEFAULT}\", or \"\" for no such keys"
        )),
    }
}

/// `[[registry.service]]`
fn service(scope: &Scope<'_>) -> Vec<StaticInstance> {
    let name =
        scope.required("name", "name = \"web-api\"", |n| as_text(n)?.parse::<ServiceName>().map_err(|e| e.to_string()));
    let instances = scope.sections("instances", instance);
    if instances.is_empty() && !scope.has("instances") {
        scope.missing("instances", "instances = [{ id = \"a\", address = \"10.0.0.5\", port = 9000 }]");
    }
    let Some(service) = name else { return Vec::new() };
    let of_service = |(id, spec)| StaticInstance { key: InstanceKey { service: service.clone(), id }, spec };
    instances.into_iter().flatten().map(of_service).collect()
}

/// One of `instances`. None only after a fault.
fn instance(scope: &Scope<'_>) -> Option<(InstanceId, Arc<Spec>)> {
    let id = scope.required("id", "id = \"a\"", |n| as_text(n)?.parse::<InstanceId>().map_err(|e| e.to_string()));
    let address = scope.required("address", "address = \"10.0.0.5\"", as_text);
    let port = scope.required("port", "port = 9000", |n| {
        within(as_integer(n)?, &(1..=65_535), |n| *n).and_then(|n| u16::try_from(n).map_err(|e| e.to_string()))
    });
    let weight = scope.value("weight", 1, |n| {
        within(as_integer(n)?, &(0..=i64::from(WEIGHT_MAX)), |n| *n)
            .and_then(|n| u32::try_from(n).map_err(|e| e.to_string()))
    });
    let tags = scope.list("tags", Vec::new(), as_text);
    let meta = scope.value("meta", BTreeMap::new(), texts);
    let is_checked = scope.has("check");
    let check = scope.section("check", |s| is_checked.then(|| check(s)));
    let spec = Spec { weight, tags: tags.into_iter().map(Arc::from).collect(), meta, ..Spec::new(&address?, port?) };
    let spec = match check {
        Some(check) => spec.with_check(check).and_then(Spec::checked),
        None => spec.checked(),
    };
    match spec {
        Ok(spec) => Some((id?, Arc::new(spec))),
        Err(Fault { key, problem }) => {
            // A key of the check stands in the check.
            let is_own = matches!(key, "address" | "port" | "weight" | "tags" | "meta" | "check");
            match scope.place("check").filter(|_| !is_own) {
                Some(place) => scope.fault_at(place, &format!("check.{key}"), problem),
                None => scope.fault(key, problem),
            }
            None
        }
    }
}

fn check(scope: &Scope<'_>) -> CheckAsked {
    let number =
        |n: &Node| u32::try_from(as_integer(n)?).map_err(|_| "must be a whole number from 1 to 100".to_owned());
    let asked = CheckAsked {
        http: scope.optional("http", as_text),
        tcp: scope.value("tcp", false, as_flag),
        grpc: scope.optional("grpc", as_text),
        ttl: None,
        interval: scope.optional("interval", as_duration),
        timeout: scope.optional("timeout", as_duration),
        rise: scope.optional("rise", number),
        fall: scope.optional("fall", number),
        deregister_after: scope.optional("deregister_after", as_duration),
    };
    scope
        .misplaced("ttl", "is for instances that register themselves; what stands in this file has nobody to renew it");
    asked
}

/// `{ zone = "a", … }`
fn texts(node: &Node) -> Result<BTreeMap<Arc<str>, Arc<str>>, String> {
    let Value::Table(table) = &node.value else {
        return Err(format!("is {}; it must be a table of texts, {{ zone = \"a\" }}", node.value.kind()));
    };
    let pair = |(key, node): (&String, &Node)| match as_text(node) {
        Ok(text) => Ok((Arc::from(key.as_str()), Arc::from(text))),
        Err(problem) => Err(format!("{key} {problem}")),
    };
    table.iter().map(pair).collect()
}
