//! The etcd-compatible front of the registry: version 3 by gRPC, and its JSON gateway, on one port.
//!
//! Owns the words of that protocol: messages, order of checks, texts and codes of refusals, headers. Never does: hold a
//! key, a lease or a revision (those are the registry's, and the same as everybody else's), or answer for a cluster.
//! What one node cannot do is refused, with a sentence.
//!
//! Flow: bytes by HTTP/2 ([`Rpc`]) or JSON by HTTP/1 ([`Handler`]) → one call by its name (`calls`) → a message
//! (`wire`) → checked, and asked of [`Registry`] → a message back. Watches and keep-alives are streams that
//! make an answer when the client can take one: nobody's slowness is stored here.

mod calls;
mod care;
mod check;
mod gateway;
mod json;
mod kv;
mod lease;
mod node;
mod range;
mod refusal;
mod rpc;
mod schema;
#[cfg(test)]
mod tests;
mod watch;
mod wire;

use crate::{
    base::Clock,
    registry::Registry,
    serve::{Handler, Rpc},
};
use std::sync::Arc;

/// What the room is told of itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this host: what the one member of the cluster is called.
    pub node: String,
    /// Where clients reach it, for those who ask where its members are.
    pub address: std::net::SocketAddr,
}

/// What the room stands on.
pub struct Deps {
    /// Keys and leases.
    pub registry: Registry,
    /// Time.
    pub clock: Clock,
}

/// Who answers HTTP/1 and who HTTP/2 on the port.
pub fn build(config: Config, deps: Deps) -> (Arc<dyn Handler>, Arc<dyn Rpc>) {
    let node = node::Node::new(config, deps);
    (Arc::new(gateway::Gateway::new(node.clone())), Arc::new(rpc::Grpc::new(node)))
}
