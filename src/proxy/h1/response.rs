//! The head of a response: read once, strictly, into places of its buffer. The origin is believed no more than the client.

use super::{
    Body, Limits, Refusal, Version,
    field::{Field, Fields, Kind, Options, Slot, list},
    framing,
    limits::FIELDS_MAX,
    lines::{self, First, Reading},
    text::Span,
};
use std::mem::MaybeUninit;

/// What was asked, as far as the answer is read by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The method was `HEAD`: nothing comes behind the head, whatever that says.
    pub head: bool,
    /// An `Upgrade` was passed on: 101 may come.
    pub upgrade: bool,
}

/// The head of a response as places in the buffer that it was read from: its first byte is that buffer's first, and every
/// `bytes` below is that buffer. It is made once and used again.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    reading: Reading,
    len: usize,
    version: Version,
    status: u16,
    reason: Span,
    body: Body,
    length: Option<u64>,
    options: Options,
    upgrade: Option<Span>,
    fields: Fields,
}

/// Reads the head of a response, interim ones too, one at a time. `None`: more of it must come; `head` remembers how much
/// was there, so it is cleared before the next response and not before.
pub fn parse_response(
    bytes: &[u8],
    limits: &Limits,
    asked: Asked,
    head: &mut ResponseHead,
) -> Result<Option<usize>, Refusal> {
    if !head.reading.is_worth_it(bytes) {
        return lines::may_wait(bytes, limits, First::Status).map(|()| None);
    }
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        return Err(Refusal::LeadingLines);
    }
    let text = &bytes[..bytes.len().min(limits.head_bytes())];
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let strict = httparse::ParserConfig::default();
    match strict.parse_response_with_uninit_headers(&mut parsed, text, &mut room[..limits.fields()]) {
        Ok(httparse::Status::Partial) => lines::may_wait(text, limits, First::Status).map(|()| None),
        Ok(httparse::Status::Complete(len)) => {
            head.take(&bytes[..len], &parsed, limits, asked)?;
            Ok(Some(len))
        }
        Err(error) => Err(lines::diagnose(text, limits, First::Status, error)),
    }
}

impl ResponseHead {
    /// Forgets all, save the room for it.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    fn take(
        &mut self,
        bytes: &[u8],
        parsed: &httparse::Response<'_, '_>,
        limits: &Limits,
        asked: Asked,
    ) -> Result<(), Refusal> {
        let (Some(status), Some(minor)) = (parsed.code, parsed.version) else { return Err(Refusal::StatusLine) };
        if status < 100 {
            return Err(Refusal::StatusLine);
        }
        self.len = bytes.len();
        self.status = status;
        self.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let line_end = self.take_reason(bytes)?;
        lines::check_length(line_end, limits, Some(First::Status))?;
        self.take_fields(bytes, line_end, parsed.headers, limits)?;
        // A malformed list cannot be followed; the connection is not used again.
        let closing = Options { close: true, ..Options::default() };
        self.options = self.fields.drop_nominated(bytes).unwrap_or(closing);
        let declared = framing::declared(&self.fields, bytes, self.version)?;
        self.length = declared.length;
        self.body = match (status, declared.length, declared.is_chunked) {
            (100..=199 | 204 | 304, ..) => Body::None,
            _ if asked.head => Body::None,
            (_, _, true) => Body::Chunked,
            (_, Some(length), _) => Body::Length(length),
            _ => Body::UntilClose,
        };
        self.take_upgrade(bytes, asked)
    }

    /// Finds the reason; gives back where its line ends.
    fn take_reason(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        const REASON_FROM: usize = "HTTP/1.1 200".len();
        let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else { return Err(Refusal::BareLf) };
        let from = line.len().min(REASON_FROM + 1);
        self.reason = Span::new(from, line.len());
        Ok(line.len())
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
            let slot = Slot::new(bytes, header.name.as_bytes(), header.value);
            lines::check_end(&bytes[line_end..slot.name.from()])?;
            line_end = slot.value.to();
            lines::check_length(line_end - slot.name.from(), limits, None)?;
            self.fields.push(slot);
        }
        let [rest @ .., b'\r', b'\n'] = &bytes[line_end..] else { return Err(Refusal::BareLf) };
        lines::check_end(rest)
    }

    fn take_upgrade(&mut self, bytes: &[u8], asked: Asked) -> Result<(), Refusal> {
        self.upgrade = None;
        if self.status != 101 {
            return Ok(());
        }
        let granted = self.fields.all(bytes, Kind::Upgrade).flat_map(list).next();
        match granted {
            Some(token) if asked.upgrade && self.options.upgrade => {
                self.upgrade = Some(Span::within(bytes, token));
                Ok(())
            }
            _ => Err(Refusal::UpgradeUnasked),
        }
    }

    pub(super) fn slots(&self) -> &[Slot] {
        self.fields.slots()
    }

    /// How long the head is, with its empty line.
    pub fn head_bytes(&self) -> usize {
        self.len
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The words behind the status.
    pub fn reason<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        self.reason.of(bytes)
    }

    /// The version of the origin.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What comes behind the head: nothing behind 1xx, 204, 304 and answers to `HEAD`, whatever they say.
    pub fn body(&self) -> Body {
        self.body
    }

    /// The length that the head names, also where nothing comes.
    pub fn content_length(&self) -> Option<u64> {
        self.length
    }

    /// Whether another request may be sent once this answer is read to its end.
    pub fn keep_alive(&self) -> bool {
        let is_kept = !self.options.close && (self.version == Version::Http11 || self.options.keep_alive);
        is_kept && self.body != Body::UntilClose
    }

    /// The protocol that 101 grants. Whether it is the one that was asked for is told by [`ResponseHead::grants`].
    pub fn upgrade<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        self.upgrade.map(|at| at.of(bytes))
    }

    /// Whether this is 101 with the protocol that was asked for.
    pub fn grants(&self, bytes: &[u8], asked: &[u8]) -> bool {
        self.upgrade(bytes).is_some_and(|token| token.eq_ignore_ascii_case(asked))
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

/// What to do with a response 1xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interim {
    /// Pass it on.
    Forward,
    /// Read the next one.
    Drop,
    /// HTTP ends here.
    Switch,
}

/// What to do with a response of this status, 100 to 199. `relayed`: the client waits for `100 Continue`, and its
/// `Expect` was passed on.
pub fn interim(status: u16, client: Version, relayed: bool) -> Interim {
    match status {
        101 => Interim::Switch,
        100 if relayed => Interim::Forward,
        103 if client == Version::Http11 => Interim::Forward,
        _ => Interim::Drop,
    }
}
