//! Services in the API's shapes. Lists are never null.

use super::{
    node::{DATACENTER, Host},
    seat::{Seat, Shown},
};
use serde_json::{Value, json};

/// As an agent shows its own.
pub(super) fn of_agent(seat: &Seat) -> Value {
    let (spec, words) = (&seat.record.spec, &seat.words);
    json!({
        "ID": words.id,
        "Service": seat.name(),
        "Tags": words.tags,
        "Meta": meta(seat),
        "Port": spec.port,
        "Address": words.address,
        "SocketPath": words.socket,
        "TaggedAddresses": words.tagged_shape(),
        "Weights": words.weights_shape(),
        "EnableTagOverride": words.tag_override,
        "CreateIndex": seat.record.created,
        "ModifyIndex": seat.record.modified,
        "Datacenter": DATACENTER,
    })
}

/// As the catalog shows it.
pub(super) fn of_catalog(seat: &Seat, host: &Host) -> Value {
    let words = &seat.words;
    json!({
        "ID": host.id(),
        "Node": &*host.name,
        "Address": host.words.address,
        "Datacenter": DATACENTER,
        "TaggedAddresses": host.tagged(),
        "NodeMeta": host.words.meta,
        "ServiceKind": "",
        "ServiceID": words.id,
        "ServiceName": seat.name(),
        "ServiceTags": words.tags,
        "ServiceAddress": words.address,
        "ServiceTaggedAddresses": words.tagged_shape(),
        "ServiceWeights": words.weights_shape(),
        "ServiceMeta": meta(seat),
        "ServicePort": seat.record.spec.port,
        "ServiceSocketPath": words.socket,
        "ServiceEnableTagOverride": words.tag_override,
        "ServiceProxy": proxy(),
        "ServiceConnect": {},
        "CreateIndex": seat.record.created,
        "ModifyIndex": seat.record.modified,
    })
}

/// As a list of a node's services shows it.
pub(super) fn of_node(seat: &Seat) -> Value {
    let words = &seat.words;
    json!({
        "ID": words.id,
        "Service": seat.name(),
        "Tags": words.tags,
        "Address": words.address,
        "TaggedAddresses": words.tagged_shape(),
        "Meta": meta(seat),
        "Port": seat.record.spec.port,
        "SocketPath": words.socket,
        "Weights": words.weights_shape(),
        "EnableTagOverride": words.tag_override,
        "Proxy": proxy(),
        "Connect": {},
        "PeerName": "",
        "CreateIndex": seat.record.created,
        "ModifyIndex": seat.record.modified,
    })
}

/// With its node and all checks that hold for it.
pub(super) fn of_health(seat: &Seat, host: &Host, checks: &[Shown]) -> Value {
    let checks: Vec<&Value> = checks.iter().map(|check| &check.shape).collect();
    json!({ "Node": host.shape(), "Service": of_node(seat), "Checks": checks })
}

fn meta(seat: &Seat) -> Value {
    let texts = seat.record.spec.meta.iter().map(|(key, value)| (key.to_string(), Value::from(&**value)));
    Value::Object(texts.collect())
}

fn proxy() -> Value {
    json!({ "Mode": "", "MeshGateway": {}, "Expose": {} })
}
