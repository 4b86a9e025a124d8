//! Which pages of other origins may ask, and the fields that say so to their browsers. Pure.

use super::h1::{is_token, is_value};
use std::{fmt, sync::Arc, time::Duration};

/// What an origin of a request may have, in bytes.
const ORIGIN_BYTES_MAX: usize = 512;
/// What a preflight may name as headers, in bytes.
const NAMES_BYTES_MAX: usize = 4096;

/// `cors` of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Who may ask.
    pub origins: Vec<Origin>,
    /// By which methods; empty: by any.
    pub methods: Vec<Arc<str>>,
    /// With which header fields; empty: with any.
    pub headers: Vec<Arc<str>>,
    /// With cookies and logins. Not together with [`Origin::Any`].
    pub credentials: bool,
    /// For how long a browser need not ask again; None: as it thinks best.
    pub max_age: Option<Duration>,
}

/// Who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Everybody.
    Any,
    /// `https://a.example`, or `null`.
    Exact(Arc<str>),
    /// `https://*.example.com:8443`: what stands before and behind the star.
    Below(Arc<str>, Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(origin) => f.write_str(origin),
            Self::Below(scheme, suffix) => write!(f, "{scheme}*{suffix}"),
        }
    }
}

impl Origin {
    fn is(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(one) => one.as_bytes() == origin,
            Self::Below(scheme, suffix) => origin
                .strip_prefix(scheme.as_bytes())
                .and_then(|rest| rest.strip_suffix(suffix.as_bytes()))
                .is_some_and(|name| {
                    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
                }),
        }
    }
}

/// A preflight: may a page of this origin ask so?
#[derive(Clone, Copy, Debug)]
pub(super) struct Preflight<'a> {
    pub(super) origin: &'a [u8],
    pub(super) method: &'a [u8],
    /// The fields that it would send, as a list.
    pub(super) headers: Option<&'a [u8]>,
}

impl Cors {
    /// The lines of an answer to a request of `origin`.
    pub(super) fn lines(&self, origin: Option<&[u8]>, out: &mut Vec<u8>) {
        if !self.credentials && self.origins.contains(&Origin::Any) {
            // The same for everybody, so that caches need not tell them apart.
            return out.extend_from_slice(b"Access-Control-Allow-Origin: *\r\n");
        }
        if let Some(origin) = origin.filter(|origin| self.lets(origin)) {
            line(out, b"Access-Control-Allow-Origin", origin);
            if self.credentials {
                line(out, b"Access-Control-Allow-Credentials", b"true");
            }
        }
        line(out, b"Vary", b"Origin");
    }

    /// The lines of the answer to a preflight. None: that origin may not ask at all.
    pub(super) fn preflight(&self, asked: &Preflight<'_>) -> Option<Vec<u8>> {
        if !self.lets(asked.origin) {
            return None;
        }
        let mut out = Vec::with_capacity(256);
        self.lines(Some(asked.origin), &mut out);
        // With credentials a star is no star to a browser: what was asked for is allowed by name then.
        let list = |names: &[Arc<str>]| names.join(", ").into_bytes();
        let methods = match self.methods.is_empty() {
            true if self.credentials && is_token(asked.method) => asked.method.to_vec(),
            true => b"*".to_vec(),
            false => list(&self.methods),
        };
        line(&mut out, b"Access-Control-Allow-Methods", &methods);
        let wanted = asked.headers.filter(|names| is_list(names));
        let headers = match (self.headers.is_empty(), wanted) {
            (false, _) => list(&self.headers),
            (true, Some(names)) if self.credentials => names.to_vec(),
            // The one name that a star never stands for.
            (true, Some(names)) if has_name(names, b"authorization") => b"*, Authorization".to_vec(),
            (true, _) => b"*".to_vec(),
        };
        line(&mut out, b"Access-Control-Allow-Headers", &headers);
        if let Some(age) = self.max_age {
            line(&mut out, b"Access-Control-Max-Age", age.as_secs().to_string().as_bytes());
        }
        line(&mut out, b"Vary", b"Access-Control-Request-Method, Access-Control-Request-Headers");
        Some(out)
    }

    fn lets(&self, origin: &[u8]) -> bool {
        origin.len() <= ORIGIN_BYTES_MAX && is_value(origin) && self.origins.iter().any(|one| one.is(origin))
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|b| *b == b',').map(<[u8]>::trim_ascii)
}

fn is_list(list: &[u8]) -> bool {
    list.len() <= NAMES_BYTES_MAX && names(list).all(is_token)
}

fn has_name(list: &[u8], name: &[u8]) -> bool {
    names(list).any(|one| one.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[Origin], credentials: bool) -> Cors {
        Cors { origins: origins.to_vec(), credentials, ..Cors::default() }
    }

    fn lines(cors: &Cors, origin: Option<&str>) -> String {
        let mut out = Vec::new();
        cors.lines(origin.map(str::as_bytes), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_origin_is_let_in_by_its_whole_name() {
        let exact = Origin::Exact("https://a.example".into());
        let below = Origin::Below("https://".into(), ".b.example:8443".into());
        let cors = cors(&[exact, below], true);
        for (origin, is_let) in [
            ("https://a.example", true),
            ("http://a.example", false),
            ("https://a.example.evil", false),
            ("https://a.example:444", false),
            ("https://x.b.example:8443", true),
            ("https://x.y.b.example:8443", true),
            ("https://.b.example:8443", false),
            ("https://evil.com/.b.example:8443", false),
            ("https://evil.com#x.b.example:8443", false),
            ("https://x.b.example", false),
            ("null", false),
        ] {
            let told = lines(&cors, Some(origin));
            assert!(told.ends_with("Vary: Origin\r\n"), "{origin}");
            let expected =
                format!("Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\n");
            assert_eq!(told.starts_with(&expected), is_let, "{origin}");
            assert_eq!(told.contains("Access"), is_let, "{origin}");
        }
        assert_eq!(lines(&cors, None), "Vary: Origin\r\n");
    }

    #[test]
    fn for_everybody_it_is_one_answer_for_all() {
        let cors = cors(&[Origin::Any], false);
        assert_eq!(lines(&cors, None), "Access-Control-Allow-Origin: *\r\n");
        assert_eq!(lines(&cors, Some("https://a")), "Access-Control-Allow-Origin: *\r\n");
    }

    #[test]
    fn a_preflight_is_told_what_may_be_asked() {
        let ask = |headers| Preflight { origin: b"https://a", method: b"PATCH", headers };
        let told = |cors: &Cors, headers| String::from_utf8(cors.preflight(&ask(headers)).unwrap()).unwrap();
        let any = cors(&[Origin::Any], false);
        let stars = told(&any, Some(b"x-a".as_slice()));
        assert!(stars.contains("Allow-Methods: *\r\n") && stars.contains("Allow-Headers: *\r\n"), "{stars}");
        assert!(told(&any, Some(b"x-a, Authorization".as_slice())).contains("Allow-Headers: *, Authorization\r\n"));
        let named = cors(&[Origin::Exact("https://a".into())], true);
        let echoed = told(&named, Some(b"x-a, x-b".as_slice()));
        assert!(
            echoed.contains("Allow-Methods: PATCH\r\n") && echoed.contains("Allow-Headers: x-a, x-b\r\n"),
            "{echoed}"
        );
        assert!(!told(&named, Some(b"x-a\r\nSet-Cookie: a".as_slice())).contains("Set-Cookie"));
        assert!(named.preflight(&Preflight { origin: b"https://b", ..ask(None) }).is_none());
        let narrow = Cors {
            methods: vec!["GET".into(), "POST".into()],
            headers: vec!["X-A".into()],
            max_age: Some(Duration::from_secs(600)),
            ..named
        };
        let told = told(&narrow, None);
        assert!(told.contains("Allow-Methods: GET, POST\r\n") && told.contains("Allow-Headers: X-A\r\n"), "{told}");
        assert!(told.contains("Max-Age: 600\r\n"), "{told}");
    }
}
