//! An answer on its way to somebody who watches: counted, and ended when its play is.

use crate::{
    disk::Kept,
    playback::plays::Watching,
    serve::{Body, Piece, Pour, Response},
};
use futures_util::StreamExt;
use http_body_util::BodyDataStream;
use std::{io, ops::Range, sync::Arc};

/// What is sent of a file before it is seen whether the play is over, in bytes: a slow client gets no more than this of
/// one that is.
const PIECE_BYTES_MAX: u64 = 256 << 10;

/// The same answer, watched until its last byte has gone, or nobody takes it any more.
pub(super) fn watched(response: Response, watching: Watching) -> Response {
    let (head, mut body) = response.into_parts();
    if body.is_empty() {
        return Response::from_parts(head, body);
    }
    let watching = Arc::new(watching);
    let (pour, len) = (body.take_pour(), body.len());
    let (counts, stop) = (watching.clone(), watching.stop());
    let pieces = BodyDataStream::new(body).inspect(move |piece| {
        if let Ok(piece) = piece {
            counts.sent(piece.len() as u64);
        }
    });
    // One that is cut short is not whole, which the client sees.
    let pieces = pieces.take_until(stop.cancelled_owned());
    let body = match len {
        Some(len) => Body::sized(len, pieces),
        None => Body::unsized_stream(pieces),
    };
    let body = match pour {
        Some(inner) => body.pouring(Poured { inner, watching, rest: None }),
        None => body,
    };
    Response::from_parts(head, body)
}

/// What the kernel carries, counted as it is handed over.
struct Poured {
    inner: Box<dyn Pour>,
    watching: Arc<Watching>,
    /// What is still to be handed over of a file.
    rest: Option<(Arc<Kept>, Range<u64>)>,
}

impl Pour for Poured {
    fn next(&mut self) -> io::Result<Piece> {
        if self.watching.stop().is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the play is over"));
        }
        let next = match self.rest.take() {
            Some((file, range)) => Piece::File(file, range),
            None => self.inner.next()?,
        };
        let (piece, len) = match next {
            Piece::File(file, range) => {
                let end = range.end.min(range.start.saturating_add(PIECE_BYTES_MAX));
                self.rest = (end < range.end).then(|| (file.clone(), end..range.end));
                (Piece::File(file, range.start..end), end - range.start)
            }
            Piece::Bytes(bytes) => {
                let len = bytes.len() as u64;
                (Piece::Bytes(bytes), len)
            }
            Piece::Closed | Piece::End => (next, 0),
        };
        self.watching.sent(len);
        Ok(piece)
    }

    fn open(&mut self) -> io::Result<()> {
        self.inner.open()
    }
}
