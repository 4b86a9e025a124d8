//! The PROXY protocol's header, which says who is at the other end of the proxy before us.

use super::{
    buffer::Buffer,
    deadline::Deadline,
    h1,
    io::{Io, Transport},
    worker::Worker,
};
use std::{net::SocketAddr, rc::Rc, time::Duration};

/// Reads it: what came behind it, and both ends where it names them. None: there is none, or not in time.
pub(super) async fn read<C: Transport>(
    worker: &Rc<Worker>,
    io: &Io<C>,
    (deadline, limit): (&Deadline, Duration),
    peer: SocketAddr,
) -> Option<(Buffer, Option<(SocketAddr, SocketAddr)>)> {
    deadline.set_fresh(limit);
    let mut buffer = worker.buffers.lease();
    let prelude = loop {
        match h1::parse_prelude(buffer.filled()) {
            Ok(Some(prelude)) => break prelude,
            Ok(None) if !buffer.is_full() => {}
            _ => {
                worker.shared.meters.bad_prelude.inc();
                tracing::debug!(%peer, "no sound PROXY protocol header");
                return None;
            }
        }
        match deadline.within(io.fill(&mut buffer)).await {
            Ok(Ok(1..)) => {}
            _ => return None,
        }
    };
    buffer.consume(prelude.len);
    Some((buffer, prelude.ends))
}
