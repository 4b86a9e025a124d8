//! The head of a request: read once, strictly, into places of its buffer.

use super::{
    Body, Limits, Refusal,
    field::{Field, Fields, Kind, Options, Slot, is_plain_name, list},
    framing::{self, Declared},
    host::{self, Authority},
    limits::FIELDS_MAX,
    lines::{self, First, Reading},
    text::{Span, is_token},
};
use std::mem::MaybeUninit;

/// The versions of HTTP/1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// The methods that something is known about. They are in capitals: `get` is another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Other,
}

impl Method {
    /// Whether doing it twice is doing it once (RFC 9110, 9.2.2).
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options)
    }

    fn of(name: &str) -> Result<Self, Refusal> {
        Ok(match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "CONNECT" | "TRACE" => return Err(Refusal::MethodRefused),
            _ => Self::Other,
        })
    }
}

/// How the target was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`.
    Absolute,
    /// `*`, of `OPTIONS` alone.
    Asterisk,
}

/// The head of a request as places in the buffer that it was read from: its first byte is that buffer's first, and every
/// `bytes` below is that buffer. It is made once and used again, so that no request allocates.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    reading: Reading,
    len: usize,
    method: Method,
    method_at: Span,
    version: Version,
    form: Form,
    path: Span,
    /// With its `?`; empty where there is none.
    query: Span,
    host: Span,
    host_name: Span,
    host_port: Option<u16>,
    body: Body,
    options: Options,
    expects: bool,
    upgrade: Option<Span>,
    takes_trailers: bool,
    fields: Fields,
}

/// Reads the head of a request. `None`: more of it must come; `head` remembers how much was there, so it is cleared
/// before the next request and not before.
pub fn parse_request(bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<Option<usize>, Refusal> {
    if !head.reading.is_worth_it(bytes) {
        return lines::may_wait(bytes, limits, First::Request).map(|()| None);
    }
    let Some(skipped) = lines::leading(bytes)? else { return Ok(None) };
    let text = &bytes[skipped..bytes.len().min(skipped + limits.head_bytes())];
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(text, &mut room[..limits.fields()]) {
        Ok(httparse::Status::Partial) => lines::may_wait(text, limits, First::Request).map(|()| None),
        Ok(httparse::Status::Complete(len)) => {
            let end = skipped + len;
            head.take(&bytes[..end], skipped, &parsed, limits)?;
            Ok(Some(end))
        }
        Err(error) => Err(lines::diagnose(text, limits, First::Request, error)),
    }
}

impl RequestHead {
    /// Forgets all, save the room for it.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    fn take(
        &mut self,
        bytes: &[u8],
        skipped: usize,
        parsed: &httparse::Request<'_, '_>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(Refusal::RequestLine);
        };
        self.len = bytes.len();
        self.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let target_at = Span::within(bytes, target.as_bytes());
        // The version has always eight bytes and one space before it.
        let line_end = target_at.to() + 9;
        lines::check_length(line_end - skipped, limits, Some(First::Request))?;
        self.take_fields(bytes, line_end, parsed.headers, limits)?;
        self.method = Method::of(method)?;
        self.method_at = Span::within(bytes, method.as_bytes());
        let named = self.take_target(bytes, target_at)?;
        self.take_host(bytes, named)?;
        self.options = self.fields.drop_nominated(bytes).ok_or(Refusal::Connection)?;
        let Declared { length, is_chunked } = framing::declared(&self.fields, bytes, self.version)?;
        self.body = match (length, is_chunked) {
            (_, true) => Body::Chunked,
            (Some(length), _) => Body::Length(length),
            _ => Body::None,
        };
        self.take_wishes(bytes)
    }

    fn take_fields(
        &mut self,
        bytes: &[u8],
        first_line_end: usize,
        parsed: &[httparse::Header<'_>],
        limits: &Limits,
    ) -> Result<(), Refusal> {
        self.fields.clear();
        let mut line_end = first_line_end;
        for header in parsed {
            let name = header.name.as_bytes();
            let slot = Slot::new(bytes, name, header.value);
            lines::check_end(&bytes[line_end..slot.name.from()])?;
            line_end = slot.value.to();
            lines::check_length(line_end - slot.name.from(), limits, None)?;
            let is_dropped = slot.is_dropped || !is_plain_name(name);
            self.fields.push(Slot { is_dropped, ..slot });
        }
        let [rest @ .., b'\r', b'\n'] = &bytes[line_end..] else { return Err(Refusal::BareLf) };
        lines::check_end(rest)
    }

    /// Reads the target; gives back where the host is that it names.
    fn take_target(&mut self, bytes: &[u8], at: Span) -> Result<Option<Span>, Refusal> {
        let target = at.of(bytes);
        if target.contains(&b'#') {
            return Err(Refusal::Fragment);
        }
        if !target.is_ascii() {
            return Err(Refusal::Target);
        }
        if target == b"*" && self.method == Method::Options {
            (self.form, self.path, self.query) = (Form::Asterisk, at, Span::default());
            return Ok(None);
        }
        let (named, path_from) = match target.starts_with(b"/") {
            true => (None, at.from()),
            false => {
                let named = absolute_host(target)?;
                (Some(Span::new(at.from() + named.start, at.from() + named.end)), at.from() + named.end)
            }
        };
        self.form = if named.is_some() { Form::Absolute } else { Form::Origin };
        let rest = &bytes[path_from..at.to()];
        let path_bytes = rest.iter().position(|b| *b == b'?').unwrap_or(rest.len());
        if path_bytes == 0 && !rest.is_empty() {
            return Err(Refusal::Target);
        }
        self.path = Span::new(path_from, path_from + path_bytes);
        self.query = Span::new(path_from + path_bytes, at.to());
        Ok(named)
    }

    /// Finds the one host that the request is for.
    fn take_host(&mut self, bytes: &[u8], named: Option<Span>) -> Result<(), Refusal> {
        let mut hosts = self.fields.slots().iter().filter(|slot| slot.kind == Kind::Host);
        let field = hosts.next().map(|slot| slot.value);
        if hosts.next().is_some() {
            return Err(Refusal::TwoHosts);
        }
        let said = match field {
            Some(at) => Some(host::authority(at.of(bytes))?),
            None if self.version == Version::Http10 => None,
            None => return Err(Refusal::NoHost),
        };
        let target = named.map(|at| host::authority(at.of(bytes))).transpose()?;
        if let (Some(said), Some(target)) = (said, target) {
            let is_https = self.named_scheme_is_https(bytes);
            if !host::is_same(said, target, if is_https { 443 } else { 80 }) {
                return Err(Refusal::HostMismatch);
            }
        }
        let Some(Authority { name, port }) = target.or(said) else { return Ok(()) };
        self.host = named.or(field).unwrap_or_default();
        self.host_name = Span::within(bytes, name);
        self.host_port = port;
        Ok(())
    }

    fn named_scheme_is_https(&self, bytes: &[u8]) -> bool {
        let target = bytes.get(self.method_at.to() + 1..).unwrap_or_default();
        target.len() >= 6 && target[..6].eq_ignore_ascii_case(b"https:")
    }

    /// Reads what the client wishes besides its answer.
    fn take_wishes(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let is_new = self.version == Version::Http11;
        self.expects = false;
        for value in self.fields.all(bytes, Kind::Expect) {
            if is_new && !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Refusal::Expectation);
            }
            self.expects = is_new && self.body.is_some();
        }
        self.takes_trailers =
            self.fields.all(bytes, Kind::Te).flat_map(list).any(|te| te.eq_ignore_ascii_case(b"trailers"));
        self.upgrade = None;
        if is_new && self.options.upgrade && self.body == Body::None {
            let wanted = self.fields.all(bytes, Kind::Upgrade).flat_map(list).find(|token| can_upgrade_to(token));
            self.upgrade = wanted.map(|token| Span::within(bytes, token));
        }
        Ok(())
    }

    pub(super) fn slots(&self) -> &[Slot] {
        self.fields.slots()
    }

    /// How long the head is, with its empty line.
    pub fn head_bytes(&self) -> usize {
        self.len
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as it was sent.
    pub fn method_bytes<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        self.method_at.of(bytes)
    }

    /// The version of the client.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the target was written.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The path as it was sent, never empty.
    pub fn path<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        if self.path.is_empty() { b"/" } else { self.path.of(bytes) }
    }

    /// The query, without its `?`.
    pub fn query<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        self.query.of(bytes).strip_prefix(b"?")
    }

    /// Path and query as they were sent.
    pub fn target<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        match self.path.is_empty() {
            true => b"/",
            false => bytes.get(self.path.from()..self.query.to().max(self.path.to())).unwrap_or_default(),
        }
    }

    /// The host with its port as it was sent; empty where a client of HTTP/1.0 names none.
    pub fn host<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        self.host.of(bytes)
    }

    /// The host without port and last dot, in the case in which it was sent.
    pub fn host_name<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        self.host_name.of(bytes)
    }

    /// The port of the host, where one was sent.
    pub fn host_port(&self) -> Option<u16> {
        self.host_port
    }

    /// What comes behind the head.
    pub fn body(&self) -> Body {
        self.body
    }

    /// Whether the client wants to go on with this connection.
    pub fn keep_alive(&self) -> bool {
        !self.options.close && (self.version == Version::Http11 || self.options.keep_alive)
    }

    /// Whether the client waits for `100 Continue` before it sends its body.
    pub fn expect_continue(&self) -> bool {
        self.expects
    }

    /// The one protocol that the client asks for instead of HTTP/1.1. Never HTTP/2, and never with a body.
    pub fn upgrade<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        self.upgrade.map(|at| at.of(bytes))
    }

    /// Whether the client reads trailers.
    pub fn takes_trailers(&self) -> bool {
        self.takes_trailers
    }

    /// All fields in order, also those that are not passed on.
    pub fn fields<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = Field<'b>> + use<'_, 'b> {
        self.fields.iter(bytes)
    }

    /// The values of all fields of a kind.
    pub fn all<'b>(&self, bytes: &'b [u8], kind: Kind) -> impl DoubleEndedIterator<Item = &'b [u8]> + use<'_, 'b> {
        self.fields.all(bytes, kind)
    }

    /// The value of the first field of a kind.
    pub fn get<'b>(&self, bytes: &'b [u8], kind: Kind) -> Option<&'b [u8]> {
        self.fields.get(bytes, kind)
    }

    /// The value of the first field of a name, in whatever case.
    pub fn find<'b>(&self, bytes: &'b [u8], name: &str) -> Option<&'b [u8]> {
        self.fields.find(bytes, name)
    }
}

/// Where the host lies in a target in absolute form.
fn absolute_host(target: &[u8]) -> Result<std::ops::Range<usize>, Refusal> {
    let starts = |scheme: &[u8]| target.len() >= scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme);
    let from = match (starts(b"http://"), starts(b"https://")) {
        (true, _) => 7,
        (_, true) => 8,
        _ => return Err(Refusal::Target),
    };
    let rest = &target[from..];
    let to = from + rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    if target[from..to].contains(&b'@') {
        return Err(Refusal::UserInfo);
    }
    Ok(from..to)
}

/// Whether a tunnel of this protocol may be opened. One of HTTP would carry requests past us.
pub(super) fn can_upgrade_to(token: &[u8]) -> bool {
    let starts = |name: &[u8]| token.len() >= name.len() && token[..name.len()].eq_ignore_ascii_case(name);
    let mut parts = token.split(|b| *b == b'/');
    let is_protocol = parts.next().is_some_and(is_token) && parts.next().is_none_or(is_token) && parts.next().is_none();
    is_protocol && !starts(b"h2") && !starts(b"h3") && !starts(b"http") && !starts(b"tls")
}
