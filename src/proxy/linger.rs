//! The end of a connection whose client may still be sending. To close it at once would send a reset, and the answer that
//! is on its way would be thrown away with it.

use super::{connection::Connection, io::Transport};
use std::time::Duration;

/// A client that sends nothing for so long has seen the answer, or never will.
const QUIET_MAX: Duration = Duration::from_secs(5);
/// All of it takes no longer than this.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// What is thrown away of one client, in bytes: the largest body that a client might send whole before it reads.
const DISCARD_BYTES_MAX: u64 = 64 << 20;

/// Half-closes, and reads until the client ends, or is quiet, or it is enough.
pub(super) async fn linger<C: Transport>(connection: &Connection<C>) {
    let Connection { io, deadline, worker, .. } = connection;
    let began = worker.now_micros();
    let limit = u64::try_from(LINGER_MAX.as_micros()).unwrap_or(u64::MAX);
    deadline.set_idle(QUIET_MAX);
    if !matches!(deadline.within(io.shutdown()).await, Ok(Ok(()))) {
        return;
    }
    *connection.input.borrow_mut() = None;
    let mut discarded = 0;
    while discarded < DISCARD_BYTES_MAX && worker.now_micros() - began < limit && !worker.draining.get() {
        deadline.set_idle(QUIET_MAX);
        match io.next_within(&worker.buffers, deadline).await {
            Ok(Some(buffer)) => discarded += buffer.len() as u64,
            _ => return,
        }
    }
}
