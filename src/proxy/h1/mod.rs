//! HTTP/1.1 as bytes: heads, chunks and the PROXY protocol, read strictly and written anew.
//!
//! Pure: no socket, no clock, no memory taken for a usual request. What two parsers could read differently is refused,
//! with a name for it; what is passed on is not the sender's framing but ours. The tokens are found by `httparse`,
//! which is lenient where RFC 9112 lets it; the rest of the rules is here.

mod chunk;
mod client;
mod edits;
mod field;
mod forward;
mod framing;
#[doc(hidden)]
pub mod fuzz;
mod host;
pub mod limits;
mod lines;
pub mod path;
mod prelude;
mod refusal;
mod reply;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod text;
mod trace;
mod trust;

pub use chunk::{ChunkReader, SizeLine, Step, size_line, write_chunk, write_last};
pub use client::{Client, Scheme};
pub use edits::{BadEdit, Edits};
pub use field::{Field, Kind};
pub use forward::{Forwarding, write_question, write_request};
pub use framing::Body;
pub use limits::Limits;
pub use prelude::{Prelude, parse_prelude};
pub use refusal::Refusal;
pub use reply::{
    Answer, CONTINUE, DATE_BYTES, Replying, Told, framing_for, write_answer, write_connection, write_framing,
    write_interim, write_response, write_told,
};
pub use request::{Form, Method, RequestHead, Version, parse_request};
pub use response::{Asked, Interim, ResponseHead, interim, parse_response};
pub(super) use text::{is_token, is_value, push_field};
pub use trace::{REQUEST_ID_DIGITS, request_id};
pub use trust::{BadNetwork, Network, Trust};
