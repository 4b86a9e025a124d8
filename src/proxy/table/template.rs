//! Texts with places for what a request says: `https://{host}{uri}`.

use crate::{base::nearest::nearest, proxy::h1::Scheme};
use std::{fmt, net::IpAddr, sync::Arc};

/// A text with places in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: Arc<str>,
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<[u8]>),
    Place(Place),
}

/// What a place stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Host,
    Uri,
    Path,
    Query,
    Scheme,
    Method,
    RemoteAddress,
    RequestId,
}

const PLACES: [(&str, Place); 8] = [
    ("host", Place::Host),
    ("uri", Place::Uri),
    ("path", Place::Path),
    ("query", Place::Query),
    ("scheme", Place::Scheme),
    ("method", Place::Method),
    ("remote_addr", Place::RemoteAddress),
    ("request_id", Place::RequestId),
];

/// What a request says.
#[derive(Clone, Copy, Debug)]
pub struct Vars<'a> {
    /// `http` or `https`, as the client came.
    pub scheme: &'a [u8],
    /// The host that it asked for, without the port.
    pub host: &'a [u8],
    /// The path as sent.
    pub path: &'a [u8],
    /// What stands behind `?`.
    pub query: Option<&'a [u8]>,
    /// The method.
    pub method: &'a [u8],
    /// The client's address.
    pub remote: IpAddr,
    /// The number of the request.
    pub request_id: &'a [u8],
}

/// Requests that a text leads back to where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back {
    /// Of this scheme; None: of any.
    pub scheme: Option<Scheme>,
    /// For this host; None: for any.
    pub host: Option<Box<str>>,
}

impl Template {
    /// Reads a text. A word in braces must be one that is known; other braces are braces. `{{word}}` is `{word}`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            literal.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(word) = word_in(rest, "{{", "}}") {
                literal.push_str(&rest[1..word.len() + 3]);
                rest = &rest[word.len() + 4..];
            } else if let Some(word) = word_in(rest, "{", "}") {
                let place = PLACES.iter().find(|(name, _)| *name == word).ok_or_else(|| unknown(word))?.1;
                pieces.extend(take_literal(&mut literal));
                pieces.push(Piece::Place(place));
                rest = &rest[word.len() + 2..];
            } else {
                literal.push('{');
                rest = &rest[1..];
            }
        }
        literal.push_str(rest);
        pieces.extend(take_literal(&mut literal));
        Ok(Self { text: text.into(), pieces: pieces.into() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which requests it would send to where they are already, where it says no more than a scheme and a host. The port
    /// does not count: requests are seen by that of this host, and it says that of the outside.
    pub fn leads_back(&self) -> Option<Back> {
        let (before, last) = self.pieces.split_at_checked(self.pieces.len().checked_sub(1)?)?;
        if !matches!(last, [Piece::Place(Place::Uri | Place::Path)]) {
            return None;
        }
        let is_port = |text: &[u8]| {
            text.is_empty() || text.strip_prefix(b":").is_some_and(|port| port.iter().all(u8::is_ascii_digit))
        };
        let (scheme, behind) = match before {
            [Piece::Place(Place::Scheme), Piece::Literal(text), rest @ ..] => {
                (None, (text.strip_prefix(b"://")?, rest))
            }
            [Piece::Literal(text), rest @ ..] => match text.strip_prefix(b"https://") {
                Some(text) => (Some(Scheme::Https), (text, rest)),
                None => (Some(Scheme::Http), (text.strip_prefix(b"http://")?, rest)),
            },
            _ => return None,
        };
        match behind {
            (b"", [Piece::Place(Place::Host)]) => Some(Back { scheme, host: None }),
            (b"", [Piece::Place(Place::Host), Piece::Literal(port)]) if is_port(port) => {
                Some(Back { scheme, host: None })
            }
            (host, []) => {
                let name = super::index::bare(host);
                let is_host = !name.contains(&b'/') && is_port(&host[name.len()..]);
                let name = std::str::from_utf8(name).ok().filter(|_| is_host)?;
                Some(Back { scheme, host: Some(name.into()) })
            }
            _ => None,
        }
    }

    /// Writes it behind `out`, filled in.
    pub fn write(&self, vars: &Vars<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Place(place) => place.write(vars, out),
            }
        }
    }
}

impl Place {
    fn write(self, vars: &Vars<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Host => out.extend_from_slice(vars.host),
            Self::Path => out.extend_from_slice(vars.path),
            Self::Query => out.extend_from_slice(vars.query.unwrap_or_default()),
            Self::Scheme => out.extend_from_slice(vars.scheme),
            Self::Method => out.extend_from_slice(vars.method),
            Self::RequestId => out.extend_from_slice(vars.request_id),
            Self::RemoteAddress => out.extend_from_slice(vars.remote.to_string().as_bytes()),
            Self::Uri => {
                out.extend_from_slice(vars.path);
                if let Some(query) = vars.query {
                    out.push(b'?');
                    out.extend_from_slice(query);
                }
            }
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn take_literal(literal: &mut String) -> Option<Piece> {
    (!literal.is_empty()).then(|| Piece::Literal(std::mem::take(literal).into_bytes().into()))
}

/// The word that stands between `open` and `close` at the begin of a text.
fn word_in<'t>(text: &'t str, open: &str, close: &str) -> Option<&'t str> {
    let (word, _) = text.strip_prefix(open)?.split_once(close)?;
    let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_word.then_some(word)
}

fn unknown(word: &str) -> String {
    let names = PLACES.map(|(name, _)| name);
    match nearest(word, names) {
        Some(near) => format!("`{{{word}}}` is unknown; did you mean `{{{near}}}`?"),
        None => format!(
            "`{{{word}}}` is unknown; known are {{{}}}; write {{{{{word}}}}} for the text itself",
            names.join("}, {")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, query: Option<&'static str>) -> String {
        let vars = Vars {
            scheme: b"http",
            host: b"a.example",
            path: b"/x/%41",
            query: query.map(str::as_bytes),
            method: b"GET",
            remote: "10.0.0.7".parse().unwrap(),
            request_id: b"id7",
        };
        let mut out = Vec::new();
        Template::parse(text).unwrap().write(&vars, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn places_are_filled_and_other_braces_stay() {
        assert_eq!(filled("https://{host}{uri}", Some("a=1")), "https://a.example/x/%41?a=1");
        assert_eq!(filled("https://{host}{uri}", None), "https://a.example/x/%41");
        assert_eq!(
            filled("{scheme} {method} {path}|{query}|{remote_addr}|{request_id}", Some("")),
            "http GET /x/%41||10.0.0.7|id7"
        );
        for same in ["", "closed", "{\"ok\": {\"a\": 1}}", "body{color:red}", "{", "}", "{Host}", "{a b}", "x{", "{{"] {
            assert_eq!(filled(same, None), same);
        }
        assert_eq!(filled("{{host}} is {host}", None), "{host} is a.example");
        assert_eq!(filled("{{{host}", None), "{{a.example");
    }

    #[test]
    fn what_leads_back_is_known() {
        let back = |text: &str| {
            let back = Template::parse(text).unwrap().leads_back()?;
            Some((back.scheme.map_or("any", Scheme::as_str), back.host.as_deref().unwrap_or("any").to_owned()))
        };
        for (text, expected) in [
            ("https://{host}{uri}", Some(("https", "any"))),
            ("http://{host}{path}", Some(("http", "any"))),
            ("https://{host}:8443{uri}", Some(("https", "any"))),
            ("{scheme}://{host}{uri}", Some(("any", "any"))),
            ("https://www.a.example{uri}", Some(("https", "www.a.example"))),
            ("https://www.a.example:8443{uri}", Some(("https", "www.a.example"))),
            ("{scheme}://www.a.example{uri}", Some(("any", "www.a.example"))),
            ("https://www.{host}{uri}", None),
            ("https://{host}.example{uri}", None),
            ("https://{host}/new{uri}", None),
            ("https://a.example/new{uri}", None),
            ("https://{host}/", None),
            ("/new{uri}", None),
            ("{uri}", None),
            ("", None),
        ] {
            assert_eq!(back(text), expected.map(|(scheme, host)| (scheme, host.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_word_that_is_none_is_refused() {
        assert_eq!(Template::parse("{hots}").unwrap_err(), "`{hots}` is unknown; did you mean `{host}`?");
        assert!(Template::parse("{frobnicate}").unwrap_err().contains("write {{frobnicate}} for the text itself"));
    }
}
