//! Our own HTTP/1.1 requests to others, over TCP, TLS or a unix socket, single calls of gRPC, and the question
//! whether anybody is there: bounded in time, in bytes, and never redirected. And where host names lead.
//!
//! Never does: retries, credentials, interpretation of an answer. Those belong to who asks.
//!
//! Flow: [`Client`] knows where and how patiently → [`Connection`] is one open connection, driven by whoever waits for
//! its answer (there is no task behind it) → a whole bounded answer, or a [`Download`] read piece by piece.

mod client;
mod connection;
mod error;
mod resolve;
mod rpc;
mod tls;

pub use client::{Address, Client, Limits};
pub use connection::{Connection, Download};
pub use error::Error;
pub use resolve::{Lookup, resolve, system_lookup};
pub use rpc::Reply;
pub use tls::config_of as tls_config;

#[cfg(test)]
mod tests;
