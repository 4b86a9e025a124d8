//! Refusals: a status and a bare sentence, as the API has them.

use crate::{base::Kind, registry};
use http::StatusCode;

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub text: String,
}

impl Refusal {
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// What was sent cannot be right.
    pub fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// There is no such thing.
    pub fn unknown(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// What the store of the real one says.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// It is left out here.
    pub fn left_out(what: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("skyvis does not serve {what}"))
    }
}

impl From<registry::Error> for Refusal {
    fn from(error: registry::Error) -> Self {
        let status = match (&error, error.kind()) {
            (registry::Error::ReadOnly(_), _) => StatusCode::FORBIDDEN,
            (_, Kind::Invalid) => StatusCode::BAD_REQUEST,
            (_, Kind::NotFound) => StatusCode::NOT_FOUND,
            (_, Kind::Busy) => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}
