//! The path that routes are found by: a copy in which everything that means the same is written the same. The bytes that
//! are passed on stay those of the client; where the two could be read differently, the copy says so.

use super::{Refusal, text::hex};

/// Why another parser might read the path differently. Routes that protect something refuse such paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts(u8);

impl Doubts {
    /// `%2f`: a slash that separates for some.
    pub const ENCODED_SLASH: Self = Self(1);
    /// `\` or `%5c`: a slash for some.
    pub const BACKSLASH: Self = Self(1 << 1);
    /// `%00`: the end for some.
    pub const NUL: Self = Self(1 << 2);
    /// `;` or `%3b`: parameters, which some cut off.
    pub const SEMICOLON: Self = Self(1 << 3);
    /// `.` or `..` as a segment, of which a part is encoded.
    pub const ENCODED_DOTS: Self = Self(1 << 4);
    /// `.` or `..` as a segment.
    pub const DOTS: Self = Self(1 << 5);
    /// `%` without two hexadecimal digits, or an encoded control character.
    pub const BAD_ESCAPE: Self = Self(1 << 6);
    /// `//`: an empty segment, which some leave out.
    pub const EMPTY_SEGMENT: Self = Self(1 << 7);

    const NAMES: [(Self, &str); 8] = [
        (Self::ENCODED_SLASH, "encoded_slash"),
        (Self::BACKSLASH, "backslash"),
        (Self::NUL, "nul"),
        (Self::SEMICOLON, "semicolon"),
        (Self::ENCODED_DOTS, "encoded_dots"),
        (Self::DOTS, "dots"),
        (Self::BAD_ESCAPE, "bad_escape"),
        (Self::EMPTY_SEGMENT, "empty_segment"),
    ];

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether any of `those` is among them.
    pub fn has(self, those: Self) -> bool {
        self.0 & those.0 != 0
    }

    /// Both.
    pub const fn and(self, those: Self) -> Self {
        Self(self.0 | those.0)
    }

    /// Those of them by which another path is meant for some: all but a second slash and dots that everybody resolves.
    pub fn grave(self) -> Self {
        Self(self.0 & !Self::DOTS.and(Self::EMPTY_SEGMENT).0)
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(doubt, _)| self.has(*doubt)).map(|(_, name)| *name)
    }

    fn note(&mut self, that: Self) {
        self.0 |= that.0;
    }
}

/// Writes the copy of `path` into `out`, which is emptied: unreserved characters decoded, other escapes in capitals, `.`
/// and `..` resolved, and several slashes made one if `merge_slashes`. The copy of a copy is the same. A path that
/// climbs above its root is refused.
pub fn normalise(path: &[u8], merge_slashes: bool, out: &mut Vec<u8>) -> Result<Doubts, Refusal> {
    out.clear();
    let mut doubts = Doubts::default();
    // The usual path has nothing in it to do.
    if is_plain(path) {
        out.extend_from_slice(path);
        return Ok(doubts);
    }
    let mut segments = path.split(|b| *b == b'/').peekable();
    // What comes before the first slash of an absolute path is nothing.
    if segments.peek().is_some_and(|segment| segment.is_empty()) {
        segments.next();
    }
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment.is_empty() && !is_last {
            doubts.note(Doubts::EMPTY_SEGMENT);
            if merge_slashes {
                continue;
            }
        }
        let from = out.len();
        out.push(b'/');
        decode(segment, out, &mut doubts);
        let dots = match &out[from + 1..] {
            b"." => 1,
            b".." => 2,
            _ => continue,
        };
        doubts.note(if segment.len() > dots { Doubts::ENCODED_DOTS } else { Doubts::DOTS });
        out.truncate(from);
        if dots == 2 {
            let parent = out.iter().rposition(|b| *b == b'/').ok_or(Refusal::AboveRoot)?;
            out.truncate(parent);
        }
        // A path to a directory ends in a slash.
        if is_last {
            out.push(b'/');
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Ok(doubts)
}

/// Whether the copy of an absolute path would be the path itself, without doubts.
pub fn is_plain(path: &[u8]) -> bool {
    let mut last = 0;
    path.first() == Some(&b'/')
        && path.iter().all(|b| {
            let is_odd = matches!(b, b'%' | b';' | b'\\') || (last == b'/' && matches!(b, b'/' | b'.'));
            last = *b;
            !is_odd
        })
}

/// One segment, with what needs no escape decoded.
fn decode(segment: &[u8], out: &mut Vec<u8>, doubts: &mut Doubts) {
    let mut at = 0;
    while at < segment.len() {
        let b = segment[at];
        at += 1;
        if b != b'%' {
            note_plain(b, doubts);
            out.push(b);
            continue;
        }
        let pair = segment.get(at).copied().and_then(hex).zip(segment.get(at + 1).copied().and_then(hex));
        let Some((high, low)) = pair else {
            doubts.note(Doubts::BAD_ESCAPE);
            // Bare, it could make an escape of what comes behind it.
            out.extend_from_slice(b"%25");
            continue;
        };
        at += 2;
        let meant = high << 4 | low;
        match meant {
            b'-' | b'.' | b'_' | b'~' => out.push(meant),
            _ if meant.is_ascii_alphanumeric() => out.push(meant),
            _ => {
                note_encoded(meant, doubts);
                out.extend_from_slice(&[b'%', digit(high), digit(low)]);
            }
        }
    }
}

fn note_plain(b: u8, doubts: &mut Doubts) {
    match b {
        b';' => doubts.note(Doubts::SEMICOLON),
        b'\\' => doubts.note(Doubts::BACKSLASH),
        _ => {}
    }
}

fn note_encoded(b: u8, doubts: &mut Doubts) {
    match b {
        b'/' => doubts.note(Doubts::ENCODED_SLASH),
        b'\\' => doubts.note(Doubts::BACKSLASH),
        b';' => doubts.note(Doubts::SEMICOLON),
        0 => doubts.note(Doubts::NUL),
        1..=0x1f | 0x7f => doubts.note(Doubts::BAD_ESCAPE),
        _ => {}
    }
}

fn digit(value: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(value & 15)]
}
