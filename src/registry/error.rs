//! Why the registry refused.

use super::kv::show;
use crate::{
    base::Kind,
    model::{InstanceKey, ServiceName},
    store,
};
use bytes::Bytes;
use std::sync::Arc;

/// A refusal, in words that say what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be like this.
    #[error("{0}")]
    Invalid(String),
    /// No such service.
    #[error("there is no service `{0}`")]
    NoService(ServiceName),
    /// No such instance.
    #[error("service `{}` has no instance `{}`; register it with PUT", .0.service, .0.id)]
    NoInstance(InstanceKey),
    /// It belongs to the configuration.
    #[error("instance `{}` of `{}` stands in the configuration file; change it there", .0.id, .0.service)]
    ReadOnly(InstanceKey),
    /// There is nothing to renew.
    #[error("instance `{}` of `{}` has no ttl, so there is nothing to renew; it stays until it is deleted", .0.id, .0.service)]
    NoTtl(InstanceKey),
    /// No such check.
    #[error("there is no check `{0}`")]
    NoCheck(Arc<str>),
    /// What a check says is seen, not told.
    #[error("check `{0}` has no ttl, so what it says is not told but seen")]
    NotTold(Arc<str>),
    /// No such session.
    #[error("there is no session `{0}`; it ended, or was never made")]
    NoSession(Arc<str>),
    /// No such node.
    #[error("there is no node `{0}`")]
    NoNode(Arc<str>),
    /// What is reported on is not what is registered now.
    #[error("instance `{}` of `{}` was registered anew meanwhile", .0.id, .0.service)]
    Outdated(InstanceKey),
    /// A limit of the registry.
    #[error("the registry holds {max} {what}, which is the most; remove some first")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// The history does not go back so far.
    #[error("revision {asked} is not kept any more, the oldest is {}; read anew and go on from there", compacted + 1)]
    Compacted {
        /// What was asked for.
        asked: u64,
        /// The last revision that is gone.
        compacted: u64,
    },
    /// There is no such revision yet.
    #[error("revision {asked} is still to come, the last is {last}")]
    Future {
        /// What was asked for.
        asked: u64,
        /// The last one.
        last: u64,
    },
    /// A write keeps the value of a key that is not there.
    #[error("key `{}` is not there, and so has no value that could be kept", show(.0))]
    NoKey(Bytes),
    /// No such lease.
    #[error("there is no lease {0}; it ran out, or was never granted")]
    NoLease(i64),
    /// The id is taken.
    #[error("there is a lease {0} already")]
    LeaseExists(i64),
    /// Too much is waiting.
    #[error("the registry is busy; try again")]
    Busy,
    /// It has stopped.
    #[error("the registry has stopped")]
    Stopped,
    /// Not stored, and so not done.
    #[error("not stored, and so not done: {0}")]
    Store(#[from] store::Error),
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) | Self::Future { .. } => Kind::Invalid,
            Self::NoService(_)
            | Self::NoInstance(_)
            | Self::NoLease(_)
            | Self::NoKey(_)
            | Self::NoCheck(_)
            | Self::NoSession(_)
            | Self::NoNode(_) => Kind::NotFound,
            Self::ReadOnly(_)
            | Self::NoTtl(_)
            | Self::NotTold(_)
            | Self::Outdated(_)
            | Self::LeaseExists(_)
            | Self::Compacted { .. }
            | Self::Full { .. } => Kind::Conflict,
            Self::Busy => Kind::Busy,
            Self::Stopped => Kind::Stopped,
            Self::Store(e) => e.kind(),
        }
    }
}
