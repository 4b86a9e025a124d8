//! What the routes do, one file a subject.

pub(super) mod console;
pub(super) mod devices;
pub(super) mod events;
pub(super) mod footage;
pub(super) mod gaps;
pub(super) mod keys;
pub(super) mod pauses;
pub(super) mod plays;
pub(super) mod routes;
pub(super) mod services;
pub(super) mod session;
pub(super) mod streams;
pub(super) mod system;
pub(super) mod upkeep;
