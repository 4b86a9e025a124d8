//! What the room is told. Checked values only.

use crate::model::{DeviceId, Profile, StreamKey, VideoCodec};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// What is transcoded, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The program; None: `ffmpeg` from the search path.
    pub ffmpeg: Option<PathBuf>,
    /// The most processes at the same time.
    pub processes_max: usize,
    /// Devices whose streams are transcoded.
    pub devices: BTreeMap<DeviceId, Settings>,
    /// How long things may take.
    pub limits: Limits,
}

/// What streams of one device become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which of its streams.
    pub streams: Vec<Profile>,
    /// What they are coded in.
    pub video: VideoCodec,
    /// Pixels; None: as they come.
    pub size: Option<(u16, u16)>,
    /// Bits per second; None: as the encoder's quality needs.
    pub bits_per_second: Option<u64>,
    /// Pictures per second at most; None: as they come.
    pub fps: Option<u32>,
    /// The encoder's word for how much care it takes.
    pub preset: String,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A process that was given pictures and answers none for so long hangs. Longer than any start.
    pub silence: Duration,
    /// After the last picture was given, the rest is waited for so long.
    pub drain: Duration,
    /// First wait before a process that failed is begun anew.
    pub retry_first: Duration,
    /// After failures in a row the original is recorded so long, doubling up to `original_most`.
    pub original_first: Duration,
    /// Longest time before ffmpeg is tried again.
    pub original_most: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(10),
            drain: Duration::from_secs(3),
            retry_first: Duration::from_millis(200),
            original_first: Duration::from_secs(30),
            original_most: Duration::from_secs(600),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { ffmpeg: None, processes_max: 16, devices: BTreeMap::new(), limits: Limits::default() }
    }
}

impl Config {
    /// What a stream becomes; None where it stays as it is.
    pub fn settings(&self, stream: &StreamKey) -> Option<&Settings> {
        self.devices.get(stream.device.configured_str()).filter(|s| s.streams.contains(&stream.profile))
    }
}
