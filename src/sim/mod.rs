//! A simulated Hikvision camera, NVR or gateway: ISAPI over HTTP and HTTPS with every login in the field and lockout, RTSP over TCP with a picture that shows the
//! channel's number and the running time, and faults on demand.
//!
//! Never does: anything that the daemon needs. It imitates the wire as devices in the field speak it, so that tests
//! meet the same oddities (a profile that lies, no `qop` in RTSP, one element per line in events).
//!
//! Flow: `Simulator::start` binds → `http` + `isapi` and `rtsp` serve what `state` says → `source` encodes each
//! stream once and fans it out. Faults change `state`, by the methods of [`Running`] or over HTTP (see `control`).

mod access;
mod certificate;
mod clip;
mod clockwork;
mod control;
pub mod encoder;
mod error;
mod gateway;
mod isapi;
mod login;
mod options;
mod picture;
mod port;
mod running;
mod sound;
mod source;
mod state;
mod streaming;
#[cfg(test)]
mod tests;
mod web;

pub use encoder::sei::Mark;
pub use error::Error;
pub use gateway::{GatewayFault, ListFault, MemberFault};
pub use options::{Asks, DeviceKind, Options};
pub use running::{Running, Simulator};
pub use sound::Sound;
pub use state::{ChannelFault, DeviceFault, PictureAnswer};
