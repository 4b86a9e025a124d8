//! Reconcilers: periodic and poked, idempotent, without input. Rooms say what; upkeep says when.
//!
//! Owns the loop around one such piece of work and what is known of its last run. Never does: run one piece of work
//! twice at once, end because a run failed or panicked, pass anything into it.
//!
//! The flow: [`build`] gives a [`Upkeep`] handle and an [`UpkeepTask`]; the task runs the work at once, then every
//! `every` give or take a tenth, or as soon as it is poked; the handle shows when it last ran and how that ended.

mod run;

pub use run::{LastRun, Upkeep, UpkeepTask, build};
