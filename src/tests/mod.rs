//! Tests that see the whole crate: the order of rooms, and flows of a whole daemon.

mod architecture;
mod clock;
mod crash;
<<<<<<< HEAD
mod gaps;
=======
mod fuzz;
>>>>>>> b703e94 (fuzz: feed every parser of our own with anything)
mod harness;
mod logins;
mod main_job;
mod nonsense;
mod presence;
mod real_peers;
mod real_streams;
mod soak;
mod transcode;
