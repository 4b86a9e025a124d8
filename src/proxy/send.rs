//! The request's body, from the client to the upstream.

use super::{
    buffer::Buffer,
    chunks::{Chunks, Send, Turned},
    connection::Connection,
    deadline::Deadline,
    exchange::Exchange,
    forward::Rest,
    h1::{self, Refusal},
    io::{Broken, Transport},
    pace::Limit,
    splice::{self, Patience, SPLICE_BYTES_MIN, Side},
};

/// Why a body did not get through.
pub(super) enum Fault {
    /// The upstream takes no more.
    Upstream,
    /// The client went away in the middle.
    Gone,
    /// It is longer than the route takes.
    TooLong,
    /// It is not sound, or too slow.
    Unsound(Refusal),
}

/// Sends all of it.
pub(super) async fn body<C: Transport>(exchange: &Exchange<'_, C>) -> Result<(), Fault> {
    // The other direction has its own limits meanwhile.
    let deadline = exchange.connection.worker.deadlines.slot();
    if exchange.job.expects && exchange.connection.input.borrow().is_none() && !exchange.begun.get() {
        let Connection { io, takes, .. } = exchange.connection;
        io.write_all(h1::CONTINUE, &deadline, takes).await.map_err(|_| Fault::Gone)?;
    }
    match exchange.job.rest {
        Rest::None => Ok(()),
        Rest::Length(len) => by_length(exchange, len, &deadline).await,
        Rest::Chunked => chunked(exchange, &deadline).await,
    }
}

/// The client's next bytes, within its pace.
pub(super) async fn from_client<C: Transport>(
    connection: &Connection<C>,
    deadline: &Deadline,
) -> Result<Buffer, Fault> {
    if let Some(mut buffer) = connection.input.borrow_mut().take() {
        buffer.unpack();
        return Ok(buffer);
    }
    let limit = Limit::from(&connection.gives);
    let since = limit.begins(deadline);
    match connection.io.next_within(&connection.worker.buffers, deadline).await {
        Ok(Some(buffer)) => {
            limit.ends(deadline, since, buffer.len());
            Ok(buffer)
        }
        Err(Broken::Slow) => Err(Fault::Unsound(Refusal::TooSlow)),
        Ok(None) | Err(_) => Err(Fault::Gone),
    }
}

impl<C: Transport> Exchange<'_, C> {
    /// Whoever is answered already while it is still asking is in a conversation, which goes at the pace of its matter.
    fn be_patient(&self) {
        if self.begun.get() {
            self.connection.gives.forgive();
        }
    }
}

async fn to_upstream<C: Transport>(exchange: &Exchange<'_, C>, bytes: &[u8], deadline: &Deadline) -> Result<(), Fault> {
    exchange.upstream.write_all(bytes, deadline, exchange.timeout).await.map_err(|_| Fault::Upstream)
}

async fn by_length<C: Transport>(exchange: &Exchange<'_, C>, len: u64, deadline: &Deadline) -> Result<(), Fault> {
    let connection = exchange.connection;
    let received = &exchange.job.record.received;
    let mut left = len;
    while left > 0 {
        let nothing_at_hand = connection.input.borrow().is_none();
        if left >= SPLICE_BYTES_MIN
            && nothing_at_hand
            && connection.io.is_plain()
            && exchange.upstream.is_plain()
            && let Some(pipe) = connection.worker.pipes.lease()
        {
            let patience = Patience { from: (&connection.gives).into(), to: exchange.timeout.into() };
            let moved =
                splice::pass((&connection.io, exchange.upstream), left, pipe, deadline, patience, received).await;
            return moved.map_err(|side| match side {
                Side::To => Fault::Upstream,
                Side::From(Broken::Slow) => Fault::Unsound(Refusal::TooSlow),
                Side::From(_) => Fault::Gone,
            });
        }
        exchange.be_patient();
        let mut buffer = from_client(connection, deadline).await?;
        let mine = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        to_upstream(exchange, &buffer.filled()[..mine], deadline).await?;
        left -= mine as u64;
        received.set(received.get() + mine as u64);
        buffer.consume(mine);
        if !buffer.is_empty() {
            // The begin of the next request.
            *connection.input.borrow_mut() = Some(buffer);
        }
    }
    Ok(())
}

async fn chunked<C: Transport>(exchange: &Exchange<'_, C>, deadline: &Deadline) -> Result<(), Fault> {
    let connection = exchange.connection;
    let (mut chunks, mut data) = (Chunks::default(), 0);
    let limit = exchange.job.route.body_max;
    loop {
        exchange.be_patient();
        let mut buffer = from_client(connection, deadline).await?;
        let turned = chunks.turn(&mut buffer, Send::Chunked { trailers: true }, &mut data).map_err(Fault::Unsound)?;
        exchange.job.record.received.set(data);
        if data > limit {
            return Err(Fault::TooLong);
        }
        to_upstream(exchange, buffer.filled(), deadline).await?;
        if let Turned::End { tail, rest } = turned {
            if !rest.is_empty() {
                buffer.clear();
                buffer.append(&rest);
                *connection.input.borrow_mut() = Some(buffer);
            }
            return to_upstream(exchange, &tail, deadline).await;
        }
    }
}
