//! A gateway's faults over HTTP; see `sim::control`.

use super::estate::{GatewayFault, ListFault, MemberFault, number_of};
use crate::serve::Request;
use std::time::Duration;

/// `/gateway/<verb>`; None where there is no such fault, or its value does not fit.
pub(in crate::sim) fn gateway_fault(verb: &str, request: &Request) -> Option<GatewayFault> {
    match verb {
        "slow" => Some(GatewayFault::Slow(Duration::from_millis(request.query("ms")?.parse().ok()?))),
        "list" => Some(GatewayFault::List(match request.query("fault")?.as_str() {
            "sane" => ListFault::Sane,
            "null" => ListFault::Null,
            "empty" => ListFault::Empty,
            "wrong-totals" => ListFault::WrongTotals,
            "half-page" => ListFault::HalfPage,
            "second-page" => ListFault::SecondPage,
            "error" => ListFault::Error,
            "busy" => ListFault::Busy,
            "no-status" => ListFault::NoStatus,
            _ => return None,
        })),
        _ => None,
    }
}

/// `/devices/<number or devIndex>/<verb>…`
pub(in crate::sim) fn device_fault(device: &str, verb: &[&str], request: &Request) -> Option<GatewayFault> {
    let number = device.parse().ok().or_else(|| number_of(device))?;
    let fault = match verb {
        ["online"] => MemberFault::Online,
        ["offline"] => MemberFault::Offline(request.query("hint").map(|hint| hint.parse()).transpose().ok()?),
        ["sleep"] => MemberFault::Sleep,
        ["delete"] => MemberFault::Delete,
        ["restore" | "add"] => MemberFault::Restore,
        ["channels-null"] => MemberFault::ChannelsNull(true),
        ["channels-told"] => MemberFault::ChannelsNull(false),
        ["channels", channel, "add"] => MemberFault::AddChannel(channel.parse().ok()?),
        ["channels", channel, "remove"] => MemberFault::RemoveChannel(channel.parse().ok()?),
        ["channels", channel, "move"] => MemberFault::Move(channel.parse().ok()?),
        _ => return None,
    };
    Some(GatewayFault::Member(number, fault))
}
