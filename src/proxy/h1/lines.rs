//! The lines of a head: whether they end as they must and are no longer than allowed, and when a head that is still
//! coming is worth another look. What is wrong with one is found out here, line by line, once it is known that something is.

use super::{Refusal, limits::Limits, text};

/// Which of the two kinds of first line there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Request,
    Status,
}

/// How far a head was read that is still coming, so that one which comes byte by byte is not read anew for each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    seen: usize,
}

impl Reading {
    /// Whether something came that can change what is known: the first bytes, or the end of a line.
    pub(super) fn is_worth_it(&mut self, bytes: &[u8]) -> bool {
        let new = bytes.get(self.seen..).unwrap_or_default();
        let is_first = self.seen == 0;
        self.seen = bytes.len();
        is_first || new.contains(&b'\n')
    }
}

/// How many bytes of empty line come before the head; one is forgiven to clients that end a body with it (RFC 9112, 2.2).
/// `None`: not yet known.
pub(super) fn leading(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    match bytes {
        [b'\r', b'\n', b'\r' | b'\n', ..] => Err(Refusal::LeadingLines),
        [b'\r', b'\n', _, ..] => Ok(Some(2)),
        [] | [b'\r'] | [b'\r', b'\n'] => Ok(None),
        [b'\r', ..] => Err(Refusal::BareCr),
        [b'\n', ..] => Err(Refusal::BareLf),
        _ => Ok(Some(0)),
    }
}

/// Whether a head that is not whole may still become one.
pub(super) fn may_wait(head: &[u8], limits: &Limits, first: First) -> Result<(), Refusal> {
    let last = head.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    if head.len() - last > limits.line_bytes_max {
        return Err(if last == 0 { too_long(first) } else { Refusal::LineTooLong });
    }
    if head.len() >= limits.head_bytes() { Err(Refusal::HeadTooLarge) } else { Ok(()) }
}

fn too_long(first: First) -> Refusal {
    if first == First::Request { Refusal::TargetTooLong } else { Refusal::LineTooLong }
}

/// Checks the end of a line of a head that was read as whole: what lies between the last byte that means something and
/// the next line.
pub(super) fn check_end(gap: &[u8]) -> Result<(), Refusal> {
    match gap {
        b"\r\n" => Ok(()),
        [space @ .., b'\r', b'\n'] if space.iter().all(|b| matches!(b, b' ' | b'\t')) => Ok(()),
        [.., b'\r', b'\n'] => Err(Refusal::FieldValue),
        _ => Err(Refusal::BareLf),
    }
}

/// Checks the length of a line, without its end.
pub(super) fn check_length(line_bytes: usize, limits: &Limits, first: Option<First>) -> Result<(), Refusal> {
    match line_bytes > limits.line_bytes_max {
        false => Ok(()),
        true => Err(first.map_or(Refusal::LineTooLong, too_long)),
    }
}

/// What is wrong with a head in which something is: the first thing, in order of lines.
pub(super) fn diagnose(head: &[u8], limits: &Limits, first: First, error: httparse::Error) -> Refusal {
    let mut lines = head.split_inclusive(|b| *b == b'\n');
    if let Some(fault) = lines.next().and_then(|line| first_line_fault(line, limits, first)) {
        return fault;
    }
    let mut fields = 0;
    for line in lines.take_while(|line| *line != b"\r\n") {
        if let Some(fault) = field_fault(line, limits) {
            return fault;
        }
        fields += 1;
        if fields > limits.fields() {
            return Refusal::TooManyFields;
        }
    }
    match error {
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::HeaderName => Refusal::FieldName,
        httparse::Error::HeaderValue => Refusal::FieldValue,
        httparse::Error::NewLine => Refusal::BareCr,
        _ if first == First::Status => Refusal::StatusLine,
        httparse::Error::Version => Refusal::Version,
        _ => Refusal::RequestLine,
    }
}

/// The line without its end, or what is wrong with that.
fn content<'l>(line: &'l [u8], limits: &Limits, first: Option<First>) -> Result<&'l [u8], Refusal> {
    let content = match line {
        [content @ .., b'\r', b'\n'] => content,
        [.., b'\n'] => return Err(Refusal::BareLf),
        [content @ .., b'\r'] => content,
        unfinished => unfinished,
    };
    check_length(content.len(), limits, first)?;
    if content.contains(&b'\r') { Err(Refusal::BareCr) } else { Ok(content) }
}

fn first_line_fault(line: &[u8], limits: &Limits, first: First) -> Option<Refusal> {
    let content = match content(line, limits, Some(first)) {
        Ok(content) => content,
        Err(fault) => return Some(fault),
    };
    if first == First::Status {
        return None;
    }
    let mut parts = content.split(|b| *b == b' ');
    let (method, target, version) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if method.is_empty() || target.is_some_and(<[u8]>::is_empty) || parts.next().is_some() {
        return Some(Refusal::RequestLine);
    }
    if !text::is_token(method) {
        return Some(Refusal::Method);
    }
    if target.is_some_and(|target| target.iter().any(|b| !b.is_ascii_graphic())) {
        return Some(Refusal::Target);
    }
    let is_whole = line.ends_with(b"\n");
    match version {
        None => is_whole.then_some(Refusal::RequestLine),
        Some(b"HTTP/1.0" | b"HTTP/1.1") => None,
        Some(begun) => {
            let may_become_one = b"HTTP/1.0".starts_with(begun) || b"HTTP/1.1".starts_with(begun);
            (is_whole || !may_become_one).then_some(Refusal::Version)
        }
    }
}

fn field_fault(line: &[u8], limits: &Limits) -> Option<Refusal> {
    let content = match content(line, limits, None) {
        Ok(content) => content,
        Err(fault) => return Some(fault),
    };
    if matches!(content, [b' ' | b'\t', ..]) {
        return Some(Refusal::Folded);
    }
    let Some(colon) = content.iter().position(|b| *b == b':') else {
        return (line.ends_with(b"\n") || !text::is_token(content)).then_some(Refusal::FieldName);
    };
    let (name, value) = (&content[..colon], &content[colon + 1..]);
    if !text::is_token(name) {
        let is_spaced = name.trim_ascii_end() != name && text::is_token(name.trim_ascii_end());
        return Some(if is_spaced { Refusal::SpaceBeforeColon } else { Refusal::FieldName });
    }
    (!text::is_value(value)).then_some(Refusal::FieldValue)
}
