//! What is said of a file that was found: conditions in the order of RFC 9110 (13.2.2), ranges, fields. Pure.

use super::{asked::Asked, coding::Coding, ranges::Wanted};
use std::{
    fmt::Write,
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) len: u64,
    /// Seconds of the Unix epoch.
    pub(super) modified: u64,
    pub(super) content_type: &'static str,
    /// The coding that it lies in; None: as it is.
    pub(super) coding: Option<Coding>,
    /// Another client would get it in another coding.
    pub(super) varies: bool,
}

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Of ours.
    Bytes(Vec<u8>),
    /// Of the file.
    File(Range<u64>),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) status: u16,
    /// The fields but those of framing, each as a line.
    pub(super) lines: String,
    pub(super) body: Vec<Piece>,
}

impl Decided {
    /// The body's length.
    pub(super) fn len(&self) -> u64 {
        let of = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::File(range) => range.end - range.start,
        };
        self.body.iter().map(of).sum()
    }
}

/// Strong: another length or another second of writing is another tag. The very text that nginx makes, so that what
/// browsers keep stays good when a site moves here.
pub(super) fn tag(facts: &Facts) -> String {
    format!("\"{:x}-{:x}\"", facts.modified, facts.len)
}

/// Decides. `boundary` parts several ranges from each other.
pub(super) fn decide(asked: &Asked, facts: &Facts, boundary: u64) -> Decided {
    let tag = tag(facts);
    let nothing = |status, lines| Decided { status, lines, body: Vec::new() };
    match condition(asked, facts, &tag) {
        Some(412) => return nothing(412, String::new()),
        Some(status) => return nothing(status, validators(facts, &tag)),
        None => {}
    }
    let wanted = match &asked.range {
        Some(range) if range_holds(asked, facts, &tag) => Wanted::of(range, facts.len),
        _ => Wanted::Whole,
    };
    let mut lines = String::with_capacity(256);
    let field = |lines: &mut String, name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = write!(lines, "{name}: {value}\r\n");
    };
    let content_range = |part: &Range<u64>| format!("bytes {}-{}/{}", part.start, part.end - 1, facts.len);
    let (status, body) = match wanted {
        Wanted::Nothing => {
            let mut lines = validators(facts, &tag);
            field(&mut lines, "Content-Range", &format!("bytes */{}", facts.len));
            return nothing(416, lines);
        }
        Wanted::Whole => {
            field(&mut lines, "Content-Type", facts.content_type);
            (200, vec![Piece::File(0..facts.len)])
        }
        Wanted::Parts(parts) => match parts.as_slice() {
            [part] => {
                field(&mut lines, "Content-Type", facts.content_type);
                field(&mut lines, "Content-Range", &content_range(part));
                (206, vec![Piece::File(part.clone())])
            }
            _ => {
                field(&mut lines, "Content-Type", &format!("multipart/byteranges; boundary={boundary:020}"));
                let mut body = Vec::with_capacity(2 * parts.len() + 1);
                for part in parts {
                    let of = content_range(&part);
                    let kind = facts.content_type;
                    let head = format!("\r\n--{boundary:020}\r\nContent-Type: {kind}\r\nContent-Range: {of}\r\n\r\n");
                    body.push(Piece::Bytes(head.into()));
                    body.push(Piece::File(part));
                }
                body.push(Piece::Bytes(format!("\r\n--{boundary:020}--\r\n").into()));
                (206, body)
            }
        },
    };
    lines.push_str(&validators(facts, &tag));
    if let Some(coding) = facts.coding {
        field(&mut lines, "Content-Encoding", coding.as_str());
    }
    if status == 200 {
        lines.push_str("Accept-Ranges: bytes\r\n");
    }
    Decided { status, lines, body }
}

/// What a 200, a 206, a 304 and a 416 have in common.
fn validators(facts: &Facts, tag: &str) -> String {
    let vary = if facts.varies { "Vary: Accept-Encoding\r\n" } else { "" };
    format!("Last-Modified: {}\r\nETag: {tag}\r\n{vary}", httpdate::fmt_http_date(moment(facts.modified)))
}

fn moment(seconds: u64) -> SystemTime {
    // Beyond the year 9999 there is no date to write.
    const LAST_SECOND: u64 = 253_402_300_799;
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND))
}

/// The status that ends it: 304 or 412.
fn condition(asked: &Asked, facts: &Facts, tag: &str) -> Option<u16> {
    let date = |field: &Option<Vec<u8>>| httpdate::parse_http_date(std::str::from_utf8(field.as_deref()?).ok()?).ok();
    let modified = moment(facts.modified);
    match &asked.if_match {
        Some(list) if !names(list, tag, false) => return Some(412),
        Some(_) => {}
        None if date(&asked.if_unmodified_since).is_some_and(|since| modified > since) => return Some(412),
        None => {}
    }
    match &asked.if_none_match {
        Some(list) => names(list, tag, true).then_some(304),
        None => date(&asked.if_modified_since).is_some_and(|since| modified <= since).then_some(304),
    }
}

/// Whether a list names this tag. `weak`: `W/"x"` counts as `"x"`.
fn names(list: &[u8], tag: &str, weak: bool) -> bool {
    list.split(|b| *b == b',').map(<[u8]>::trim_ascii).any(|one| {
        let opaque = if weak { one.strip_prefix(b"W/").unwrap_or(one) } else { one };
        one == b"*" || opaque == tag.as_bytes()
    })
}

/// Whether a range may be sent: nothing says that only this version will do, or this is it.
fn range_holds(asked: &Asked, facts: &Facts, tag: &str) -> bool {
    let Some(field) = &asked.if_range else { return true };
    let text = std::str::from_utf8(field).unwrap_or_default().trim();
    match text.starts_with('"') || text.starts_with("W/") {
        true => text == tag,
        false => httpdate::parse_http_date(text).is_ok_and(|date| date == moment(facts.modified)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let modified = 784_111_777;
        Facts { len: 10, modified, content_type: "text/plain", coding: None, varies: false }
    }

    fn asked(fields: &[(&str, &str)]) -> Asked {
        let mut asked = Asked::default();
        fields.iter().for_each(|(name, value)| asked.field(name.as_bytes(), value.as_bytes()));
        asked
    }

    #[test]
    fn conditions_hold_in_the_order_of_the_standard() {
        let (same, before, after) =
            ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT", "Sunday, 06-Nov-94 08:49:38 GMT");
        let tag = super::tag(&facts());
        assert_eq!(tag, "\"2ebc98a1-a\"");
        let weak = format!("W/{tag}");
        for (fields, status) in [
            (vec![], 200),
            (vec![("If-None-Match", tag.as_str())], 304),
            (vec![("If-None-Match", weak.as_str())], 304),
            (vec![("If-None-Match", "\"x\""), ("If-None-Match", tag.as_str())], 304),
            (vec![("If-None-Match", "*")], 304),
            (vec![("If-None-Match", "\"x\""), ("If-Modified-Since", same)], 200),
            (vec![("If-Modified-Since", same)], 304),
            (vec![("If-Modified-Since", after)], 304),
            (vec![("If-Modified-Since", before)], 200),
            (vec![("If-Modified-Since", "yesterday")], 200),
            (vec![("If-Match", tag.as_str())], 200),
            (vec![("If-Match", weak.as_str())], 412),
            (vec![("If-Match", "\"x\"")], 412),
            (vec![("If-Match", tag.as_str()), ("If-Unmodified-Since", before)], 200),
            (vec![("If-Unmodified-Since", before)], 412),
            (vec![("If-Unmodified-Since", same)], 200),
            (vec![("If-Match", "\"x\""), ("If-None-Match", tag.as_str())], 412),
            (vec![("Range", "bytes=2-3")], 206),
            (vec![("Range", "bytes=2-3"), ("If-Range", tag.as_str())], 206),
            (vec![("Range", "bytes=2-3"), ("If-Range", weak.as_str())], 200),
            (vec![("Range", "bytes=2-3"), ("If-Range", "\"x\"")], 200),
            (vec![("Range", "bytes=2-3"), ("If-Range", same)], 206),
            (vec![("Range", "bytes=2-3"), ("If-Range", after)], 200),
            (vec![("Range", "bytes=2-3"), ("If-None-Match", tag.as_str())], 304),
            (vec![("Range", "bytes=10-")], 416),
        ] {
            assert_eq!(decide(&asked(&fields), &facts(), 7).status, status, "{fields:?}");
        }
    }

    #[test]
    fn several_ranges_are_parts_with_a_boundary() {
        let decided = decide(&asked(&[("Range", "bytes=0-1,-2")]), &facts(), 7);
        let text: String = decided
            .body
            .iter()
            .map(|piece| match piece {
                Piece::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
                Piece::File(range) => "0123456789"[range.start as usize..range.end as usize].to_owned(),
            })
            .collect();
        let b = "--00000000000000000007";
        let part = |range| format!("\r\n{b}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/10\r\n\r\n");
        assert_eq!(text, format!("{}01{}89\r\n{b}--\r\n", part("0-1"), part("8-9")));
        assert_eq!((decided.status, decided.len()), (206, text.len() as u64));
        assert!(decided.lines.contains("Content-Type: multipart/byteranges; boundary=00000000000000000007\r\n"));
    }

    #[test]
    fn a_304_says_what_a_200_would_of_the_version() {
        let facts = Facts { varies: true, coding: Some(Coding::Gzip), ..facts() };
        let fresh = decide(&asked(&[]), &facts, 7).lines;
        let kept = decide(&asked(&[("If-None-Match", "*")]), &facts, 7).lines;
        assert!(kept.lines().all(|line| fresh.contains(line)), "{kept}");
        assert!(kept.contains("ETag") && kept.contains("Vary: Accept-Encoding") && fresh.contains("Encoding: gzip"));
    }
}
