//! Every call by its name on the wire, one answer for one message.

use super::{
    node::Node,
    refusal::{BAD_LEADER, NO_AUTH, Refusal, refuse},
};
use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

/// The two calls that are streams.
pub(super) const WATCH: &str = "/etcdserverpb.Watch/Watch";
pub(super) const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

const SERVICES: [&str; 6] = ["KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth"];

const ONE_MEMBER: &str = "skyvis: a single node, which has no members to add, remove, change or promote";
const NO_ACCOUNTS: &str =
    "skyvis: a single node without users and roles; let only those reach this address who may read and write";
const NO_SNAPSHOT: &str = "skyvis: no snapshots of etcd's kind; save all of it with `skyvis backup FILE`";
const NO_DOWNGRADE: &str = "skyvis: a single node, which has no version of a cluster to change";
const NO_LOCKS: &str = "skyvis: the services of locks and elections are not there; lock by a lease and a transaction, as `etcdctl lock` does";

impl Node {
    /// Answers one call.
    pub async fn call(&self, path: &str, message: Bytes) -> Result<Bytes, Status> {
        match path {
            "/etcdserverpb.KV/Range" => answer(message, |m| self.range(m)).await,
            "/etcdserverpb.KV/Put" => answer(message, |m| self.put(m)).await,
            "/etcdserverpb.KV/DeleteRange" => answer(message, |m| self.delete_range(m)).await,
            "/etcdserverpb.KV/Txn" => answer(message, |m| self.txn(m)).await,
            "/etcdserverpb.KV/Compact" => answer(message, |m| self.compact(m)).await,
            "/etcdserverpb.Lease/LeaseGrant" => answer(message, |m| self.grant(m)).await,
            "/etcdserverpb.Lease/LeaseRevoke" => answer(message, |m| self.revoke(m)).await,
            "/etcdserverpb.Lease/LeaseTimeToLive" => answer(message, |m| self.time_to_live(m)).await,
            "/etcdserverpb.Lease/LeaseLeases" => answer(message, |m| self.leases(m)).await,
            "/etcdserverpb.Cluster/MemberList" => answer(message, |m| self.members(m)).await,
            "/etcdserverpb.Maintenance/Alarm" => answer(message, |m| self.alarm(m)).await,
            "/etcdserverpb.Maintenance/Status" => answer(message, |m| self.status(m)).await,
            "/etcdserverpb.Maintenance/Defragment" => answer(message, |m| self.defragment(m)).await,
            "/etcdserverpb.Maintenance/Hash" => answer(message, |m| self.hash(m)).await,
            "/etcdserverpb.Maintenance/HashKV" => answer(message, |m| self.hash_kv(m)).await,
            "/etcdserverpb.Auth/AuthDisable" => answer(message, |m| self.auth_disable(m)).await,
            "/etcdserverpb.Auth/AuthStatus" => answer(message, |m| self.auth_status(m)).await,
            "/etcdserverpb.Auth/UserList" => answer(message, |m| self.users(m)).await,
            "/etcdserverpb.Auth/RoleList" => answer(message, |m| self.roles(m)).await,
            path => Err(left_out(path).map_or_else(|| unknown(path), refuse)),
        }
    }
}

/// What one node cannot do, or does not.
fn left_out(path: &str) -> Option<Refusal> {
    let sentence = match path {
        "/etcdserverpb.Auth/Authenticate" => return Some(NO_AUTH),
        "/etcdserverpb.Maintenance/MoveLeader" => return Some(BAD_LEADER),
        "/etcdserverpb.Cluster/MemberAdd"
        | "/etcdserverpb.Cluster/MemberRemove"
        | "/etcdserverpb.Cluster/MemberUpdate"
        | "/etcdserverpb.Cluster/MemberPromote" => ONE_MEMBER,
        "/etcdserverpb.Maintenance/Snapshot" => NO_SNAPSHOT,
        "/etcdserverpb.Maintenance/Downgrade" => NO_DOWNGRADE,
        path if path.starts_with("/v3lockpb.Lock/") || path.starts_with("/v3electionpb.Election/") => NO_LOCKS,
        path if path.starts_with("/etcdserverpb.Auth/Auth")
            || path.starts_with("/etcdserverpb.Auth/User")
            || path.starts_with("/etcdserverpb.Auth/Role") =>
        {
            NO_ACCOUNTS
        }
        _ => return None,
    };
    Some((Code::Unimplemented, sentence))
}

fn unknown(path: &str) -> Status {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let is_known = service.strip_prefix("etcdserverpb.").is_some_and(|name| SERVICES.contains(&name));
    Status::unimplemented(match is_known {
        true => format!("unknown method {method} for service {service}"),
        false => format!("unknown service {service}"),
    })
}

/// A message that cannot be read.
pub(super) fn read<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    let bad = |error| Status::internal(format!("grpc: failed to unmarshal the received message {error}"));
    M::decode(message).map_err(bad)
}

async fn answer<Q, A, F>(message: Bytes, of: impl FnOnce(Q) -> F) -> Result<Bytes, Status>
where
    Q: Message + Default,
    A: Message,
    F: Future<Output = Result<A, Status>>,
{
    Ok(of(read(message)?).await?.encode_to_vec().into())
}
