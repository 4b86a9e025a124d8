//! What the proxy is told, as checked values.

use super::{acme, config::Route, h1::Trust, tls::Site};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Default of [`Settings::connections_max`].
pub const CONNECTIONS_MAX: usize = 20_000;
/// Default of [`Settings::handshakes_max`]: each holds some tens of KiB, and costs up to a millisecond.
pub const HANDSHAKES_MAX: usize = 1024;
/// Default of [`Settings::header_timeout`].
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Default of [`Settings::idle_timeout`].
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// [`Settings::patience`] of every daemon.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where it listens and by how many threads; what cannot change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Addresses; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Certificates, and where they are served; the certificates can change.
    pub tls: Vec<Site>,
    /// Where those certificates are ordered that are; None: all are in files.
    pub acme: Option<acme::Config>,
    /// Threads; 0: one for each processor.
    pub workers: usize,
    /// What can change.
    pub settings: Settings,
    /// What goes where; can change, too.
    pub routes: Vec<Route>,
}

/// What connections live under. Those that are open when it changes keep what they were accepted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Peers whose word on where a request comes from is believed.
    pub trusted: Trust,
    /// Whether connections begin with a PROXY protocol header: those of trusted peers, or, where nobody is trusted, all.
    pub proxy_protocol: bool,
    /// Where requests are written down.
    pub access_log: AccessLog,
    /// Client connections at once.
    pub connections_max: usize,
    /// The same from one address; 0: no limit.
    pub connections_per_address_max: usize,
    /// TLS handshakes of one worker at once; clients beyond that are turned away, and come again.
    pub handshakes_max: usize,
    /// From the first byte of a head (or from the accept) to its last.
    pub header_timeout: Duration,
    /// A kept-alive connection without a request is closed after this.
    pub idle_timeout: Duration,
    /// How long a client may keep us waiting in the middle of a body or an answer. It is not for one wait: each uses it
    /// up, and bytes that move give it back.
    pub patience: Duration,
}

/// Where requests are written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output.
    Stdout {
        /// As JSON rather than text.
        json: bool,
    },
    /// To the systemd journal, each line an entry.
    Journald {
        /// As JSON rather than text.
        json: bool,
    },
    /// To a file, which is opened anew when it was moved away.
    File {
        /// The file.
        path: PathBuf,
        /// As JSON rather than text.
        json: bool,
    },
}

impl AccessLog {
    /// Whether lines are JSON; None: there are none.
    pub(super) fn is_json(&self) -> Option<bool> {
        match self {
            Self::Off => None,
            Self::Stdout { json } | Self::Journald { json } | Self::File { json, .. } => Some(*json),
        }
    }
}

impl Settings {
    /// Whether a connection from this peer begins with a header that says for whom it is: it is due then, and taken for a
    /// request otherwise.
    pub(super) fn prelude_of(&self, peer: SocketAddr) -> bool {
        self.proxy_protocol && (self.trusted.networks().is_empty() || self.trusted.contains(peer.ip()))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trusted: Trust::default(),
            proxy_protocol: false,
            access_log: AccessLog::Off,
            connections_max: CONNECTIONS_MAX,
            connections_per_address_max: 0,
            handshakes_max: HANDSHAKES_MAX,
            header_timeout: HEADER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            patience: PATIENCE,
        }
    }
}

impl Config {
    /// How many threads that is on this host.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }
}
