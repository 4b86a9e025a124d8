//! HTTP/2: many requests on one connection.
//!
//! Owns: the frames of connections with clients and upstreams, their limits, and the way in which a stream is read and written as HTTP/1.1.
//! Never does: decides what becomes of a request. A stream is a [`super::io::Transport`] that gives its request as the
//! bytes that a client of HTTP/1.1 would have sent, and takes such an answer; so there is one parser that judges, one
//! code that routes, forwards, retries, limits and logs, and nothing that two of them could see differently.
//!
//! Flow: `serve` (a client's connection) → `stream` (one task each) → `connection::Connection` as for any client; to an
//! upstream, `session` (a connection) → `Asking` (one exchange), as over any connection to one.

mod answer;
mod flood;
mod head;
mod incoming;
mod limits;
mod outgoing;
mod serve;
mod session;
mod stream;

pub(super) use serve::serve;
pub(super) use session::{Asking, Session};

/// What a client begins with that knows beforehand that we speak HTTP/2.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
