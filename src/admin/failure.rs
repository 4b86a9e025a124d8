//! A request that is refused: the one place where a room's error becomes an HTTP status.

use crate::{
    base::Kind,
    serve::{Response, problem},
};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE},
};

/// Why a request was not done. Becomes a problem document.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: String,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Failure {
    fn new(status: StatusCode, slug: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, slug, title, detail: detail.into(), header: None }
    }

    /// A query parameter is not what it should be; `what` says what was wrong and what would be right.
    pub(super) fn parameter(name: &str, what: impl std::fmt::Display) -> Self {
        let detail = format!("query parameter `{name}`: {what}");
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", "Bad query parameter", detail)
    }

    /// The body is not what it should be.
    pub(super) fn body(what: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-body",
            "Bad request body",
            format!("the body is not understood: {what}"),
        )
    }

    /// A header field is not what it should be.
    pub(super) fn header(name: &str, what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-header", "Bad header field", format!("`{name}` {what}"))
    }

    /// No such path.
    pub(super) fn no_path(path: &str) -> Self {
        let shown: String = path.chars().take(200).collect();
        let detail = format!("there is nothing at `{shown}`; GET /api/v1/openapi.json lists what there is");
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// The path is there, the thing that it names is not.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// The path is there, but not for this method.
    pub(super) fn method(method: &http::Method, allow: &str) -> Self {
        let detail = format!("{method} is not served here; {allow} is");
        let mut failure = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail);
        failure.header = HeaderValue::from_str(allow).ok().map(|v| Box::new((ALLOW, v)));
        failure
    }

    /// Part of the API that this version does not have.
    pub(super) fn not_built(method: &http::Method, pattern: &str) -> Self {
        let detail = format!("{method} {pattern} is part of the API, but this version of skyvis does not have it");
        Self::new(StatusCode::NOT_IMPLEMENTED, "not-built", "Not built yet", detail)
    }

    /// No token, or not the right one.
    pub(super) fn unauthorized() -> Self {
        let detail = "send `Authorization: Bearer <token>` with the operator's token, the text of admin.token_file";
        let mut failure = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A token is needed", detail);
        failure.header = Some(Box::new((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"skyvis\""))));
        failure
    }

    /// A token that was typed is not the right one. No `WWW-Authenticate`: a browser is asked by the console's own form.
    pub(super) fn wrong_token() -> Self {
        let detail = "that is not the token; it is the text of the file that admin.token_file names";
        Self::new(StatusCode::UNAUTHORIZED, "wrong-token", "Wrong token", detail)
    }

    /// Too many wrong tokens came from there.
    pub(super) fn too_many_tries(wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        let detail = format!("too many wrong tokens came from your address; the next is looked at in {seconds} s");
        let mut failure = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-tries", "Too many wrong tokens", detail);
        failure.header = Some(Box::new((RETRY_AFTER, HeaderValue::from(seconds))));
        failure
    }

    /// The peer or the page that asks is not one that may.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    /// The new config has faults; nothing was changed.
    pub(super) fn config_refused(faults: &[String]) -> Self {
        let detail = faults.join("\n");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "config-refused", "The config was refused", detail)
    }

    /// A room's failure, by whose fault it is.
    pub(super) fn of_kind(kind: Kind, detail: impl std::fmt::Display) -> Self {
        let (status, slug, title) = match kind {
            Kind::Invalid => (StatusCode::BAD_REQUEST, "invalid", "Invalid request"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Kind::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Kind::Denied => (StatusCode::FORBIDDEN, "forbidden", "Forbidden"),
            Kind::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy"),
            Kind::Peer => (StatusCode::BAD_GATEWAY, "peer-failed", "A peer failed"),
            Kind::NoSpace => (StatusCode::INSUFFICIENT_STORAGE, "no-space", "No room on the disk"),
            Kind::Storage => (StatusCode::INTERNAL_SERVER_ERROR, "storage-failed", "Storage failed"),
            Kind::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopping", "Stopping"),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        };
        let mut failure = Self::new(status, slug, title, detail.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            failure.header = Some(Box::new((RETRY_AFTER, HeaderValue::from_static("1"))));
        }
        failure
    }

    /// A service is there, and nobody who would serve it.
    pub(super) fn no_instance(detail: impl Into<String>) -> Self {
        let mut failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, "no-instance", "No live instance", detail);
        failure.header = Some(Box::new((RETRY_AFTER, HeaderValue::from_static("1"))));
        failure
    }

    /// What was to be changed is not what the caller took it for.
    pub(super) fn changed_meanwhile(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "changed-meanwhile", "Changed meanwhile", detail)
    }

    /// Not yet in the phase in which this can be answered.
    pub(super) fn not_ready(detail: impl Into<String>) -> Self {
        let mut failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "Not ready", detail);
        failure.header = Some(Box::new((RETRY_AFTER, HeaderValue::from_static("1"))));
        failure
    }
}

impl From<Failure> for Response {
    fn from(failure: Failure) -> Self {
        let mut response = problem(failure.status, failure.slug, failure.title, failure.detail);
        if let Some((name, value)) = failure.header.map(|h| *h) {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// `?` on a room's error.
macro_rules! failure_from {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::of_kind(error.kind(), error)
            }
        })*
    };
}
failure_from!(
    crate::archive::Error,
    crate::camera::Error,
    crate::playback::plays::Error,
    crate::recorder::Error,
    crate::registry::Error,
    crate::serve::Error,
    crate::store::Error
);
