//! From a path to the name of a file below a directory. Pure.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

/// The longest name that is looked for, in bytes: what the system takes for a path.
const NAME_BYTES_MAX: usize = 4000;
/// The one directory with a dot that is meant for others (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// A name below a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::proxy) struct Place {
    /// Without a slash at either end; empty: the directory itself.
    name: Vec<u8>,
    /// The path ends with a slash: a directory is meant.
    pub(super) is_dir: bool,
}

impl Place {
    /// Of a normalised path. None where nothing can be: a name with a dot in front (`.git`, `.env`; but for
    /// `/.well-known/`), one that climbs, one with a slash or a NUL in it.
    pub(in crate::proxy) fn of(path: &[u8]) -> Option<Self> {
        let mut name = Vec::with_capacity(path.len());
        let segments = path.split(|b| *b == b'/').filter(|s| !s.is_empty());
        let mut segment = Vec::new();
        for encoded in segments {
            decode(encoded, &mut segment)?;
            let is_hidden = segment.first() == Some(&b'.') && !(name.is_empty() && segment == WELL_KNOWN);
            if is_hidden || segment.contains(&b'/') || segment.contains(&0) {
                return None;
            }
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(&segment);
            if name.len() > NAME_BYTES_MAX {
                return None;
            }
        }
        Some(Self { name, is_dir: path.ends_with(b"/") })
    }

    /// What a directory's path shows.
    pub(super) fn index(&self) -> Self {
        let slash: &[u8] = if self.name.is_empty() { b"" } else { b"/" };
        Self { name: [&self.name, slash, b"index.html"].concat(), is_dir: false }
    }

    /// The name with an ending more.
    pub(super) fn with(&self, ending: &str) -> Self {
        Self { name: [&self.name, ending.as_bytes()].concat(), is_dir: false }
    }

    /// The name, below the directory.
    pub(super) fn name(&self) -> &OsStr {
        OsStr::from_bytes(&self.name)
    }

    /// What stands behind the name's last dot.
    pub(super) fn ending(&self) -> &str {
        let file = self.name.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let dot = file.iter().rposition(|b| *b == b'.').filter(|at| *at > 0);
        dot.and_then(|at| std::str::from_utf8(&file[at + 1..]).ok()).unwrap_or_default()
    }
}

/// Takes `%XX` apart. None where there is a `%` without two digits.
fn decode(encoded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let mut bytes = encoded.iter();
    while let Some(b) = bytes.next() {
        match b {
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                let byte = digit()? * 16 + digit()?;
                out.push(u8::try_from(byte).ok()?);
            }
            b => out.push(*b),
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> Option<String> {
        Some(String::from_utf8_lossy(&Place::of(path.as_bytes())?.name).into_owned())
    }

    #[test]
    fn names_lie_below_and_never_hidden() {
        for (path, expected) in [
            ("/", ""),
            ("/a/b.txt", "a/b.txt"),
            ("//a///b/", "a/b"),
            ("/a%20b/%C3%A4", "a b/ä"),
            ("/.well-known/x", ".well-known/x"),
            ("/a..b/c.", "a..b/c."),
        ] {
            assert_eq!(name(path).as_deref(), Some(expected), "{path}");
        }
        for path in
            ["/../a", "/a/..", "/a/.git/config", "/.env", "/%2e%2e/x", "/a%2fb", "/a%00", "/a%", "/a/.well-known/x"]
        {
            assert_eq!(name(path), None, "{path}");
        }
        assert!(Place::of(b"/a/").unwrap().is_dir && Place::of(b"/").unwrap().is_dir);
        assert_eq!(Place::of(b"/").unwrap().index().name, b"index.html");
        assert_eq!(Place::of(b"/a/").unwrap().index().name, b"a/index.html");
        for (path, ending) in [("/a.tar.gz", "gz"), ("/a.b/c", ""), ("/x.HTML", "HTML"), ("/a.", "")] {
            assert_eq!(Place::of(path.as_bytes()).unwrap().ending(), ending, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_climbs(path in proptest::collection::vec(proptest::prop_oneof![
            proptest::strategy::Just(b'.'), proptest::strategy::Just(b'/'), proptest::strategy::Just(b'%'),
            proptest::strategy::Just(b'2'), proptest::strategy::Just(b'e'), proptest::strategy::Just(b'f'),
            proptest::arbitrary::any::<u8>()], 0..40)) {
            if let Some(place) = Place::of(&path) {
                let text = place.name.clone();
                let has_bad = text.split(|b| *b == b'/').skip(1).any(|s| s.is_empty() || s[0] == b'.');
                proptest::prop_assert!(!has_bad && !text.starts_with(b"/") && !text.contains(&0));
                proptest::prop_assert!(!text.starts_with(b".") || text.starts_with(WELL_KNOWN));
            }
        }
    }
}
