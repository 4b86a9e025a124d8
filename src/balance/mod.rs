//! Which of several instances a request goes to. Pure: no I/O, no clock; `now` is passed in as microseconds of
//! monotonic time, of which 0 means *never*.
//!
//! Owns: smooth weighted round robin, least connections, two choices by peak EWMA, a hash ring with bounded load, slow
//! start, and the taking out of instances that fail (passive ejection).
//! Never does: know where an instance is, or open a connection.
//!
//! Flow: a [`Pool`] is what there is to choose from, made anew with each change; a [`Picker`] is one thread's memory of
//! where it is in it; an [`InstanceState`] is what all threads know of an instance and outlives both. `pick` → the
//! request is made within [`InstanceState::begin`] → [`Pool::settle`] hears how it went.

mod ejection;
mod ewma;
mod hash;
mod picker;
mod policy;
mod pool;
mod ring;
mod state;
#[cfg(test)]
mod tests;

pub use ejection::Outcome;
pub use hash::hash;
pub use picker::{Ask, Picker, smooth};
pub use policy::Policy;
pub use pool::{Member, Pool};
pub use state::{Ejected, InFlight, InstanceState, Why};
