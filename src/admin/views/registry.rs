//! What the API answers of services and keys.

use crate::{
    base::{Wall, units::format_duration},
    model::{Health, Instance, Service, service::Source},
    registry::{Check, CheckKind, Entry, Look, Record, Renewed, Served, Talk, Written},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

/// `/api/v1/services`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct ServiceView {
    /// Its name.
    pub name: String,
    /// How many instances it has.
    pub instances: usize,
    /// To how many of them requests may go: passing or warning, a weight, an address that leads somewhere.
    pub live: usize,
    /// Those of each health; every health is named.
    pub health: BTreeMap<&'static str, usize>,
    /// The tags of all of them.
    pub tags: BTreeSet<String>,
    /// The revision that changed any of it last.
    pub modified: u64,
}

impl ServiceView {
    pub(in crate::admin) fn of(service: &Service) -> Self {
        use Health::{Critical, Maintenance, Passing, Warning};
        let with = |health| service.instances.iter().filter(|i| i.health == health).count();
        let healths = [Passing, Warning, Critical, Maintenance];
        Self {
            name: service.name.to_string(),
            instances: service.instances.len(),
            live: service.instances.iter().filter(|i| i.is_routable()).count(),
            health: healths.into_iter().map(|health| (health.as_str(), with(health))).collect(),
            tags: service.instances.iter().flat_map(|i| &i.tags).map(ToString::to_string).collect(),
            modified: service.modified,
        }
    }
}

/// `/api/v1/services/{name}`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct ServiceInstancesView {
    #[serde(flatten)]
    pub service: ServiceSummaryView,
    /// All of them by id, well or not.
    pub instances: Vec<InstanceView>,
}

/// A service without its instances.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct ServiceSummaryView {
    /// Its name.
    pub name: String,
    /// To how many of its instances requests may go.
    pub live: usize,
    /// The revision that changed any of it last.
    pub modified: u64,
}

/// `/api/v1/services/{name}/instances/{id}`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct InstanceView {
    /// Its service.
    pub service: String,
    /// Its name there.
    pub id: String,
    /// IP address or host name, as it was registered.
    pub address: String,
    /// Its TCP port.
    pub port: u16,
    /// Its share beside the others; 0: none.
    pub weight: u32,
    /// Words that routes choose by.
    pub tags: BTreeSet<String>,
    /// What it says of itself.
    pub meta: BTreeMap<String, String>,
    /// It has to be renewed within this; null: it need not.
    pub ttl: Option<String>,
    /// How it is looked at; null: it is not.
    pub check: Option<CheckView>,
    /// Critical for so long, it is removed; null: it stays.
    pub deregister_after: Option<String>,
    /// How it is.
    pub health: Health,
    /// Why it is not passing, or leads nowhere; null where all is well.
    pub reason: Option<String>,
    /// Since when its health is what it is.
    pub since: Wall,
    /// Whether requests may go there.
    pub live: bool,
    /// Where its address leads now.
    pub targets: Vec<String>,
    /// Who registered it: what the configuration file names is read-only here.
    pub source: Source,
    /// The revision that made it.
    pub created: u64,
    /// The revision that changed it last.
    pub modified: u64,
}

/// How an instance is looked at.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct CheckView {
    /// A path or URL that is fetched; null where it is another kind of check.
    pub http: Option<String>,
    /// A connection is opened.
    pub tcp: bool,
    /// A gRPC service that is asked about, empty for the whole server; null where it is another kind of check.
    pub grpc: Option<String>,
    /// From one look to the next.
    pub interval: String,
    /// The longest that one takes.
    pub timeout: String,
    /// Successes in a row that bring it back.
    pub rise: u32,
    /// Failures in a row that take it out.
    pub fall: u32,
    /// The last look; null where there was none since the start.
    pub last: Option<LookView>,
}

/// What one look at an instance saw.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct LookView {
    /// When it was over.
    pub at: Wall,
    /// What it alone says; the thresholds decide what becomes of that.
    pub health: Health,
    /// What was seen.
    pub output: String,
    /// How many looks in a row went so.
    pub in_a_row: u32,
}

impl LookView {
    fn of(look: &Look) -> Self {
        let Look { at, health, output, in_a_row } = look;
        Self { at: *at, health: *health, output: output.to_string(), in_a_row: *in_a_row }
    }
}

impl CheckView {
    fn of(check: &Check, last: Option<&Look>) -> Self {
        let (http, tcp, grpc) = match &check.kind {
            CheckKind::Http(target) => (Some(target.to_string()), false, None),
            CheckKind::HttpAsk(ask) => (Some(ask.url.clone()), false, None),
            CheckKind::Tcp => (None, true, None),
            CheckKind::Grpc(service) => (None, false, Some(service.to_string())),
            CheckKind::At(at) => match &at.talk {
                Talk::Grpc(service) => (None, false, Some(service.clone())),
                Talk::Connect | Talk::Ping | Talk::Datagram(_) => (None, true, None),
            },
        };
        let (interval, timeout) = (format_duration(check.interval), format_duration(check.timeout));
        let last = last.map(LookView::of);
        Self { http, tcp, grpc, interval, timeout, rise: check.rise, fall: check.fall, last }
    }
}

impl InstanceView {
    pub(in crate::admin) fn of(record: &Record, last: Option<&Look>) -> Self {
        let instance = record.instance();
        Self {
            service: instance.key.service.to_string(),
            id: instance.key.id.to_string(),
            address: instance.address.to_string(),
            port: instance.port,
            weight: instance.weight,
            tags: instance.tags.iter().map(ToString::to_string).collect(),
            meta: texts(&instance.meta),
            ttl: record.spec.ttl.map(format_duration),
            check: record.spec.check.as_ref().map(|check| CheckView::of(check, last)),
            deregister_after: record.removed_after().map(format_duration),
            health: instance.health,
            reason: instance.reason.as_ref().map(ToString::to_string),
            since: instance.since,
            live: instance.is_routable(),
            targets: instance.targets.iter().map(ToString::to_string).collect(),
            source: instance.source,
            created: instance.created,
            modified: instance.modified,
        }
    }
}

fn texts(map: &BTreeMap<Arc<str>, Arc<str>>) -> BTreeMap<String, String> {
    map.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

/// The answer to a change of services. It is durable when it is sent.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct WrittenView {
    /// The revision that made it so; an older one where nothing changed.
    pub revision: u64,
    /// False where all was so already: then nothing was written, but for a ttl that begins anew.
    pub changed: bool,
    /// Whether it was not there before.
    pub created: bool,
    /// Whether the proxy routes by it already: the very next request sees it. False where it did not get to it within a
    /// second, which changes nothing of the write; null where no proxy runs.
    pub served: Option<bool>,
}

impl WrittenView {
    pub(in crate::admin) fn of(written: Written) -> Self {
        let Written { revision, changed, created, served } = written;
        Self { revision, changed, created, served: is_served(served) }
    }
}

fn is_served(served: Served) -> Option<bool> {
    match served {
        Served::Yes => Some(true),
        Served::NotYet => Some(false),
        Served::NoProxy => None,
    }
}

/// `POST /api/v1/services/{name}/instances/{id}/renew`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct RenewedView {
    /// It has to be renewed again within this.
    pub ttl: String,
    /// When that is over.
    pub expires: Wall,
    /// Whether anything was written. A renewal in time is not: it is kept in memory alone, and a restart gives everybody
    /// the whole ttl again, and 30 s at least.
    pub written: bool,
    /// Whether it had run out and is back.
    pub revived: bool,
    /// The revision that changed the instance last.
    pub revision: u64,
    /// As in the answer to a registration.
    pub served: Option<bool>,
}

impl RenewedView {
    pub(in crate::admin) fn of(renewed: Renewed, now: Wall) -> Self {
        let Renewed { ttl, revision, revived, served } = renewed;
        let (expires, ttl) = (now.plus(ttl), format_duration(ttl));
        Self { ttl, expires, written: revived, revived, revision, served: is_served(served) }
    }
}

/// `/api/v1/services/{name}/pick`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct PickView {
    /// Its service.
    pub service: String,
    /// Its name there.
    pub id: String,
    /// IP address or host name, as it was registered.
    pub address: String,
    /// Its TCP port.
    pub port: u16,
    /// Where that leads: an IP address and a port.
    pub target: String,
    /// Its weight.
    pub weight: u32,
    /// Its tags.
    pub tags: BTreeSet<String>,
    /// What it says of itself.
    pub meta: BTreeMap<String, String>,
}

impl PickView {
    pub(in crate::admin) fn of(instance: &Instance) -> Self {
        Self {
            service: instance.key.service.to_string(),
            id: instance.key.id.to_string(),
            address: instance.address.to_string(),
            port: instance.port,
            target: instance.targets.first().map(SocketAddr::to_string).unwrap_or_default(),
            weight: instance.weight,
            tags: instance.tags.iter().map(ToString::to_string).collect(),
            meta: texts(&instance.meta),
        }
    }
}

/// `/api/v1/kv/{key}`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct KeyView {
    /// The key; what is no text is shown in hex.
    pub key: String,
    /// Its value as text; null where it is none.
    pub value: Option<String>,
    /// Its value as base64; null where it is text.
    pub base64: Option<String>,
    /// The revision that made it.
    pub created: u64,
    /// The revision that changed it last.
    pub modified: u64,
    /// How often it was written since it was made.
    pub version: u64,
    /// The lease that it goes with; null: none. As text, since it may not fit into a number of JavaScript.
    pub lease: Option<String>,
}

impl KeyView {
    pub(in crate::admin) fn of(key: &[u8], entry: &Entry) -> Self {
        let text = std::str::from_utf8(&entry.value).ok();
        Self {
            key: crate::registry::show(key),
            value: text.map(str::to_owned),
            base64: text.is_none().then(|| STANDARD.encode(&entry.value)),
            created: entry.created,
            modified: entry.modified,
            version: entry.version,
            lease: (entry.lease != 0).then(|| entry.lease.to_string()),
        }
    }
}

/// `/api/v1/kv`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct KeysView {
    /// By key.
    pub items: Vec<KeyView>,
    /// Send it as `cursor` to get what follows; null where nothing does.
    pub next: Option<String>,
    /// The revision of the registry at that moment: send it as `after` to wait for what changes from then on.
    pub revision: u64,
}

/// `DELETE /api/v1/kv/{key}`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct KeysDeletedView {
    /// How many keys are gone.
    pub deleted: usize,
}
