//! The `skyvis` command: commands, tables, progress bars.
//!
//! Owns: what can be typed, what is printed, exit codes. A client of the admin API, save for `run`, `demo`, `simulate`
//! and the offline care of the data directory. Never does: decide anything that the daemon decides.
//!
//! Flow: [`args`] → one function a command → [`Out`]; an [`Error`] becomes one sentence and an exit code.

mod args;
mod care;
mod check;
mod command;
mod daemon;
mod error;
mod export;
mod human;
mod out;
mod password;
mod reindex;
mod save;
mod services;
mod show;
mod simulate;
mod table;
mod verify;
mod when;

#[cfg(test)]
mod tests;

pub use command::run;
pub use error::Error;
pub use out::Out;

use crate::config::Env;
use std::process::ExitCode;

/// The command of this process, from its arguments to its exit code.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), &Env::of_process(), &mut Out::of_process()))
}
