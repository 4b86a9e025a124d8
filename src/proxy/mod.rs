//! The reverse proxy: a request on its way from a client's socket to a service and back.
//!
//! Owns: the listeners for the outside, their threads, the connections to upstreams, the table of routes in force. Never
//! does: knows where the catalog comes from, waits for a disk or a name on a worker, lets a request be read in two ways.
//!
//! Flow: listener → `h1` head → route → service → balance → upstream → forward, in one task that drives both sockets.

mod access_log;
pub mod acme;
mod ahead;
mod answer;
mod body;
mod buffer;
mod chunks;
pub mod config;
mod connection;
pub mod cors;
mod counted;
mod deadline;
mod error;
mod exchange;
pub mod files;
mod forward;
mod guard;
pub mod h1;
mod h2;
mod inside;
mod io;
mod linger;
mod listener;
mod meters;
mod pace;
mod places;
mod plane;
mod pour;
mod prelude;
mod record;
mod refused;
mod request;
mod resolve;
mod retry;
mod secure;
mod send;
mod settings;
mod splice;
mod straight;
pub mod sync;
pub mod table;
mod talk;
pub mod tcp;
#[cfg(test)]
mod tests;
pub mod tls;
mod tunnel;
mod upstream;
mod via;
mod wire;
mod worker;

pub use error::Error;
pub use listener::Listeners;
pub use plane::{DRAIN_TIMEOUT, Deps, PlaneTask, Proxy, Tasks, build};
pub use settings::{AccessLog, Config, Settings};
