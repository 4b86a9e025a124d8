//! Looking at instances from outside: HTTP, TCP, gRPC. (A ttl is the instance's own word and the registry's business.)
//!
//! Owns: when whom to look at (`schedule`, pure), what looks in a row mean (`streak`, pure), the looks themselves
//! (`probe`), what is looked at (`aim`), and what the last look saw (`looks`). Never does: change the catalog. It tells [`Registry::report`].
//!
//! [`Registry::report`]: super::Registry::report

mod aim;
mod looks;
mod probe;
mod schedule;
mod streak;
mod task;
#[cfg(test)]
mod tests;

pub use aim::Aim;
pub use looks::Look;
pub(super) use looks::Looks;
pub use task::ChecksTask;
