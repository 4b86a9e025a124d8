//! The handle: what can be asked for.

mod checks;
mod keys;
mod sessions;

use super::{
    Aim, Checks, Config, Error, Look, Owner, Record, Renewed, Served, Spec, Who, Written,
    check::Looks,
    command::{Command, Done},
    draft::{Change, Resolved},
    metrics::Meters,
    pick::Turns,
    resolve::resolved,
    state::Shared,
};
use crate::{
    base::Clock,
    model::{Catalog, Health, Instance, InstanceKey, ServiceName, service::Source},
    outbound::Lookup,
};
use checks::checked;
use futures_util::{FutureExt, StreamExt, stream};
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

/// How long an answer waits for the proxy to serve what was written.
const SERVED_WITHIN: Duration = Duration::from_secs(1);
/// Bytes of values that may be on their way to the store at once; more are told that it is busy.
const ROOM_BYTES: usize = 64 << 20;
/// Names looked up at once when the configuration is applied.
const LOOKUPS_AT_ONCE_MAX: usize = 16;

/// The registry. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    door: Door,
    served: OnceLock<watch::Receiver<u64>>,
    turns: Turns,
    looks: Looks,
    /// A permit a byte.
    room: Arc<Semaphore>,
}

/// What the task leaves with the handle.
pub(super) struct Door {
    pub commands: mpsc::Sender<Command>,
    pub shared: Arc<Shared>,
    pub catalog: watch::Receiver<Arc<Catalog>>,
    pub checks: watch::Receiver<u64>,
    pub clock: Clock,
    pub lookup: Lookup,
    pub meters: Meters,
}

impl Registry {
    pub(super) fn new(door: Door) -> Self {
        let room = Arc::new(Semaphore::new(ROOM_BYTES));
        Self(Arc::new(Inner { door, served: OnceLock::new(), turns: Turns::default(), looks: Looks::default(), room }))
    }

    /// Who tells up to which revision of the catalog requests are routed. From then on writes of services are answered
    /// once they are served. The first who tells is believed.
    pub fn served_by(&self, served: watch::Receiver<u64>) {
        if self.0.served.set(served).is_err() {
            tracing::warn!("a second proxy says what it serves, the first one is listened to");
        }
    }

    /// All services and their instances, as they change.
    pub fn catalog(&self) -> watch::Receiver<Arc<Catalog>> {
        self.0.door.catalog.clone()
    }

    /// The last revision of services and keys.
    pub fn revision(&self) -> u64 {
        self.0.door.shared.read().revision
    }

    /// One instance with all that is known of it.
    pub fn record(&self, key: &InstanceKey) -> Option<Arc<Record>> {
        self.0.door.shared.read().record(key).cloned()
    }

    /// All instances of a service, by id. None where there is no such service.
    pub fn records_of(&self, service: &str) -> Option<Vec<Arc<Record>>> {
        Some(self.0.door.shared.read().services.get(service)?.values().cloned().collect())
    }

    /// Every instance.
    pub fn records(&self) -> Vec<Arc<Record>> {
        self.0.door.shared.read().records().cloned().collect()
    }

    /// The instances of this name, of whatever service.
    pub fn records_named(&self, id: &str) -> Vec<Arc<Record>> {
        let state = self.0.door.shared.read();
        state.services.values().filter_map(|instances| instances.get(id)).cloned().collect()
    }

    /// All that is to be looked at. [`Registry::watch_checks`] says when to ask again.
    pub fn checked(&self) -> Vec<Arc<Aim>> {
        let state = self.0.door.shared.read();
        let of_instances = state.records().flat_map(Aim::of_record);
        of_instances.chain(state.nodes.values().flat_map(|node| Aim::of_node(node))).map(Arc::new).collect()
    }

    /// Changes whenever an instance that has a check comes, goes, moves or is to be checked differently; not with its
    /// health.
    pub fn watch_checks(&self) -> watch::Receiver<u64> {
        self.0.door.checks.clone()
    }

    /// What the last look at an instance saw; None where there was none since the start.
    pub fn look(&self, key: &InstanceKey) -> Option<Look> {
        self.0.looks.of(&Who::of(key.clone()))
    }

    /// What a check with a name saw or was told last; None where there was nothing since the start.
    pub fn last_word(&self, owner: &Owner, check: &Arc<str>) -> Option<Look> {
        self.0.looks.of(&Who::named(owner.clone(), check.clone()))
    }

    /// Whether what is noted of a check was told, and that check is still there.
    pub(super) fn is_told(&self, who: &Who, look: &Look) -> bool {
        let Some(id) = &who.check else { return false };
        let state = self.0.door.shared.read();
        let checks = match &who.owner {
            Owner::Instance(key) => state.record(key).map(|record| &record.checks),
            Owner::Node(name) => state.nodes.get(name).map(|node| &node.checks),
        };
        checks.into_iter().flatten().any(|named| named.asked.id == *id && named.verdict.health == look.health)
    }

    /// Where looks are noted.
    pub(super) fn looks(&self) -> &Looks {
        &self.0.looks
    }

    /// Registers an instance, or says again that it is there, which renews its ttl and changes nothing else.
    pub async fn register(&self, key: InstanceKey, spec: Spec, source: Source) -> Result<Written, Error> {
        self.register_checked(key, spec, source, None).await
    }

    /// The same with checks that have names; None: those that it has stay.
    pub async fn register_checked(
        &self,
        key: InstanceKey,
        spec: Spec,
        source: Source,
        checks: Option<Checks>,
    ) -> Result<Written, Error> {
        if let Some(checks) = &checks {
            checked(checks)?;
        }
        let spec = spec.checked().map_err(|fault| Error::Invalid(fault.to_string()))?;
        let resolved = self.lookup(&key, &spec).await;
        let spec = Arc::new(spec);
        let change = self.ask(|done| Command::Register { key, spec, resolved, source, checks, done }).await?;
        Ok(self.written(change).await)
    }

    /// Takes an instance away.
    pub async fn deregister(&self, key: InstanceKey) -> Result<Written, Error> {
        let change = self.ask(|done| Command::Deregister { key, done }).await?;
        Ok(self.written(change).await)
    }

    /// Takes all instances of a service away, but those of the configuration.
    pub async fn deregister_service(&self, service: ServiceName) -> Result<Written, Error> {
        let change = self.ask(|done| Command::DeregisterService { service, done }).await?;
        Ok(self.written(change).await)
    }

    /// Makes the instances of the configuration just these. Answered when it is durable.
    pub async fn apply(&self, config: Config) -> Result<Written, Error> {
        let (wanted, prefix) = (config.instances, config.service_prefix.into());
        let lookups: Vec<_> = wanted.iter().map(|one| self.lookup(&one.key, &one.spec).boxed()).collect();
        let resolved = stream::iter(lookups).buffered(LOOKUPS_AT_ONCE_MAX).collect().await;
        let change = self.ask(|done| Command::SetStatic { wanted, resolved, prefix, done }).await?;
        let Change { revision, changed, created, .. } = change;
        Ok(Written { revision, changed, created, served: Served::NotYet })
    }

    /// An instance says that it is still there. Kept in memory: a restart gives everybody the whole ttl again.
    pub async fn renew(&self, key: InstanceKey) -> Result<Renewed, Error> {
        let (ttl, change) = self.ask(|done| Command::Renew { key, done }).await?;
        let served = self.served(change.revision).await;
        Ok(Renewed { ttl, revision: change.revision, revived: change.changed, served })
    }

    /// A check says how an instance is, its thresholds applied. `defined` is that of the record which was checked; a
    /// result for another one is refused ([`Error::Outdated`]). Whether that was news.
    pub async fn report(&self, who: Who, defined: u64, health: Health, output: String) -> Result<bool, Error> {
        let change = self.ask(|done| Command::Report { who, defined, health, output, done }).await?;
        Ok(change.changed)
    }

    /// A live instance of a service that carries all of the tags, in turn by weight. None where there is none.
    pub fn pick(&self, service: &ServiceName, tags: &BTreeSet<Arc<str>>) -> Result<Option<Arc<Instance>>, Error> {
        let catalog = self.0.door.catalog.borrow().clone();
        let found = catalog.service(service.as_str()).ok_or_else(|| Error::NoService(service.clone()))?;
        Ok(self.0.turns.next(found, tags))
    }

    /// Where a host name leads, where that is not known already.
    async fn lookup(&self, key: &InstanceKey, spec: &Spec) -> Option<Resolved> {
        if !spec.has_name() {
            return None;
        }
        let is_known = self
            .record(key)
            .is_some_and(|r| (&r.spec.address, r.spec.port) == (&spec.address, spec.port) && !r.targets.is_empty());
        if is_known {
            return None;
        }
        Some(resolved(&self.0.door.lookup, &spec.address, spec.port).await)
    }

    async fn written(&self, change: Change) -> Written {
        let Change { revision, changed, created, .. } = change;
        Written { revision, changed, created, served: self.served(revision).await }
    }

    /// Waits until the proxy routes by a revision.
    async fn served(&self, revision: u64) -> Served {
        let Some(mut served) = self.0.served.get().cloned() else { return Served::NoProxy };
        let late = self.0.door.clock.sleep(SERVED_WITHIN);
        tokio::select! {
            biased;
            seen = served.wait_for(|seen| *seen >= revision) => match seen {
                Ok(_) => Served::Yes,
                Err(_) => Served::NotYet,
            },
            () = late => {
                self.0.door.meters.unserved.inc();
                tracing::warn!(revision, "the proxy does not serve a write of the registry within a second");
                Served::NotYet
            }
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(Done<T>) -> Command) -> Result<T, Error> {
        let (done, answer) = oneshot::channel();
        self.0.door.commands.try_send(command(done)).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Error::Busy,
            mpsc::error::TrySendError::Closed(_) => Error::Stopped,
        })?;
        answer.await.map_err(|_| Error::Stopped)?
    }
}
