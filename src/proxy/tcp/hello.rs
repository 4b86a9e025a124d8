//! The name that a TLS client asks for, read from its first message without taking part in the handshake. Pure, strict:
//! what is not as RFC 8446 and 6066 have it is no TLS to us, so that nobody behind us reads another name in it.

use super::Hello::{self, *};

/// A first message that is longer is none: those with the keys of several post-quantum schemes have some 5 KiB.
pub(super) const HELLO_BYTES_MAX: usize = 16 << 10;
/// The longest name, as DNS has it.
const NAME_BYTES_MAX: usize = 253;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Reads what came so far.
pub(super) fn read(bytes: &[u8]) -> Hello {
    let mut message = Vec::new();
    let mut at = 0;
    // A message may be spread over records, each of which has five bytes of its own in front.
    loop {
        let rest = &bytes[at..];
        let kind_fits =
            rest.first().is_none_or(|kind| *kind == HANDSHAKE) && rest.get(1).is_none_or(|major| *major == 3);
        if !kind_fits || bytes.len() > 2 * HELLO_BYTES_MAX {
            return NotTls;
        }
        let Some(header) = rest.get(..5) else { return More };
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if len == 0 || len > 1 << 14 {
            return NotTls;
        }
        let end = (at + 5 + len).min(bytes.len());
        message.extend_from_slice(&bytes[at + 5..end]);
        match whole(&message) {
            Err(()) => return NotTls,
            Ok(Some(hello)) => return name_of(hello).unwrap_or(NotTls),
            Ok(None) if end < at + 5 + len => return More,
            Ok(None) => at = end,
        }
    }
}

/// The message's body, once all of it is there.
fn whole(message: &[u8]) -> Result<Option<&[u8]>, ()> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(());
    }
    let Some(header) = message.get(..4) else { return Ok(None) };
    let len = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
    if len > HELLO_BYTES_MAX {
        return Err(());
    }
    Ok(message.get(4..4 + len))
}

/// Bytes that are taken one by one. None where there are fewer than are wanted.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn short(&mut self) -> Option<u16> {
        let two = self.take(2)?;
        Some(u16::from_be_bytes([two[0], two[1]]))
    }

    /// What a length of two bytes announces.
    fn list(&mut self) -> Option<Self> {
        let len = self.short()?;
        self.take(usize::from(len)).map(Self)
    }
}

/// None: it is no sound message.
fn name_of(hello: &[u8]) -> Option<Hello> {
    let mut hello = Reader(hello);
    let version = hello.short()?;
    hello.take(32)?;
    let session = usize::from(hello.byte()?);
    hello.take(session)?;
    let suites = hello.list()?;
    let compressions = usize::from(hello.byte()?);
    hello.take(compressions)?;
    if version >> 8 != 3 || session > 32 || suites.0.is_empty() || suites.0.len() % 2 != 0 || compressions == 0 {
        return None;
    }
    if hello.0.is_empty() {
        return Some(NoName);
    }
    let mut extensions = hello.list()?;
    if !hello.0.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.short()?;
        let body = extensions.list()?;
        if kind == SERVER_NAME {
            // A second one could be the one that somebody else believes.
            if found.is_some() {
                return None;
            }
            found = Some(server_name(body)?);
        }
    }
    Some(found.map_or(NoName, Name))
}

fn server_name(mut body: Reader<'_>) -> Option<Box<str>> {
    let mut names = body.list()?;
    let kind = names.byte()?;
    let name = names.list()?.0;
    let is_one = body.0.is_empty() && names.0.is_empty() && kind == HOST_NAME;
    let is_host = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(is_host);
    (is_one && fits).then(|| String::from_utf8_lossy(name).to_ascii_lowercase().into())
}

#[cfg(test)]
pub(in crate::proxy) mod tests {
    use super::*;

    fn list(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &list(body)].concat()
    }

    fn sni(name: &str) -> Vec<u8> {
        extension(0, &list(&[&[0][..], &list(name.as_bytes())].concat()))
    }

    fn body(extensions: &[u8]) -> Vec<u8> {
        [&[3, 3][..], &[7; 32], &[0], &list(&[0x13, 1]), &[1, 0], &list(extensions)].concat()
    }

    fn message(body: &[u8]) -> Vec<u8> {
        [&[1][..], &(body.len() as u32).to_be_bytes()[1..], body].concat()
    }

    fn records(message: &[u8], piece: usize) -> Vec<u8> {
        message.chunks(piece).flat_map(|p| [&[22, 3, 1][..], &list(p)].concat()).collect()
    }

    /// What a client of this name sends first.
    pub(in crate::proxy) fn hello(name: &str) -> Vec<u8> {
        records(&message(&body(&[extension(43, &[2, 3, 4]), sni(name)].concat())), 16 << 10)
    }

    #[test]
    fn a_name_is_found_however_it_is_cut() {
        let message =
            message(&body(&[extension(43, &[2, 3, 4]), sni("Media.Example.com"), extension(21, &[0; 50])].concat()));
        for piece in [1, 7, 100, 16 << 10] {
            let wire = records(&message, piece);
            assert_eq!(read(&wire), Name("media.example.com".into()), "{piece}");
            for n in 0..wire.len() {
                assert_eq!(read(&wire[..n]), More, "{n} of {piece}");
            }
        }
        assert_eq!(read(&records(&self::message(&body(&[])), 100)), NoName);
    }

    #[test]
    fn what_is_not_as_it_must_be_is_no_tls() {
        let wire = |body: &[u8]| records(&message(body), 16 << 10);
        let long = "x".repeat(254);
        for (what, bytes) in [
            ("http", b"GET / HTTP/1.1\r\n".to_vec()),
            ("ssh", b"SSH-2.0-x".to_vec()),
            ("two names", wire(&body(&[sni("a"), sni("b")].concat()))),
            ("two in one", wire(&body(&extension(0, &list(&[&[0][..], &list(b"a"), &[0], &list(b"b")].concat()))))),
            ("a NUL", wire(&body(&sni("a\0.b")))),
            ("too long", wire(&body(&sni(&long)))),
            ("empty", wire(&body(&sni("")))),
            ("behind the end", wire(&[body(&sni("a")), vec![0]].concat())),
            ("a length beyond", wire(&body(&[0, 0, 0, 9, 1]))),
            ("another message", records(&[&[2][..], &[0, 0, 1, 0]].concat(), 100)),
            ("a huge one", records(&[1, 0, 0x80, 0], 100)),
            ("an empty record", vec![22, 3, 1, 0, 0]),
            ("a record too long", vec![22, 3, 1, 0x40, 1]),
        ] {
            assert_eq!(read(&bytes), NotTls, "{what}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_and_more_is_wanted_only_of_what_is_short(mut bytes: Vec<u8>, at in 0usize..200, with: u8) {
            read(&bytes);
            let mut wire = hello("a.example");
            let at = at % wire.len();
            wire[at] = with;
            bytes.splice(0..0, wire);
            read(&bytes);
            bytes.resize(2 * HELLO_BYTES_MAX + 1, 0);
            proptest::prop_assert_ne!(read(&bytes), More);
        }
    }
}
