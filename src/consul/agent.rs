//! `/v1/agent/…`: what this host looks after.

use super::{
    check::{self, Usual},
    fields::Fields,
    front::{Asked, Front, Reply},
    node::{DATACENTER, Host},
    refusal::Refusal,
    seat::{Seat, Shown, aggregate},
    service, shapes,
};
use crate::{
    model::{Health, service::Source},
    registry::{Checks, Error, Owner},
};
use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The version that answers are like.
const VERSION: &str = "1.20.1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Itself,
    Members,
    Version,
    Metrics,
    Maintenance,
    Services,
    Service,
    Register,
    Deregister,
    ServiceMaintenance,
    Checks,
    RegisterCheck,
    DeregisterCheck,
    Pass,
    Warn,
    Fail,
    Update,
    HealthById,
    HealthByName,
}

pub(super) async fn call(front: &Front, call: Call, asked: Asked) -> Result<Reply, Refusal> {
    match call {
        Call::Itself => Ok(Reply::json(&itself(front))),
        Call::Members => Ok(Reply::json(&json!([member(front)]))),
        Call::Version => Ok(Reply::json(&json!({ "SHA": "", "BuildDate": "", "HumanVersion": VERSION, "FIPS": "" }))),
        Call::Metrics => {
            let now = front.clock.wall().to_string();
            Ok(Reply::json(&json!({ "Timestamp": now, "Gauges": [], "Points": [], "Counters": [], "Samples": [] })))
        }
        Call::Maintenance => node_maintenance(front, &asked).await,
        Call::Services => services(front, &asked),
        Call::Service => one(front, &asked).await,
        Call::Register => register(front, &asked).await,
        Call::Deregister => deregister(front, &asked.rest).await,
        Call::ServiceMaintenance => service_maintenance(front, &asked).await,
        Call::Checks => checks(front, &asked),
        Call::RegisterCheck => register_check(front, &asked).await,
        Call::DeregisterCheck => deregister_check(front, &asked.rest).await,
        Call::Pass => say(front, &asked, Health::Passing).await,
        Call::Warn => say(front, &asked, Health::Warning).await,
        Call::Fail => say(front, &asked, Health::Critical).await,
        Call::Update => update(front, &asked).await,
        Call::HealthById => health_by_id(front, &asked),
        Call::HealthByName => health_by_name(front, &asked),
    }
}

fn itself(front: &Front) -> Value {
    let host = Host::ours(&front.node, &front.address, None);
    json!({
        "Config": {
            "Datacenter": DATACENTER,
            "PrimaryDatacenter": DATACENTER,
            "NodeName": &*front.node,
            "NodeID": host.id(),
            "Revision": "",
            "Server": true,
            "Version": VERSION,
            "BuildDate": "2024-10-29T19:04:05Z",
        },
        "DebugConfig": { "Datacenter": DATACENTER, "NodeName": &*front.node, "ServerMode": true },
        "Coord": null,
        "Member": member(front),
        "Stats": { "agent": { "version": VERSION }, "consul": { "server": "true", "leader": "true" }, "runtime": {} },
        "Meta": {},
    })
}

fn member(front: &Front) -> Value {
    json!({
        "Name": &*front.node,
        "Addr": front.address,
        "Port": 8_301,
        "Tags": { "role": "consul", "dc": DATACENTER, "port": "8300", "build": VERSION },
        "Status": 1,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

fn services(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let filter = asked.ask.filter()?;
    let all = front.seats_on(&front.node).into_iter().map(|seat| (seat.words.id.clone(), shapes::of_agent(&seat)));
    Ok(Reply::json(&Value::Object(all.filter(|(_, shape)| filter.takes(shape)).collect())))
}

/// One service. Blocks by what it is, not by an index.
async fn one(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let wanted = asked.ask.text("hash").unwrap_or("");
    let mut catalog = front.registry.catalog();
    let patience = front.patience(asked);
    let mut patience = std::pin::pin!(patience);
    loop {
        catalog.borrow_and_update();
        let seat = front.seat(&front.node, &asked.rest);
        let seat = seat.ok_or_else(|| Refusal::unknown(format!("unknown service ID: {}", asked.rest)))?;
        let mut shape = shapes::of_agent(&seat);
        let digest = Sha256::digest(shape.to_string().as_bytes());
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let is_over = hash != wanted
            || tokio::select! {
                changed = catalog.changed() => changed.is_err(),
                () = &mut patience => true,
                () = asked.ended() => true,
            };
        if is_over {
            shape["ContentHash"] = hash.clone().into();
            return Ok(Reply { fields: vec![("x-consul-contenthash", hash)], ..Reply::json(&shape) });
        }
    }
}

async fn register(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let registration = service::read(&Fields::read(&asked.body)?, "Name")?;
    let (name, id) = (registration.name.clone(), registration.words.id.clone());
    let key = front.key_of(&front.node, &name, &id)?;
    // An id is a service's of one name: under another one it moves.
    if let Some(before) = front.seat(&front.node, &id).filter(|seat| seat.name() != name) {
        front.registry.deregister(before.record.key.clone()).await?;
    }
    let spec = registration.spec(&front.node, &front.address);
    let checks = Checks { begun: registration.checks, replace: asked.ask.has("replace-existing-checks") };
    front.registry.register_checked(key, spec, Source::Consul, Some(checks)).await?;
    Ok(Reply::done())
}

async fn deregister(front: &Front, id: &str) -> Result<Reply, Refusal> {
    let unknown = || {
        let text = "Ensure that the service ID is passed, not the service name.";
        Refusal::unknown(format!("Unknown service ID {id:?}. {text}"))
    };
    let seat = front.seat(&front.node, id).ok_or_else(unknown)?;
    match front.registry.deregister(seat.record.key.clone()).await {
        Err(Error::NoInstance(_)) => Err(unknown()),
        done => done.map(|_| Reply::done()).map_err(Refusal::from),
    }
}

/// `?enable=`
fn enable(asked: &Asked) -> Result<bool, Refusal> {
    match asked.ask.text("enable") {
        None | Some("") => Err(Refusal::bad("Missing value for enable")),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(Refusal::bad(format!("Invalid value for enable: {other:?}"))),
    }
}

async fn service_maintenance(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    if asked.rest.is_empty() {
        return Err(Refusal::bad("Missing service ID"));
    }
    let is_on = enable(asked)?;
    let unknown = || Refusal::unknown(format!("No service registered with ID {:?}", asked.rest));
    let seat = front.seat(&front.node, &asked.rest).ok_or_else(unknown)?;
    let id = format!("_service_maintenance:{}", asked.rest);
    let reason = asked.ask.text("reason").unwrap_or("");
    let begun = check::maintenance(id, "Service Maintenance Mode", reason, "service");
    maintain(front, Owner::Instance(seat.record.key.clone()), begun, is_on).await
}

async fn node_maintenance(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let is_on = enable(asked)?;
    let reason = asked.ask.text("reason").unwrap_or("");
    let begun = check::maintenance("_node_maintenance".to_owned(), "Node Maintenance Mode", reason, "node");
    maintain(front, Owner::Node(front.node.clone()), begun, is_on).await
}

async fn maintain(front: &Front, owner: Owner, begun: crate::registry::Begun, is_on: bool) -> Result<Reply, Refusal> {
    let id = begun.asked.id.clone();
    let done = match is_on {
        true => front.registry.set_checks(owner, Checks { begun: vec![begun], replace: false }).await,
        false => front.registry.drop_check(owner, id).await,
    };
    match done {
        // It was not out.
        Ok(_) | Err(Error::NoCheck(_)) => Ok(Reply::done()),
        Err(error) => Err(error.into()),
    }
}

/// All checks that this host looks after.
fn own_checks(front: &Front) -> Vec<Shown> {
    let host = Host::ours(&front.node, &front.address, front.registry.node(&front.node).as_deref());
    // That it is there is said by others.
    let of_node = host.shown_checks(front).into_iter().filter(|check| check.id != "serfHealth");
    let seats = front.seats_on(&front.node);
    of_node.chain(seats.iter().flat_map(|seat| seat.checks(front))).collect()
}

fn checks(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let filter = asked.ask.filter()?;
    let all = own_checks(front).into_iter().filter(|check| filter.takes(&check.shape));
    Ok(Reply::json(&Value::Object(all.map(|check| (check.id, check.shape)).collect())))
}

async fn register_check(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let fields = Fields::read(&asked.body)?;
    let name = fields.text("Name")?;
    if name.is_empty() {
        return Err(Refusal::bad("Missing check name"));
    }
    if !["", "passing", "warning", "critical"].contains(&fields.text("Status")?.as_str()) {
        return Err(Refusal::bad("Bad check status"));
    }
    let begun = check::read(&fields, &Usual { id: name.clone(), name })?;
    let service = fields.text("ServiceID")?;
    let owner = match service.as_str() {
        "" => Owner::Node(front.node.clone()),
        id => {
            let unknown = || Refusal::unknown(format!("ServiceID {id:?} does not exist"));
            Owner::Instance(front.seat(&front.node, id).ok_or_else(unknown)?.record.key.clone())
        }
    };
    front.registry.set_checks(owner, Checks { begun: vec![begun], replace: false }).await?;
    Ok(Reply::done())
}

/// Whose a check of this host is.
fn owner_of(front: &Front, id: &str) -> Result<Owner, Refusal> {
    let has = |seat: &Seat| seat.record.checks.iter().any(|named| &*named.asked.id == id);
    let owner = |seat: Seat| Owner::Instance(seat.record.key.clone());
    // Most are named after their service, and so need no search.
    if let Some(rest) = id.strip_prefix("service:") {
        let shorter = rest.rsplit_once(':').map(|(shorter, _)| shorter);
        for name in std::iter::once(rest).chain(shorter) {
            if let Some(seat) = front.seat(&front.node, name).filter(has) {
                return Ok(owner(seat));
            }
        }
    }
    let of_node = front.registry.node(&front.node);
    if of_node.is_some_and(|node| node.checks.iter().any(|named| &*named.asked.id == id)) {
        return Ok(Owner::Node(front.node.clone()));
    }
    let found = front.seats_on(&front.node).into_iter().find(has);
    found.map(owner).ok_or_else(|| unknown_check(id))
}

fn unknown_check(id: &str) -> Refusal {
    Refusal::unknown(format!("Unknown check ID {id:?}. Ensure that the check ID is passed, not the check name."))
}

async fn deregister_check(front: &Front, id: &str) -> Result<Reply, Refusal> {
    let owner = owner_of(front, id)?;
    match front.registry.drop_check(owner, id.into()).await {
        Err(Error::NoCheck(_)) => Err(unknown_check(id)),
        done => done.map(|_| Reply::done()).map_err(Refusal::from),
    }
}

async fn say(front: &Front, asked: &Asked, health: Health) -> Result<Reply, Refusal> {
    tell(front, &asked.rest, health, asked.ask.text("note").unwrap_or("")).await
}

async fn update(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let fields = Fields::read(&asked.body)?;
    let status = fields.text("Status")?;
    let health = check::health(&status).ok_or_else(|| Refusal::bad(format!("Invalid check status: '{status}'")))?;
    tell(front, &asked.rest, health, &fields.text("Output")?).await
}

async fn tell(front: &Front, id: &str, health: Health, output: &str) -> Result<Reply, Refusal> {
    let id: Arc<str> = id.into();
    let owner = owner_of(front, &id)?;
    match front.registry.tell(owner, id.clone(), health, check::clipped(output)).await {
        Ok(_) => Ok(Reply::done()),
        Err(Error::NoCheck(_)) => Err(unknown_check(&id)),
        Err(Error::NotTold(_)) => Err(Refusal::failed(format!("CheckID {:?} does not have associated TTL", &*id))),
        Err(error) => Err(error.into()),
    }
}

/// A service with its checks, in one word and whole.
fn judged(front: &Front, seat: &Seat) -> (Health, Value) {
    let checks = front.host_of(seat).shown_checks(front).into_iter().filter(|check| check.id != "serfHealth");
    let checks: Vec<Shown> = checks.chain(seat.checks(front)).collect();
    let health = aggregate(checks.iter());
    let shown: Vec<&Value> = checks.iter().map(|check| &check.shape).collect();
    let status = health.as_str();
    (health, json!({ "AggregatedStatus": status, "Service": shapes::of_agent(seat), "Checks": shown }))
}

fn status_of(health: Health) -> StatusCode {
    match health {
        Health::Passing => StatusCode::OK,
        Health::Warning => StatusCode::TOO_MANY_REQUESTS,
        Health::Critical | Health::Maintenance => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn worded(asked: &Asked, health: Health, shape: &Value) -> Reply {
    let reply = if asked.as_text { Reply::text(health.as_str()) } else { Reply::json(shape) };
    Reply { status: status_of(health), fields: vec![("x-consul-reason", health.as_str().to_owned())], ..reply }
}

fn nobody(asked: &Asked, what: &str) -> Reply {
    let reason = format!("{what} {} not found", asked.rest);
    let shape = json!({ "AggregatedStatus": "critical", "Service": null, "Checks": [] });
    let reply = if asked.as_text { Reply::text(reason.clone()) } else { Reply::json(&shape) };
    Reply { status: StatusCode::NOT_FOUND, fields: vec![("x-consul-reason", reason)], ..reply }
}

fn health_by_id(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    if asked.rest.is_empty() {
        return Err(Refusal::bad("Missing serviceID"));
    }
    let Some(seat) = front.seat(&front.node, &asked.rest) else { return Ok(nobody(asked, "ServiceId")) };
    let (health, shape) = judged(front, &seat);
    Ok(worded(asked, health, &shape))
}

fn health_by_name(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    if asked.rest.is_empty() {
        return Err(Refusal::bad("Missing service Name"));
    }
    let seats = front.seats_of(&asked.rest).into_iter().filter(|seat| seat.node == front.node);
    let all: Vec<(Health, Value)> = seats.map(|seat| judged(front, &seat)).collect();
    match all.iter().map(|(health, _)| *health).max() {
        None => Ok(nobody(asked, "ServiceName")),
        Some(worst) => Ok(worded(asked, worst, &Value::Array(all.into_iter().map(|(_, shape)| shape).collect()))),
    }
}
