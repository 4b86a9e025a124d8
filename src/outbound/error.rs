//! Why an answer was not had.

use crate::{base::Kind, model::Fingerprint};
use std::time::Duration;

/// A request to somebody else that failed. Texts name the limit that was met and never hold a credential.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody took the connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody took the connection in time.
    #[error("cannot connect to {address} within {limit:?}")]
    ConnectTimeout {
        /// Where to.
        address: String,
        /// How long was waited.
        limit: Duration,
    },
    /// A connection was had, and no TLS on it.
    #[error("no TLS with {address}: {cause}")]
    Tls {
        /// Where to.
        address: String,
        /// What is wrong.
        cause: String,
    },
    /// The peer is not proven to be who was meant; nothing was sent to it.
    #[error("{}, seen {seen}", distrust(cause.as_deref()))]
    Untrusted {
        /// Its certificate.
        seen: Fingerprint,
        /// What is wrong with it; None: it is not the one that was pinned.
        cause: Option<String>,
    },
    /// The whole answer was not there in time.
    #[error("no complete answer within {limit:?}")]
    Timeout {
        /// How long was waited.
        limit: Duration,
    },
    /// A download stood still.
    #[error("nothing more came for {limit:?}")]
    Idle {
        /// How long was waited.
        limit: Duration,
    },
    /// The answer is longer than was allowed.
    #[error("the answer is longer than the limit of {limit_bytes} bytes")]
    BodyTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("the connection failed: {0}")]
    Protocol(String),
    /// The request itself cannot be sent.
    #[error("the request cannot be sent: {0}")]
    Invalid(String),
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::BodyTooLarge { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls { .. }
            | Self::Untrusted { .. }
            | Self::Timeout { .. }
            | Self::Idle { .. }
            | Self::Protocol(_) => Kind::Peer,
        }
    }

    /// True where nothing was sent, because there was no connection to send it on.
    pub fn is_connect(&self) -> bool {
        use Error::{Connect, ConnectTimeout, Tls, Untrusted};
        matches!(self, Connect { .. } | ConnectTimeout { .. } | Tls { .. } | Untrusted { .. })
    }
}

fn distrust(cause: Option<&str>) -> String {
    cause.map_or_else(|| "certificate changed".to_owned(), |cause| format!("certificate not trusted ({cause})"))
}

/// The innermost cause of a hyper error is what helps a person; its own text is only "connection error".
pub(super) fn protocol(e: &hyper::Error) -> Error {
    let mut text = e.to_string();
    let mut cause = std::error::Error::source(e);
    while let Some(c) = cause {
        text = format!("{text}: {c}");
        cause = c.source();
    }
    Error::Protocol(text)
}
