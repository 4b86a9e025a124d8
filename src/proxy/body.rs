//! The answer's body, from the upstream to the client, in the framing that the client can take.

use super::{
    buffer::{Buffer, Head},
    chunks::{self, Chunks, Send, Turned},
    exchange::Exchange,
    h1::Body,
    io::Transport,
    splice::{self, Patience, Pipe, SPLICE_BYTES_MIN},
};

/// The body did not get through whole: the client must not take it for whole.
pub(super) struct Cut;

/// Sends the head and the body behind it. True where the upstream sent just what it said it would.
pub(super) async fn relay<C: Transport>(
    exchange: &Exchange<'_, C>,
    head: Head,
    buffer: Buffer,
    from: Body,
    to: Body,
) -> Result<bool, Cut> {
    match (from, to) {
        (Body::None, _) | (_, Body::None) => {
            let exact = buffer.is_empty() && from == Body::None;
            let before = exchange.job.record.sent.get();
            sent(exchange.to_client(&head.bytes).await)?;
            exchange.job.record.sent.set(before);
            Ok(exact)
        }
        (Body::Length(len), _) => by_length(exchange, head, buffer, len).await,
        (Body::Chunked, Body::Chunked) => {
            let send = Send::Chunked { trailers: exchange.job.trailers };
            Box::pin(chunked(exchange, head, buffer, send)).await
        }
        (Body::Chunked, _) => Box::pin(chunked(exchange, head, buffer, Send::Raw)).await,
        (Body::UntilClose, _) => Box::pin(until_close(exchange, head, buffer, to == Body::Chunked)).await,
    }
}

fn sent(sent: bool) -> Result<(), Cut> {
    if sent { Ok(()) } else { Err(Cut) }
}

/// Sends the head and what there is of the body, in one piece where that can be.
async fn first<C: Transport>(exchange: &Exchange<'_, C>, head: Head, mut buffer: Buffer) -> Result<(), Cut> {
    let head_len = head.bytes.len() as u64;
    if buffer.prepend(&head.bytes) {
        drop(head);
        sent(exchange.to_client(buffer.filled()).await)?;
    } else {
        sent(exchange.to_client(&head.bytes).await)?;
        sent(exchange.to_client(buffer.filled()).await)?;
    }
    // What is counted are bytes of the body.
    let counted = &exchange.job.record.sent;
    counted.set(counted.get().saturating_sub(head_len));
    Ok(())
}

async fn by_length<C: Transport>(
    exchange: &Exchange<'_, C>,
    head: Head,
    mut buffer: Buffer,
    len: u64,
) -> Result<bool, Cut> {
    let exact = buffer.len() as u64 <= len;
    buffer.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    let left = len - buffer.len() as u64;
    exchange.long.set(left >= SPLICE_BYTES_MIN);
    if left == 0 {
        first(exchange, head, buffer).await?;
        return Ok(exact);
    }
    Box::pin(long(exchange, head, buffer, left)).await
}

/// A body of which so many bytes are still to come.
async fn long<C: Transport>(
    exchange: &Exchange<'_, C>,
    head: Head,
    mut buffer: Buffer,
    mut left: u64,
) -> Result<bool, Cut> {
    let connection = exchange.connection;
    if left >= SPLICE_BYTES_MIN
        && connection.io.is_plain()
        && exchange.upstream.is_plain()
        && !exchange.sending.get()
        && let Some(pipe) = connection.worker.pipes.lease()
    {
        return spliced(exchange, head, buffer, left, pipe).await.map(|()| true);
    }
    left -= exchange.upstream.fill_now(&mut buffer, usize::try_from(left).unwrap_or(usize::MAX)).await as u64;
    first(exchange, head, buffer).await?;
    while left > 0 {
        let Ok(Some(mut buffer)) = exchange.read_upstream().await else { return Err(Cut) };
        let extra = buffer.len() as u64 > left;
        buffer.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        sent(exchange.to_client(buffer.filled()).await)?;
        left -= buffer.len() as u64;
        if extra {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Head, what there is of the body, and `left` bytes behind it that never come up here.
async fn spliced<C: Transport>(
    exchange: &Exchange<'_, C>,
    head: Head,
    mut buffer: Buffer,
    left: u64,
    mut pipe: Pipe,
) -> Result<(), Cut> {
    let (client, worker) = (&exchange.connection.io, &exchange.connection.worker);
    let (deadline, counted) = (&exchange.connection.deadline, &exchange.job.record.sent);
    let head_len = head.bytes.len() as u64;
    let goes_on = exchange.upstream.with(|from| from.plain().is_some_and(|from| pipe.begin(from, left)));
    if goes_on && buffer.prepend(&head.bytes) {
        drop(head);
        // More is at hand, so the kernel need not send this by itself.
        let taken = client.with(|to| to.plain().map_or(0, |to| splice::send_ahead(to, buffer.filled())));
        buffer.consume(taken);
        counted.set(counted.get() + taken as u64);
        sent(exchange.to_client(buffer.filled()).await)?;
        drop(buffer);
        counted.set(counted.get().saturating_sub(head_len));
    } else {
        first(exchange, head, buffer).await?;
    }
    let patience = Patience { from: exchange.timeout.into(), to: (&exchange.connection.takes).into() };
    let before = counted.get();
    let moved = splice::pass((exchange.upstream, client), left, pipe, deadline, patience, counted).await;
    worker.shared.meters.spliced_bytes.inc_by(counted.get() - before);
    moved.map_err(|_| Cut)
}

async fn chunked<C: Transport>(
    exchange: &Exchange<'_, C>,
    head: Head,
    mut buffer: Buffer,
    send: Send,
) -> Result<bool, Cut> {
    let (mut chunks, mut head, mut data) = (Chunks::default(), Some(head), 0);
    loop {
        let turned = chunks.turn(&mut buffer, send, &mut data).map_err(|refusal| {
            tracing::debug!(reason = refusal.name(), "an upstream's chunks are not sound");
            Cut
        })?;
        match head.take() {
            Some(head) => first(exchange, head, buffer).await?,
            None => sent(exchange.to_client(buffer.filled()).await)?,
        }
        if let Turned::End { tail, rest } = turned {
            sent(exchange.to_client(&tail).await)?;
            return Ok(rest.is_empty());
        }
        let Ok(Some(more)) = exchange.read_upstream().await else { return Err(Cut) };
        buffer = more;
    }
}

/// The upstream's close is the end; a client that can be told gets it as chunks.
async fn until_close<C: Transport>(
    exchange: &Exchange<'_, C>,
    head: Head,
    mut buffer: Buffer,
    framed: bool,
) -> Result<bool, Cut> {
    let mut head = Some(head);
    loop {
        if framed {
            chunks::frame(&mut buffer);
        }
        match head.take() {
            Some(head) => first(exchange, head, buffer).await?,
            None => sent(exchange.to_client(buffer.filled()).await)?,
        }
        match exchange.read_upstream().await {
            Ok(Some(more)) => buffer = more,
            Ok(None) => break,
            // A reset is no end.
            Err(_) => return Err(Cut),
        }
    }
    if framed {
        sent(exchange.to_client(b"0\r\n\r\n").await)?;
    }
    Ok(false)
}
