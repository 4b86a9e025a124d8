//! A file's answer on its way to a client: small ones in one send, large ones by the kernel, nothing read here that is
//! not in memory.

use super::{
    answer::{self, Decided, Piece},
    asked::Asked,
    place::Place,
    site::{Found, Site},
};
use crate::{
    disk::Kept,
    proxy::{
        answer::{Own, own},
        buffer::{BUFFER_BYTES, Head},
        connection::{Connection, Next},
        h1::{self, Body},
        io::Transport,
        record::Record,
        splice::{SPLICE_BYTES_MIN, send_ahead},
        straight::{self, DISK_STALL_MAX},
    },
};
use std::{io, ops::Range, sync::Arc};

/// A request for a file.
pub(in crate::proxy) struct Job {
    pub(in crate::proxy) site: Arc<Site>,
    pub(in crate::proxy) place: Option<Place>,
    pub(in crate::proxy) asked: Asked,
    pub(in crate::proxy) record: Record,
    /// The same path with a slash behind it, and the query: for a directory that was asked for without.
    pub(in crate::proxy) with_slash: String,
    /// The request has no body that is still to come.
    pub(in crate::proxy) all_read: bool,
}

/// Answers it.
pub(in crate::proxy) async fn answer<C: Transport>(connection: &Connection<C>, job: Job) -> Next {
    let worker = &connection.worker;
    let found = match &job.place {
        None => Found::Missing,
        Some(place) => match job.site.look(place, &job.asked, worker.now_micros(), true) {
            Found::NotInMemory => Box::pin(look(connection, &job, place)).await,
            found => found,
        },
    };
    let answer = match found {
        Found::File(file, facts) => {
            let decided = answer::decide(&job.asked, &facts, rand::random());
            return send(connection, &job, file, decided).await;
        }
        Found::WantsSlash => Own::text(301, "see Location").with("Location", job.with_slash.clone()),
        Found::Missing | Found::NotInMemory => Own::text(404, "there is no such file"),
        Found::Denied => Own::text(403, "the file may not be read"),
        Found::Failed(error) => {
            tracing::warn!(dir = %job.site.dir().display(), %error, "a file cannot be opened");
            Own::text(500, "the file cannot be read; the log of skyvis says why")
        }
    };
    Box::pin(own(connection, &job.record, answer, job.all_read)).await
}

/// The same on a thread that may wait.
async fn look<C: Transport>(connection: &Connection<C>, job: &Job, place: &Place) -> Found {
    let (site, place, asked) = (job.site.clone(), place.clone(), job.asked.clone());
    let (disk, now_micros) = (&connection.worker.shared.disk, connection.worker.now_micros());
    let looked = disk.run_within(DISK_STALL_MAX, move |_| site.look(&place, &asked, now_micros, false));
    looked.await.unwrap_or_else(|error| Found::Failed(io::Error::other(error)))
}

async fn send<C: Transport>(connection: &Connection<C>, job: &Job, file: Arc<Kept>, decided: Decided) -> Next {
    let record = &job.record;
    let stay = job.all_read && record.keep_alive && connection.may_stay();
    let len = decided.len();
    let mut out = connection.worker.buffers.head();
    let extra = record.lines.take();
    let told = h1::Told {
        status: decided.status,
        lines: decided.lines.as_bytes(),
        extra: &extra,
        edits: record.edits(decided.status),
        body: if decided.status == 304 { Body::None } else { Body::Length(len) },
    };
    h1::write_told(&mut out.bytes, &told, record.version, stay, &connection.worker.date());
    record.answered(decided.status, 0);
    let body = if job.asked.head_only { &[] } else { decided.body.as_slice() };
    let whole = match body {
        [] => write(connection, &out.bytes).await.is_some(),
        [Piece::File(range)] if len <= BUFFER_BYTES as u64 => small(connection, record, out, file, range.clone()).await,
        [Piece::File(range)] if connection.io.is_plain() && len >= SPLICE_BYTES_MIN => {
            Box::pin(large(connection, record, out, file, range.clone())).await
        }
        pieces => Box::pin(pieces_of(connection, record, out, file, pieces)).await,
    };
    match (whole, stay, job.all_read) {
        (false, ..) => {
            record.cut.set(true);
            Next::Abort
        }
        (true, true, _) => Next::Request,
        (true, false, true) => Next::Close,
        (true, false, false) => Next::Linger,
    }
}

/// None: the client is gone, or takes nothing.
async fn write<C: Transport>(connection: &Connection<C>, bytes: &[u8]) -> Option<()> {
    connection.send(bytes).await.ok()
}

/// Head and body in one send.
async fn small<C: Transport>(
    connection: &Connection<C>,
    record: &Record,
    head: Head,
    file: Arc<Kept>,
    range: Range<u64>,
) -> bool {
    let len = range.end - range.start;
    let Some((_, mut buffer)) = read(connection, file, range).await else { return false };
    let sent = if buffer.prepend(&head.bytes) {
        drop(head);
        write(connection, buffer.filled()).await
    } else {
        match write(connection, &head.bytes).await {
            Some(()) => write(connection, buffer.filled()).await,
            None => None,
        }
    };
    record.sent.set(len);
    sent.is_some()
}

/// By the kernel, from the file to the socket.
async fn large<C: Transport>(
    connection: &Connection<C>,
    record: &Record,
    head: Head,
    file: Arc<Kept>,
    range: Range<u64>,
) -> bool {
    // It goes out with the first of the file.
    let ahead = connection.io.with(|to| to.plain().map_or(0, |to| send_ahead(to, &head.bytes)));
    if ahead < head.bytes.len() && write(connection, &head.bytes[ahead..]).await.is_none() {
        return false;
    }
    drop(head);
    let (disk, deadline, sent) = (&connection.worker.shared.disk, &connection.deadline, &record.sent);
    let went = straight::send(&connection.io, &file, range, (disk, deadline), (&connection.takes).into(), sent).await;
    connection.worker.shared.meters.spliced_bytes.inc_by(sent.get());
    went.is_some()
}

/// Piece by piece.
async fn pieces_of<C: Transport>(
    connection: &Connection<C>,
    record: &Record,
    head: Head,
    mut file: Arc<Kept>,
    pieces: &[Piece],
) -> bool {
    let count = |n: usize| record.sent.set(record.sent.get() + n as u64);
    if write(connection, &head.bytes).await.is_none() {
        return false;
    }
    drop(head);
    for piece in pieces {
        let mut rest = match piece {
            Piece::Bytes(bytes) => {
                if write(connection, bytes).await.is_none() {
                    return false;
                }
                count(bytes.len());
                continue;
            }
            Piece::File(range) => range.clone(),
        };
        while !rest.is_empty() {
            let end = rest.end.min(rest.start + BUFFER_BYTES as u64);
            let Some((same, buffer)) = read(connection, file, rest.start..end).await else { return false };
            file = same;
            if write(connection, buffer.filled()).await.is_none() {
                return false;
            }
            count(buffer.len());
            rest.start = end;
        }
    }
    true
}

/// A part of the file, a buffer's worth at most. None where it is shorter than it was, or cannot be read.
async fn read<C: Transport>(
    connection: &Connection<C>,
    file: Arc<Kept>,
    range: Range<u64>,
) -> Option<(Arc<Kept>, crate::proxy::buffer::Buffer)> {
    let mut buffer = connection.worker.buffers.lease();
    let len = usize::try_from(range.end - range.start).ok()?;
    let got = buffer.fill_with(len, |room| {
        // An error is met again by who waits.
        file.read_cached_at(range.start, room).unwrap_or(0)
    });
    if got == len {
        return Some((file, buffer));
    }
    let (from, left) = (range.start + got as u64, len - got);
    let same = file.clone();
    let waited = connection.worker.shared.disk.run_within(DISK_STALL_MAX, move |_| {
        let mut rest = vec![0; left];
        same.read_exact_at(from, &mut rest).map(|()| rest)
    });
    match waited.await.and_then(|read| read) {
        Ok(rest) => buffer.append(&rest).then_some((file, buffer)),
        Err(error) => {
            tracing::warn!(%error, "a file cannot be read as far as it was long; the response is cut");
            None
        }
    }
}
