//! What the archive is told: where footage lies, and how long it stays. Checked values only.

use crate::model::DeviceId;
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

/// How long footage stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Footage that ended longer ago goes; None: no limit.
    pub retain_days: Option<u32>,
    /// While less than this is free on the file system, the oldest footage goes.
    pub min_free: MinFree,
}

/// The limits of one device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceLimits {
    /// Age and free space.
    pub limits: Limits,
    /// This device's footage may take so many bytes; None: no limit of its own.
    pub retain_bytes: Option<u64>,
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
        self.devices
            .get(device.configured_str())
            .copied()
            .unwrap_or(DeviceLimits { limits: self.defaults, retain_bytes: None })
    }
}

impl Default for Limits {
    /// Thirty days, and 5 % of the file system kept free.
    fn default() -> Self {
        Self { retain_days: Some(30), min_free: MinFree::Percent(5.0) }
    }
}
