//! Files of a directory: `dir` of a route.
//!
//! Owns: from a path to a file below the directory and never outside of it, what the answer says of it, conditions and
//! ranges. Never does: lists a directory, writes, waits for a disk on a worker: what is not in memory is opened and read
//! by the disk's threads.
//!
//! Flow: [`Place`] of the path → [`Site::look`] opens it → [`answer::decide`] → sent by `send`.

mod answer;
mod asked;
mod coding;
#[doc(hidden)]
pub mod fuzz;
mod known;
mod open;
mod place;
mod ranges;
mod send;
mod site;

pub(super) use asked::Asked;
pub(super) use place::Place;
pub(super) use send::{Job, answer};
pub use site::Site;
