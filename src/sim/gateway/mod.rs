//! A simulated Hik Device Gateway: devices behind it that come and go, its JSON, and the faults that its pollers meet.
//!
//! Never does: registration of devices by ISUP, events, playback; settings.
//!
//! Flow: `estate` holds the devices and says what an RTSP path means → `isapi` answers in JSON → `control` drives faults.
//! The channels of all devices are channels of the one simulated device, one after the other.

mod control;
mod estate;
mod isapi;

pub(super) use control::{device_fault, gateway_fault};
pub(super) use estate::{Estate, index_of};
pub use estate::{GatewayFault, ListFault, MemberFault};
pub(super) use isapi::Isapi;
