//! What the recorder is told. Checked values only.

use crate::model::DeviceId;
use std::{collections::BTreeMap, time::Duration};

/// How each device's streams are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// For every device that has no settings of its own.
    pub defaults: Settings,
    /// For devices that have settings of their own; those of a gateway hold for all devices behind it.
    pub devices: BTreeMap<DeviceId, Settings>,
}

/// How a stream is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether it is.
    pub enabled: bool,
    /// A file is cut at the first key frame after so long.
    pub segment: Duration,
    /// So much media at most waits in memory before it is written.
    pub fragment: Duration,
    /// When what was written is forced to the disk.
    pub sync: Sync,
    /// Whether sound is recorded where there is any.
    pub audio: bool,
}

/// When what was written is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// With the first write that comes so long after the last time; zero: with each write. A disk that is too slow for
    /// it is asked less often, unless it is zero.
    Every(Duration),
    /// Once, when a segment is closed.
    Segment,
    /// Never: the system decides.
    Off,
}

impl Config {
    /// The settings that hold for one device.
    pub fn settings(&self, device: &DeviceId) -> Settings {
        self.devices.get(device.configured_str()).copied().unwrap_or(self.defaults)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            segment: Duration::from_secs(30),
            fragment: Duration::from_millis(500),
            sync: Sync::Every(Duration::from_millis(500)),
            audio: true,
        }
    }
}
