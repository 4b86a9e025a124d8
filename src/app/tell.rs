//! Tells of routes that have nobody to serve them, and of tables that cannot be made: in the log and as events.

use super::{Rooms, phases::Phases};
use crate::proxy::sync::TableState;
use serde_json::json;
use std::time::Duration;

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
