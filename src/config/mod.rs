//! The configuration: the file's shape is known here only.
//!
//! Owns: the reading of the TOML file and of the environment, the checks, the words of each fault, the view of the
//! effective configuration with secrets blanked, and which keys cannot change without a restart.
//! Never does: act on a value, or stop at the first fault. Secrets leave it as [`Secret`](crate::base::Secret) only.
//!
//! Flow: text → [`tree`] (values that know their line) → overlaid with the environment → read key by key into
//! [`Config`], every fault collected → methods of `Config` give each room its own configuration.

mod env;
mod fault;
mod load;
pub mod nginx;
mod reader;
mod reload;
mod rooms;
mod route_view;
mod sections;
mod tree;
mod types;
mod view;

#[cfg(test)]
mod tests;

pub use env::Env;
pub use fault::{Fault, Faults, Place};
pub use load::{default_path, load, parse, places};
pub use reload::restart_keys;
pub use types::{Admin, AdminListen, Config, Device, Fronts, Hikvision, Log, LogFormat, Playback, Proxy, Recording};
