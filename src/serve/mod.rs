//! HTTP ground shared by admin, playback and the simulator: requests, responses, bodies, handlers, ranges, problems,
//! limits and drain.
//!
//! An answer of status 101 leaves HTTP: its body goes out raw, what the client sends is the request's switch ([`websocket`]).
//!
//! Never does: knows a skyvis noun or a route, or lets a type of the HTTP library that it stands on cross its door.
//!
//! Flow: [`Listener`] accepts → one task a connection reads heads within [`Limits`], refuses ambiguous ones and calls
//! the [`Handler`] → its [`Response`] is written, [`Body`] by [`Body`], until the client or the stop token ends it.

mod body;
mod conditional;
mod connection;
mod error;
mod framing;
mod limits;
mod listener;
mod message;
mod pour;
mod problem;
mod query;
mod range;
mod rpc;
mod server;
mod socket;
mod switch;
#[cfg(test)]
mod tests;
pub mod websocket;

pub use body::Body;
pub use conditional::{ETag, Precondition, if_range_holds, not_modified};
pub use error::Error;
pub use limits::Limits;
pub use listener::{Listener, ListenerKind};
pub use message::{Handler, HandlerFn, Peer, Request, RequestParts, Response};
pub use pour::{Piece, Pour};
pub use problem::{Problem, problem};
pub use query::{decode_component, encode_component, parse_query};
pub use range::{ByteRange, RangeOutcome};
pub use rpc::{BoxError, Rpc, RpcAnswer, RpcBody};
pub use server::Server;
pub use socket::Client;
pub use switch::keep_little_unsent;

/// A future in a box, as [`Handler`] gives it back.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A stream of a body's pieces.
pub type ByteStream = std::pin::Pin<Box<dyn futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send>>;
