//! What the recorder is told. Checked values only.

use super::Schedule;
use crate::model::{Checksum, DeviceId, Profile, StreamKey};
use std::{collections::BTreeMap, time::Duration};

/// How each device's streams are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// For every device that has no settings of its own.
    pub defaults: Settings,
    /// Every configured device.
    pub devices: BTreeMap<DeviceId, DeviceSettings>,
}

/// How one device's streams are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSettings {
    /// For channels that have no settings of their own.
    pub settings: Settings,
    /// For channels that have.
    pub channels: BTreeMap<u32, Settings>,
    /// The channels that are taken; empty: all that the device has.
    pub only: Vec<u32>,
    /// The encodings that are taken.
    pub profiles: Vec<Profile>,
    /// Whether the device is asked for anything.
    pub enabled: bool,
}

/// What is recorded of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All frames.
    #[default]
    Video,
    /// One JPEG a `segment`.
    Image,
}

/// How a stream is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether it is.
    pub enabled: bool,
    /// As video, or as single pictures.
    pub mode: Mode,
    /// A file is cut at the first key frame after so long.
    pub segment: Duration,
    /// So much media at most waits in memory before it is written.
    pub fragment: Duration,
    /// When what was written is forced to the disk.
    pub sync: Sync,
    /// How files are summed up while they are written.
    pub checksum: Checksum,
    /// Whether sound is recorded where there is any.
    pub audio: bool,
    /// When it is recorded; None: always.
    pub schedule: Option<Schedule>,
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
    /// The settings that hold for one stream: its channel's, else its device's, else those of all.
    pub fn settings(&self, stream: &StreamKey) -> &Settings {
        match self.devices.get(stream.device.configured_str()) {
            Some(device) => device.channels.get(&stream.channel).unwrap_or(&device.settings),
            None => &self.defaults,
        }
    }

    /// Whether a stream is one that should be recorded, as far as the configuration says.
    pub fn expects(&self, stream: &StreamKey) -> bool {
        let taken = |device: &DeviceSettings| {
            let channel = device.only.is_empty() || device.only.contains(&stream.channel);
            device.enabled && channel && device.profiles.contains(&stream.profile)
        };
        self.devices.get(stream.device.configured_str()).is_some_and(taken) && self.settings(stream).enabled
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            mode: Mode::Video,
            segment: Duration::from_secs(30),
            fragment: Duration::from_millis(500),
            sync: Sync::Every(Duration::from_millis(500)),
            checksum: Checksum::Sha256,
            audio: true,
            schedule: None,
        }
    }
}
