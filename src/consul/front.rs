//! The door: a request in, an answer out; who may ask; and reads that wait for news.

use super::{
    Config, Deps, agent,
    ask::Ask,
    catalog, event, health, kv,
    node::Host,
    refusal::Refusal,
    seat::{SELF, Seat},
    session,
    table::{self, Call},
    txn,
};
use crate::{
    base::{Clock, Secret},
    model::{
        Catalog, InstanceId, InstanceKey,
        service::{BadName, Source},
    },
    registry::Registry,
    serve::{Body, BoxFuture, Client, Error, Handler, Request, Response, decode_component},
};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, ORIGIN, VARY},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, net::UdpSocket, sync::Arc};
use tokio_util::sync::CancellationToken;

/// The longest body, and so the longest value of a key; as the API has it.
const BODY_BYTES_MAX: usize = 512 << 10;
pub(super) const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers.
pub(super) struct Front {
    pub registry: Registry,
    pub clock: Clock,
    /// This host.
    pub node: Arc<str>,
    /// Where others reach it.
    pub address: String,
    pub events: event::Events,
    /// One beside our own for each read that waits.
    waiting: Arc<()>,
    token: Option<Secret>,
}

/// What a call is given.
pub(super) struct Asked {
    /// What it is about: the end of the path.
    pub rest: String,
    pub ask: Ask,
    pub method: Method,
    /// The client wants a word instead of JSON.
    pub as_text: bool,
    pub stopping: CancellationToken,
    pub client: Client,
    pub body: Bytes,
}

impl Asked {
    /// Whoever asked has gone, or we go: nothing is worth waiting for any more.
    pub async fn ended(&self) {
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = self.client.gone() => {}
        }
    }
}

/// What a call answers.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub body: Bytes,
    pub content_type: &'static str,
    /// Of a read that can wait for news: what was newest.
    pub index: Option<u64>,
    pub fields: Vec<(&'static str, String)>,
}

impl Reply {
    /// Done; nothing to say.
    pub fn done() -> Self {
        Self { status: StatusCode::OK, body: Bytes::new(), content_type: TEXT, index: None, fields: Vec::new() }
    }

    pub fn json(value: &Value) -> Self {
        Self { body: value.to_string().into(), content_type: JSON, ..Self::done() }
    }

    pub fn text(text: impl Into<Bytes>) -> Self {
        Self { body: text.into(), ..Self::done() }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self { status: refusal.status, ..Self::text(refusal.text) }
    }
}

impl Handler for Front {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let is_pretty = request.query_pairs().iter().any(|(name, _)| name == "pretty");
            let reply = self.answer(request).await.unwrap_or_else(Reply::from);
            written(reply, is_pretty)
        })
    }
}

impl Front {
    pub fn new(config: Config, deps: Deps) -> Self {
        let ip = config.address.ip();
        let address = if ip.is_unspecified() { own_address() } else { ip.to_string() };
        let token = config.token.filter(|token| !token.is_empty());
        let Deps { registry, clock } = deps;
        Self {
            registry,
            clock,
            node: config.node.into(),
            address,
            events: event::Events::default(),
            waiting: Arc::default(),
            token,
        }
    }

    async fn answer(&self, request: Request) -> Result<Reply, Refusal> {
        self.admit(&request)?;
        let path = decode_component(request.path()).ok_or_else(|| Refusal::bad("the path cannot be decoded"))?;
        if path == "/" {
            return Ok(Reply::text("Consul Agent: the API is served by skyvis under /v1/\n"));
        }
        let Some(place) = path.strip_prefix("/v1/") else {
            let text = "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'";
            return Err(Refusal::unknown(text));
        };
        let unknown = || Refusal::unknown("Invalid URL path: not a recognized HTTP API endpoint");
        let found = table::find(place).ok_or_else(unknown)?;
        let allowed = || std::iter::once("OPTIONS").chain(found.methods.iter().map(Method::as_str)).collect::<Vec<_>>();
        let method = if request.head_only { Method::HEAD } else { request.method.clone() };
        if method == Method::OPTIONS {
            return Ok(Reply { fields: vec![("allow", allowed().join(","))], ..Reply::done() });
        }
        if !found.methods.contains(&method) {
            let text = format!("method {method} not allowed");
            let refused = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text);
            return Ok(Reply { fields: vec![("allow", allowed().join(","))], ..refused.into() });
        }
        let ask = Ask::read(&request)?;
        let accepts = request.header("accept").unwrap_or("");
        let as_text = ask.text("format") == Some("text") || accepts.starts_with("text/plain");
        let (call, rest) = (found.call, found.rest.to_owned());
        let (stopping, client) = (request.stopping.clone(), request.client.clone());
        let said = request.header("content-length").map_or_else(|| "?".to_owned(), ToOwned::to_owned);
        let body = request.body(BODY_BYTES_MAX).await.map_err(|error| match error {
            Error::BodyTooLong { limit_bytes } => {
                let text = format!("Request body({said} bytes) too large, max size: {limit_bytes} bytes.");
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
            }
            error => Refusal::bad(error.to_string()),
        })?;
        self.call(call, Asked { rest, ask, method, as_text, stopping, client, body }).await
    }

    async fn call(&self, call: Call, asked: Asked) -> Result<Reply, Refusal> {
        match call {
            Call::Agent(call) => agent::call(self, call, asked).await,
            Call::Catalog(call) => catalog::call(self, call, asked).await,
            Call::Health(call) => health::call(self, call, asked).await,
            Call::Keys => kv::call(self, asked).await,
            Call::Session(call) => session::call(self, call, asked).await,
            Call::Txn => txn::call(self, asked).await,
            Call::Event(call) => event::call(self, call, asked).await,
            Call::Leader => Ok(Reply::json(&json!(self.leader()))),
            Call::Peers => Ok(Reply::json(&json!([self.leader()]))),
            Call::Lists => Err(Refusal::new(StatusCode::UNAUTHORIZED, "ACL support disabled")),
            Call::Missing => Err(Refusal::left_out(&format!("/v1/{}", asked.rest))),
        }
    }

    /// Who may ask: whoever has the token, where there is one; and no page in a browser.
    fn admit(&self, request: &Request) -> Result<(), Refusal> {
        let denied = || Refusal::new(StatusCode::FORBIDDEN, "Permission denied");
        let Some(token) = &self.token else {
            let from_page = request.headers.contains_key(ORIGIN);
            return if from_page { Err(denied()) } else { Ok(()) };
        };
        let bearer = request.header(AUTHORIZATION).and_then(|text| text.split_once(' '));
        let bearer =
            bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, t)| t.trim().to_owned());
        let sent =
            request.query("token").or_else(|| request.header("x-consul-token").map(ToOwned::to_owned)).or(bearer);
        match sent.is_some_and(|sent| same(&sent, token.expose())) {
            true => Ok(()),
            false => Err(denied()),
        }
    }

    fn leader(&self) -> String {
        match self.address.contains(':') {
            true => format!("[{}]:8300", self.address),
            false => format!("{}:8300", self.address),
        }
    }

    /// The time that a read waits for news.
    pub async fn patience(&self, asked: &Asked) {
        let others = self.waiting();
        let _one = self.waiting.clone();
        self.clock.sleep(asked.ask.patience(others, rand::random())).await;
    }

    /// How many reads wait for news.
    pub fn waiting(&self) -> usize {
        Arc::strong_count(&self.waiting) - 1
    }

    /// Reads, once there is news where the client has seen what there is. `index` says how new what it asks for is; what reads
    /// the same all the same is no news.
    async fn read(
        &self,
        asked: &Asked,
        index: impl Fn(&Catalog) -> u64,
        make: impl Fn(&Self) -> Result<Value, Refusal>,
    ) -> Result<Reply, Refusal> {
        let mut catalog = self.registry.catalog();
        let patience = self.patience(asked);
        let mut patience = std::pin::pin!(patience);
        // Of what the client has seen: the whole of it, for each that waits, would be much.
        let mut seen = None;
        let mut is_over = asked.ask.index == 0;
        loop {
            // Before what it is of is read: so nothing that comes in between is taken for seen.
            let newest = index(&catalog.borrow_and_update()).max(1);
            let is_known = newest <= asked.ask.index;
            if is_over || !is_known || seen.is_none() {
                let reply = Reply { index: Some(newest), ..Reply::json(&make(self)?) };
                let digest = Sha256::digest(&reply.body);
                if is_over || !is_known && seen.as_ref() != Some(&digest) {
                    return Ok(reply);
                }
                // What came while it was made is not what the client has seen, and shows at once.
                if is_known && index(&catalog.borrow()).max(1) == newest {
                    seen = Some(digest);
                }
            }
            is_over = tokio::select! {
                changed = catalog.changed() => changed.is_err(),
                () = &mut patience => true,
                () = asked.ended() => true,
            };
        }
    }

    /// The same of all that the catalog holds.
    pub async fn read_all(
        &self,
        asked: &Asked,
        make: impl Fn(&Self) -> Result<Value, Refusal>,
    ) -> Result<Reply, Refusal> {
        self.read(asked, |catalog| catalog.revision, make).await
    }

    /// The same of one service.
    pub async fn read_service(
        &self,
        asked: &Asked,
        make: impl Fn(&Self) -> Result<Value, Refusal>,
    ) -> Result<Reply, Refusal> {
        let index =
            |catalog: &Catalog| catalog.service(&asked.rest).map_or(catalog.revision, |service| service.modified);
        self.read(asked, index, make).await
    }

    /// What is on the node that is named (`near`) comes first. How far the others are is not known: they stay in order.
    pub fn nearest<T>(&self, asked: &Asked, all: &mut [T], node: impl Fn(&T) -> &str) {
        let Some(near) = asked.ask.text("near") else { return };
        let near = if near == "_agent" { &*self.node } else { near };
        all.sort_by_key(|one| node(one) != near);
    }

    /// The instances of a service.
    pub fn seats_of(&self, service: &str) -> Vec<Seat> {
        let records = self.registry.records_of(service).unwrap_or_default();
        let seats: Vec<Seat> = records.into_iter().map(|record| Seat::of(record, &self.node)).collect();
        match service == SELF && seats.is_empty() {
            true => Seat::itself(&self.node, &self.address).into_iter().collect(),
            false => seats,
        }
    }

    /// All instances; itself comes first.
    pub fn seats(&self) -> Vec<Seat> {
        let all = self.registry.records().into_iter().map(|record| Seat::of(record, &self.node));
        Seat::itself(&self.node, &self.address).into_iter().chain(all).collect()
    }

    /// All instances on a node, but itself.
    pub fn seats_on(&self, node: &str) -> Vec<Seat> {
        let all = self.registry.records().into_iter().map(|record| Seat::of(record, &self.node));
        all.filter(|seat| &*seat.node == node).collect()
    }

    /// The instance with this id on a node.
    pub fn seat(&self, node: &str, id: &str) -> Option<Seat> {
        let is_it = |seat: &Seat| &*seat.node == node && seat.words.id == id;
        // Its name here is its id, its node's where that is its service's, or both; or service and name.
        let of_service = || self.registry.records_of(id).unwrap_or_default();
        let named = |name: &str| self.registry.records_named(name);
        let of_others = || id.match_indices(':').flat_map(|(at, _)| named(&id[at + 1..])).collect();
        let places: [&dyn Fn() -> Vec<_>; 4] =
            [&|| named(id), &of_service, &|| named(&format!("{node}:{id}")), &of_others];
        places.iter().find_map(|records| records().into_iter().map(|record| Seat::of(record, &self.node)).find(is_it))
    }

    /// What an instance with this id is called in the registry, be it there or new.
    pub fn key_of(&self, node: &str, service: &str, id: &str) -> Result<InstanceKey, Refusal> {
        if let Some(seat) = self.seat(node, id).filter(|seat| seat.name() == service) {
            return Ok(seat.record.key.clone());
        }
        let bad = |error: BadName| Refusal::bad(format!("Invalid service: {error}"));
        let key = |name: &str| -> Result<InstanceKey, Refusal> {
            let id: InstanceId = name.parse().map_err(bad)?;
            Ok(InstanceKey { service: service.parse().map_err(bad)?, id })
        };
        // Readers of keys find `<service>/<node>` where an instance has no name of its own.
        let first = match (id == service, node == &*self.node) {
            (true, _) => key(node)?,
            (false, true) => key(id)?,
            (false, false) => key(&format!("{node}:{id}"))?,
        };
        let is_other = self.registry.record(&first).is_some_and(|record| record.source == Source::Consul);
        if is_other { key(&format!("{node}:{id}")) } else { Ok(first) }
    }

    /// All nodes by name.
    pub fn hosts(&self) -> BTreeMap<Arc<str>, Host> {
        let mut all = BTreeMap::new();
        for record in self.registry.records().iter().filter(|record| record.spec.node.is_none()) {
            let seat = Seat::of(record.clone(), &self.node);
            let host = Host::place(&seat.node, &record.spec.address, record.created, record.modified);
            all.insert(seat.node.clone(), host);
        }
        let nodes = self.registry.nodes();
        for node in &nodes {
            all.insert(node.name.clone(), Host::named(node));
        }
        let known = nodes.iter().find(|node| node.name == self.node).map(|node| &**node);
        all.insert(self.node.clone(), Host::ours(&self.node, &self.address, known));
        all
    }

    /// One node.
    pub fn host(&self, name: &str) -> Option<Host> {
        let known = self.registry.node(name);
        if name == &*self.node {
            return Some(Host::ours(&self.node, &self.address, known.as_deref()));
        }
        if let Some(node) = known {
            return Some(Host::named(&node));
        }
        let place = |record: &Arc<crate::registry::Record>| {
            Host::place(name, &record.spec.address, record.created, record.modified)
        };
        let of_keys = |record: &&Arc<crate::registry::Record>| record.source == Source::Etcd;
        self.registry.records_named(name).iter().find(of_keys).map(place)
    }

    /// The node of an instance.
    pub fn host_of(&self, seat: &Seat) -> Host {
        let Some(node) = self.registry.node(&seat.node).filter(|_| seat.node != self.node) else {
            let record = &seat.record;
            return match seat.node == self.node {
                true => Host::ours(&self.node, &self.address, self.registry.node(&self.node).as_deref()),
                false => Host::place(&seat.node, &record.spec.address, record.created, record.modified),
            };
        };
        Host::named(&node)
    }
}

fn written(reply: Reply, is_pretty: bool) -> Response {
    let Reply { status, mut body, content_type, index, fields } = reply;
    if is_pretty && content_type == JSON {
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        if let Some(text) = value.and_then(|value| serde_json::to_string_pretty(&value).ok()) {
            body = format!("{text}\n").into();
        }
    }
    let mut response = Response::new(Body::bytes(body));
    *response.status_mut() = status;
    let head = response.headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    head.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(index) = index {
        head.insert(HeaderName::from_static("x-consul-index"), HeaderValue::from(index));
        for (name, value) in [
            ("x-consul-knownleader", "true"),
            ("x-consul-lastcontact", "0"),
            ("x-consul-effective-consistency", "leader"),
            ("x-consul-query-backend", "blocking-query"),
        ] {
            head.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    head.insert(HeaderName::from_static("x-consul-default-acl-policy"), HeaderValue::from_static("allow"));
    for (name, value) in fields {
        let name = if name == "allow" { ALLOW } else { HeaderName::from_static(name) };
        // What a check says may be more than one line.
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if let Ok(value) = HeaderValue::from_str(&value) {
            head.insert(name, value);
        }
    }
    response
}

/// Equal, in a time that tells nothing of where they differ.
fn same(a: &str, b: &str) -> bool {
    let (a, b) = (Sha256::digest(a.as_bytes()), Sha256::digest(b.as_bytes()));
    a.iter().zip(b.iter()).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

/// The address that this host would be seen by from elsewhere. Nothing is sent for it.
fn own_address() -> String {
    let seen = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    seen.map_or_else(|_| "127.0.0.1".to_owned(), |address| address.ip().to_string())
}
