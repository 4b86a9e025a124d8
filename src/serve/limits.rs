//! Every limit that a connection lives under.

use std::time::Duration;

/// Limits of one server. `Default` suits an endpoint for people and programs of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a head (or from the accept) to its last.
    pub header_timeout: Duration,
    /// Fields in a head; over it: 431.
    pub headers_max: usize,
    /// Bytes of a head; over it: 431. At least 8192.
    pub head_bytes_max: usize,
    /// A whole request body must be here within this time of being asked for.
    pub body_timeout: Duration,
    /// A kept-alive connection without a request is closed after this.
    pub idle_timeout: Duration,
    /// A client that takes no byte for this long, while we have some for it, is cut off.
    pub write_stall_timeout: Duration,
    /// Connections at once; over it, new ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// What requests in flight are given once the stop token fires.
    pub drain_timeout: Duration,
}

/// Default of [`Limits::header_timeout`].
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Default of [`Limits::headers_max`], fields.
pub const HEADERS_MAX: usize = 100;
/// Default of [`Limits::head_bytes_max`].
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// Default of [`Limits::body_timeout`].
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of [`Limits::idle_timeout`].
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Default of [`Limits::write_stall_timeout`].
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of [`Limits::connections_max`].
pub const CONNECTIONS_MAX: usize = 1024;
/// Default of [`Limits::drain_timeout`].
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: HEADER_TIMEOUT,
            headers_max: HEADERS_MAX,
            head_bytes_max: HEAD_BYTES_MAX,
            body_timeout: BODY_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            write_stall_timeout: WRITE_STALL_TIMEOUT,
            connections_max: CONNECTIONS_MAX,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}
