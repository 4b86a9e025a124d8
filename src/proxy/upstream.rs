//! Connections to upstreams: made, kept while they are likely to live, counted.
//!
//! Each worker has its own; the one used last is taken first, so that those that are too many grow old and go. What all
//! workers hold to one instance is counted in its shared state and bounded.

use super::io::Io;
use crate::balance::InstanceState;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::net::TcpStream;

/// How long a connection is kept without use. Servers close theirs after 5 s and more; a request that meets such a close
/// on its way is lost where it may not be repeated.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(4);
/// Kept connections of one worker to one address.
const IDLE_CONNECTIONS_MAX: usize = 128;
/// Connections of all workers to one instance, in use or not. What it cannot take more of must not pile up there.
const CONNECTIONS_PER_INSTANCE_MAX: u32 = 4096;

/// The connections of one worker that nobody uses.
#[derive(Default)]
pub(super) struct Upstreams {
    idle: RefCell<HashMap<SocketAddr, Vec<Idle>>>,
    kept: Cell<usize>,
}

struct Idle {
    upstream: Upstream,
    since_micros: u64,
}

/// An open connection to an instance.
pub(super) struct Upstream {
    pub(super) io: Io<TcpStream>,
    address: SocketAddr,
    _counted: Counted,
}

/// One connection in the count of its instance.
struct Counted(Arc<InstanceState>);

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
    /// A kept connection that was not closed meanwhile.
    pub(super) fn take(&self, address: SocketAddr) -> Option<Upstream> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&address)?;
        while let Some(Idle { upstream, .. }) = kept.pop() {
            self.kept.set(self.kept.get() - 1);
            // Costs no call into the kernel where nothing came: the runtime knows that.
            let silent = upstream.io.with(|s| s.try_read(&mut [0]));
            if silent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return Some(upstream);
            }
        }
        None
    }

    /// A new one.
    pub(super) async fn connect(address: SocketAddr, state: &Arc<InstanceState>) -> Result<Upstream, NoConnection> {
        let before = state.connections().fetch_add(1, Ordering::Relaxed);
        let counted = Counted(state.clone());
        if before >= CONNECTIONS_PER_INSTANCE_MAX {
            return Err(NoConnection::Full);
        }
        let stream = TcpStream::connect(address).await?;
        // Heads and bodies are written whole; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        Ok(Upstream { io: Io::new(stream), address, _counted: counted })
    }

    /// Keeps a connection whose last answer is whole.
    pub(super) fn keep(&self, upstream: Upstream, now_micros: u64) {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(upstream.address).or_default();
        if kept.len() < IDLE_CONNECTIONS_MAX {
            kept.push(Idle { upstream, since_micros: now_micros });
            self.kept.set(self.kept.get() + 1);
        }
    }

    /// Closes what was not used for [`IDLE_MAX`].
    pub(super) fn sweep(&self, now_micros: u64) {
        let limit = u64::try_from(IDLE_MAX.as_micros()).unwrap_or(u64::MAX);
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, kept| {
            let old = kept.partition_point(|i| now_micros.saturating_sub(i.since_micros) >= limit);
            kept.drain(..old);
            self.kept.set(self.kept.get() - old);
            !kept.is_empty()
        });
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.get() == 0
    }

    /// Closes all.
    pub(super) fn clear(&self) {
        self.idle.borrow_mut().clear();
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
