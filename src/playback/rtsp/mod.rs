//! Streams and footage to players by RTSP/1.0: within the connection or as datagrams, what is live and what was recorded.
//!
//! Owns: connections and sessions, the packets of what is live (made once for all who watch), the pace of footage. Never
//! does: asks a camera for anything but to go on, waits for who reads slowly, decides who may see a play.
//!
//! ```text
//! live::Reader ──► outlet (packets, once) ──► ring of the current group ──► Seat ──┐
//! archive ──► media::vod::Walk ──► film (packets, each with its due time) ──► Reel ─┤
//! a client ──► gate (who may) ──► connection ── answers ──► session ◄───────────────┘──► outbox, datagrams
//! ```

mod address;
mod answers;
mod connection;
mod datagrams;
mod film;
mod gate;
mod line;
mod meters;
mod outbox;
mod outlet;
mod press;
mod program;
mod session;
mod shape;
#[cfg(test)]
mod tests;

use crate::{
    base::{Clock, Metrics, Secret, TaskGroup},
    disk::Disk,
    events::Events,
    live::Hub,
    playback::Footage,
    rtsp::{message::Request, play, transport::Asked},
};
use address::Address;
pub(super) use line::Line;
pub(super) use outbox::Outbox;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// How long accepting rests after the host refused a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the kernel keeps for a client that reads slowly, in bytes: it would let that grow to seconds of pictures, which
/// are old by the time that they are read.
const SEND_BUFFER_BYTES: usize = 256 << 10;

/// What the server stands on.
pub struct Deps {
    /// Who knows it may see all; None: who is on this host.
    pub token: Option<Secret>,
    /// What tracks are called together in reports: the host's name.
    pub node: String,
    /// The archive.
    pub footage: Arc<dyn Footage>,
    /// Where what is live comes from.
    pub hub: Hub,
    /// Whom to tell who watched what.
    pub events: Events,
    /// Where connections and outlets run.
    pub group: TaskGroup,
    /// Reads the files.
    pub disk: Disk,
    /// Says when now is.
    pub clock: Clock,
    /// Where viewers are counted.
    pub metrics: Metrics,
}

/// What all connections share.
struct Shared {
    gate: Arc<gate::Gate>,
    outlets: outlet::Outlets,
    library: film::Library,
    events: Events,
    group: TaskGroup,
    clock: Clock,
    meters: meters::Meters,
    name: String,
}

/// What a request of anybody's says besides its head.
pub fn fuzz(request: &Request) {
    let _ = (Address::parse(&request.uri), address::base(&request.uri));
    let header = |name| request.header(name).unwrap_or_default();
    let _ = (Asked::parse(header("Transport"), 1), play::Span::parse(header("Range")), play::factor(header("Scale")));
}

/// Serves whoever comes, until the group stops.
pub async fn serve(listener: TcpListener, deps: Deps) {
    let Deps { token, node, footage, hub, events, group, disk, clock, metrics } = deps;
    let meters = meters::Meters::new(&metrics);
    let shared = Arc::new(Shared {
        gate: gate::Gate::new(token, clock.clone()),
        outlets: outlet::Outlets::new(hub, clock.clone(), group.clone(), meters.clone()),
        library: film::Library { footage, disk, clock: clock.clone() },
        events,
        group: group.clone(),
        clock: clock.clone(),
        meters,
        name: node,
    });
    let stop = group.stop_token();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((socket, peer)) = accepted else {
            clock.sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(ticket) = shared.gate.enter() else {
            shared.meters.cut("too many");
            continue;
        };
        // Packets go out as they are taken; waiting to fill a segment would only delay them.
        let _ = socket.set_nodelay(true);
        // One that cannot be set is the system's own choice.
        let _ = socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_BYTES);
        let Some(connection) = connection::Connection::new(shared.clone(), socket, peer, ticket) else { continue };
        let stop = stop.clone().cancelled_owned();
        let connections = shared.meters.connections.clone();
        group.spawn("rtsp connection", async move {
            connections.inc();
            connection.run(stop).await;
            connections.dec();
        });
    }
}
