//! What a connection of HTTP/2 may cost. Each of these has been an attack.

use crate::proxy::h1;
use std::time::Duration;

/// Requests at once. Browsers open a hundred; each costs what a connection of HTTP/1.1 does.
pub(super) const STREAMS_MAX: u32 = 128;
/// What a client may send of one body before we have passed it on, in bytes. Also of a slow upstream's body no more lies
/// here.
pub(super) const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same of all bodies of a connection.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What of one answer may wait for a client to take it, in bytes.
pub(super) const SEND_BUFFER_BYTES_MAX: usize = 256 << 10;
/// A head's fields, decoded, in bytes. `CONTINUATION` frames beyond what that takes end the connection.
pub(super) const HEAD_BYTES_MAX: u32 = h1::limits::HEAD_BYTES_MAX as u32;
/// Streams that were reset and that the client may still send to.
pub(super) const RESET_STREAMS_MAX: usize = 64;
/// How long those are remembered.
pub(super) const RESET_STREAMS_KEPT: Duration = Duration::from_secs(5);
/// Streams that a client has reset before we have seen them.
pub(super) const RESET_UNSEEN_MAX: usize = 32;
/// Streams that we have reset for a client's faults: beyond that it is told to go.
pub(super) const FAULTS_MAX: usize = 128;
/// Requests that a client may take back, beyond as many as it has had answered.
pub(super) const TAKEN_BACK_MAX: u64 = 128;
/// Bytes of frames that carry nothing (`PING`, `SETTINGS`, empty `DATA`, …) that are free.
pub(super) const IDLE_BYTES_FREE: u64 = 1 << 20;
/// Beyond those, bytes on the wire for each byte of use.
pub(super) const IDLE_BYTES_SHARE: u64 = 8;
/// What a request counts for in that, in bytes: heads are compressed to little.
pub(super) const REQUEST_USE_BYTES: u64 = 256;
/// How long a client that was told to go may take.
pub(super) const GOODBYE_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(h1::limits::HEAD_BYTES_MAX <= u32::MAX as usize);
