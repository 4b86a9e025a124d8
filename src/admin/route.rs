//! What a route is, and which route a path means. Pure.

use super::{api::Api, auth::Access, call::Call, failure::Failure};
use crate::serve::{BoxFuture, Response};
use http::Method;
use schemars::{Schema, SchemaGenerator};
use std::sync::Arc;

/// One line of the table: what the router calls and what the API's description says, in one place.
pub(super) struct Route {
    /// GET answers HEAD too.
    pub method: Method,
    /// Path; `{name}` stands for one part, `{key}` and `{stream}` for the three parts of a stream key, and
    /// `{rest}` for all that is left. Behind `/kv/`, `{key}` is a key of any text, which is decoded once and as a whole.
    pub pattern: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Query parameters that it knows; others are refused. None: it does not look at them.
    pub query: Option<&'static [Parameter]>,
    /// Who may ask.
    pub access: Access,
    /// What it answers with when all is well.
    pub answer: Answer,
    /// Does it.
    pub run: fn(Arc<Api>, Call) -> BoxFuture<'static, Result<Response, Failure>>,
}

/// A query parameter.
pub(super) struct Parameter {
    pub name: &'static str,
    pub required: bool,
    pub summary: &'static str,
    /// Its JSON schema.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// What a route answers with.
pub(super) enum Answer {
    /// JSON of this schema: that of the very type which is serialised.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Something else, of this media type.
    Media(&'static str),
}

/// What a path means.
pub(super) enum Found<'a> {
    /// This route, with the parts of the path that its pattern names.
    Route(&'a Route, Vec<(&'static str, String)>),
    /// A path that is there, but not for this method; the methods that are.
    OtherMethod(String),
    /// No such path.
    Nothing,
}

/// Looks a request up in the table; the first line that fits wins.
pub(super) fn find<'a>(routes: &'a [Route], method: &Method, path: &str) -> Found<'a> {
    let mut allow: Vec<&str> = Vec::new();
    for route in routes {
        let Some(arguments) = matches(route.pattern, path) else { continue };
        if route.method == *method {
            return Found::Route(route, arguments);
        }
        if route.method == Method::GET {
            allow.push("HEAD");
        }
        allow.push(route.method.as_str());
    }
    if allow.is_empty() {
        return Found::Nothing;
    }
    allow.sort_unstable();
    allow.dedup();
    Found::OtherMethod(allow.join(", "))
}

/// The named parts of `path` under `pattern`, decoded; None where it does not fit.
pub(super) fn matches(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut arguments = Vec::new();
    let mut parts = path.split('/');
    for piece in pattern.split('/') {
        let Some(name) = piece.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
            if parts.next()? != piece {
                return None;
            }
            continue;
        };
        if is_any_key(pattern, name) {
            let text = crate::serve::decode_component(&parts.by_ref().collect::<Vec<_>>().join("/"))?;
            if text.is_empty() {
                return None;
            }
            arguments.push((name, text));
            continue;
        }
        let count = match name {
            "rest" => usize::MAX,
            _ if is_stream(name) => 3,
            _ => 1,
        };
        let taken: Option<Vec<String>> = parts.by_ref().take(count).map(crate::serve::decode_component).collect();
        let taken = taken?;
        let enough = if name == "rest" { !taken.is_empty() } else { taken.len() == count };
        if !enough || taken.iter().any(String::is_empty) {
            return None;
        }
        arguments.push((name, taken.join("/")));
    }
    parts.next().is_none().then_some(arguments)
}

/// Whether a pattern's part of this name stands for a stream key.
pub(super) fn is_stream(name: &str) -> bool {
    matches!(name, "key" | "stream")
}

/// Whether a pattern's part of this name stands for a key of the key-value space, slashes and all.
pub(super) fn is_any_key(pattern: &str, name: &str) -> bool {
    name == "key" && pattern.contains("/kv/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(pattern: &'static str, path: &str) -> Option<String> {
        matches(pattern, path).map(|a| a.into_iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("&"))
    }

    #[test]
    fn a_key_is_all_that_is_left_slashes_and_all() {
        let key = |path: &str| one("/api/v1/kv/{key}", path);
        for (path, text) in [("a", "a"), ("a/b/", "a/b/"), ("/a//b", "/a//b"), ("a%2Fb%20c+d", "a/b c+d"), ("%25", "%")]
        {
            assert_eq!(key(&format!("/api/v1/kv/{path}")).as_deref(), Some(&*format!("key={text}")), "{path}");
        }
        assert_eq!((key("/api/v1/kv/"), key("/api/v1/kv/%ff"), key("/api/v1/kv")), (None, None, None));
    }

    #[test]
    fn slashes_of_a_stream_key_stand_literally() {
        let pattern = "/api/v1/streams/{key}";
        assert_eq!(one(pattern, "/api/v1/streams/nvr1/3/main").as_deref(), Some("key=nvr1/3/main"));
        for path in
            ["/api/v1/streams", "/api/v1/streams/nvr1/3", "/api/v1/streams/nvr1/3/main/x", "/api/v1/streams/nvr1//main"]
        {
            assert_eq!(one(pattern, path), None, "{path}");
        }
        assert_eq!(one("/s/{key}/pause", "/s/a/1/sub/pause").as_deref(), Some("key=a/1/sub"));
        assert_eq!(one("/d/{id}", "/d/a%2Db").as_deref(), Some("id=a-b"));
        assert_eq!(one("/d/{id}", "/d/%zz"), None);
        assert_eq!(one("/media/{rest}", "/media/a/1/main/vod.mp4").as_deref(), Some("rest=a/1/main/vod.mp4"));
        assert_eq!(one("/", "/").as_deref(), Some(""));
    }
}
