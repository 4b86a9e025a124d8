//! Sessions: who holds keys, and loses them when it is gone. Pure.

use super::named::Owner;
use std::{sync::Arc, time::Duration};

/// Sessions at once. Each costs little; so many are a client that makes them in a loop.
pub(super) const SESSIONS_MAX: usize = 100_000;
/// A session that is not renewed has twice its length before it ends: whoever renews in time may still be late.
pub(super) const PATIENCE: u32 = 2;

/// Somebody who can hold keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: Arc<str>,
    /// What the front that made it keeps of it.
    pub words: Arc<str>,
    /// It has to be renewed within this; None: it stays.
    pub ttl: Option<Duration>,
    /// Its keys go with it, rather than being free again.
    pub deletes: bool,
    /// For so long after it, nobody can hold what it held.
    pub delay: Duration,
    /// It ends with any of these checks.
    pub checks: Vec<(Owner, Arc<str>)>,
    /// The revision that made it.
    pub created: u64,
}
