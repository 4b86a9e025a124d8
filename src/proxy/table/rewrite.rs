//! `rewrite = { from = "^/old/(.*)$", to = "/new/$1" }`: a regular expression over the path.

use regex::bytes::{Captures, Regex, RegexBuilder};
use std::sync::Arc;

/// What a compiled expression may take. One that is larger was written by mistake.
const REGEX_BYTES_MAX: usize = 256 << 10;
/// Groups that `to` may name: each may be as long as the path.
const GROUPS_MAX: usize = 16;

/// A regular expression and what its match becomes. It runs in a time linear in the path's length.
#[derive(Clone, Debug)]
pub struct Rewrite {
    from: Regex,
    to: Arc<str>,
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<[u8]>),
    Group(usize),
}

/// Which of the two is at fault, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRewrite {
    /// `from` is no regular expression that can be taken.
    From(String),
    /// `to` is at fault.
    To(String),
}

impl PartialEq for Rewrite {
    fn eq(&self, other: &Self) -> bool {
        self.from.as_str() == other.from.as_str() && self.to == other.to
    }
}

impl Rewrite {
    /// Checks both. In `to`, `$1` is the first group, `${name}` a named one, `$0` all that matched, `$$` a dollar.
    pub fn new(from: &str, to: &str) -> Result<Self, BadRewrite> {
        let built = RegexBuilder::new(from).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build();
        let from = built.map_err(|error| BadRewrite::From(explain(&error)))?;
        let pieces = pieces(to, &from).map_err(BadRewrite::To)?;
        if pieces.iter().filter(|p| matches!(p, Piece::Group(_))).count() > GROUPS_MAX {
            return Err(BadRewrite::To(format!("names more than {GROUPS_MAX} groups; use fewer")));
        }
        if !to.starts_with(['/', '$']) {
            return Err(BadRewrite::To("must begin with `/`, as a path does".into()));
        }
        if let Some(bad) = to.chars().find(|c| c.is_control() || c.is_whitespace() || *c == '#' || !c.is_ascii()) {
            return Err(BadRewrite::To(format!("holds {bad:?}, which no path may; write it percent-encoded")));
        }
        Ok(Self { from, to: to.into(), pieces: pieces.into() })
    }

    /// The expression.
    pub fn from(&self) -> &str {
        self.from.as_str()
    }

    /// What its match becomes.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Writes what `path` becomes behind `out`: the match replaced, what stands around it kept. False where it does not
    /// match; nothing is written then.
    pub(super) fn write(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(captures) = self.from.captures(path) else { return false };
        let from = out.len();
        let (begin, end) = captures.get(0).map_or((0, 0), |whole| (whole.start(), whole.end()));
        out.extend_from_slice(&path[..begin]);
        self.pieces.iter().for_each(|piece| piece.write(&captures, out));
        out.extend_from_slice(&path[end..]);
        if out.get(from) != Some(&b'/') {
            out.insert(from, b'/');
        }
        true
    }
}

impl Piece {
    fn write(&self, captures: &Captures<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Literal(text) => out.extend_from_slice(text),
            Self::Group(n) => out.extend_from_slice(captures.get(*n).map_or(&[], |m| m.as_bytes())),
        }
    }
}

fn pieces(to: &str, from: &Regex) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut parts = to.split('$');
    let mut literal = parts.next().unwrap_or("").to_owned();
    while let Some(part) = parts.next() {
        let (group, rest) = if let Some(named) = part.strip_prefix('{') {
            let (name, rest) = named.split_once('}').ok_or("has `${` without `}`; write ${name}")?;
            let number = name.parse().ok().or_else(|| from.capture_names().position(|n| n == Some(name)));
            (number.ok_or_else(|| format!("names the group `{name}`, which `from` does not have"))?, rest)
        } else if let Some(digit) = part.chars().next().and_then(|c| c.to_digit(10)) {
            (digit as usize, &part[1..])
        } else if part.is_empty() {
            // Two dollars, with nothing between them.
            let text = parts.next().ok_or("ends in `$`; write `$$` for a dollar")?;
            literal.push('$');
            literal.push_str(text);
            continue;
        } else {
            return Err(format!(
                "has `${}`; write $1 for a group or $$ for a dollar",
                part.chars().next().unwrap_or(' ')
            ));
        };
        if group >= from.captures_len() {
            return Err(format!(
                "names group {group}, and `from` has {}; put brackets around it",
                from.captures_len() - 1
            ));
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into_bytes().into()));
        }
        pieces.push(Piece::Group(group));
        literal = rest.to_owned();
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into_bytes().into()));
    }
    Ok(pieces)
}

/// The expression's own words are long and drawn over several lines: the last one says what is wrong.
fn explain(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "is too large a regular expression; use fewer and smaller repetitions".into()
        }
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
            format!("is not a regular expression: {last}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(from: &str, to: &str, path: &str) -> Option<String> {
        let mut out = b"GET ".to_vec();
        let matched = Rewrite::new(from, to).unwrap().write(path.as_bytes(), &mut out);
        matched.then(|| String::from_utf8(out.split_off(4)).unwrap())
    }

    #[test]
    fn what_matches_is_replaced() {
        assert_eq!(rewritten("^/old/(.*)$", "/new/$1", "/old/a/b").as_deref(), Some("/new/a/b"));
        assert_eq!(rewritten("^/old/(.*)$", "/new/$1", "/older"), None);
        // As in nginx, and not as in the library, whose `$1x` is a group of that name.
        assert_eq!(rewritten("^/v(\\d)/(.*)$", "/$2/$1x", "/v2/a").as_deref(), Some("/a/2x"));
        assert_eq!(rewritten("/(?P<last>[^/]*)$", "/${last}$$", "/a/b").as_deref(), Some("/a/b$"));
        assert_eq!(rewritten("^/", "/api/", "/x").as_deref(), Some("/api/x"));
        assert_eq!(rewritten("^/a(.*)$", "$1", "/ab").as_deref(), Some("/b"), "a path begins with a slash");
        assert_eq!(rewritten("^/(x)?(.*)$", "/$1-$2", "/y").as_deref(), Some("/-y"), "a group that took no part");
        assert_eq!(rewritten("^/(.*)$", "/q?path=$1", "/y").as_deref(), Some("/q?path=y"));
    }

    #[test]
    fn faults_are_told_in_words() {
        let from = |from: &str| match Rewrite::new(from, "/").unwrap_err() {
            BadRewrite::From(why) => why,
            other => panic!("{other:?}"),
        };
        let to = |to: &str| match Rewrite::new("^/(.*)$", to).unwrap_err() {
            BadRewrite::To(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(from("^/(a"), "is not a regular expression: unclosed group");
        assert!(from("(a{1000}){1000}").contains("too large"));
        assert!(from("(?=x)").contains("look-around"));
        assert!(to("/$2").contains("names group 2, and `from` has 1"));
        assert!(to("/${x}").contains("group `x`, which `from` does not have"));
        assert!(
            to("/$").contains("ends in `$`") && to("/$x").contains("$1 for a group") && to("/${1").contains("without")
        );
        assert!(to("new/$1").contains("begin with `/`") && to("/a b").contains("percent-encoded"));
        assert!(to(&format!("/{}", "$1".repeat(17))).contains("more than 16"));
    }

    #[test]
    fn an_expression_that_would_run_for_ever_elsewhere_does_not() {
        let rewrite = Rewrite::new("^/(a+)+$", "/$1").unwrap();
        let path = format!("/{}!", "a".repeat(16_000));
        assert!(!rewrite.write(path.as_bytes(), &mut Vec::new()));
    }
}
