//! The fields of a head: where they lie in the buffer, and which of them a proxy has something to do with.

use super::{
    limits::CONNECTION_OPTIONS_MAX,
    text::{Span, is_token, push_field},
};
use std::ops::Range;

/// What a field is to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is passed on.
    Other,
    /// `Host`.
    Host,
    /// `Connection`.
    Connection,
    /// `Keep-Alive`.
    KeepAlive,
    /// `Proxy-Connection`.
    ProxyConnection,
    /// `TE`.
    Te,
    /// `Trailer`.
    Trailer,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Content-Length`.
    ContentLength,
    /// `Upgrade`.
    Upgrade,
    /// `HTTP2-Settings`.
    Http2Settings,
    /// `Proxy-Authenticate`.
    ProxyAuthenticate,
    /// `Proxy-Authorization`.
    ProxyAuthorization,
    /// `Expect`.
    Expect,
    /// `Forwarded`.
    Forwarded,
    /// `X-Forwarded-For`.
    ForwardedFor,
    /// `X-Forwarded-Proto`.
    ForwardedProto,
    /// `X-Forwarded-Host`.
    ForwardedHost,
    /// `X-Forwarded-Port`.
    ForwardedPort,
    /// Any other `X-Forwarded-…`.
    ForwardedOther,
    /// `X-Real-IP`.
    RealIp,
    /// `Via`.
    Via,
    /// `traceparent`.
    TraceParent,
    /// `tracestate`.
    TraceState,
    /// `X-Request-Id`.
    RequestId,
    /// `Authorization`.
    Authorization,
    /// `Cookie`.
    Cookie,
    /// `Set-Cookie`.
    SetCookie,
    /// `Content-Type`.
    ContentType,
    /// `Content-Encoding`.
    ContentEncoding,
    /// `Cache-Control`.
    CacheControl,
    /// `Date`.
    Date,
}

impl Kind {
    /// What the field of this name is.
    pub fn of(name: &[u8]) -> Self {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        match name.len() {
            2 if is("te") => Self::Te,
            3 if is("via") => Self::Via,
            4 if is("host") => Self::Host,
            4 if is("date") => Self::Date,
            6 if is("cookie") => Self::Cookie,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            7 if is("trailer") => Self::Trailer,
            9 if is("forwarded") => Self::Forwarded,
            9 if is("x-real-ip") => Self::RealIp,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::KeepAlive,
            10 if is("set-cookie") => Self::SetCookie,
            10 if is("tracestate") => Self::TraceState,
            11 if is("traceparent") => Self::TraceParent,
            12 if is("content-type") => Self::ContentType,
            12 if is("x-request-id") => Self::RequestId,
            13 if is("authorization") => Self::Authorization,
            13 if is("cache-control") => Self::CacheControl,
            14 if is("content-length") => Self::ContentLength,
            14 if is("http2-settings") => Self::Http2Settings,
            15 if is("x-forwarded-for") => Self::ForwardedFor,
            16 if is("content-encoding") => Self::ContentEncoding,
            16 if is("proxy-connection") => Self::ProxyConnection,
            16 if is("x-forwarded-host") => Self::ForwardedHost,
            16 if is("x-forwarded-port") => Self::ForwardedPort,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            17 if is("x-forwarded-proto") => Self::ForwardedProto,
            18 if is("proxy-authenticate") => Self::ProxyAuthenticate,
            19 if is("proxy-authorization") => Self::ProxyAuthorization,
            len if len >= 12 && name[..12].eq_ignore_ascii_case(b"x-forwarded-") => Self::ForwardedOther,
            _ => Self::Other,
        }
    }

    /// Whether it is meant for the next hop only and never passed on as it is.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Http2Settings
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
        )
    }

    /// Whether it is of those by which proxies say who a client is: from a stranger they are worth nothing.
    pub fn is_identity(self) -> bool {
        matches!(
            self,
            Self::Forwarded
                | Self::ForwardedFor
                | Self::ForwardedProto
                | Self::ForwardedHost
                | Self::ForwardedPort
                | Self::ForwardedOther
                | Self::RealIp
        )
    }

    /// Whether `Connection` can take it away. What we know is meant for the other end stays: a client that nominates
    /// `Host` or `X-Forwarded-For` wants them not to arrive.
    pub fn can_be_nominated(self) -> bool {
        self == Self::Other || self.is_hop_by_hop()
    }

    /// Whether it may stand in a trailer section: nothing that says how to read, route or believe a message.
    pub fn may_trail(self) -> bool {
        self == Self::Other || self == Self::Date
    }
}

/// One field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'b> {
    /// Its name as it was sent.
    pub name: &'b [u8],
    /// Its value, without the white space around it.
    pub value: &'b [u8],
    /// What it is to us.
    pub kind: Kind,
    /// Whether it is not passed on: hop by hop, nominated, or of a name that another parser takes for another.
    pub is_dropped: bool,
}

/// Where a field lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) name: Span,
    pub(super) value: Span,
    pub(super) kind: Kind,
    pub(super) is_dropped: bool,
    /// It stands there as we would write it: `name: value` and CRLF.
    pub(super) is_canonical: bool,
}

impl Slot {
    /// The field of this name and value, which are parts of `bytes`, a whole head.
    pub(super) fn new(bytes: &[u8], name: &[u8], value: &[u8]) -> Self {
        let (kind, name, value) = (Kind::of(name), Span::within(bytes, name), Span::within(bytes, value));
        let is_canonical =
            bytes.get(name.to()..value.from()) == Some(b": ") && bytes[value.to()..].starts_with(b"\r\n");
        Self { name, value, kind, is_dropped: kind.is_hop_by_hop(), is_canonical }
    }
}

/// Copies fields, those that stand side by side in one go.
pub(super) struct Copier<'o, 'b> {
    out: &'o mut Vec<u8>,
    bytes: &'b [u8],
    run: Range<usize>,
}

impl<'o, 'b> Copier<'o, 'b> {
    pub(super) fn new(out: &'o mut Vec<u8>, bytes: &'b [u8]) -> Self {
        Self { out, bytes, run: 0..0 }
    }

    pub(super) fn copy(&mut self, slot: &Slot) {
        if slot.is_canonical {
            let line = slot.name.from()..slot.value.to() + 2;
            if self.run.end != line.start {
                self.flush();
                self.run.start = line.start;
            }
            self.run.end = line.end;
        } else {
            self.flush();
            push_field(self.out, slot.name.of(self.bytes), slot.value.of(self.bytes));
        }
    }

    /// Must be called once all are copied.
    pub(super) fn flush(&mut self) {
        self.out.extend_from_slice(self.bytes.get(self.run.clone()).unwrap_or_default());
        self.run = 0..0;
    }
}

/// The fields of a head, as places in its buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    slots: Vec<Slot>,
    /// One bit for each [`Kind`] that is there, since most are not.
    kinds: u64,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.kinds = 0;
    }

    pub(super) fn push(&mut self, slot: Slot) {
        self.kinds |= 1 << slot.kind as u8;
        self.slots.push(slot);
    }

    pub(super) fn iter<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = Field<'b>> + use<'_, 'b> {
        self.slots.iter().map(move |slot| Field {
            name: slot.name.of(bytes),
            value: slot.value.of(bytes),
            kind: slot.kind,
            is_dropped: slot.is_dropped,
        })
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whether there is one of this kind.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.kinds & (1 << kind as u8) != 0
    }

    /// The values of all fields of a kind, in order.
    pub(super) fn all<'b>(
        &self,
        bytes: &'b [u8],
        kind: Kind,
    ) -> impl DoubleEndedIterator<Item = &'b [u8]> + use<'_, 'b> {
        let slots = if self.has(kind) { &self.slots[..] } else { &[] };
        slots.iter().filter(move |slot| slot.kind == kind).map(move |slot| slot.value.of(bytes))
    }

    /// The first value of a kind.
    pub(super) fn get<'b>(&self, bytes: &'b [u8], kind: Kind) -> Option<&'b [u8]> {
        self.all(bytes, kind).next()
    }

    /// The first value of a name.
    pub(super) fn find<'b>(&self, bytes: &'b [u8], name: &str) -> Option<&'b [u8]> {
        self.iter(bytes).find(|field| field.name.eq_ignore_ascii_case(name.as_bytes())).map(|field| field.value)
    }

    /// Drops what `Connection` nominates. `None`: it is not a list of tokens, or one without end.
    pub(super) fn drop_nominated(&mut self, bytes: &[u8]) -> Option<Options> {
        let mut options = Options::default();
        let mut count = 0;
        if !self.has(Kind::Connection) {
            return Some(options);
        }
        for at in 0..self.slots.len() {
            if self.slots[at].kind != Kind::Connection {
                continue;
            }
            for option in list(self.slots[at].value.of(bytes)) {
                count += 1;
                if count > CONNECTION_OPTIONS_MAX || !is_token(option) {
                    return None;
                }
                if !options.note(option) {
                    self.drop_named(bytes, option);
                }
            }
        }
        Some(options)
    }

    fn drop_named(&mut self, bytes: &[u8], name: &[u8]) {
        for slot in &mut self.slots {
            let is_it = slot.kind.can_be_nominated() && slot.name.of(bytes).eq_ignore_ascii_case(name);
            slot.is_dropped |= is_it;
        }
    }
}

/// What `Connection` says apart from the names of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    pub(super) te: bool,
}

impl Options {
    /// Whether it was one of these. Such names are hop by hop anyhow.
    fn note(&mut self, option: &[u8]) -> bool {
        let known = [
            (&b"close"[..], &mut self.close),
            (b"keep-alive", &mut self.keep_alive),
            (b"upgrade", &mut self.upgrade),
            (b"te", &mut self.te),
        ];
        for (name, flag) in known {
            if option.eq_ignore_ascii_case(name) {
                *flag = true;
                return true;
            }
        }
        false
    }
}

/// The members of a list, without white space; empty ones are left out.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether a request's field can be told from every other by parsers that turn what is no letter and no digit into `_`,
/// as CGI does: `X_Forwarded_For` would come out as `X-Forwarded-For`.
pub(super) fn is_plain_name(name: &[u8]) -> bool {
    name.iter().all(|b| IS_PLAIN[usize::from(*b)])
}

const IS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = (b as u8).is_ascii_alphanumeric() || b as u8 == b'-';
        b += 1;
    }
    table
};
