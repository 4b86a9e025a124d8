//! The wire of Hikvision devices: ISAPI requests, digest, lock state, XML; of gateways JSON.
//!
//! Never does: policy. It does not decide when to ask, when to try a password again or what an answer means for a
//! stream; it says precisely what happened.
//!
//! Flow: [`Client`] sends one request at a time (`auth` answers challenges) → `status` tells refusals from faults →
//! `xml` reads a bounded tree by local names → `answers` turn the tree into values. `json` and `gateway` are the same for
//! gateways.

mod answers;
mod auth;
mod client;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod json;
mod status;
mod xml;

pub use answers::{ChannelState, Identity, ProxyChannel, StreamInfo, VideoInput};
pub use client::{BODY_BYTES_MAX, Client, Target};
pub use error::Error;
pub use gateway::{DevicePage, DeviceStatus, GatewayChannel, GatewayDevice};
pub use status::LockState;

#[cfg(test)]
mod tests;
