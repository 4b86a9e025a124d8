//! One request on its way through a route: its path's parts and query parameters, read as what they should be.

use super::failure::Failure;
use crate::{
    base::{Wall, nearest::nearest},
    model::{Range, StreamKey},
    serve::Request,
};
use std::str::FromStr;

/// How many items a list answers with where `limit` does not say.
pub(super) const LIMIT_DEFAULT: usize = 1000;
/// The most that `limit` may ask for.
pub(super) const LIMIT_MAX: usize = 10_000;

/// A request, and the parts of its path that the route's pattern names.
pub(super) struct Call {
    pub request: Request,
    arguments: Vec<(&'static str, String)>,
    query: Vec<(String, String)>,
}

impl Call {
    /// Reads the query. `known`: parameters that the route has; any other is refused with the near name, since a
    /// mistyped `from` would else silently answer another question.
    pub(super) fn new(
        request: Request,
        arguments: Vec<(&'static str, String)>,
        known: Option<Vec<&'static str>>,
    ) -> Result<Self, Failure> {
        let query = request.query_pairs();
        if let Some(known) = known {
            for (i, (name, _)) in query.iter().enumerate() {
                if !known.contains(&name.as_str()) {
                    return Err(unknown(name, &known));
                }
                if query[..i].iter().any(|(earlier, _)| earlier == name) {
                    return Err(Failure::parameter(name, "is given twice; give it once"));
                }
            }
        }
        Ok(Self { request, arguments, query })
    }

    /// A named part of the path. The router has seen to it that it is there.
    pub(super) fn argument(&self, name: &str) -> &str {
        self.arguments.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v)
    }

    /// A query parameter; one without a text counts as not given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// A query parameter, parsed; the parser's error says what would be right.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.text(name).map(|text| text.parse().map_err(|e| Failure::parameter(name, e))).transpose()
    }

    /// The `stream` parameter, which must be there.
    pub(super) fn stream(&self) -> Result<StreamKey, Failure> {
        self.parsed("stream")?.ok_or_else(|| {
            Failure::parameter("stream", "is missing; give a stream's key, for example stream=nvr1/3/main")
        })
    }

    /// `from` and `to`; without them all of time.
    pub(super) fn range(&self) -> Result<Range, Failure> {
        let from = self.parsed::<Wall>("from")?.unwrap_or(Range::ALL.from);
        let to = self.parsed::<Wall>("to")?.unwrap_or(Range::ALL.to);
        if from >= to {
            return Err(Failure::parameter("to", format!("{to} is not after `from`, {from}; give a later time")));
        }
        Ok(Range { from, to })
    }

    /// `limit`, or what holds without it.
    pub(super) fn limit(&self) -> Result<usize, Failure> {
        let bad = || Failure::parameter("limit", format!("is not a number from 1 to {LIMIT_MAX}"));
        match self.text("limit") {
            None => Ok(LIMIT_DEFAULT),
            Some(text) => text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n)).ok_or_else(bad),
        }
    }

    /// A query parameter that is a whole number.
    pub(super) fn whole_number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let bad = |_| Failure::parameter(name, "is not a whole number, such as 0 or 4711");
        self.text(name).map(|text| text.parse().map_err(bad)).transpose()
    }

    /// `cursor`, as a former answer's `next` gave it.
    pub(super) fn cursor<T: FromStr>(&self) -> Result<Option<T>, Failure> {
        let bad = |_| Failure::parameter("cursor", "is none that was handed out; send the `next` of a former answer");
        self.text("cursor").map(|text| text.parse().map_err(bad)).transpose()
    }
}

fn unknown(name: &str, known: &[&'static str]) -> Failure {
    let shown: String = name.chars().take(64).collect();
    let what = match (nearest(name, known.iter().copied()), known) {
        (Some(near), _) => format!("is not known here; did you mean `{near}`?"),
        (None, []) => "is not known here; this path takes none".to_owned(),
        (None, _) => format!("is not known here; known are {}", known.join(", ")),
    };
    Failure::parameter(&shown, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Response;

    fn call(query: &str) -> Result<Call, Failure> {
        let uri = format!("/x?{query}").parse().unwrap();
        let request = Request::local(http::Method::GET, uri, "");
        Call::new(request, Vec::new(), Some(vec!["stream", "from", "to", "limit"]))
    }

    async fn detail(result: Result<impl Sized, Failure>) -> String {
        let response = Response::from(result.err().expect("refused"));
        assert_eq!(response.status(), 400);
        String::from_utf8(response.into_body().collect().await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn bad_parameters_are_named_and_told_right() {
        assert!(detail(call("form=1")).await.contains("did you mean `from`?"));
        assert!(detail(call("limit=1&limit=2")).await.contains("twice"));
        assert!(detail(call("from=yesterday").and_then(|c| c.range())).await.contains("RFC 3339"));
        assert!(detail(call("").and_then(|c| c.stream())).await.contains("nvr1/3/main"));
        assert!(detail(call("stream=nvr1").and_then(|c| c.stream())).await.contains("<device>/<channel>"));
        assert!(detail(call("limit=0").and_then(|c| c.limit())).await.contains("1 to 10000"));
        let backwards = call("from=2026-11-21T09:00:00Z&to=2026-11-21T08:00:00Z").and_then(|c| c.range());
        assert!(detail(backwards).await.contains("not after"));
        assert_eq!(call("").unwrap().range().unwrap(), Range::ALL);
    }
}
