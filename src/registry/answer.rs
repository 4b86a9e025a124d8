//! What the registry answers.

use super::kv::OpAnswer;
use std::time::Duration;

/// A write of services that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The revision that made it what it is; an older one where nothing changed.
    pub revision: u64,
    /// False where all was so already: nothing was written then, and nobody was woken.
    pub changed: bool,
    /// It was not there before.
    pub created: bool,
    /// Whether the proxy routes by it.
    pub served: Served,
}

/// Whether the proxy's table has taken in a write when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It has: the very next request sees it.
    Yes,
    /// Not within a second. The write holds all the same.
    NotYet,
    /// There is no proxy.
    NoProxy,
}

/// A ttl that begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// When it has to be renewed again, at the latest.
    pub ttl: Duration,
    /// The revision of the instance; a new one only where it had run out and is back.
    pub revision: u64,
    /// Whether it had run out.
    pub revived: bool,
    /// Whether the proxy routes by it.
    pub served: Served,
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnAnswer {
    /// Whether every comparison held.
    pub succeeded: bool,
    /// One for each operation of the branch that was taken.
    pub answers: Vec<OpAnswer>,
    /// The revision after it.
    pub revision: u64,
    /// The revision of the catalog that it made, where keys that it wrote are instances.
    pub instances: Option<u64>,
}

/// What steps came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stepped {
    /// One for each step; else which of them could not be done, and then none was.
    pub done: Result<Vec<OpAnswer>, Vec<usize>>,
    /// The revision after it.
    pub revision: u64,
    /// The revision of the catalog that it made, where keys that it wrote are instances.
    pub instances: Option<u64>,
}

/// Keys by lease.
pub type Entries = Vec<bytes::Bytes>;

/// A lease as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Its id.
    pub id: i64,
    /// What it was granted for.
    pub granted: Duration,
    /// What is left of it.
    pub left: Duration,
    /// The keys that go with it.
    pub keys: Entries,
}
