//! The reverse proxy: a request on its way from a client's socket to a service and back.
//!
//! Owns: the listeners for the outside, their threads, the connections to upstreams, the table of routes in force. Never
//! does: knows where the catalog comes from, waits for a disk or a name on a worker, lets a request be read in two ways.
//!
//! Flow: listener → `h1` head → route → service → balance → upstream → forward, in one task that drives both sockets.

pub mod config;
mod counted;
pub mod h1;
pub mod resolve;
pub mod sync;
pub mod table;
