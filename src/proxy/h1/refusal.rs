//! Why a message is refused: every reason has a name for logs and metrics, a status and a sentence.

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $status:literal, $reason:literal;)*) => {
        /// Why a message is refused. A client gets [`Refusal::status`] and its connection is closed; from an upstream
        /// every one of them is a bad response, 502.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Refusal {
            $($(#[$doc])* $variant,)*
        }

        impl Refusal {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name, for labels and logs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What a client is answered.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// One sentence for whoever sent it.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)* }
            }
        }
    };
}

refusals! {
    /// A line that ends in LF alone.
    BareLf, "bare_lf", 400, "A line ends in LF without CR.";
    /// A CR that ends no line.
    BareCr, "bare_cr", 400, "There is a CR that is not followed by LF.";
    /// More than one empty line before a message.
    LeadingLines, "leading_lines", 400, "There are empty lines before the first line.";
    /// The first line of a request is not `METHOD target HTTP/1.1`.
    RequestLine, "request_line", 400, "The request line is not a method, a target and a version with one space between.";
    /// A method with a character that it cannot have.
    Method, "method", 400, "The method is not a token.";
    /// `CONNECT` and `TRACE`.
    MethodRefused, "method_refused", 405, "CONNECT and TRACE are not served here.";
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version, "version", 400, "The version is neither HTTP/1.0 nor HTTP/1.1.";
    /// A target of no known form, or with a character that it cannot have.
    Target, "target", 400, "The request target is malformed.";
    /// A target with `#`.
    Fragment, "fragment", 400, "The request target has a fragment.";
    /// A target with a user.
    UserInfo, "user_info", 400, "The request target names a user.";
    /// A path that climbs above its root.
    AboveRoot, "above_root", 400, "The path leads above its root.";
    /// A path that others could read as that of another route.
    AmbiguousPath, "ambiguous_path", 400, "The path can be read as that of another route.";
    /// A target over the limit of lines.
    TargetTooLong, "target_too_long", 414, "The request target is too long.";
    /// A line of a head over the limit.
    LineTooLong, "line_too_long", 431, "A header field is too long.";
    /// A head over the limit.
    HeadTooLarge, "head_too_large", 431, "The header fields are too large.";
    /// Too many fields.
    TooManyFields, "too_many_fields", 431, "There are too many header fields.";
    /// A field name with a character that it cannot have, or none at all.
    FieldName, "field_name", 400, "A header field has a malformed name.";
    /// White space between a field's name and its colon.
    SpaceBeforeColon, "space_before_colon", 400, "There is space between the name of a header field and its colon.";
    /// A line that continues the one before.
    Folded, "folded", 400, "A header field is folded over several lines.";
    /// A field value with a control character.
    FieldValue, "field_value", 400, "A header field has a control character in its value.";
    /// HTTP/1.1 without `Host`.
    NoHost, "no_host", 400, "There is no Host.";
    /// More than one `Host`.
    TwoHosts, "two_hosts", 400, "There is more than one Host.";
    /// A `Host` that is not a host and a port.
    Host, "host", 400, "The Host is not the name of a host with an optional port.";
    /// The target names another host than `Host`.
    HostMismatch, "host_mismatch", 400, "The Host is another than that of the request target.";
    /// `Content-Length` and `Transfer-Encoding`.
    LengthAndCoding, "length_and_coding", 400, "There are both Content-Length and Transfer-Encoding.";
    /// More than one `Content-Length`, alike or not.
    TwoLengths, "two_lengths", 400, "There is more than one Content-Length.";
    /// A `Content-Length` that is not digits.
    Length, "length", 400, "The Content-Length is not a number.";
    /// More than one `Transfer-Encoding`.
    TwoCodings, "two_codings", 400, "There is more than one Transfer-Encoding.";
    /// A `Transfer-Encoding` that is not a list of codings, or names `chunked` elsewhere than once at the end.
    Coding, "coding", 400, "The Transfer-Encoding is malformed.";
    /// A transfer coding that is not `chunked`.
    CodingUnknown, "coding_unknown", 501, "The only transfer coding that is served is chunked.";
    /// `Transfer-Encoding` in HTTP/1.0.
    CodingInOldVersion, "coding_in_old_version", 400, "HTTP/1.0 has no Transfer-Encoding.";
    /// An `Expect` that is not `100-continue`.
    Expectation, "expectation", 417, "The only expectation that is served is 100-continue.";
    /// A `Connection` that is not a list of tokens.
    Connection, "connection", 400, "The Connection is not a list of tokens.";
    /// Our own name is among those that the request has passed.
    Loop, "loop", 508, "The request has passed here before.";
    /// A chunk's size that is not one.
    ChunkSize, "chunk_size", 400, "A chunk has a malformed size.";
    /// A chunk's extension with a control character.
    ChunkExtension, "chunk_extension", 400, "A chunk has a malformed extension.";
    /// Extensions over their limits.
    ExtensionTooLong, "extension_too_long", 400, "The extensions of chunks are too long.";
    /// A chunk that is not ended by CRLF.
    ChunkEnd, "chunk_end", 400, "A chunk does not end where its size says.";
    /// A trailer section that cannot be read.
    Trailer, "trailer", 400, "The trailer section is malformed.";
    /// A trailer section over its limit.
    TrailersTooLarge, "trailers_too_large", 431, "The trailer section is too large.";
    /// A body over its limit.
    BodyTooLarge, "body_too_large", 413, "The body is too large.";
    /// A head or a body that did not come in time.
    TooSlow, "too_slow", 408, "The request did not come in time.";
    /// The first line of a response is not `HTTP/1.1 200 reason`.
    StatusLine, "status_line", 502, "The status line is malformed.";
    /// 101 without our having asked for it.
    UpgradeUnasked, "upgrade_unasked", 502, "The protocol is switched without having been asked for.";
    /// Too many responses 1xx.
    TooManyInterim, "too_many_interim", 502, "There are too many interim responses.";
    /// A PROXY protocol header that is none, or not where it must be.
    Prelude, "prelude", 400, "The PROXY protocol header is missing or malformed.";
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Refusal {}
