//! What lies in the store, and how it is read back.

mod history;
mod keys;

use super::{
    Asked, At, Check, CheckKind, Error, How, HttpAsk, Named, Node, Owner, Record, Session, Spec, Talk,
    kv::Space,
    record::Verdict,
    state::{Held, Lease, Staged, State},
};
use crate::{
    base::Wall,
    model::{Health, InstanceId, InstanceKey, ServiceName, service::Source},
    store::{self, Batch, Codec, Keyspace, Store},
};
use bytes::Bytes;
use keys::EntryRow;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

const NUMBERS: Keyspace<Numbers> = Keyspace::new(0x50, "registry numbers", Codec::Json);
const INSTANCES: Keyspace<InstanceRow> = Keyspace::new(0x51, "instances", Codec::Json);
const KEYS: Keyspace<EntryRow> = Keyspace::new(0x52, "keys", Codec::Postcard);
const NODES: Keyspace<NodeRow> = Keyspace::new(0x55, "nodes", Codec::Json);
const SESSIONS: Keyspace<SessionRow> = Keyspace::new(0x56, "sessions", Codec::Json);
const LEASES: Keyspace<LeaseRow> = Keyspace::new(0x54, "leases", Codec::Json);

const NUMBERS_KEY: &[u8] = b"all";

/// Numbers that must never go back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Numbers {
    revision: u64,
    catalog: u64,
    compacted: u64,
    /// Where instances are keys; none in a store from before they were.
    #[serde(default)]
    prefix: String,
    /// The last one that changed a session.
    #[serde(default)]
    sessions: u64,
}

#[derive(Serialize, Deserialize)]
struct InstanceRow {
    service: ServiceName,
    id: InstanceId,
    address: String,
    port: u16,
    weight: u32,
    tags: Vec<String>,
    meta: BTreeMap<String, String>,
    ttl_ms: Option<u64>,
    check: Option<CheckRow>,
    deregister_after_ms: Option<u64>,
    source: Source,
    verdict: Option<(Health, String)>,
    expired: bool,
    targets: Vec<SocketAddr>,
    unresolved: Option<String>,
    /// Of UTC; a time as text would lose its microseconds.
    since_micros: i64,
    created: u64,
    modified: u64,
    defined: u64,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    words: Option<String>,
    #[serde(default)]
    checks: Vec<NamedRow>,
}

#[derive(Serialize, Deserialize)]
struct NodeRow {
    words: String,
    checks: Vec<NamedRow>,
    created: u64,
    modified: u64,
}

#[derive(Serialize, Deserialize)]
struct NamedRow {
    id: String,
    how: HowRow,
    remove_after_ms: Option<u64>,
    words: String,
    health: Health,
    output: String,
    created: u64,
    modified: u64,
    defined: u64,
}

#[derive(Serialize, Deserialize)]
enum HowRow {
    Stated,
    Ttl(u64),
    Look(CheckRow),
    Maintenance,
}

#[derive(Serialize, Deserialize)]
struct CheckRow {
    http: Option<String>,
    grpc: Option<String>,
    interval_ms: u64,
    timeout_ms: u64,
    rise: u32,
    fall: u32,
    #[serde(default)]
    ask: Option<HttpAsk>,
    /// Where it looks, where that is not the instance.
    #[serde(default)]
    place: Option<At>,
    /// The same as it was written before: a host and a port, for `grpc` where that stands there.
    #[serde(default, skip_serializing)]
    at: Option<(String, u16)>,
    #[serde(default)]
    warn: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct SessionRow {
    words: String,
    ttl_ms: Option<u64>,
    deletes: bool,
    delay_ms: u64,
    /// Instances' checks, then nodes'.
    of_instances: Vec<(InstanceKey, String)>,
    of_nodes: Vec<(String, String)>,
    created: u64,
}

#[derive(Serialize, Deserialize)]
struct LeaseRow {
    ttl_ms: u64,
}

/// One batch of all that is staged over `state`; notes there which rows of history it makes.
pub(super) fn batch(staged: &mut Staged, state: &State) -> Result<Batch, store::Error> {
    let compacted = staged.compacted.unwrap_or(state.space.log.compacted());
    let prefix = String::from_utf8_lossy(staged.prefix.as_ref().unwrap_or(&state.prefix)).into_owned();
    let (revision, catalog, sessions) = (staged.revision, staged.catalog, staged.last_session);
    let numbers = Numbers { revision, catalog, compacted, prefix, sessions };
    let mut batch = Batch::new().put(&NUMBERS, NUMBERS_KEY, &numbers)?;
    for (key, record) in &staged.records {
        let place = format!("{}/{}", key.service, key.id).into_bytes();
        batch = match record {
            Some(record) => batch.put(&INSTANCES, &place, &InstanceRow::of(record))?,
            None => batch.delete(&INSTANCES, &place),
        };
    }
    for (name, node) in &staged.nodes {
        batch = match node {
            Some(node) => batch.put(&NODES, name.as_bytes(), &NodeRow::of(node))?,
            None => batch.delete(&NODES, name.as_bytes()),
        };
    }
    for (key, entry) in &staged.over.entries {
        batch = match entry {
            Some(entry) => batch.put(&KEYS, key, &EntryRow::of(entry))?,
            None => batch.delete(&KEYS, key),
        };
    }
    (batch, staged.over.rows) = history::put(batch, &staged.over.revisions)?;
    for (id, ttl) in &staged.leases {
        batch = match ttl {
            Some(ttl) => batch.put(&LEASES, &id.to_be_bytes(), &LeaseRow { ttl_ms: ms(*ttl) })?,
            None => batch.delete(&LEASES, &id.to_be_bytes()),
        };
    }
    for (id, session) in &staged.sessions {
        batch = match session {
            Some(session) => batch.put(&SESSIONS, id.as_bytes(), &SessionRow::of(session))?,
            None => batch.delete(&SESSIONS, id.as_bytes()),
        };
    }
    Ok(match staged.compacted {
        Some(number) => history::delete(batch, state.space.log.rows_before(number)),
        None => batch,
    })
}

/// All that was ever acknowledged and not taken back. Blocks.
pub(super) fn load(store: &Store) -> Result<State, Error> {
    let mut state = State::default();
    let numbers = store.get(&NUMBERS, NUMBERS_KEY)?.unwrap_or_default();
    for row in store.range(&NODES, ..) {
        let (name, row) = row?;
        let name: Arc<str> = String::from_utf8_lossy(&name).into();
        state.nodes.insert(name.clone(), Arc::new(row.node(name)));
    }
    for row in store.range(&INSTANCES, ..) {
        let mut record = row?.1.record();
        record.held = record.spec.node.as_ref().and_then(|node| state.nodes.get(node)?.verdict());
        state.put(record.key.clone(), Some(Arc::new(record)));
    }
    for row in store.range(&LEASES, ..) {
        let (key, row) = row?;
        let id = key.try_into().map_or(0, i64::from_be_bytes);
        state.leases.insert(id, Lease { ttl: Duration::from_millis(row.ttl_ms), ..Lease::default() });
    }
    for row in store.range(&SESSIONS, ..) {
        let (id, row) = row?;
        let session = row.session(String::from_utf8_lossy(&id).into());
        state.sessions.insert(session.id.clone(), Held { session: Arc::new(session), keys: BTreeSet::new() });
    }
    state.last_session = numbers.sessions;
    let mut entries = BTreeMap::new();
    for row in store.range(&KEYS, ..) {
        let (key, row) = row?;
        let (key, entry) = (Bytes::from(key), Arc::new(row.entry()));
        if let Some(lease) = state.leases.get_mut(&entry.lease) {
            lease.keys.insert(key.clone());
        }
        if let Some(held) = entry.holder().and_then(|session| state.sessions.get_mut(session)) {
            held.keys.insert(key.clone());
        }
        entries.insert(key, entry);
    }
    let log = history::load(store, numbers.compacted)?;
    // Whatever became of the row of numbers: no revision is given twice.
    let of_nodes = state.nodes.values().map(|node| node.modified).max().unwrap_or(0);
    let of_records = state.records().map(|r| r.modified).max().unwrap_or(0).max(of_nodes);
    let of_keys = entries.values().map(|e| e.modified).max().unwrap_or(0);
    state.catalog = numbers.catalog.max(of_records).max(FIRST);
    state.revision = numbers.revision.max(state.catalog).max(of_keys);
    state.space = Space::load(entries, log);
    state.prefix = numbers.prefix.into();
    Ok(state)
}

/// The revision of a registry in which nothing was ever written. Others take 0 for "I have seen nothing".
const FIRST: u64 = 1;

fn ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

impl InstanceRow {
    fn of(record: &Record) -> Self {
        let spec = &*record.spec;
        let text = |(k, v): (&Arc<str>, &Arc<str>)| (k.to_string(), v.to_string());
        Self {
            service: record.key.service.clone(),
            id: record.key.id.clone(),
            address: spec.address.to_string(),
            port: spec.port,
            weight: spec.weight,
            tags: spec.tags.iter().map(ToString::to_string).collect(),
            meta: spec.meta.iter().map(text).collect(),
            ttl_ms: spec.ttl.map(ms),
            check: spec.check.as_ref().map(CheckRow::of),
            deregister_after_ms: spec.deregister_after.map(ms),
            source: record.source,
            verdict: record.verdict.as_ref().map(|v| (v.health, v.output.to_string())),
            expired: record.expired,
            targets: record.targets.to_vec(),
            unresolved: record.unresolved.as_ref().map(ToString::to_string),
            since_micros: record.since.micros(),
            created: record.created,
            modified: record.modified,
            defined: record.defined,
            node: spec.node.as_ref().map(ToString::to_string),
            words: spec.words.as_ref().map(ToString::to_string),
            checks: record.checks.iter().map(NamedRow::of).collect(),
        }
    }

    fn record(self) -> Record {
        let spec = Spec {
            address: self.address.into(),
            port: self.port,
            weight: self.weight,
            tags: self.tags.into_iter().map(Arc::from).collect(),
            meta: self.meta.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            ttl: self.ttl_ms.map(Duration::from_millis),
            check: self.check.map(CheckRow::check),
            deregister_after: self.deregister_after_ms.map(Duration::from_millis),
            node: self.node.map(Arc::from),
            words: self.words.map(Arc::from),
        };
        Record {
            key: InstanceKey { service: self.service, id: self.id },
            spec: Arc::new(spec),
            source: self.source,
            verdict: self.verdict.map(|(health, output)| Verdict { health, output: output.into() }),
            expired: self.expired,
            checks: self.checks.into_iter().map(NamedRow::named).collect(),
            held: None,
            targets: self.targets.into(),
            unresolved: self.unresolved.map(Into::into),
            since: Wall::from_micros(self.since_micros),
            created: self.created,
            modified: self.modified,
            defined: self.defined,
        }
    }
}

impl SessionRow {
    fn of(session: &Session) -> Self {
        let mut row = Self {
            words: session.words.to_string(),
            ttl_ms: session.ttl.map(ms),
            deletes: session.deletes,
            delay_ms: ms(session.delay),
            of_instances: Vec::new(),
            of_nodes: Vec::new(),
            created: session.created,
        };
        for (owner, id) in &session.checks {
            match owner {
                Owner::Instance(key) => row.of_instances.push((key.clone(), id.to_string())),
                Owner::Node(name) => row.of_nodes.push((name.to_string(), id.to_string())),
            }
        }
        row
    }

    fn session(self, id: Arc<str>) -> Session {
        let of_instances = self.of_instances.into_iter().map(|(key, id)| (Owner::Instance(key), id.into()));
        let of_nodes = self.of_nodes.into_iter().map(|(name, id)| (Owner::Node(name.into()), id.into()));
        Session {
            id,
            words: self.words.into(),
            ttl: self.ttl_ms.map(Duration::from_millis),
            deletes: self.deletes,
            delay: Duration::from_millis(self.delay_ms),
            checks: of_instances.chain(of_nodes).collect(),
            created: self.created,
        }
    }
}

impl NodeRow {
    fn of(node: &Node) -> Self {
        let checks = node.checks.iter().map(NamedRow::of).collect();
        Self { words: node.words.to_string(), checks, created: node.created, modified: node.modified }
    }

    fn node(self, name: Arc<str>) -> Node {
        let checks = self.checks.into_iter().map(NamedRow::named).collect();
        Node { name, words: self.words.into(), checks, created: self.created, modified: self.modified }
    }
}

impl NamedRow {
    fn of(named: &Named) -> Self {
        let Named { asked, verdict, created, modified, defined } = named;
        Self {
            id: asked.id.to_string(),
            how: match &asked.how {
                How::Stated => HowRow::Stated,
                How::Ttl(ttl) => HowRow::Ttl(ms(*ttl)),
                How::Look(check) => HowRow::Look(CheckRow::of(check)),
                How::Maintenance => HowRow::Maintenance,
            },
            remove_after_ms: asked.remove_after.map(ms),
            words: asked.words.to_string(),
            health: verdict.health,
            output: verdict.output.to_string(),
            created: *created,
            modified: *modified,
            defined: *defined,
        }
    }

    fn named(self) -> Named {
        let asked = Asked {
            id: self.id.into(),
            how: match self.how {
                HowRow::Stated => How::Stated,
                HowRow::Ttl(ttl) => How::Ttl(Duration::from_millis(ttl)),
                HowRow::Look(check) => How::Look(check.check()),
                HowRow::Maintenance => How::Maintenance,
            },
            remove_after: self.remove_after_ms.map(Duration::from_millis),
            words: self.words.into(),
        };
        let Self { health, output, created, modified, defined, .. } = self;
        Named { asked: Arc::new(asked), verdict: Verdict { health, output: output.into() }, created, modified, defined }
    }
}

impl CheckRow {
    fn of(check: &Check) -> Self {
        let (interval_ms, timeout_ms) = (ms(check.interval), ms(check.timeout));
        let Check { rise, fall, warn, .. } = *check;
        let (http, grpc, ask, place, at) = (None, None, None, None, None);
        let row = Self { http, grpc, interval_ms, timeout_ms, rise, fall, ask, place, at, warn };
        match &check.kind {
            CheckKind::Http(target) => Self { http: Some(target.to_string()), ..row },
            CheckKind::Grpc(service) => Self { grpc: Some(service.to_string()), ..row },
            CheckKind::Tcp => row,
            CheckKind::HttpAsk(ask) => Self { ask: Some((**ask).clone()), ..row },
            CheckKind::At(at) => Self { place: Some((**at).clone()), ..row },
        }
    }

    fn check(mut self) -> Check {
        if let Some((host, port)) = self.at.take() {
            let talk = self.grpc.take().map_or(Talk::Connect, Talk::Grpc);
            self.place = Some(At { host, port, talk, tls: None });
        }
        let kind = match (self.ask, self.place, self.http, self.grpc) {
            (Some(ask), ..) => CheckKind::HttpAsk(Arc::new(ask)),
            (None, Some(place), ..) => CheckKind::At(Arc::new(place)),
            (None, None, Some(target), _) => CheckKind::Http(target.into()),
            (None, None, None, Some(service)) => CheckKind::Grpc(service.into()),
            (None, None, None, None) => CheckKind::Tcp,
        };
        Check {
            kind,
            interval: Duration::from_millis(self.interval_ms),
            timeout: Duration::from_millis(self.timeout_ms),
            rise: self.rise,
            fall: self.fall,
            warn: self.warn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_that_were_written_before_are_read() {
        let of = |more: &str| {
            let text = format!(r#"{{"interval_ms":1000,"timeout_ms":1000,"rise":1,"fall":1,"http":null,{more}}}"#);
            serde_json::from_str::<CheckRow>(&text).unwrap().check().kind
        };
        let at = |talk| CheckKind::At(Arc::new(At { host: "a".to_owned(), port: 80, talk, tls: None }));
        assert_eq!(of(r#""grpc":null,"at":["a",80]"#), at(Talk::Connect));
        assert_eq!(of(r#""grpc":"x.Y","at":["a",80]"#), at(Talk::Grpc("x.Y".to_owned())));
        let ask = r#""grpc":null,"ask":{"url":"http://a/","method":"GET","headers":[],"body":""}"#;
        assert!(matches!(of(ask), CheckKind::HttpAsk(ask) if !ask.follows && ask.tls == Default::default()));
    }
}
