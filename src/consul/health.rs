//! `/v1/health/…`: how everything is.

use super::{
    catalog::has_meta,
    check::word,
    front::{Asked, Front, Reply},
    refusal::Refusal,
    seat::Shown,
    shapes,
};
use crate::model::Health;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Node,
    Checks,
    Service,
    State,
}

pub(super) async fn call(front: &Front, call: Call, asked: Asked) -> Result<Reply, Refusal> {
    if asked.rest.is_empty() {
        let what = match call {
            Call::Node => "node name",
            Call::Checks | Call::Service => "service name",
            Call::State => "check state",
        };
        return Err(Refusal::bad(format!("Missing {what}")));
    }
    match call {
        Call::Node => node(front, &asked).await,
        Call::Checks => checks(front, &asked).await,
        Call::Service => service(front, &asked).await,
        Call::State => state(front, &asked).await,
    }
}

fn shapes_of(checks: impl IntoIterator<Item = Shown>) -> impl Iterator<Item = Value> {
    checks.into_iter().map(|check| check.shape)
}

async fn node(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let filter = asked.ask.filter()?;
    let make = |front: &Front| {
        let host = front.host(&asked.rest);
        let of_node = host.into_iter().flat_map(|host| host.shown_checks(front));
        let of_services = front.seats_on(&asked.rest).into_iter().flat_map(|seat| seat.checks(front));
        Ok(shapes_of(of_node.chain(of_services)).filter(|shape| filter.takes(shape)).collect())
    };
    front.read_all(asked, make).await
}

async fn checks(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let filter = asked.ask.filter()?;
    let make = |front: &Front| {
        let mut seats = front.seats_of(&asked.rest);
        front.nearest(asked, &mut seats, |seat| &seat.node);
        let seats = seats.into_iter().filter(|seat| has_meta(asked, &front.host_of(seat)));
        Ok(shapes_of(seats.flat_map(|seat| seat.checks(front))).filter(|shape| filter.takes(shape)).collect())
    };
    front.read_service(asked, make).await
}

async fn service(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let (filter, only_passing) = (asked.ask.filter()?, asked.ask.passing()?);
    let make = |front: &Front| {
        let (mut all, mut seats) = (Vec::new(), front.seats_of(&asked.rest));
        front.nearest(asked, &mut seats, |seat| &seat.node);
        for seat in seats {
            let host = front.host_of(&seat);
            if !seat.has_tags(asked.ask.all("tag")) || !has_meta(asked, &host) {
                continue;
            }
            let checks: Vec<Shown> = host.shown_checks(front).into_iter().chain(seat.checks(front)).collect();
            if only_passing && checks.iter().any(|check| check.health != Health::Passing) {
                continue;
            }
            let shape = shapes::of_health(&seat, &host, &checks);
            if filter.takes(&shape) {
                all.push(shape);
            }
        }
        Ok(Value::Array(all))
    };
    front.read_service(asked, make).await
}

async fn state(front: &Front, asked: &Asked) -> Result<Reply, Refusal> {
    let filter = asked.ask.filter()?;
    let wanted = asked.rest.as_str();
    if !["any", "unknown", "passing", "warning", "critical"].contains(&wanted) {
        return Err(Refusal::bad(format!("Invalid check state: {wanted:?}")));
    }
    let is_so = |check: &Shown| wanted == "any" || word(check.health) == wanted;
    let make = |front: &Front| {
        let of_nodes = front.hosts().into_values().filter(|host| has_meta(asked, host));
        let of_nodes = of_nodes.flat_map(|host| host.shown_checks(front));
        let seats = front.seats().into_iter().filter(|seat| has_meta(asked, &front.host_of(seat)));
        let all = of_nodes.chain(seats.flat_map(|seat| seat.checks(front))).filter(is_so);
        Ok(shapes_of(all).filter(|shape| filter.takes(shape)).collect())
    };
    front.read_all(asked, make).await
}
