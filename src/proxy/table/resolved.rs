//! What the host names of fixed upstreams were resolved to.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// Addresses by host name. Names that are addresses need none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved(pub BTreeMap<Arc<str>, Found>);

/// What is known of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its addresses, best first; None: never resolved yet. The last good ones, if the last try failed.
    pub addresses: Option<Arc<[IpAddr]>>,
    /// Why the last try failed; None: it did not.
    pub error: Option<Arc<str>>,
}

impl Resolved {
    /// The addresses of a host; of an address, itself.
    pub(super) fn of(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        match host.parse::<IpAddr>() {
            Ok(ip) => Some([ip].into()),
            Err(_) => self.0.get(host)?.addresses.clone().filter(|a| !a.is_empty()),
        }
    }

    /// Why a host has no addresses, or only old ones.
    pub(super) fn error_of(&self, host: &str) -> Option<&Arc<str>> {
        self.0.get(host)?.error.as_ref()
    }
}
