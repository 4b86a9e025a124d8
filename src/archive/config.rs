//! What the archive is told: where footage lies, and how long it stays. Checked values only.

use crate::model::{Checksum, DeviceId, StreamKey};
use std::{collections::BTreeMap, path::PathBuf};

/// Where footage lies and how long it stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The `recordings` directory. A change of it needs a restart.
    pub dir: PathBuf,
    /// All footage together may take so many bytes; None: no limit.
    pub retain_bytes: Option<u64>,
    /// For every device that has no limits of its own, those that have left the config among them.
    pub defaults: Limits,
    /// For devices that have limits of their own; those of a gateway hold for all devices behind it together.
    pub devices: BTreeMap<DeviceId, DeviceLimits>,
}

/// How footage is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Footage that ended longer ago goes; None: no limit.
    pub retain_days: Option<u32>,
    /// While less than this is free on the file system, the oldest footage goes.
    pub min_free: MinFree,
    /// What a segment is summed up by whose file was left without a sum by a crash, a failure or a lost index.
    pub checksum: Checksum,
}

/// The limits of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceLimits {
    /// Age and free space.
    pub limits: Limits,
    /// This device's footage may take so many bytes; None: no limit of its own.
    pub retain_bytes: Option<u64>,
    /// Channels that have limits of their own.
    pub channels: BTreeMap<u32, ChannelLimits>,
}

/// The limits of one channel. Room on the file system is kept for devices as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelLimits {
    /// Footage that ended longer ago goes; None: no limit.
    pub retain_days: Option<u32>,
    /// This channel's footage may take so many bytes; None: no limit of its own.
    pub retain_bytes: Option<u64>,
    /// As in [`Limits`].
    pub checksum: Checksum,
}

/// How much of the file system is kept free.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MinFree {
    /// So many bytes. 0: nothing is deleted for space.
    Bytes(u64),
    /// So many hundredths of the file system. 0: nothing is deleted for space.
    Percent(f64),
}

impl MinFree {
    /// In bytes, on a file system of this size.
    pub fn bytes(self, total_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (total_bytes as f64 * (percent.clamp(0.0, 100.0) / 100.0)) as u64,
        }
    }
}

impl Config {
    /// The most that any device wants to be kept free on a file system of this size.
    pub fn min_free_bytes(&self, total_bytes: u64) -> u64 {
        let of_devices = self.devices.values().map(|d| d.limits);
        of_devices.chain([self.defaults]).map(|l| l.min_free.bytes(total_bytes)).max().unwrap_or(0)
    }

    /// The limits that hold for one device.
    pub fn limits(&self, device: &DeviceId) -> DeviceLimits {
        let others = || DeviceLimits { limits: self.defaults, retain_bytes: None, channels: BTreeMap::new() };
        self.devices.get(device.configured_str()).cloned().unwrap_or_else(others)
    }

    /// How many days a stream's footage is kept; None: no limit.
    pub fn retain_days(&self, stream: &StreamKey) -> Option<u32> {
        match self.devices.get(stream.device.configured_str()) {
            Some(device) => device.channels.get(&stream.channel).map_or(device.limits.retain_days, |c| c.retain_days),
            None => self.defaults.retain_days,
        }
    }

    /// What a stream's segments are summed up by.
    pub fn checksum(&self, stream: &StreamKey) -> Checksum {
        match self.devices.get(stream.device.configured_str()) {
            Some(device) => device.channels.get(&stream.channel).map_or(device.limits.checksum, |c| c.checksum),
            None => self.defaults.checksum,
        }
    }

    /// How much room is kept free for a device.
    pub fn min_free(&self, device: &DeviceId) -> MinFree {
        self.devices.get(device.configured_str()).map_or(self.defaults.min_free, |d| d.limits.min_free)
    }

    /// The bytes that a channel may take; None: no limit of its own.
    pub fn channel_bytes(&self, device: &DeviceId, channel: u32) -> Option<u64> {
        self.devices.get(device.configured_str())?.channels.get(&channel)?.retain_bytes
    }
}

impl Default for Limits {
    /// Thirty days, 5 % of the file system kept free, and checksums.
    fn default() -> Self {
        Self { retain_days: Some(30), min_free: MinFree::Percent(5.0), checksum: Checksum::default() }
    }
}
