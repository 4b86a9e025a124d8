//! What all calls share: the registry, and who we say that we are.

use super::{Config, Deps, wire::ResponseHeader};
use crate::{base::Clock, registry::Registry};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The version whose answers are given.
pub(super) const VERSION: &str = "3.4.23";
/// The oldest version that could be a member beside it.
pub(super) const CLUSTER_VERSION: &str = "3.4.0";
/// There was one election, which nobody else stood for.
pub(super) const TERM: u64 = 2;
/// Watches of all streams together; some hundred bytes each.
const WATCHES_MAX: usize = 100_000;

/// The one member of the cluster.
pub(super) struct Node {
    pub registry: Registry,
    pub clock: Clock,
    pub config: Config,
    pub cluster_id: u64,
    pub member_id: u64,
    /// A permit a watch.
    pub watches: Arc<Semaphore>,
}

impl Node {
    pub fn new(config: Config, deps: Deps) -> Arc<Self> {
        let Deps { registry, clock } = deps;
        // The same after each start, and others on another host.
        let id = |what: &str| {
            let digest = Sha256::digest(format!("{what} {}", config.node));
            digest.first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes)).max(1)
        };
        let (cluster_id, member_id) = (id("cluster"), id("member"));
        let watches = Arc::new(Semaphore::new(WATCHES_MAX));
        Arc::new(Self { registry, clock, config, cluster_id, member_id, watches })
    }

    /// The header of an answer that is so as of a revision.
    pub fn header_at(&self, revision: u64) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: signed(revision), ..self.header_without() })
    }

    /// The header of an answer that is so now.
    pub fn header(&self) -> Option<ResponseHeader> {
        self.header_at(self.registry.revision())
    }

    /// Some answers bear no revision.
    pub fn header_without(&self) -> ResponseHeader {
        ResponseHeader { cluster_id: self.cluster_id, member_id: self.member_id, revision: 0, raft_term: TERM }
    }
}

/// A revision as the protocol writes it.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
