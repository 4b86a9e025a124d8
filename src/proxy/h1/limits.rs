//! How much of a client's text is read at most. What is over a limit is refused by name.

/// The longest head, request line and fields together, in bytes. Cookies of several sites and a token fit four times.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The longest line of a head, in bytes: twice what nginx takes.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// The most fields of a head. Browsers send some twenty.
pub const FIELDS_MAX: usize = 100;
/// The largest head that a configuration can allow, in bytes: places in a head are kept in 16 bits.
pub const HEAD_BYTES_CAP: usize = 65_535;
/// The longest extension of a chunk, in bytes. Nobody has a use for one; it is dropped.
pub const EXTENSION_BYTES_MAX: usize = 256;
/// All extensions of a body together, in bytes, so that nobody feeds us extensions instead of a body.
pub const EXTENSIONS_BYTES_MAX: u64 = 16 * 1024;
/// The digits of a chunk's size: those of 64 bits.
pub const SIZE_DIGITS_MAX: u8 = 16;
/// The longest trailer section, in bytes.
pub const TRAILERS_BYTES_MAX: usize = 8 * 1024;
/// The most responses 1xx before the final one. More is an origin that talks without end.
pub const INTERIM_RESPONSES_MAX: u8 = 16;
/// The most options of all `Connection` fields of a head: each is looked for among the fields.
pub const CONNECTION_OPTIONS_MAX: usize = 32;
/// The longest host name with its port, in bytes: a DNS name, a colon and five digits.
pub const HOST_BYTES_MAX: usize = 253 + 6;
/// The most hops that are read of `X-Forwarded-For`; a longer way is no way.
pub const HOPS_MAX: usize = 64;
/// The longest request id that is taken from a trusted peer, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// The limits of a head that a listener can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
    /// See [`LINE_BYTES_MAX`].
    pub line_bytes_max: usize,
    /// See [`FIELDS_MAX`], which is also the most that can be set.
    pub fields_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes_max: HEAD_BYTES_MAX, line_bytes_max: LINE_BYTES_MAX, fields_max: FIELDS_MAX }
    }
}

impl Limits {
    /// The longest head that is read, whatever was set.
    pub(super) fn head_bytes(&self) -> usize {
        self.head_bytes_max.min(HEAD_BYTES_CAP)
    }

    /// The most fields that are read, whatever was set.
    pub(super) fn fields(&self) -> usize {
        self.fields_max.min(FIELDS_MAX)
    }
}
