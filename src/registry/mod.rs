//! Services and their instances, a space of keys, and what changes in them: one order of revisions for all of it.
//!
//! Owns the catalog, the keys, their history, leases, when each of them runs out, and the checks of instances ([`check`],
//! a task of its own that tells [`Registry::report`]). Never does: answer a write that a power cut could take back, give
//! a revision twice, or move the revision for something that changed nothing.
//!
//! The flow: [`Registry`] sends a command → the task takes all that wait, stages them over the [state](state::State)
//! (pure: `draft`), commits once, publishes `watch<Arc<Catalog>>` and the keys, and only then answers → the writer's own
//! task waits until the proxy serves that revision ([`Registry::served_by`]), a second at most.
//!
//! Times are microseconds of the registry's own [time](pace), which stands still while the disk holds everything up:
//! whoever could not renew for our sake has not missed a renewal. It begins anew with each start, so that nothing dies
//! by a restart: every ttl and lease has its whole length again, and [`GRACE`] at least.

mod answer;
mod check;
mod command;
mod config;
mod deadlines;
mod draft;
mod error;
mod handle;
mod kv;
mod metrics;
mod named;
mod notices;
mod pace;
mod pick;
mod publish;
mod record;
mod resolve;
mod rows;
mod session;
mod spec;
mod state;
mod task;
#[cfg(test)]
mod tests;

pub use answer::{Entries, LeaseView, Renewed, Served, Stepped, TxnAnswer, Written};
pub use check::{Aim, ChecksTask, Look};
pub use config::{Config, StaticInstance};
pub use error::Error;
pub use handle::Registry;
pub use kv::{
    Act, Change, Compare, Comparison, Entry, Feed, Guard, KEY_BYTES_MAX, Keys, Op, OpAnswer, Part, Query, Ranged,
    Revision, SPACE_BYTES_MAX, Side, Step, Target, Txn, VALUE_BYTES_MAX, Watcher, When, show,
};
pub use named::{Asked, Begun, Checks, How, Named, Node, Owner, Who};
use record::OUTPUT_BYTES_MAX;
pub use record::{GRACE, Record, Verdict};
pub use session::Session;
pub use spec::{At, Check, CheckAsked, CheckKind, CheckTls, Fault, HttpAsk, Spec, Talk};
pub use task::{RegistryTask, build};

use crate::{
    base::{Clock, Metrics},
    events::Events,
    outbound::Lookup,
    store::Store,
};

/// What the room stands on.
pub struct Deps {
    /// Where rows go.
    pub store: Store,
    /// What happened.
    pub events: Events,
    /// Time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
    /// Who knows the addresses of host names.
    pub lookup: Lookup,
}
