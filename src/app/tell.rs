//! Tells of routes that have nobody to serve them, of tables that cannot be made and of certificates that do not work: in
//! the log and as events.

use super::{Rooms, phases::Phases};
use crate::proxy::{sync::TableState, tls::SiteState};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// The least time between two looks: a service that comes and goes many times a second is told of once.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows the table of routes.
pub(super) fn watch_routes(rooms: &Rooms, phases: &Phases) {
    let (events, clock, stop) = (rooms.events.clone(), rooms.clock.clone(), phases.keeping.stop_token());
    let mut state = rooms.proxy.routes().watch_state();
    phases.keeping.spawn("routes watch", async move {
        let mut told = TableState::default();
        let watching = async {
            loop {
                let now = state.borrow_and_update().clone();
                for (route, missing) in now.down.iter().filter(|(route, _)| !told.down.contains_key(*route)) {
                    tracing::warn!(%route, missing, "a route has nobody to serve it");
                    events.emit("route.down", route, json!({ "missing": missing }));
                }
                for route in told.down.keys().filter(|route| !now.down.contains_key(*route)) {
                    tracing::info!(%route, "a route has somebody to serve it again, or is gone");
                    events.emit("route.up", route, json!({}));
                }
                if let Some((revision, error)) = now.failed.as_ref().filter(|_| now.failed != told.failed) {
                    events.emit("route.table_failed", "", json!({ "revision": revision, "error": **error }));
                }
                told = now;
                clock.sleep(LOOK_EVERY).await;
                if state.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = watching => {}
            () = stop.cancelled() => {}
        }
    });
}

/// Follows the certificates that clients are shown.
pub(super) fn watch_certificates(rooms: &Rooms, phases: &Phases) {
    let (events, stop) = (rooms.events.clone(), phases.keeping.stop_token());
    let mut states = rooms.proxy.tls().watch();
    states.mark_changed();
    phases.keeping.spawn("certificates watch", async move {
        let mut told: Arc<[SiteState]> = Arc::default();
        let watching = async {
            while states.changed().await.is_ok() {
                let now = states.borrow_and_update().clone();
                for state in now.iter() {
                    let SiteState { label: site, not_after, fault } = state;
                    let before = told.iter().find(|before| before.label == *site);
                    match fault {
                        Some(fault) if before.and_then(|b| b.fault.as_ref()) != Some(fault) => {
                            let served = if not_after.is_some() { "the one before" } else { "none" };
                            tracing::error!(%site, served, fault = &**fault, "a certificate cannot be used");
                            events.emit("tls.certificate_bad", site, json!({ "fault": **fault, "served": served }));
                        }
                        None if before != Some(state) => {
                            tracing::info!(%site, not_after, "a certificate is in force");
                            events.emit("tls.certificate", site, json!({ "not_after": not_after }));
                        }
                        _ => {}
                    }
                }
                told = now;
            }
        };
        tokio::select! {
            () = watching => {}
            () = stop.cancelled() => {}
        }
    });
}
