//! Leases.

use super::{
    node::{Node, signed},
    refusal::{LEASE_TOO_LONG, of, refuse},
    wire::{
        LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
        LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
        LeaseTimeToLiveResponse,
    },
};
use crate::registry::Error;
use futures_util::{Stream, StreamExt};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// The longest lease in seconds.
const TTL_S_MAX: i64 = 9_000_000_000;

impl Node {
    pub async fn grant(&self, request: LeaseGrantRequest) -> Result<LeaseGrantResponse, Status> {
        if request.ttl > TTL_S_MAX {
            return Err(refuse(LEASE_TOO_LONG));
        }
        // Nothing and less than nothing is as little as there is.
        let ttl = Duration::from_secs(u64::try_from(request.ttl).unwrap_or(0));
        let (id, ttl) = self.registry.grant(request.id, ttl).await.map_err(|e| of(&e))?;
        Ok(LeaseGrantResponse { header: self.header(), id, ttl: seconds(ttl), error: String::new() })
    }

    pub async fn revoke(&self, request: LeaseRevokeRequest) -> Result<LeaseRevokeResponse, Status> {
        let revision = self.registry.revoke(request.id).await.map_err(|e| of(&e))?;
        Ok(LeaseRevokeResponse { header: self.header_at(revision) })
    }

    /// Gone is no failure here: the answer says 0.
    pub async fn keep_alive(&self, request: LeaseKeepAliveRequest) -> Result<LeaseKeepAliveResponse, Status> {
        let ttl = match self.registry.keep_alive(request.id).await {
            Ok(ttl) => seconds(ttl),
            Err(Error::NoLease(_)) => 0,
            Err(error) => return Err(of(&error)),
        };
        Ok(LeaseKeepAliveResponse { header: self.header(), id: request.id, ttl })
    }

    pub async fn time_to_live(&self, request: LeaseTimeToLiveRequest) -> Result<LeaseTimeToLiveResponse, Status> {
        let header = self.header();
        match self.registry.lease(request.id).await {
            Ok(lease) => Ok(LeaseTimeToLiveResponse {
                header,
                id: lease.id,
                ttl: seconds(lease.left),
                granted_ttl: seconds(lease.granted),
                keys: if request.keys { lease.keys } else { Vec::new() },
            }),
            Err(Error::NoLease(_)) => {
                Ok(LeaseTimeToLiveResponse { header, id: request.id, ttl: -1, ..LeaseTimeToLiveResponse::default() })
            }
            Err(error) => Err(of(&error)),
        }
    }

    pub async fn leases(&self, _: LeaseLeasesRequest) -> Result<LeaseLeasesResponse, Status> {
        let all = self.registry.leases().await.map_err(|e| of(&e))?;
        let leases = all.into_iter().map(|id| LeaseStatus { id }).collect();
        Ok(LeaseLeasesResponse { header: self.header(), leases })
    }
}

/// One answer for each lease that is kept alive, until the client has no more or we stop.
pub(super) fn keep_alives(
    node: Arc<Node>,
    asked: impl Stream<Item = Result<LeaseKeepAliveRequest, Status>> + Send + 'static,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send + 'static {
    asked
        .then(move |asked| {
            let node = node.clone();
            async move { node.keep_alive(asked?).await }
        })
        .take_until(stopping.cancelled_owned())
}

fn seconds(d: Duration) -> i64 {
    signed(d.as_secs())
}
