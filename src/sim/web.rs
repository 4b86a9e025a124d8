//! Serves HTTP on a port while the device is online.

use super::{port::Port, state::Device};
use crate::serve::{Handler, Limits, Listener, ListenerKind, Server};
use rustls::ServerConfig;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves until `stop` fires. A device that goes offline cuts its connections at once.
pub(super) async fn serve(
    mut port: Port,
    tls: Option<Arc<ServerConfig>>,
    device: Arc<Device>,
    handler: Arc<dyn Handler>,
    stop: CancellationToken,
) {
    let limits = Limits { drain_timeout: Duration::ZERO, ..Limits::default() };
    let mut state = device.state.subscribe();
    while !stop.is_cancelled() {
        let socket = tokio::select! {
            socket = port.listener(&device) => socket,
            () = stop.cancelled() => return,
        };
        let Some(listener) = listener(socket) else { return };
        let listener = match &tls {
            Some(tls) => listener.over_tls(tls.clone()),
            None => listener,
        };
        let online = stop.child_token();
        let mut server = pin!(Server::run(listener, handler.clone(), limits.clone(), online.clone()));
        let goes_offline = async {
            // The device is borrowed, so its state is there.
            let _ = state.wait_for(|s| !s.online).await;
        };
        tokio::select! {
            () = &mut server => {}
            () = goes_offline => {
                online.cancel();
                server.await;
            }
        }
    }
}

/// Serves whatever the device does, until `stop` fires.
pub(super) async fn serve_always(mut port: Port, handler: Arc<dyn Handler>, stop: CancellationToken) {
    if let Some(listener) = port.first().and_then(listener) {
        Server::run(listener, handler, Limits::default(), stop).await;
    }
}

fn listener(socket: TcpListener) -> Option<Listener> {
    let std = socket.into_std().ok()?;
    match Listener::from_std_tcp(std, ListenerKind::Simulator) {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(%error, "simulator cannot serve http");
            None
        }
    }
}
