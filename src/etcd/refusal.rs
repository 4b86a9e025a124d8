//! etcd's own words: clients know refusals by their text.

use crate::{base::Kind, registry::Error};
use tonic::{Code, Status};

/// A code and a text.
pub(super) type Refusal = (Code, &'static str);

pub(super) const EMPTY_KEY: Refusal = (Code::InvalidArgument, "etcdserver: key is not provided");
pub(super) const KEY_NOT_FOUND: Refusal = (Code::InvalidArgument, "etcdserver: key not found");
pub(super) const VALUE_PROVIDED: Refusal = (Code::InvalidArgument, "etcdserver: value is provided");
pub(super) const LEASE_PROVIDED: Refusal = (Code::InvalidArgument, "etcdserver: lease is provided");
pub(super) const TOO_MANY_OPS: Refusal = (Code::InvalidArgument, "etcdserver: too many operations in txn request");
pub(super) const DUPLICATE_KEY: Refusal = (Code::InvalidArgument, "etcdserver: duplicate key given in txn request");
pub(super) const TOO_LARGE: Refusal = (Code::InvalidArgument, "etcdserver: request is too large");
pub(super) const COMPACTED: Refusal = (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted");
pub(super) const FUTURE: Refusal = (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision");
pub(super) const NO_SPACE: Refusal = (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
pub(super) const NO_LEASE: Refusal = (Code::NotFound, "etcdserver: requested lease not found");
pub(super) const LEASE_EXISTS: Refusal = (Code::FailedPrecondition, "etcdserver: lease already exists");
pub(super) const LEASE_TOO_LONG: Refusal = (Code::OutOfRange, "etcdserver: too large lease TTL");
pub(super) const TOO_MANY_REQUESTS: Refusal = (Code::ResourceExhausted, "etcdserver: too many requests");
pub(super) const STOPPED: Refusal = (Code::Unavailable, "etcdserver: server stopped");
pub(super) const NO_AUTH: Refusal = (Code::FailedPrecondition, "etcdserver: authentication is not enabled");
pub(super) const BAD_LEADER: Refusal = (Code::FailedPrecondition, "etcdserver: bad leader transferee");

/// A refusal for the wire.
pub(super) fn refuse((code, text): Refusal) -> Status {
    Status::new(code, text)
}

/// What the registry refuses, in etcd's words where it has any.
pub(super) fn of(error: &Error) -> Status {
    match error {
        Error::NoLease(_) => refuse(NO_LEASE),
        Error::LeaseExists(_) => refuse(LEASE_EXISTS),
        Error::Compacted { .. } => refuse(COMPACTED),
        Error::Future { .. } => refuse(FUTURE),
        Error::NoKey(_) => refuse(KEY_NOT_FOUND),
        Error::Full { what, .. } if what.starts_with("bytes") => refuse(NO_SPACE),
        Error::Busy => refuse(TOO_MANY_REQUESTS),
        Error::Stopped => refuse(STOPPED),
        other => {
            let code = match other.kind() {
                Kind::NoSpace => return refuse(NO_SPACE),
                Kind::Invalid => Code::InvalidArgument,
                Kind::NotFound => Code::NotFound,
                Kind::Conflict => Code::ResourceExhausted,
                Kind::Busy | Kind::Peer | Kind::Storage | Kind::Stopped => Code::Unavailable,
                Kind::Denied => Code::PermissionDenied,
                Kind::Internal => Code::Internal,
            };
            Status::new(code, format!("etcdserver: {other}"))
        }
    }
}
