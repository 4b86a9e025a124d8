//! The only room that sees the whole: build, wiring, run, signals, systemd, telemetry.
//!
//! Owns the order of start and stop, and the config in force. Never does: any work of a room.
//!
//! Flow: config → [`wiring`] builds all rooms → [`Daemon`] serves → reloads by [`reload`] → stops by [`phases`].

mod alive;
mod care;
mod daemon;
mod demo;
mod error;
mod phases;
mod process;
mod reload;
mod rooms;
mod run;
mod systemd;
pub mod telemetry;
mod tell;
mod wiring;

pub use daemon::Daemon;
pub use demo::{DemoOptions, demo};
pub use error::Error;
pub use rooms::Rooms;
pub use run::run;
