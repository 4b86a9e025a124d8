//! Services and their instances.

use crate::{
    admin::{
        api::{Api, json},
        call::Call,
        failure::Failure,
        paging::{Page, page},
        views::{
            InstanceView, PickView, RenewedView, ServiceInstancesView, ServiceSummaryView, ServiceView, WrittenView,
        },
    },
    base::units::parse_duration,
    model::{InstanceId, InstanceKey, ServiceName, service::Source},
    registry::{CheckAsked, Error, Fault, Spec},
    serve::Response,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

/// A registration longer than this is not one.
const BODY_BYTES_MAX: usize = 256 << 10;

/// The body of a registration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    address: String,
    port: u16,
    weight: Option<u32>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    meta: BTreeMap<String, String>,
    ttl: Option<Length>,
    check: Option<Check>,
    deregister_after: Option<Length>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    http: Option<String>,
    #[serde(default)]
    tcp: bool,
    grpc: Option<String>,
    ttl: Option<Length>,
    interval: Option<Length>,
    timeout: Option<Length>,
    rise: Option<u32>,
    fall: Option<u32>,
    deregister_after: Option<Length>,
}

/// `"10s"`, or a whole number of seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "RawLength")]
struct Length(Duration);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a duration such as \"10s\"")]
enum RawLength {
    Text(String),
    Seconds(u64),
}

impl TryFrom<RawLength> for Length {
    type Error = String;

    fn try_from(raw: RawLength) -> Result<Self, String> {
        match raw {
            RawLength::Text(text) => parse_duration(&text).map(Self).map_err(|e| e.to_string()),
            RawLength::Seconds(seconds) => Ok(Self(Duration::from_secs(seconds))),
        }
    }
}

impl Asked {
    fn spec(self) -> Result<Spec, Fault> {
        let length = |l: Option<Length>| l.map(|l| l.0);
        let spec = Spec {
            weight: self.weight.unwrap_or(1),
            tags: self.tags.into_iter().map(Arc::from).collect(),
            meta: self.meta.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            ttl: length(self.ttl),
            deregister_after: length(self.deregister_after),
            ..Spec::new(&self.address, self.port)
        };
        let Some(check) = self.check else { return spec.checked() };
        let asked = CheckAsked {
            http: check.http,
            tcp: check.tcp,
            grpc: check.grpc,
            ttl: length(check.ttl),
            interval: length(check.interval),
            timeout: length(check.timeout),
            rise: check.rise,
            fall: check.fall,
            deregister_after: length(check.deregister_after),
        };
        spec.with_check(asked)?.checked()
    }
}

pub(in crate::admin) async fn list(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let catalog = api.deps.registry.catalog().borrow().clone();
    let cursor = call.cursor::<ServiceName>()?;
    let chosen = page(catalog.services.values(), |service| service.name.clone(), cursor, call.limit()?);
    let items: Vec<_> = chosen.items.into_iter().map(|service| ServiceView::of(service)).collect();
    json(&Page { items, next: chosen.next })
}

pub(in crate::admin) async fn one(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let name = service(&call)?;
    let registry = &api.deps.registry;
    let records = registry.records_of(name.as_str()).ok_or(Error::NoService(name.clone()))?;
    let modified = registry.catalog().borrow().service(name.as_str()).map_or(0, |s| s.modified);
    let instances: Vec<_> =
        records.iter().map(|record| InstanceView::of(record, registry.look(&record.key).as_ref())).collect();
    let live = instances.iter().filter(|i| i.live).count();
    let service = ServiceSummaryView { name: name.to_string(), live, modified };
    json(&ServiceInstancesView { service, instances })
}

pub(in crate::admin) async fn remove_service(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let name = service(&call)?;
    let registry = api.deps.registry.clone();
    let written = api.to_its_end("deregister", async move { registry.deregister_service(name).await }).await??;
    json(&WrittenView::of(written))
}

pub(in crate::admin) async fn instance(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let key = key(&call)?;
    let registry = &api.deps.registry;
    let look = registry.look(&key);
    let record = registry.record(&key).ok_or(Error::NoInstance(key))?;
    json(&InstanceView::of(&record, look.as_ref()))
}

pub(in crate::admin) async fn register(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let key = key(&call)?;
    let bytes = call.request.body(BODY_BYTES_MAX).await?;
    let asked: Asked = serde_json::from_slice(&bytes).map_err(|e| {
        Failure::body(format!("{e}; send for example {{\"address\": \"10.0.0.5\", \"port\": 9000, \"ttl\": \"10s\"}}"))
    })?;
    let spec = asked.spec().map_err(Failure::body)?;
    let registry = api.deps.registry.clone();
    // Whoever hangs up has asked all the same: half a registration is none.
    let work = async move { registry.register(key, spec, Source::Api).await };
    json(&WrittenView::of(api.to_its_end("register", work).await??))
}

pub(in crate::admin) async fn deregister(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let key = key(&call)?;
    let registry = api.deps.registry.clone();
    let written = api.to_its_end("deregister", async move { registry.deregister(key).await }).await??;
    json(&WrittenView::of(written))
}

pub(in crate::admin) async fn renew(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let renewed = api.deps.registry.renew(key(&call)?).await?;
    json(&RenewedView::of(renewed, api.deps.clock.wall()))
}

pub(in crate::admin) async fn pick(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let name = service(&call)?;
    let tags: BTreeSet<Arc<str>> =
        call.text("tags").into_iter().flat_map(|t| t.split(',')).map(str::trim).map(Arc::from).collect();
    match api.deps.registry.pick(&name, &tags)? {
        Some(instance) => json(&PickView::of(&instance)),
        None => {
            let with = call.text("tags").map(|tags| format!(" with the tags {tags}")).unwrap_or_default();
            let detail = format!(
                "service `{name}` has no live instance{with}; GET /api/v1/services/{name} says how its instances are"
            );
            Err(Failure::no_instance(detail))
        }
    }
}

fn service(call: &Call) -> Result<ServiceName, Failure> {
    named(call.argument("name"))
}

fn key(call: &Call) -> Result<InstanceKey, Failure> {
    Ok(InstanceKey { service: service(call)?, id: named::<InstanceId>(call.argument("id"))? })
}

fn named<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|e| Failure::of_kind(crate::base::Kind::Invalid, e))
}
