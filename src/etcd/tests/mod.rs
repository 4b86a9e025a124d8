//! The front over a real registry and a real store, by the wire.

mod beside;
mod keys;
mod leases;
mod limits;
mod peer;
mod services;
mod watches;

use super::*;
use crate::{
    base::{Metrics, TaskGroup},
    disk::Files,
    events::Events,
    registry::{self, RegistryTask},
    serve::{Limits, Listener, ListenerKind, Server},
    store::{Options, Store},
};
use peer::Peer;
use std::{net::SocketAddr, path::Path, time::Duration};

/// Where keys are services in these tests.
const PREFIX: &str = "/s/";

/// How long a test waits for what must come. Long, since machines that run tests are slow; nothing waits it out.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that serves.
struct Room {
    registry: Registry,
    store: Store,
    address: SocketAddr,
    group: TaskGroup,
    clients: TaskGroup,
}

async fn begin(dir: &Path) -> Room {
    begin_with(dir, Limits::default()).await
}

async fn begin_with(dir: &Path, limits: Limits) -> Room {
    let (metrics, clock, group, clients) = (Metrics::default(), Clock::real(), TaskGroup::new(), TaskGroup::new());
    let store = Store::open(&dir.join("store"), Options::default(), &Files::real(), &metrics).unwrap();
    let lookup: crate::outbound::Lookup =
        Arc::new(|_, _| Box::pin(async { Err("there are no names here".to_owned()) }));
    let deps =
        registry::Deps { store: store.clone(), events: Events::discard(), clock: clock.clone(), metrics, lookup };
    let (registry, task): (_, RegistryTask) = registry::build(deps).unwrap();
    group.spawn("registry", task.run(group.stop_token()));
    let config = registry::Config { service_prefix: PREFIX.to_owned(), ..registry::Config::default() };
    registry.apply(config).await.unwrap();
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), ListenerKind::Registry).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (handler, rpc) = build(Config { node: "test".into(), address }, Deps { registry: registry.clone(), clock });
    let serving = clients.child();
    group.spawn("listener", Server::run_rpc(listener, handler, rpc, limits, serving.stop_token()));
    Room { registry, store, address, group, clients }
}

impl Room {
    /// A client on a connection of its own.
    async fn client(&self) -> Peer {
        Peer::connect(self.address, &self.clients).await
    }

    async fn end(self) {
        assert!(self.clients.stop(Duration::from_secs(10)).await, "the listener ends, and all clients with it");
        assert!(self.group.stop(Duration::from_secs(10)).await);
        self.store.close().await;
    }
}
