//! Entity tags and the conditions on them: `If-None-Match`, `If-Match`, `If-Range`.

use http::{
    HeaderMap, HeaderValue,
    header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE},
};
use std::fmt;

/// A strong entity tag. Its text is hex or the like: no quotes, no spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

/// What the conditions of a request ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Answer as if there were none.
    Go,
    /// Answer 304 with the tag and no body.
    NotModified,
    /// Answer 412.
    Failed,
}

impl ETag {
    /// Of an opaque text; characters that a tag cannot hold are left out.
    pub fn new(opaque: &str) -> Self {
        Self(opaque.chars().filter(|c| c.is_ascii_graphic() && *c != '"').collect())
    }

    /// The header's value, quoted.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
    }

    /// Whether a list as in `If-None-Match` names this tag. `weak`: `W/"x"` counts as `"x"`.
    fn is_in(&self, list: &str, weak: bool) -> bool {
        list.split(',').map(str::trim).any(|tag| {
            let opaque = if weak { tag.strip_prefix("W/").unwrap_or(tag) } else { tag };
            tag == "*" || opaque == self.to_string()
        })
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl Precondition {
    /// Weighs the conditions of a GET against the current tag, in the standard's order.
    pub fn of(headers: &HeaderMap, current: &ETag) -> Self {
        let any = |name, weak| {
            let mut lists = headers.get_all(name).iter().peekable();
            lists.peek()?;
            Some(lists.any(|list| list.to_str().is_ok_and(|l| current.is_in(l, weak))))
        };
        if any(IF_MATCH, false) == Some(false) {
            return Self::Failed;
        }
        if any(IF_NONE_MATCH, true) == Some(true) { Self::NotModified } else { Self::Go }
    }
}

/// Whether the client has this very version already and wants a 304.
pub fn not_modified(headers: &HeaderMap, current: &ETag) -> bool {
    Precondition::of(headers, current) == Precondition::NotModified
}

/// Whether a `Range` may be honoured: there is no `If-Range`, or it names the current version strongly. Dates
/// are never strong enough for footage, so they do not hold.
pub fn if_range_holds(headers: &HeaderMap, current: &ETag) -> bool {
    headers.get(IF_RANGE).is_none_or(|v| v.to_str().is_ok_and(|v| v.trim() == current.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: http::header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn conditions() {
        let tag = ETag::new("a1");
        assert_eq!(tag.header(), "\"a1\"");
        for list in ["\"a1\"", "W/\"a1\"", "\"x\", \"a1\"", "*"] {
            assert!(not_modified(&with(IF_NONE_MATCH, list), &tag), "{list}");
        }
        assert!(!not_modified(&with(IF_NONE_MATCH, "\"a2\", a1"), &tag));
        assert_eq!(Precondition::of(&with(IF_MATCH, "\"a2\""), &tag), Precondition::Failed);
        assert_eq!(Precondition::of(&with(IF_MATCH, "*"), &tag), Precondition::Go);
        assert!(if_range_holds(&HeaderMap::new(), &tag));
        assert!(if_range_holds(&with(IF_RANGE, "\"a1\""), &tag));
        assert!(!if_range_holds(&with(IF_RANGE, "W/\"a1\""), &tag), "a weak tag never holds");
        assert!(!if_range_holds(&with(IF_RANGE, "Sat, 21 Nov 2026 08:00:00 GMT"), &tag));
    }
}
