//! The simulated device's RTSP server: TCP interleaved and UDP, digest without `qop`, one session per connection.
//!
//! Never does: multicast, recording, playback by time.
//!
//! Flow: [`serve`] accepts while the device is online → `connection` reads requests and writes answers and packets →
//! `session` turns a source's units into packets.

mod carrier;
mod connection;
mod session;
mod target;

use super::{port::Port, source::Sources, state::Device};
use crate::base::TaskGroup;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// How long accepting rests after the host refused a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share.
pub(super) struct Shared {
    pub device: Arc<Device>,
    pub sources: Sources,
    pub group: TaskGroup,
}

/// Accepts connections whenever the device is online, until the group stops.
pub(super) async fn serve(mut port: Port, shared: Arc<Shared>) {
    let stop = shared.group.stop_token();
    let mut state = shared.device.state.subscribe();
    loop {
        let listener = tokio::select! {
            listener = port.listener(&shared.device) => listener,
            () = stop.cancelled() => return,
        };
        tokio::select! {
            () = accept(&listener, &shared) => {}
            _ = state.wait_for(|s| !s.online) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Packets go out as frames are taken; waiting to fill a segment would only delay them.
                let _ = socket.set_nodelay(true);
                let (shared_here, stop) = (shared.clone(), shared.group.stop_token());
                shared.group.spawn("simulated rtsp", async move {
                    tokio::select! {
                        () = connection::run(socket, peer, shared_here) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
            Err(_) => shared.device.options.clock.sleep(ACCEPT_PAUSE).await,
        }
    }
}
