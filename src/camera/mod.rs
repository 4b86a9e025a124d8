//! Policy of cameras: which are there, which are fetched, when to try again. One supervised child per device.
//!
//! Never does: recording, anything about files, the wire format of ISAPI (that is `hikvision`).
//!
//! Flow: `device` polls and feeds `presence`; where a channel is there, `session` fetches it (`run` never fails,
//! `run_once` is one attempt); frames go to `live`, what is known goes to the [`Snapshot`].

mod budget;
mod config;
mod error;
mod handle;
mod presence;
mod snapshot;
mod timeline;
mod urls;

pub use config::{Config, DeviceConfig, DeviceKind};
pub use error::Error;
pub use handle::Cameras;
pub use snapshot::{ChannelView, DeviceView, MediaUrl, Snapshot, StreamView};
