//! What operators ask: of the one member, its state, and accounts that there are none of.

use super::{
    node::{Node, TERM, VERSION, signed},
    refusal::{COMPACTED, FUTURE, of, refuse},
    wire::{
        AlarmRequest, AlarmResponse, AuthDisableRequest, AuthDisableResponse, AuthRoleListRequest,
        AuthRoleListResponse, AuthStatusRequest, AuthStatusResponse, AuthUserListRequest, AuthUserListResponse,
        DefragmentRequest, DefragmentResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse, Member,
        MemberListRequest, MemberListResponse, StatusRequest, StatusResponse,
    },
};
use crate::registry::{Keys, Query};
use sha2::{Digest, Sha256};
use tonic::Status;

impl Node {
    pub async fn members(&self, _: MemberListRequest) -> Result<MemberListResponse, Status> {
        let member = Member {
            id: self.member_id,
            name: self.config.node.clone(),
            // Nobody is a peer of it.
            peer_urls: Vec::new(),
            client_urls: vec![format!("http://{}", self.config.address)],
            is_learner: false,
        };
        Ok(MemberListResponse { header: Some(self.header_without()), members: vec![member] })
    }

    /// There is no alarm: a full store refuses what would grow, and takes writes again once there is room.
    pub async fn alarm(&self, _: AlarmRequest) -> Result<AlarmResponse, Status> {
        Ok(AlarmResponse::default())
    }

    pub async fn status(&self, _: StatusRequest) -> Result<StatusResponse, Status> {
        let revision = self.registry.revision();
        let bytes = signed(self.registry.size().1 as u64);
        Ok(StatusResponse {
            header: self.header_at(revision),
            version: VERSION.to_owned(),
            db_size: bytes,
            db_size_in_use: bytes,
            leader: self.member_id,
            raft_index: revision,
            raft_applied_index: revision,
            raft_term: TERM,
            errors: Vec::new(),
            is_learner: false,
        })
    }

    /// The store has no holes that would have to be closed by hand.
    pub async fn defragment(&self, _: DefragmentRequest) -> Result<DefragmentResponse, Status> {
        Ok(DefragmentResponse::default())
    }

    pub async fn hash(&self, _: HashRequest) -> Result<HashResponse, Status> {
        let (hash, revision) = self.hash_at(None)?;
        Ok(HashResponse { header: self.header_at(revision), hash })
    }

    pub async fn hash_kv(&self, request: HashKvRequest) -> Result<HashKvResponse, Status> {
        let at = u64::try_from(request.revision).ok().filter(|at| *at > 0);
        let compacted = self.registry.compacted();
        if at.is_some_and(|at| at < compacted) {
            return Err(refuse(COMPACTED));
        }
        if at.is_some_and(|at| at > self.registry.revision()) {
            return Err(refuse(FUTURE));
        }
        let (hash, revision) = self.hash_at(at)?;
        // None is compacted: etcd writes -1 then.
        let compact_revision = if compacted == 0 { -1 } else { signed(compacted) };
        Ok(HashKvResponse { header: self.header_at(revision), hash, compact_revision })
    }

    pub async fn auth_disable(&self, _: AuthDisableRequest) -> Result<AuthDisableResponse, Status> {
        Ok(AuthDisableResponse { header: self.header() })
    }

    pub async fn auth_status(&self, _: AuthStatusRequest) -> Result<AuthStatusResponse, Status> {
        Ok(AuthStatusResponse { header: self.header(), enabled: false, auth_revision: 1 })
    }

    pub async fn users(&self, _: AuthUserListRequest) -> Result<AuthUserListResponse, Status> {
        Ok(AuthUserListResponse { header: self.header(), users: Vec::new() })
    }

    pub async fn roles(&self, _: AuthRoleListRequest) -> Result<AuthRoleListResponse, Status> {
        Ok(AuthRoleListResponse { header: self.header(), roles: Vec::new() })
    }

    /// A number that is another where anything of the keys is: to compare a copy by, not with another program's.
    fn hash_at(&self, at: Option<u64>) -> Result<(u32, u64), Status> {
        let found = self.registry.range(&Query { keys: Keys::all(), at, limit: None }).map_err(|e| of(&e))?;
        let mut digest = Sha256::new();
        for (key, entry) in &found.entries {
            for part in [&key[..], &entry.value[..]] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
            for number in [entry.created, entry.modified, entry.version] {
                digest.update(number.to_be_bytes());
            }
            digest.update(entry.lease.to_be_bytes());
        }
        let hash = digest.finalize().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        Ok((hash, found.revision))
    }
}
