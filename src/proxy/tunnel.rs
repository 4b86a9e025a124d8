//! Two connections that speak another protocol now: bytes both ways, until both have ended or neither says anything.
//!
//! It holds no table and no route: what becomes of those does not touch it.

use super::{
    buffer::{Buffer, Buffers},
    connection::Connection,
    deadline::Deadline,
    io::{Broken, Io, Transport},
    plane::Shared,
    upstream::Upstream,
};
use crate::balance::InFlight;
use socket2::{SockRef, TcpKeepalive};
use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// Nothing in either direction for so long: whoever is there has forgotten it.
const TUNNEL_IDLE_MAX: Duration = Duration::from_secs(3600);
/// Once one side has ended, the other has so long from one piece to the next.
const HALF_CLOSED_IDLE_MAX: Duration = Duration::from_secs(60);

/// A peer of a quiet tunnel that answers no probe of the kernel is gone: it went without a word, as a host does that loses
/// its power or its address. It is asked after so long, and so often, before it is given up.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
const PROBES_MAX: u32 = 6;

/// A tunnel that is about to begin.
pub(super) struct Tunnel {
    pub(super) upstream: Upstream,
    /// What the upstream sent already.
    pub(super) behind: Option<Buffer>,
    pub(super) _flight: InFlight,
    pub(super) meters: Arc<Shared>,
}

/// One tunnel in the count.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.meters.tunnels.dec();
    }
}

impl Tunnel {
    /// Runs to the end of both directions.
    pub(super) async fn run<C: Transport>(self: Box<Self>, connection: Connection<C>) {
        let Self { upstream, behind, meters, .. } = *self;
        meters.meters.tunnels.inc();
        let _open = Open(meters);
        let ahead = connection.input.borrow_mut().take();
        probe(&connection.io, &upstream.io);
        let buffers = &connection.worker.buffers;
        let (client, deadline) = (&connection.io, &connection.deadline);
        let other = connection.worker.deadlines.slot();
        // When a byte was last seen in either direction.
        let last = Cell::new(connection.worker.now_micros());
        let now = || connection.worker.now_micros();
        let half = Cell::new(false);
        let up = pump(client, &upstream.io, ahead, buffers, deadline, &last, &half, &now);
        let down = pump(&upstream.io, client, behind, buffers, &other, &last, &half, &now);
        if futures_util::future::try_join(up, down).await.is_err() {
            client.abort_on_close();
            upstream.io.abort_on_close();
        }
    }
}

fn probe<C: Transport, U: Transport>(client: &Io<C>, upstream: &Io<U>) {
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_INTERVAL).with_retries(PROBES_MAX);
    // A socket that takes no option is gone already, which the first read tells.
    let set = |socket: Option<&TcpStream>| socket.map(|s| SockRef::from(s).set_tcp_keepalive(&probes));
    let _ = (client.with(|c| set(c.socket())), upstream.with(|u| set(u.socket())));
}

/// One direction. Its end is passed on as an end; any failure ends both.
#[expect(clippy::too_many_arguments, reason = "both directions share all of it")]
async fn pump<F: Transport, T: Transport>(
    from: &Io<F>,
    to: &Io<T>,
    first: Option<Buffer>,
    buffers: &Rc<Buffers>,
    deadline: &Deadline,
    last: &Cell<u64>,
    half: &Cell<bool>,
    now: &impl Fn() -> u64,
) -> Result<(), Broken> {
    let mut next = first;
    loop {
        if let Some(buffer) = next.take() {
            to.write_all(buffer.filled(), deadline, HALF_CLOSED_IDLE_MAX).await?;
            last.set(now());
        }
        next = loop {
            let limit = if half.get() { HALF_CLOSED_IDLE_MAX } else { TUNNEL_IDLE_MAX };
            let quiet = Duration::from_micros(now().saturating_sub(last.get()));
            let Some(left) = limit.checked_sub(quiet).filter(|left| !left.is_zero()) else { return Err(Broken::Slow) };
            deadline.set(left);
            // Where the time ran out, the other direction may have moved meanwhile.
            if let Ok(read) = deadline.within(from.next(buffers)).await {
                break read?;
            }
        };
        if next.is_none() {
            half.set(true);
            return Ok(to.shutdown().await?);
        }
    }
}
