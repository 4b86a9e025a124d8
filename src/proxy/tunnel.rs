//! Two connections whose bytes go both ways, whatever they are, until both have ended or neither says anything.
//!
//! It holds no table and no route: what becomes of those does not touch it. Small pieces are copied, through memory that
//! all tunnels of a worker share; where large ones come in the clear, the kernel moves them.
//!
//! Flow: both ends in the clear → `carrier`, for all of a worker's tunnels at once; else (TLS, a stream of HTTP/2) → this
//! file, in the task of the connection.

mod carrier;
mod pair;

use super::{
    buffer::Buffer,
    connection::Connection,
    deadline::Deadline,
    io::{Broken, Io, Transport},
    plane::Shared,
    upstream::Upstream,
    worker::Worker,
};
use crate::balance::InFlight;
pub(super) use carrier::Carrier;
use socket2::{SockRef, TcpKeepalive};
use std::{
    cell::Cell,
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{io::ReadBuf, net::TcpStream};

/// Nothing in either direction for so long: whoever is there has forgotten it.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(3600);
/// Once one side has ended, the other has so long from one piece to the next.
const HALF_CLOSED_IDLE_MAX: Duration = Duration::from_secs(60);

/// A peer of a quiet tunnel that answers no probe of the kernel is gone: it went without a word, as a host does that loses
/// its power or its address. It is asked after so long, and so often, before it is given up.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
const PROBES_MAX: u32 = 6;

/// A tunnel that is about to begin.
pub(super) struct Tunnel {
    pub(super) upstream: Box<Upstream>,
    /// What the upstream sent already.
    pub(super) behind: Option<Buffer>,
    pub(super) _flight: InFlight,
    pub(super) meters: Arc<Shared>,
    /// The longest that nothing may come in either direction.
    pub(super) idle: Duration,
    pub(super) carried: Rc<Carried>,
}

/// What was carried, in bytes.
#[derive(Default)]
pub(super) struct Carried {
    /// From the client.
    pub(super) up: Cell<u64>,
    /// To the client.
    pub(super) down: Cell<u64>,
}

/// One tunnel in the count.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.meters.tunnels.dec();
    }
}

/// What came of copying.
enum Came {
    /// The stream's end.
    End,
    /// What the other side does not take yet.
    Slow(Buffer),
}

/// What both directions know.
struct Both<'a> {
    worker: &'a Rc<Worker>,
    idle: Duration,
    /// When a byte was last seen in either direction, in ticks, which cost no look at the clock.
    last: Cell<u64>,
    /// One of them has ended.
    half: Cell<bool>,
}

impl Tunnel {
    /// Runs to the end of both directions.
    pub(super) async fn run<C: Transport>(self: Box<Self>, connection: Box<Connection<C>>) {
        self.meters.meters.tunnels.inc();
        let _open = Open(self.meters.clone());
        probe(&connection.io, &self.upstream.io);
        if connection.io.is_plain() && self.upstream.io.is_plain() {
            self.carry(*connection).await;
        } else {
            self.copy(&connection).await;
        }
    }

    /// In the clear: the worker does it for all tunnels at once.
    async fn carry<C: Transport>(self, connection: Connection<C>) {
        let Self { upstream, behind, idle, carried, .. } = self;
        let Connection { worker, io, deadline, input, .. } = connection;
        let (upstream, _counted) = upstream.into_parts();
        // The runtime forgets of them: else it would be told of each byte, too.
        let sockets = [io.into_inner().into_plain(), upstream.into_inner().into_plain()];
        let [Some(Ok(client)), Some(Ok(upstream))] = sockets.map(|s| s.map(TcpStream::into_std)) else { return };
        let ahead = [input.into_inner(), behind];
        Carrier::carry(&worker, [client, upstream], ahead, (&deadline, idle), carried).await;
    }

    /// Where either end is more than a socket: in this task.
    async fn copy<C: Transport>(self, connection: &Connection<C>) {
        let Self { upstream, behind, idle, carried, .. } = self;
        let Connection { worker, io: client, deadline, .. } = connection;
        let ahead = connection.input.borrow_mut().take();
        let other = worker.deadlines.slot();
        let both = Both { worker, idle, last: Cell::new(deadline.now()), half: Cell::new(false) };
        let up = both.pump((client, &upstream.io), ahead, (deadline, &other), &carried.up);
        let down = both.pump((&upstream.io, client), behind, (&other, deadline), &carried.down);
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

impl Both<'_> {
    /// One direction, with its own limit and the other's. Its end is passed on as an end; any failure ends both.
    async fn pump<F: Transport, T: Transport>(
        &self,
        ends: (&Io<F>, &Io<T>),
        first: Option<Buffer>,
        (deadline, others): (&Deadline, &Deadline),
        carried: &Cell<u64>,
    ) -> Result<(), Broken> {
        let (_, to) = ends;
        let mut rest = first;
        loop {
            if let Some(buffer) = rest.take() {
                to.write_all(buffer.filled(), deadline, HALF_CLOSED_IDLE_MAX).await?;
                self.moved(buffer.len(), deadline, carried);
            }
            match self.copy(ends, deadline, carried).await? {
                Came::End => break,
                Came::Slow(buffer) => rest = Some(buffer),
            }
        }
        self.half.set(true);
        // It may have been given the time of a tunnel that nothing has ended of.
        others.set(HALF_CLOSED_IDLE_MAX.min(self.idle));
        Ok(to.shutdown().await?)
    }

    /// Passes on what comes. No memory is leased for a message, and no limit is set.
    async fn copy<F: Transport, T: Transport>(
        &self,
        (from, to): (&Io<F>, &Io<T>),
        deadline: &Deadline,
        carried: &Cell<u64>,
    ) -> Result<Came, Broken> {
        deadline.set(self.limit());
        poll_fn(|cx| {
            loop {
                let mut scratch = self.worker.scratch.borrow_mut();
                let mut room = ReadBuf::new(&mut scratch);
                let read = from.poll_read(cx, &mut room);
                let Poll::Ready(read) = read else { return self.poll_quiet(cx, deadline).map(Err) };
                read?;
                let piece = room.filled();
                if piece.is_empty() {
                    return Poll::Ready(Ok(Came::End));
                }
                let written = match to.poll_write(cx, piece) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Broken::Ended)),
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                };
                self.moved(written, deadline, carried);
                if written < piece.len() || !to.poll_flush(cx)?.is_ready() {
                    return Poll::Ready(Ok(Came::Slow(self.worker.buffers.holding(&piece[written..]))));
                }
            }
        })
        .await
    }

    /// How long nothing may come.
    fn limit(&self) -> Duration {
        if self.half.get() { HALF_CLOSED_IDLE_MAX.min(self.idle) } else { self.idle }
    }

    /// Ready once nothing has come for too long. A limit that runs out says only that nothing came this way.
    fn poll_quiet(&self, cx: &Context<'_>, deadline: &Deadline) -> Poll<Broken> {
        while deadline.poll(cx).is_ready() {
            let quiet = deadline.passed(self.last.get());
            match self.limit().checked_sub(quiet) {
                None | Some(Duration::ZERO) => return Poll::Ready(Broken::Slow),
                Some(left) => deadline.set(left),
            }
        }
        Poll::Pending
    }

    fn moved(&self, n: usize, deadline: &Deadline, carried: &Cell<u64>) {
        carried.set(carried.get() + n as u64);
        self.last.set(deadline.now());
    }
}
