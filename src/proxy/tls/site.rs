//! `[[proxy.tls]]` as checked values.

use crate::proxy::config::HostPattern;
use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One entry: the names that it is for, and how it shows that it may serve them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where it is served; several share an address.
    pub listen: SocketAddr,
    /// The names in a client's hello that it is for; empty: those that no other entry of this address is for.
    pub names: Vec<HostPattern>,
    /// What it shows.
    pub identity: Identity,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
}

/// Certificate and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// PEM files, read again when they change.
    Files {
        /// The certificate, and those between it and a root behind it.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Ordered by ACME, and renewed.
    Acme {
        /// Where it is kept, key and certificates in one.
        file: PathBuf,
    },
}

/// The oldest version of TLS that is spoken. What is older than 1.2 is broken and never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

const TLS13_ALONE: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl MinVersion {
    /// As in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }

    pub(super) fn versions(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => TLS13_ALONE,
        }
    }
}

impl Site {
    /// The files of certificate and key.
    pub(super) fn files(&self) -> (&Path, &Path) {
        match &self.identity {
            Identity::Files { cert, key } => (cert, key),
            Identity::Acme { file } => (file, file),
        }
    }

    /// What it is called in logs, metrics and events.
    pub fn label(&self) -> Arc<str> {
        self.to_string().into()
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.first() {
            Some(name) => write!(f, "{name}")?,
            None => f.write_str("(default)")?,
        }
        write!(f, " at {}", self.listen)
    }
}
