//! `/v1/catalog/…`: all that is known, wherever it is.

use super::{
    check::{self, Usual},
    fields::Fields,
    front::{Asked, Front, Reply},
    node::{DATACENTER, Host, Words},
    refusal::Refusal,
    seat::{Seat, tags_by_name},
    service, shapes,
};
use crate::{
    model::service::Source,
    registry::{Begun, Checks, Error, Owner},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Register,
    Deregister,
    Datacenters,
    Nodes,
    Node,
    NodeServices,
    Services,
    Service,
}

pub(super) async fn call(front: &Front, call: Call, asked: Asked) -> Result<Reply, Refusal> {
    match call {
        Call::Register => register(front, &asked).await,
        Call::Deregister => deregister(front, &asked).await,
        Call::Datacenters => Ok(Reply::json(&json!([DATACENTER]))),
        Call::Nodes => nodes(front, &asked).await,
        Call::Node | Call::NodeServices => node(front, call, &asked).await,
        Call::Services => services(front, &asked).await,
        Call::Service => service(front, &asked).await,
    }
}

/// Whether a node says of itself what is asked: `?node-meta=zone:a`, and others all at once.
pub(super) fn has_meta(asked: &Asked, host: &Host) -> bool {
    asked.ask.all("node-meta").all(|pair| {
        let (key, value) = pair.split_once(':').unwrap_or((pair, ""));
        host.words.meta.get(key).is_some_and(|own| own == value)
    })
}

async fn nodes(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let filter = asked.ask.filter()?;
    let make = |front: &Front| {
        let mut hosts: Vec<Host> = front.hosts().into_values().filter(|host| has_meta(asked, host)).collect();
        front.nearest(asked, &mut hosts, |host| &host.name);
        Ok(hosts.into_iter().map(|host| host.shape()).filter(|shape| filter.takes(shape)).collect())
    };
    front.read_all(asked, make).await
}

async fn node(front: &Front, call: Call, asked: &Asked) -> Result<Reply, Refusal> {
    if asked.rest.is_empty() {
        return Err(Refusal::bad("Missing node name"));
    }
    let filter = asked.ask.filter()?;
    let make = |front: &Front| {
        let Some(host) = front.host(&asked.rest) else { return Ok(Value::Null) };
        let itself = if host.is_ours { Seat::itself(&front.node, &front.address) } else { None };
        let seats = itself.into_iter().chain(front.seats_on(&asked.rest));
        let shapes = seats.map(|seat| (seat.words.id.clone(), shapes::of_node(&seat)));
        let mut shapes = shapes.filter(|(_, shape)| filter.takes(shape));
        Ok(match call {
            Call::NodeServices => {
                let list: Vec<Value> = shapes.map(|(_, shape)| shape).collect();
                json!({ "Node": host.shape(), "Services": list })
            }
            _ => {
                let by_id: Map<String, Value> = shapes.by_ref().collect();
                json!({ "Node": host.shape(), "Services": by_id })
            }
        })
    };
    front.read_all(asked, make).await
}

async fn services(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let filter = asked.ask.filter()?;
    let make = |front: &Front| {
        let is_wanted = |seat: &&Seat| {
            let element = || {
                let (mut shape, meta) = (shapes::of_node(seat), shapes::of_node(seat)["Meta"].take());
                json!({ "ServiceName": shape["Service"].take(), "ServiceTags": shape["Tags"].take(), "ServiceMeta": meta })
            };
            has_meta(asked, &front.host_of(seat)) && filter.takes(&element())
        };
        Ok(Value::Object(tags_by_name(front.seats().iter().filter(is_wanted))))
    };
    front.read_all(asked, make).await
}

async fn service(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    if asked.rest.is_empty() {
        return Err(Refusal::bad("Missing service name"));
    }
    let filter = asked.ask.filter()?;
    let make = |front: &Front| {
        let mut seats = front.seats_of(&asked.rest);
        front.nearest(asked, &mut seats, |seat| &seat.node);
        let seats = seats.into_iter().filter(|seat| seat.has_tags(asked.ask.all("tag")));
        let placed = seats.map(|seat| (front.host_of(&seat), seat)).filter(|(host, _)| has_meta(asked, host));
        Ok(placed.map(|(host, seat)| shapes::of_catalog(&seat, &host)).filter(|shape| filter.takes(shape)).collect())
    };
    front.read_service(asked, make).await
}

async fn register(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let fields = Fields::read(&asked.body)?;
    let (node, words) = (fields.text("Node")?, Words::read(&fields)?);
    if node.is_empty() {
        return Err(Refusal::failed("Must provide node"));
    }
    let name = node.parse::<crate::model::InstanceId>().map_err(|e| Refusal::bad(format!("Invalid node name: {e}")))?;
    let node: Arc<str> = name.as_str().into();
    let skips = fields.flag("SkipNodeUpdate")?;
    if words.address.is_empty() && !skips {
        return Err(Refusal::failed("Must provide address if SkipNodeUpdate is not set"));
    }
    let service = match fields.object("Service")? {
        Some(service) if service.text("Service")?.is_empty() => {
            return Err(Refusal::failed("Must provide service name (Service.Service) when service ID is provided"));
        }
        Some(service) => Some(service::read(&service, "Service")?),
        None => None,
    };
    let mut checks = Vec::new();
    for one in fields.object("Check")?.into_iter().chain(fields.objects("Checks")?) {
        checks.push((one.text("ServiceID")?, check::stated(&one, &Usual { id: String::new(), name: String::new() })?));
    }
    if let Some((_, nameless)) = checks.iter().find(|(_, begun)| begun.asked.id.is_empty()) {
        return Err(Refusal::failed(format!("Must provide a name or an id of each check ({:?})", nameless.health)));
    }
    let is_known = front.host(&node).is_some();
    // What this one is, it knows itself.
    if node != front.node && !(skips && is_known) {
        let text = serde_json::to_string(&words).map_err(|e| Refusal::failed(e.to_string()))?;
        front.registry.set_node(node.clone(), text.into()).await?;
    }
    if let Some(service) = service {
        let key = front.key_of(&node, &service.name, &service.words.id)?;
        if let Some(before) = front.seat(&node, &service.words.id).filter(|seat| seat.name() != service.name) {
            front.registry.deregister(before.record.key.clone()).await?;
        }
        let address = front.host(&node).map_or(words.address, |host| host.words.address);
        front.registry.register_checked(key, service.spec(&node, &address), Source::Consul, None).await?;
    }
    for (owner, begun) in owned(front, &node, checks)? {
        front.registry.set_checks(owner, Checks { begun: vec![begun], replace: false }).await?;
    }
    Ok(Reply::json(&Value::Bool(true)))
}

/// Checks with whose they are.
fn owned(front: &Front, node: &Arc<str>, checks: Vec<(String, Begun)>) -> Result<Vec<(Owner, Begun)>, Refusal> {
    let owner = |id: String| match id.as_str() {
        "" => Ok(Owner::Node(node.clone())),
        id => match front.seat(node, id) {
            Some(seat) => Ok(Owner::Instance(seat.record.key.clone())),
            None => Err(Refusal::failed(format!("Unknown service ID '{id}' for check on node '{node}'"))),
        },
    };
    checks.into_iter().map(|(id, begun)| Ok((owner(id)?, begun))).collect()
}

async fn deregister(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let fields = Fields::read(&asked.body)?;
    let (node, service, check) = (fields.text("Node")?, fields.text("ServiceID")?, fields.text("CheckID")?);
    if node.is_empty() {
        return Err(Refusal::failed("Must provide node"));
    }
    let done = match (service.as_str(), check.as_str()) {
        ("", "") => front.registry.drop_node(node.into()).await,
        ("", id) => {
            let has = |seat: &Seat| seat.record.checks.iter().any(|named| &*named.asked.id == id);
            let seat = front.seats_on(&node).into_iter().find(has);
            let owner = seat.map_or(Owner::Node(node.into()), |seat| Owner::Instance(seat.record.key.clone()));
            front.registry.drop_check(owner, id.into()).await
        }
        (id, _) => match front.seat(&node, id) {
            Some(seat) => front.registry.deregister(seat.record.key.clone()).await,
            None => return Ok(Reply::json(&Value::Bool(true))),
        },
    };
    match done {
        // Whatever was not there is not there now.
        Ok(_) | Err(Error::NoNode(_) | Error::NoCheck(_) | Error::NoInstance(_)) => Ok(Reply::json(&Value::Bool(true))),
        Err(error) => Err(error.into()),
    }
}
