//! Those who serve a route, at one moment. Routes that want the same share one group.

use super::{
    resolved::Resolved,
    states::{StateKey, States},
};
use crate::{
    balance::{Ask, InstanceState, Member, Picker, Pool, hash},
    model::{Catalog, Instance, InstanceKey, Service},
    proxy::{
        config::{Backend, Balance, Upstream},
        via::Via,
    },
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Who, and how one of them is chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupKey {
    pub(super) backend: Backend,
    pub(super) balance: Balance,
}

/// Those who serve a route.
#[derive(Debug)]
pub struct Group {
    /// Where requests may go now.
    pub endpoints: Box<[Endpoint]>,
    /// The same, for [`Pool::settle`].
    pub pool: Pool,
    pub(super) key: GroupKey,
    /// Its place in every thread's [`Pickers`].
    slot: usize,
    made_of: MadeOf,
}

/// One that serves.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The instance's name, or the address as it was configured.
    pub name: Arc<str>,
    /// What is known of it.
    pub state: Arc<InstanceState>,
    /// Where it is, to be tried in order; at least one.
    pub targets: Arc<[SocketAddr]>,
    /// What is spoken there; None: HTTP/1.1 in the clear.
    pub via: Option<Arc<Via>>,
    weight: u32,
    hash: u64,
    /// What it was made of.
    instance: Option<Arc<Instance>>,
}

impl Endpoint {
    /// What a client's cookie names it by: the same for as long as its name is.
    pub fn sticks_to(&self) -> u64 {
        self.hash
    }
}

/// What a group was made of: while that is the same, so is the group.
#[derive(Debug)]
enum MadeOf {
    Service(Option<Arc<Service>>),
    Addresses(Vec<Option<Arc<[IpAddr]>>>),
}

impl PartialEq for MadeOf {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            // Services that did not change are shared by catalogs.
            (Self::Service(a), Self::Service(b)) => match (a, b) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (a, b) => a.is_none() && b.is_none(),
            },
            (Self::Addresses(a), Self::Addresses(b)) => a == b,
            _ => false,
        }
    }
}

impl Group {
    /// The group as of now: `before` itself, if nothing has changed.
    pub(super) fn make(
        key: &GroupKey,
        slot: usize,
        before: Option<&Arc<Self>>,
        catalog: &Catalog,
        resolved: &Resolved,
        states: &mut States,
        now_micros: u64,
    ) -> Arc<Self> {
        let made_of = MadeOf::now(&key.backend, catalog, resolved);
        if let Some(before) = before.filter(|before| before.made_of == made_of && before.key == *key) {
            return before.clone();
        }
        let old = before.map_or(&[][..], |before| &before.endpoints);
        let endpoints = match (&key.backend, &made_of) {
            (Backend::Service { tags, .. }, MadeOf::Service(Some(service))) => {
                let wanted = |i: &&Arc<Instance>| i.is_routable() && i.has_tags(tags);
                let endpoints = of_instances(service.instances.iter().filter(wanted), old, states);
                let lost = service.instances.iter().filter(|i| !i.is_routable());
                let lost = lost.filter_map(|i| states.known(&StateKey::Instance(i.key.clone())));
                lost.for_each(|state| state.set_routable(false, false, now_micros));
                endpoints
            }
            (Backend::Upstreams(upstreams), MadeOf::Addresses(addresses)) => upstreams
                .iter()
                .zip(addresses)
                .flat_map(|(u, found)| of_upstream(u, found.as_deref(), states))
                .collect(),
            _ => Vec::new(),
        };
        // Where there was nobody, all begin alike.
        endpoints.iter().for_each(|e| e.state.set_routable(true, old.is_empty(), now_micros));
        let member = |e: &Endpoint| Member { state: e.state.clone(), weight: e.weight, hash: e.hash };
        let members = endpoints.iter().map(member).collect();
        let pool = Pool::new(key.balance.policy, members, key.balance.slow_start);
        Arc::new(Self { endpoints: endpoints.into(), pool, key: key.clone(), slot, made_of })
    }

    /// What is missing where there is nobody: the text of the 503.
    pub fn missing(&self) -> String {
        match &self.key.backend {
            Backend::Service { name, tags } if tags.is_empty() => format!("no live instance of service `{name}`"),
            Backend::Service { name, tags } => {
                let tags: Vec<&str> = tags.iter().map(|tag| &**tag).collect();
                format!("no live instance of service `{name}` with tags `{}`", tags.join("`, `"))
            }
            Backend::Upstreams(upstreams) => {
                let names: Vec<String> = upstreams.iter().map(ToString::to_string).collect();
                format!("no address of upstream `{}`", names.join("`, `"))
            }
        }
    }

    /// What it is called in logs: the service, or its first upstream.
    pub fn label(&self) -> String {
        match &self.key.backend {
            Backend::Service { name, .. } => name.to_string(),
            Backend::Upstreams(upstreams) => upstreams.first().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// The service as it was when this was made.
    pub(super) fn service(&self) -> Option<&Arc<Service>> {
        match &self.made_of {
            MadeOf::Service(service) => service.as_ref(),
            MadeOf::Addresses(_) => None,
        }
    }

    /// Of fixed upstreams: what each was resolved to.
    pub(super) fn addresses(&self) -> &[Option<Arc<[IpAddr]>>] {
        match &self.made_of {
            MadeOf::Addresses(addresses) => addresses,
            MadeOf::Service(_) => &[],
        }
    }
}

impl MadeOf {
    fn now(backend: &Backend, catalog: &Catalog, resolved: &Resolved) -> Self {
        match backend {
            Backend::Service { name, .. } => Self::Service(catalog.service(name.as_str()).cloned()),
            Backend::Upstreams(upstreams) => Self::Addresses(upstreams.iter().map(|u| resolved.of(&u.host)).collect()),
        }
    }
}

/// Endpoints of instances, in their order. Those that did not change are taken over from `old`, which has the same
/// order: of thousands, one or two change at a time.
fn of_instances<'i>(
    wanted: impl Iterator<Item = &'i Arc<Instance>>,
    old: &[Endpoint],
    states: &mut States,
) -> Vec<Endpoint> {
    let mut old = old.iter().peekable();
    let mut endpoints = Vec::with_capacity(old.len() + 1);
    for instance in wanted {
        let is_before = |e: &&Endpoint| e.instance.as_ref().is_some_and(|i| i.key < instance.key);
        while old.next_if(is_before).is_some() {}
        let same = old.next_if(|e| e.instance.as_ref().is_some_and(|i| Arc::ptr_eq(i, instance)));
        endpoints.push(same.cloned().unwrap_or_else(|| of_instance(instance, states)));
    }
    endpoints
}

fn of_instance(instance: &Arc<Instance>, states: &mut States) -> Endpoint {
    let InstanceKey { service, id } = &instance.key;
    Endpoint {
        name: id.as_str().into(),
        state: states.get(StateKey::Instance(instance.key.clone()), &instance.address, instance.port),
        targets: instance.targets.clone(),
        via: Via::of_instance(instance).map(Arc::new),
        weight: instance.weight,
        hash: hash(format!("{service}/{id}").as_bytes()),
        instance: Some(instance.clone()),
    }
}

/// A name that has several addresses of one kind is several that serve. Addresses of the other kind are other ways to
/// the same ones: a name such as `localhost` has two, and only one is listened on.
fn of_upstream(upstream: &Upstream, found: Option<&[IpAddr]>, states: &mut States) -> Vec<Endpoint> {
    let Some(found @ [first, ..]) = found else { return Vec::new() };
    let (same, other): (Vec<IpAddr>, Vec<IpAddr>) = found.iter().partition(|ip| ip.is_ipv4() == first.is_ipv4());
    let name: Arc<str> = upstream.to_string().into();
    let via = upstream.via.clone().map(Arc::new);
    let endpoint = |ip: IpAddr| {
        let at = SocketAddr::new(ip, upstream.port);
        let others = other.iter().map(|ip| SocketAddr::new(*ip, upstream.port));
        Endpoint {
            name: name.clone(),
            state: states.get(StateKey::Upstream(name.clone(), at), &upstream.host, upstream.port),
            targets: std::iter::once(at).chain(others).collect(),
            via: via.clone(),
            weight: upstream.weight,
            hash: hash(at.to_string().as_bytes()),
            instance: None,
        }
    };
    same.into_iter().map(endpoint).collect()
}

/// One thread's turns in all groups. Outlives tables.
#[derive(Debug, Default)]
pub struct Pickers {
    seed: u64,
    by_slot: Vec<Picker>,
}

impl Pickers {
    /// `seed` differs from thread to thread, so that not all begin with the same.
    pub fn new(seed: u64) -> Self {
        Self { seed, by_slot: Vec::new() }
    }

    /// Where the request goes; None: everybody was tried, or there is nobody.
    pub fn pick<'g>(&mut self, group: &'g Group, ask: &Ask<'_>) -> Option<(u32, &'g Endpoint)> {
        let seed = self.seed;
        if group.slot >= self.by_slot.len() {
            self.by_slot.resize_with(group.slot + 1, || Picker::new(seed));
        }
        let index = self.by_slot[group.slot].pick(&group.pool, ask)?;
        Some((index, &group.endpoints[index as usize]))
    }
}
