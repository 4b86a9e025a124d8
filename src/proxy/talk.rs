//! A client that has left HTTP with the consent of who answers in this process: what it sends goes to that one, what that
//! one says goes to the client, until either ends.

use super::{
    connection::{Connection, Next},
    io::Transport,
    pace::Pace,
    record::Record,
};
use bytes::Bytes;
use std::{future::poll_fn, io, pin::pin, task::Poll, time::Duration};
use tokio::sync::mpsc;

/// Who is told what happens now, and takes nothing of it for so long, is cut off.
const STALL_MAX: Duration = Duration::from_secs(10);

/// What the client says, on its way to who answers.
pub(super) type Heard = mpsc::Sender<io::Result<Bytes>>;

/// Runs to the end.
pub(super) async fn talk<C: Transport>(
    connection: &Connection<C>,
    record: &Record,
    pieces: &mut mpsc::Receiver<io::Result<Bytes>>,
    heard: Heard,
) -> Next {
    connection.deadline.clear();
    connection.io.with(|to| to.socket().map(crate::serve::keep_little_unsent));
    let mut saying = pin!(say(connection, record, pieces));
    let mut hearing = Some(Box::pin(hear(connection, record, heard)));
    poll_fn(|cx| {
        if let Some(Poll::Ready(whole)) = hearing.as_mut().map(|hearing| hearing.as_mut().poll(cx)) {
            // Who answers sees that nothing more comes, and ends.
            hearing = None;
            if !whole {
                return Poll::Ready(Next::Abort);
            }
        }
        saying.as_mut().poll(cx)
    })
    .await
}

async fn say<C: Transport>(
    connection: &Connection<C>,
    record: &Record,
    pieces: &mut mpsc::Receiver<io::Result<Bytes>>,
) -> Next {
    let takes = Pace::new(STALL_MAX);
    while let Some(piece) = pieces.recv().await {
        let Ok(piece) = piece else { return Next::Abort };
        if connection.io.write_all(&piece, &connection.deadline, &takes).await.is_err() {
            record.cut.set(true);
            return Next::Abort;
        }
        connection.deadline.clear();
        record.sent.set(record.sent.get() + piece.len() as u64);
    }
    Next::Linger
}

/// False where the client's connection broke.
async fn hear<C: Transport>(connection: &Connection<C>, record: &Record, heard: Heard) -> bool {
    loop {
        let ahead = connection.input.borrow_mut().take();
        let buffer = match ahead {
            Some(buffer) => buffer,
            None => match poll_fn(|cx| connection.io.poll_next(cx, &connection.worker.buffers)).await {
                Ok(Some(buffer)) => buffer,
                Ok(None) => return true,
                Err(_) => return false,
            },
        };
        record.received.set(record.received.get() + buffer.len() as u64);
        let piece = Bytes::copy_from_slice(buffer.filled());
        drop(buffer);
        if heard.send(Ok(piece)).await.is_err() {
            return true;
        }
    }
}

/// What a channel gives, as a stream.
pub(super) fn stream_of(pieces: mpsc::Receiver<io::Result<Bytes>>) -> crate::serve::ByteStream {
    Box::pin(futures_util::stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) }))
}
