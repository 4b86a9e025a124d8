//! A body on its way into frames, out of the framing of HTTP/1.1.

use super::head;
use crate::proxy::h1::{self, Body, ChunkReader, Step};
use bytes::{Bytes, BytesMut};
use h2::SendStream;
use http::HeaderMap;
use std::{
    io,
    task::{Context, Poll, ready},
};

/// What of it is still to come or to be sent.
pub(super) struct Outgoing {
    rest: Rest,
    /// What the other side has no room for yet: one write's worth at most.
    held: BytesMut,
}

enum Rest {
    Length(u64),
    Chunked(ChunkReader),
    /// The body is here; its end is not sent.
    Whole(Option<HeaderMap>),
    /// The end is sent.
    Over,
}

impl Outgoing {
    /// None where nothing is to come in a way that a head could say.
    pub(super) fn new(body: Body) -> Option<Self> {
        let rest = match body {
            Body::None | Body::Length(0) => Rest::Over,
            Body::Length(len) => Rest::Length(len),
            Body::Chunked => Rest::Chunked(ChunkReader::default()),
            Body::UntilClose => return None,
        };
        Some(Self { rest, held: BytesMut::new() })
    }

    /// Takes all of these bytes. What is too much would be a fault of ours, and goes no further.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.rest {
            Rest::Length(left) => {
                let mine = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                self.held.extend_from_slice(&bytes[..mine]);
                *left -= mine as u64;
                if *left == 0 {
                    self.rest = Rest::Whole(None);
                }
            }
            Rest::Chunked(reader) => {
                let mut at = 0;
                while at < bytes.len() {
                    match reader.feed(&bytes[at..]).map_err(unsound)? {
                        Step::More => at = bytes.len(),
                        Step::Data { from, to } => {
                            self.held.extend_from_slice(&bytes[at + from..at + to]);
                            at += to;
                        }
                        Step::End(_) => {
                            let trailers = head::trailers(reader.trailers()).filter(|map| !map.is_empty());
                            self.rest = Rest::Whole(trailers);
                            break;
                        }
                    }
                }
            }
            Rest::Whole(_) | Rest::Over => {}
        }
        Ok(())
    }

    /// Sends what there is, as far as the other side takes it. `sent` is told how much.
    pub(super) fn poll_send(
        &mut self,
        send: &mut SendStream<Bytes>,
        cx: &mut Context<'_>,
        sent: impl Fn(u64),
    ) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            send.reserve_capacity(self.held.len());
            let mut room = send.capacity();
            if room == 0 {
                room = match ready!(send.poll_capacity(cx)) {
                    Some(room) => room.map_err(failed)?,
                    None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                };
            }
            let data = self.held.split_to(room.min(self.held.len())).freeze();
            sent(data.len() as u64);
            let ends = self.held.is_empty() && matches!(self.rest, Rest::Whole(None));
            send.send_data(data, ends).map_err(failed)?;
            if ends {
                self.rest = Rest::Over;
            }
        }
        let Rest::Whole(trailers) = &mut self.rest else { return Poll::Ready(Ok(())) };
        let trailers = trailers.take();
        self.rest = Rest::Over;
        Poll::Ready(match trailers {
            Some(trailers) => send.send_trailers(trailers).map_err(failed),
            None => send.send_data(Bytes::new(), true).map_err(failed),
        })
    }

    /// Nothing more of it is sent.
    pub(super) fn give_up(&mut self) {
        self.held.clear();
        self.rest = Rest::Over;
    }

    /// Whether its end is sent.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.rest, Rest::Over)
    }
}

pub(super) fn unsound(refusal: h1::Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, refusal)
}

pub(super) fn failed(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
