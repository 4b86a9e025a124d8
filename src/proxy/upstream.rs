//! Connections to upstreams: made, kept while they are likely to live, counted.
//!
//! Each worker has its own; the one used last is taken first, so that those that are too many grow old and go. What all
//! workers hold to one instance is counted in its shared state and bounded.

use super::{
    h2::Session,
    io::Io,
    table::Endpoint,
    via::{self, Via},
    wire::Wire,
    worker::Worker,
};
use crate::balance::InstanceState;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{net::TcpStream, sync::Notify};

/// How long a connection is kept without use. Servers close theirs after 5 s and more; a request that meets such a close
/// on its way is lost where it may not be repeated.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(4);
/// Kept connections of one worker to one address.
const IDLE_CONNECTIONS_MAX: usize = 128;
/// Sessions of HTTP/2 of one worker to one address. Each carries a hundred exchanges.
const SESSIONS_MAX: usize = 16;
/// How long a session is kept without use: making one takes two round trips more than asking in it, and it is told apart
/// from a request on its way when an upstream closes it.
const SESSION_IDLE_MAX: Duration = Duration::from_secs(60);
/// Connections of all workers to one instance, in use or not. What it cannot take more of must not pile up there.
const CONNECTIONS_PER_INSTANCE_MAX: u32 = 4096;

/// The connections of one worker that nobody uses.
#[derive(Default)]
pub(super) struct Upstreams {
    idle: RefCell<HashMap<SocketAddr, Vec<Idle>>>,
    /// The same, of those that something else is spoken on than HTTP/1.1 in the clear.
    idle_by_way: RefCell<HashMap<Place, Vec<Idle>>>,
    kept: Cell<usize>,
    sessions: RefCell<HashMap<Place, Vec<Shared>>>,
    /// Those who wait for a session that somebody else begins.
    opening: RefCell<HashMap<Place, Rc<Notify>>>,
    pub(super) tls: via::Configs,
}

/// Where, and what is spoken there.
type Place = (SocketAddr, Arc<Via>);

/// A session that is being begun. Those who wait for it look again when that ends, however it does.
struct Opening<'a> {
    of: &'a Upstreams,
    place: Place,
}

impl<'a> Opening<'a> {
    fn new(of: &'a Upstreams, place: Place) -> Self {
        of.opening.borrow_mut().insert(place.clone(), Rc::default());
        Self { of, place }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if let Some(others) = self.of.opening.borrow_mut().remove(&self.place) {
            others.notify_waiters();
        }
    }
}

/// A TCP connection, in the count of its instance.
async fn dial(
    worker: &Worker,
    address: SocketAddr,
    state: &Arc<InstanceState>,
) -> Result<(TcpStream, Rc<Counted>), NoConnection> {
    worker.shared.meters.connects.inc();
    let before = state.connections().fetch_add(1, Ordering::Relaxed);
    let counted = Rc::new(Counted(state.clone()));
    if before >= CONNECTIONS_PER_INSTANCE_MAX {
        return Err(NoConnection::Full);
    }
    let stream = TcpStream::connect(address).await?;
    // Heads and bodies are written whole; waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    Ok((stream, counted))
}

/// A session of HTTP/2.
struct Shared {
    session: Session,
    used_micros: u64,
    counted: Rc<Counted>,
}

struct Idle {
    upstream: Box<Upstream>,
    since_micros: u64,
}

/// An open connection to an instance. It goes from hand to hand with each request, so it lies apart.
pub(super) struct Upstream {
    pub(super) io: Io<Wire>,
    /// Whether the last answer on it was long.
    pub(super) long: Cell<bool>,
    address: SocketAddr,
    via: Option<Arc<Via>>,
    /// It was used before.
    pub(super) reused: bool,
    counted: Rc<Counted>,
}

impl Upstream {
    /// The connection, for something else than exchanges, and what keeps it in the count of its instance.
    pub(super) fn into_parts(self) -> (Io<Wire>, Rc<Counted>) {
        (self.io, self.counted)
    }
}

/// One connection in the count of its instance.
pub(super) struct Counted(Arc<InstanceState>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections().fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoConnection {
    /// The instance has as many as it may have.
    Full,
    /// It refused, or cannot be reached.
    Refused(io::Error),
    /// This host has no descriptor, port or memory for one; that says nothing about the instance.
    Exhausted(io::Error),
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        if is_exhausted(&error) { Self::Exhausted(error) } else { Self::Refused(error) }
    }
}

/// Whether it is this host that has not what a socket takes.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::AGAIN];
    error.raw_os_error().is_some_and(|code| ours.iter().any(|errno| errno.raw_os_error() == code))
}

impl Upstreams {
    /// A connection that can be used at once: a kept one that was not closed meanwhile, or room in a session.
    pub(super) fn take(&self, address: SocketAddr, via: Option<&Arc<Via>>, now_micros: u64) -> Option<Box<Upstream>> {
        let Some(via) = via else {
            return self.silent(self.idle.borrow_mut().get_mut(&address)?);
        };
        let place = (address, via.clone());
        if !via.h2 {
            return self.silent(self.idle_by_way.borrow_mut().get_mut(&place)?);
        }
        let mut sessions = self.sessions.borrow_mut();
        let of_place = sessions.get_mut(&place)?;
        of_place.retain_mut(|shared| shared.session.is_open());
        of_place.iter_mut().find_map(|shared| {
            let asking = shared.session.ask()?;
            shared.used_micros = now_micros;
            let (reused, counted) = (asking.reused, shared.counted.clone());
            let io = Io::new(Wire::H2(Box::new(asking)));
            Some(Box::new(Upstream { io, long: Cell::new(false), address, via: Some(via.clone()), reused, counted }))
        })
    }

    fn silent(&self, kept: &mut Vec<Idle>) -> Option<Box<Upstream>> {
        while let Some(Idle { mut upstream, .. }) = kept.pop() {
            self.kept.set(self.kept.get() - 1);
            if upstream.io.get_mut().is_silent() {
                upstream.reused = true;
                return Some(upstream);
            }
        }
        None
    }

    /// A new one, or what others make just now and can be shared.
    pub(super) async fn connect(
        worker: &Rc<Worker>,
        address: SocketAddr,
        endpoint: &Endpoint,
    ) -> Result<Box<Upstream>, NoConnection> {
        let Some(via) = &endpoint.via else {
            let (stream, counted) = dial(worker, address, &endpoint.state).await?;
            let io = Io::new(Wire::Plain(stream));
            let upstream = Upstream { io, long: Cell::new(false), address, via: None, reused: false, counted };
            return Ok(Box::new(upstream));
        };
        Box::pin(worker.upstreams.speak(worker, (address, via.clone()), &endpoint.state)).await
    }

    async fn speak(
        &self,
        worker: &Rc<Worker>,
        place: Place,
        state: &Arc<InstanceState>,
    ) -> Result<Box<Upstream>, NoConnection> {
        let (address, via) = (place.0, place.1.clone());
        if !via.h2 {
            let (stream, counted) = dial(worker, address, state).await?;
            let session = self.tls.connect(&via, stream).await.map_err(NoConnection::Refused)?;
            let io = Io::new(Wire::Tls(Box::new(session)));
            let upstream = Upstream { io, long: Cell::new(false), address, via: Some(via), reused: false, counted };
            return Ok(Box::new(upstream));
        }
        let opening = loop {
            if let Some(upstream) = self.take(address, Some(&via), worker.now_micros()) {
                return Ok(upstream);
            }
            let others = self.opening.borrow().get(&place).cloned();
            match others {
                // A hundred requests that come at once need one session, not a hundred.
                Some(others) => others.notified().await,
                None if self.sessions.borrow().get(&place).is_some_and(|all| all.len() >= SESSIONS_MAX) => {
                    return Err(NoConnection::Full);
                }
                None => break Opening::new(self, place.clone()),
            }
        };
        let (stream, counted) = dial(worker, address, state).await?;
        let mut session = match via.tls {
            Some(_) => {
                let secured = self.tls.connect(&via, stream).await.map_err(NoConnection::Refused)?;
                let (session, moving) = Session::begin(secured, true).await.map_err(NoConnection::Refused)?;
                worker.tasks.spawn("upstream session", moving);
                session
            }
            None => {
                let (session, moving) = Session::begin(stream, false).await.map_err(NoConnection::Refused)?;
                worker.tasks.spawn("upstream session", moving);
                session
            }
        };
        let asking = session.ask().ok_or(NoConnection::Full)?;
        let shared = Shared { session, used_micros: worker.now_micros(), counted: counted.clone() };
        self.sessions.borrow_mut().entry(place).or_default().push(shared);
        drop(opening);
        let io = Io::new(Wire::H2(Box::new(asking)));
        Ok(Box::new(Upstream { io, long: Cell::new(false), address, via: Some(via), reused: false, counted }))
    }

    /// Keeps a connection whose last answer is whole.
    pub(super) fn keep(&self, upstream: Box<Upstream>, now_micros: u64) {
        if upstream.io.with(Wire::is_single) {
            return;
        }
        let put = |kept: &mut Vec<Idle>, upstream| {
            if kept.len() < IDLE_CONNECTIONS_MAX {
                kept.push(Idle { upstream, since_micros: now_micros });
                self.kept.set(self.kept.get() + 1);
            }
        };
        match upstream.via.clone() {
            None => put(self.idle.borrow_mut().entry(upstream.address).or_default(), upstream),
            Some(via) => put(self.idle_by_way.borrow_mut().entry((upstream.address, via)).or_default(), upstream),
        }
    }

    /// Closes what was not used for [`IDLE_MAX`].
    pub(super) fn sweep(&self, now_micros: u64) {
        let limit = u64::try_from(IDLE_MAX.as_micros()).unwrap_or(u64::MAX);
        let drop_old = |kept: &mut Vec<Idle>| {
            let old = kept.partition_point(|i| now_micros.saturating_sub(i.since_micros) >= limit);
            kept.drain(..old);
            self.kept.set(self.kept.get() - old);
            !kept.is_empty()
        };
        self.idle.borrow_mut().retain(|_, kept| drop_old(kept));
        self.idle_by_way.borrow_mut().retain(|_, kept| drop_old(kept));
        let limit = u64::try_from(SESSION_IDLE_MAX.as_micros()).unwrap_or(u64::MAX);
        self.sessions.borrow_mut().retain(|_, of_place| {
            of_place.retain_mut(|shared| {
                let is_old = now_micros.saturating_sub(shared.used_micros) >= limit && shared.session.is_idle();
                !is_old && shared.session.is_open()
            });
            !of_place.is_empty()
        });
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.get() == 0 && self.sessions.borrow().is_empty()
    }

    /// Closes all.
    pub(super) fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.idle_by_way.borrow_mut().clear();
        self.sessions.borrow_mut().clear();
        self.kept.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_this_host_lacks_is_not_the_fault_of_an_instance() {
        for ours in [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS] {
            assert!(matches!(NoConnection::from(io::Error::from(ours)), NoConnection::Exhausted(_)), "{ours}");
        }
        for theirs in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::TIMEDOUT, Errno::CONNRESET] {
            assert!(matches!(NoConnection::from(io::Error::from(theirs)), NoConnection::Refused(_)), "{theirs}");
        }
    }
}
