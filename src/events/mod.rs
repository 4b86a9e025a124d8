//! The one durable log behind `/events`, webhooks and the console: append, cursor, resume.
//!
//! Owns the newest [`EVENTS_MAX`] events in the store. Never does: block or fail whoever reports something, show an event that a power
//! cut could take back, give one id twice.
//!
//! The flow: [`Events::emit`] puts into a bounded queue → [`EventsTask`] gives ids and commits what waits in one
//! batch, trimming the oldest → [`Events::watch`] shows the last durable id → readers ask [`Events::after`] their cursor.

mod error;
mod handle;
mod task;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use handle::Events;
pub use task::{EVENTS_MAX, EventsTask, build};
