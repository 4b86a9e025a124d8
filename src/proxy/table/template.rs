//! Texts with places for what a request says: `https://{host}{uri}`.

use crate::base::nearest::nearest;
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
    fn a_word_that_is_none_is_refused() {
        assert_eq!(Template::parse("{hots}").unwrap_err(), "`{hots}` is unknown; did you mean `{host}`?");
        assert!(Template::parse("{frobnicate}").unwrap_err().contains("write {{frobnicate}} for the text itself"));
    }
}
