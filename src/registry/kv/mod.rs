//! The space of keys: entries with revisions, transactions over them, their history, and those who follow it. Pure, but
//! for the waiting of a watcher.

mod keys;
mod log;
mod space;
mod steps;
mod txn;
mod watch;

pub use keys::{Keys, show};
pub use log::{Change, Revision};
pub use space::{Entry, Query, Ranged, Side};
pub use steps::{Act, Guard, Step};
pub use txn::{Compare, Comparison, Op, OpAnswer, Target, Txn, When};
pub use watch::{Feed, Part, Watcher};

pub(super) use log::{HistoryRow, Log};
pub(super) use space::{Overlay, Space, View, overhead};
pub(super) use steps::{Law, freed, run_steps};
pub(super) use txn::{delete, run};
pub(super) use watch::Cursors;

/// The longest key. That of the store, and of Consul.
pub const KEY_BYTES_MAX: usize = 512;
/// The longest value: what etcd takes of one request. Consul takes a third of it.
pub const VALUE_BYTES_MAX: usize = 1_536 << 10;
/// All keys and values together, with what each costs beside its own bytes. They lie in memory.
pub const SPACE_BYTES_MAX: usize = 256 << 20;
