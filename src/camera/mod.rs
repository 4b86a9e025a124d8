//! Policy of cameras: which are there, which are fetched, when to try again. One supervised child per device.
//!
//! Never does: recording, anything about files, the wire format of ISAPI (that is `hikvision`).
//!
//! Flow: `device` polls and feeds `presence`; where a channel is there, `session` fetches it (`run` never fails,
//! `run_once` is one attempt); frames go to `live`, what is known goes to the [`Snapshot`].

mod accounts;
mod arrivals;
mod board;
mod budget;
mod config;
mod device;
mod error;
mod failure;
mod flood;
mod format;
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod handle;
mod intake;
mod lockout;
mod meters;
mod pictures;
mod poll;
mod presence;
mod records;
mod relay;
mod reorder;
mod session;
mod snapshot;
mod sound;
mod stamps;
mod stats;
mod still;
mod stream;
mod streams;
mod supervise;
mod task;
mod timeline;
mod urls;

pub use config::{Config, DeviceConfig, DeviceKind, Transport};
pub use error::Error;
pub use handle::Cameras;
pub use snapshot::{AudioHandling, AudioView, ChannelView, DeviceView, MediaUrl, Snapshot, StreamView};
pub use task::{CamerasTask, Deps, build};

use task::Timings;

#[cfg(test)]
mod tests;
