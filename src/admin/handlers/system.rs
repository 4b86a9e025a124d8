//! The daemon itself: health, metrics, status, config.

use crate::{
    admin::{
        Phase,
        api::{Api, body, json},
        call::Call,
        failure::Failure,
        views::{ConfigSourcesView, CountsView, DiskView, ReloadView, StatusView},
    },
    serve::Response,
};
use http::header::ACCEPT;
use std::sync::Arc;

/// What Prometheus asks for by itself.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What everything that reads metrics understands.
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(in crate::admin) async fn healthz(_: Arc<Api>, _: Call) -> Result<Response, Failure> {
    Ok(body("text/plain; charset=utf-8", "ok\n"))
}

pub(in crate::admin) async fn readyz(api: Arc<Api>, _: Call) -> Result<Response, Failure> {
    let phase = *api.deps.phase.borrow();
    match phase {
        Phase::Ready => Ok(body("text/plain; charset=utf-8", "ready\n")),
        Phase::Starting => Err(Failure::not_ready("store and index are being opened")),
        Phase::Stopping => Err(Failure::not_ready("skyvis is stopping")),
    }
}

pub(in crate::admin) async fn metrics(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let open = call.request.header(ACCEPT).is_some_and(|accept| accept.contains("application/openmetrics-text"));
    Ok(match open {
        true => body(OPEN_METRICS, api.deps.metrics.render()),
        false => body(PLAIN_METRICS, api.deps.metrics.render_plain()),
    })
}

pub(in crate::admin) async fn status(api: Arc<Api>, _: Call) -> Result<Response, Failure> {
    let snapshot = api.deps.cameras.watch().borrow().clone();
    let readers = snapshot.streams.iter().map(|s| api.deps.hub.readers(&s.key)).sum();
    let recording = api.deps.recorder.watch().borrow().values().filter(|s| s.recording).count();
    let phase = *api.deps.phase.borrow();
    let table = api.deps.routes.state();
    json(&StatusView {
        version: env!("CARGO_PKG_VERSION"),
        node: api.config.node.clone(),
        phase,
        time: api.deps.clock.wall(),
        uptime_seconds: (api.deps.clock.now() - api.began).as_secs(),
        counts: CountsView::of(&snapshot, recording, readers),
        disk: disk(&api),
        last_event: *api.deps.events.watch().borrow(),
        catalog_version: Some(api.deps.registry.catalog().borrow().revision),
        route_table_version: Some(table.revision),
        route_table_error: table.failed.map(|(_, why)| why.to_string()),
        console: super::console::build(),
    })
}

fn disk(api: &Api) -> DiskView {
    let archive = &api.deps.archive;
    let (space, health) = (archive.space().unwrap_or_default(), archive.health().borrow().clone());
    DiskView {
        path: archive.dir().display().to_string(),
        total_bytes: space.total_bytes,
        free_bytes: space.free_bytes,
        free_inodes: (space.total_inodes > 0).then_some(space.free_inodes),
        state: health.trouble.map_or("ok", |t| t.reason()),
        since: health.since,
        error: health.trouble.map(|_| health.error.clone()),
        advice: health.trouble.map(|t| t.advice()),
        footage_bytes: archive.footage_bytes(),
    }
}

pub(in crate::admin) async fn config(api: Arc<Api>, _: Call) -> Result<Response, Failure> {
    let shown = api.deps.config.borrow().clone();
    json(&shown.effective)
}

pub(in crate::admin) async fn config_sources(api: Arc<Api>, _: Call) -> Result<Response, Failure> {
    let shown = api.deps.config.borrow().clone();
    json(&ConfigSourcesView { file: shown.file.clone(), sources: shown.sources.clone() })
}

pub(in crate::admin) async fn reload(api: Arc<Api>, _: Call) -> Result<Response, Failure> {
    let reloader = api.deps.reloader.clone();
    match api.to_its_end("reload", async move { reloader.reload().await }).await? {
        Ok(changed) => json(&ReloadView { changed }),
        Err(refused) => Err(Failure::config_refused(&refused.faults)),
    }
}

pub(in crate::admin) async fn openapi(api: Arc<Api>, _: Call) -> Result<Response, Failure> {
    Ok(body("application/json", api.openapi.clone()))
}
