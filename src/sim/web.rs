//! Serves HTTP on a port while the device is online.

use super::{port::Port, state::Device};
use crate::serve::{Handler, Limits, Listener, ListenerKind, Server};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Serves until `stop` fires. A device that goes offline cuts its connections at once.
pub(super) async fn serve(mut port: Port, device: Arc<Device>, handler: Arc<dyn Handler>, stop: CancellationToken) {
    let limits = Limits { drain_timeout: Duration::ZERO, ..Limits::default() };
    let mut state = device.state.subscribe();
    while !stop.is_cancelled() {
        let listener = tokio::select! {
            listener = port.listener(&device) => listener,
            () = stop.cancelled() => return,
        };
        let listener = match listener.into_std().map(|l| Listener::from_std_tcp(l, ListenerKind::Simulator)) {
            Ok(Ok(listener)) => listener,
            Ok(Err(error)) => {
                tracing::warn!(%error, "simulated device cannot listen for http");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "simulated device cannot listen for http");
                return;
            }
        };
        let online = stop.child_token();
        let server = Server::run(listener, handler.clone(), limits.clone(), online.clone());
        let watch = async {
            // Ends when the device goes offline; the server then cuts what is open and returns.
            let _ = state.wait_for(|s| !s.online).await;
            online.cancel();
        };
        tokio::join!(server, async {
            tokio::select! {
                () = watch => {}
                () = online.cancelled() => {}
            }
        });
    }
}

/// Serves whatever the device does, until `stop` fires.
pub(super) async fn serve_always(mut port: Port, handler: Arc<dyn Handler>, stop: CancellationToken) {
    let Some(listener) = port.first() else { return };
    match listener.into_std().map(|l| Listener::from_std_tcp(l, ListenerKind::Simulator)) {
        Ok(Ok(listener)) => Server::run(listener, handler, Limits::default(), stop).await,
        _ => tracing::warn!("the simulator's control port cannot be served"),
    }
}
