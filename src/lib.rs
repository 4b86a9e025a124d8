#![doc = include_str!("ARCHITECTURE.md")]

pub mod admin;
pub mod app;
pub mod archive;
pub mod balance;
pub mod base;
pub mod camera;
pub mod cli;
pub mod config;
pub mod consul;
pub mod disk;
pub mod etcd;
pub mod events;
#[doc(hidden)]
pub mod fuzzing;
pub mod hikvision;
pub mod live;
pub mod media;
pub mod model;
pub mod outbound;
pub mod playback;
pub mod proxy;
pub mod recorder;
pub mod registry;
pub mod rtsp;
pub mod serve;
pub mod sim;
pub mod store;
pub mod transcode;
pub mod upkeep;

#[cfg(test)]
mod tests;
