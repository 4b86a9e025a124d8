//! Our own HTTP/1.1 requests to others, over TCP, TLS or a unix socket: bounded in time, in bytes, and never redirected.
//!
//! Never does: retries, credentials, interpretation of an answer. Those belong to who asks.
//!
//! Flow: [`Client`] knows where and how patiently → [`Connection`] is one open connection, driven by whoever waits for
//! its answer (there is no task behind it) → a whole bounded answer, or a [`Download`] read piece by piece.

mod client;
mod connection;
mod error;
mod tls;

pub use client::{Address, Client, Limits};
pub use connection::{Connection, Download};
pub use error::Error;

#[cfg(test)]
mod tests;
