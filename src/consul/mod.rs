//! The Consul-compatible front of the registry: its HTTP API, version 1.
//!
//! Owns the words of that API: paths, shapes, texts and statuses of refusals, headers, and when a blocking read is
//! answered. Never does: hold a service, a check or an index (those are the registry's, and the same as everybody else's),
//! or answer for what one node has not. What is left out is answered by 501, with a sentence.
//!
//! Flow: a request → its path, decoded, is a call (`table`) → what is asked is read (`ask`, `fields`, `service`, `check`)
//! → [`Registry`] → JSON in the API's shapes (`seat`, `shapes`). A blocking read waits for the catalog, and looks again.

mod agent;
mod ask;
mod catalog;
mod check;
mod event;
mod fields;
mod filter;
mod front;
mod health;
mod kv;
mod node;
mod refusal;
mod seat;
mod service;
mod session;
mod shapes;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod txn;

use crate::{
    base::{Clock, Secret},
    registry::Registry,
    serve::Handler,
};
use std::{net::SocketAddr, sync::Arc};

/// What the room is told of itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this host: what its node is called.
    pub node: String,
    /// Where clients reach it.
    pub address: SocketAddr,
    /// What has to be sent along with every request; None: nothing.
    pub token: Option<Secret>,
}

/// What the room stands on.
pub struct Deps {
    /// Services and keys.
    pub registry: Registry,
    /// Time.
    pub clock: Clock,
}

/// Who answers on the port.
pub fn build(config: Config, deps: Deps) -> Arc<dyn Handler> {
    Arc::new(front::Front::new(config, deps))
}
