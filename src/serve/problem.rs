//! Errors on the wire: `application/problem+json`, RFC 9457.

use super::{Response, message::response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

/// What a failed request is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Problem {
    /// Stable name of the kind of problem, `urn:skyvis:problem:<slug>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; the same for every problem of one type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong this time, and what would be right.
    pub detail: String,
}

/// An `application/problem+json` answer of type `urn:skyvis:problem:<slug>`. No part of it may hold a secret.
pub fn problem(status: StatusCode, slug: &str, title: &str, detail: impl Into<String>) -> Response {
    let problem = Problem {
        kind: format!("urn:skyvis:problem:{slug}"),
        title: title.to_owned(),
        status: status.as_u16(),
        detail: detail.into(),
    };
    // Four plain fields always serialise.
    let json = serde_json::to_vec(&problem).unwrap_or_default();
    response(status, "application/problem+json", json)
}
