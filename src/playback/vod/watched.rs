//! An answer on its way to somebody who watches: counted, and ended when its play is.

use crate::{
    playback::plays::Watching,
    serve::{Body, Pour, Response},
};
use futures_util::StreamExt;
use http_body_util::BodyDataStream;
use std::{io, os::fd::BorrowedFd, sync::Arc};

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
        Some(inner) => body.pouring(Poured { inner, watching }),
        None => body,
    };
    Response::from_parts(head, body)
}

/// What the kernel carries, counted as it goes into the pipe.
struct Poured {
    inner: Box<dyn Pour>,
    watching: Arc<Watching>,
}

impl Poured {
    fn count(&self, poured: io::Result<usize>) -> io::Result<usize> {
        poured.inspect(|n| self.watching.sent(*n as u64))
    }

    fn go_on(&self) -> io::Result<()> {
        match self.watching.stop().is_cancelled() {
            true => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the play is over")),
            false => Ok(()),
        }
    }
}

impl Pour for Poured {
    fn pour(&mut self, pipe: BorrowedFd<'_>) -> io::Result<usize> {
        self.go_on()?;
        let poured = self.inner.pour(pipe);
        self.count(poured)
    }

    fn pour_from_memory(&mut self, pipe: BorrowedFd<'_>) -> io::Result<usize> {
        self.go_on()?;
        let poured = self.inner.pour_from_memory(pipe);
        self.count(poured)
    }
}
