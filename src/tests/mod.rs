//! Tests that see the whole crate: the order of rooms, and flows of a whole daemon.

mod architecture;
mod beside;
mod changes;
mod checks;
mod clock;
mod crash;
mod disks;
pub mod framing;
mod fuzz;
mod gaps;
mod gate;
mod gateway;
mod harness;
mod heap;
mod holds;
mod host_clock;
mod image_mode;
mod logins;
mod main_job;
mod next_request;
mod nonsense;
mod presence;
mod real_peers;
mod real_streams;
mod services;
mod soak;
mod transcode;
