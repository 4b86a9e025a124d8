//! The front over a real registry and a real store, by the wire.

mod agent;
mod blocking;
mod keys;
mod reading;
mod replay;

use super::*;
use crate::{
    base::{Metrics, TaskGroup},
    disk::Files,
    events::Events,
    model::Health,
    outbound::{Address, Client, Limits as ClientLimits},
    registry::{self, ChecksTask, RegistryTask},
    serve::{Limits, Listener, ListenerKind, Server},
    store::{Options, Store},
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use tokio::sync::oneshot;

/// Where keys are services in these tests.
const PREFIX: &str = "/s/";

/// How long a test waits for what must come. Long, since machines that run tests are slow; nothing waits it out.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that serves.
struct Room {
    registry: Registry,
    front: Arc<front::Front>,
    store: Store,
    address: SocketAddr,
    group: TaskGroup,
    clients: TaskGroup,
}

/// What was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: http::HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    fn field(&self, name: &str) -> &str {
        self.head.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn index(&self) -> u64 {
        self.field("x-consul-index").parse().unwrap_or_else(|_| panic!("no index: {self:?}"))
    }
}

async fn begin(dir: &Path) -> Room {
    begin_with(dir, None).await
}

async fn begin_with(dir: &Path, token: Option<&str>) -> Room {
    begin_within(dir, token, Limits::default()).await
}

async fn begin_within(dir: &Path, token: Option<&str>, limits: Limits) -> Room {
    let (metrics, clock, group) = (Metrics::default(), Clock::real(), TaskGroup::new());
    let store = Store::open(&dir.join("store"), Options::default(), &Files::real(), &metrics).unwrap();
    let lookup = crate::outbound::system_lookup();
    let deps = registry::Deps {
        store: store.clone(),
        events: Events::discard(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        lookup: lookup.clone(),
    };
    let (registry, task): (_, RegistryTask) = registry::build(deps).unwrap();
    group.spawn("registry", task.run(group.stop_token()));
    let checks = ChecksTask::new(registry.clone(), clock.clone(), &metrics, lookup);
    group.spawn("checks", checks.run(group.stop_token()));
    let config = registry::Config { service_prefix: PREFIX.to_owned(), ..registry::Config::default() };
    registry.apply(config).await.unwrap();
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), ListenerKind::Registry).await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config { node: "n1".into(), address, token: token.map(Secret::new) };
    let front = Arc::new(front::Front::new(config, Deps { registry: registry.clone(), clock }));
    group.spawn("listener", Server::run(listener, front.clone(), limits, group.stop_token()));
    Room { registry, front, store, address, group, clients: TaskGroup::new() }
}

impl Room {
    fn client(&self) -> Client {
        let limits = ClientLimits { total: PATIENCE, idle: PATIENCE, ..ClientLimits::default() };
        Client::new(Address::Tcp { host: "127.0.0.1".to_owned(), port: self.address.port() }, limits)
    }

    /// A read that somebody else waits for.
    fn wait(&self, path: &str) -> oneshot::Receiver<Answer> {
        let (client, request) = (self.client(), http::Request::get(path).body(Bytes::new()).unwrap());
        let (done, answer) = oneshot::channel();
        self.clients.spawn("reader", async move {
            if let Ok(answered) = client.request(request).await {
                let (head, body) = answered.into_parts();
                let _ = done.send(Answer { status: head.status.as_u16(), head: head.headers, body });
            }
        });
        answer
    }

    async fn send(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Answer {
        let answer = self.client().request(request.body(body.into()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        Answer { status: head.status.as_u16(), head: head.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(http::Request::get(path), "").await
    }

    async fn put(&self, path: &str, body: impl ToString) -> Answer {
        self.send(http::Request::put(path), body.to_string()).await
    }

    /// A write that has to go through, and says nothing.
    async fn done(&self, path: &str, body: impl ToString) {
        let answer = self.put(path, body).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{path}");
    }

    /// A refusal in its words.
    async fn refused(&self, path: &str, body: impl ToString) -> (u16, String) {
        let answer = self.put(path, body).await;
        assert_eq!(answer.field("content-type"), "text/plain; charset=utf-8");
        (answer.status, answer.text())
    }

    async fn register(&self, body: Value) {
        self.done("/v1/agent/service/register", body).await;
    }

    fn health(&self, service: &str, id: &str) -> Option<Health> {
        let key = crate::model::InstanceKey { service: service.parse().unwrap(), id: id.parse().unwrap() };
        self.registry.record(&key).map(|record| record.health())
    }

    fn key(&self, place: &str) -> Option<String> {
        let entry = self.registry.get(format!("{PREFIX}{place}").as_bytes())?;
        Some(String::from_utf8(entry.value.to_vec()).unwrap())
    }

    /// Waits until so many reads wait for news.
    async fn until_waiting(&self, n: usize) {
        let seen = async {
            while self.front.waiting() != n {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{} wait, not {n}", self.front.waiting()));
    }

    /// Waits by reading again and again as clients do, each time for news, until it is so.
    async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let (mut index, sign) = (0, if path.contains('?') { '&' } else { '?' });
        loop {
            let answer = self.get(&format!("{path}{sign}index={index}&wait=30s")).await;
            if is_so(&answer.json()) {
                return answer.json();
            }
            assert!(answer.index() > index, "nothing new came: {}", answer.text());
            index = answer.index();
        }
    }

    async fn end(self) {
        assert!(self.group.stop(Duration::from_secs(10)).await, "the listener ends, and whoever waits with it");
        self.store.close().await;
    }
}
