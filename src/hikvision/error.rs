//! What a device did instead of answering.

use crate::{base::Kind, outbound};

/// A request to a device that failed. Texts are bounded and hold no credential.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or no answer in time.
    #[error("{0}")]
    Unreachable(outbound::Error),
    /// Who answers is not proven to be the device; no login was sent to it.
    #[error("{0}; no login is sent. If that is the device's own, set tls_fingerprint to it")]
    Untrusted(outbound::Error),
    /// User or password is wrong.
    #[error("the device refused the user or password{}", left(*retries_left))]
    AuthRefused {
        /// Login answers that were refused in this request; each may have counted towards a lock.
        answers: u32,
        /// Tries that the device says are left before it locks the account.
        retries_left: Option<u32>,
    },
    /// The account is locked; a correct password is refused too.
    #[error("the device has locked the account{}", seconds(*unlock_s))]
    Locked {
        /// Login answers that were refused in this request.
        answers: u32,
        /// Seconds until it unlocks, where the device says.
        unlock_s: Option<u64>,
    },
    /// The password is right, and the account may not do this.
    #[error("the account may not read {path}: {detail}")]
    Denied {
        /// What was asked for.
        path: String,
        /// The device's words.
        detail: String,
    },
    /// This model or firmware does not have what was asked for.
    #[error("the device has no {path} (HTTP {status}{detail})")]
    Unsupported {
        /// What was asked for.
        path: String,
        /// HTTP status.
        status: u16,
        /// The device's words.
        detail: String,
    },
    /// The device is busy or broken.
    #[error("the device failed at {path} (HTTP {status}{detail})")]
    Device {
        /// What was asked for.
        path: String,
        /// HTTP status.
        status: u16,
        /// The device's words.
        detail: String,
    },
    /// What came cannot be understood.
    #[error("the device's answer to {path} makes no sense: {detail}")]
    Nonsense {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::AuthRefused { .. } | Self::Locked { .. } | Self::Denied { .. } | Self::Untrusted(_) => Kind::Denied,
            Self::Unsupported { .. } => Kind::NotFound,
            Self::Unreachable(_) | Self::Device { .. } | Self::Nonsense { .. } => Kind::Peer,
        }
    }
}

fn left(retries: Option<u32>) -> String {
    retries.map_or_else(String::new, |n| format!(" ({n} tries left before it locks)"))
}

fn seconds(unlock_s: Option<u64>) -> String {
    unlock_s.map_or_else(String::new, |s| format!(" for another {s} s"))
}
