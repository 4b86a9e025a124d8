//! What the room shows of itself: plain values, in the words of the API.

use super::DeviceKind;
use crate::{
    base::Wall,
    model::{DeviceId, Presence, StreamKey, StreamState, VideoCodec},
};
use schemars::JsonSchema;
use serde::Serialize;

/// Everything that is known of all cameras at one moment. Each list is sorted by its key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Snapshot {
    /// Every configured device, and every device behind a configured gateway.
    pub devices: Vec<DeviceView>,
    /// Every stream that is wanted of a channel that is known.
    pub streams: Vec<StreamView>,
    /// The table of media URLs.
    pub media_urls: Vec<MediaUrl>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DeviceView {
    /// Its name in the config; of a device behind a gateway `<gateway>:<devIndex>`.
    pub id: DeviceId,
    /// Camera, recorder or gateway. Of a device behind a gateway: by the number of its channels.
    pub kind: DeviceKind,
    /// The name that people gave it on itself or on its gateway.
    pub name: Option<String>,
    /// `host:port` of its ISAPI, or of its gateway's.
    pub address: String,
    /// Is it there?
    pub presence: Presence,
    /// Since when it is so.
    pub since: Wall,
    /// What is wrong, where something is.
    pub error: Option<String>,
    /// While locked: when it is tried again; null where somebody must change something first.
    pub until: Option<Wall>,
    /// What is not as it should be while it works.
    pub warning: Option<String>,
    /// As the device names it, for example `DS-7608NXI-K2`.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Firmware version.
    pub firmware: Option<String>,
    /// Its channels, by number.
    pub channels: Vec<ChannelView>,
}

/// One video input of a device.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ChannelView {
    /// Numbered from 1, as the device numbers it.
    pub channel: u32,
    /// The name that people gave it on the device.
    pub name: Option<String>,
    /// Is it there?
    pub presence: Presence,
    /// Since when it is so.
    pub since: Wall,
    /// Why it is so, where the device says why.
    pub reason: Option<String>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct StreamView {
    /// `<device>/<channel>/<main|sub>`
    pub key: StreamKey,
    /// What it is doing.
    pub state: StreamState,
    /// Why, where it does not run.
    pub reason: Option<String>,
    /// While locked: when it is tried again; null where somebody must change something first.
    pub until: Option<Wall>,
    /// Null before the first session was set up.
    pub codec: Option<VideoCodec>,
    /// Pixels.
    pub width: Option<u16>,
    /// Pixels.
    pub height: Option<u16>,
    /// What is done with its sound; null where it has none, and before the first session.
    pub audio: Option<AudioView>,
    /// Pictures per second of the last seconds.
    pub fps: f64,
    /// Bits per second of the last seconds, sound included.
    pub bitrate: u64,
    /// When the last frame was taken; null before the first.
    pub last_frame: Option<Wall>,
    /// Sessions that were lost and begun anew.
    pub reconnects: u64,
    /// Packets of pictures and sound that the network lost, or the camera never sent.
    pub packets_lost: u64,
    /// How far the camera's clock is ahead of ours; null where the camera does not say.
    pub clock_skew_ms: Option<i64>,
}

/// A stream's sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AudioView {
    /// As the camera codes it.
    pub codec: String,
    /// What is done with it.
    pub handling: AudioHandling,
    /// Why, where it is not kept as it is.
    pub reason: Option<String>,
}

/// What is done with a stream's sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AudioHandling {
    /// Kept as it is.
    Copy,
    /// Decoded, and stored without loss as FLAC.
    Flac,
    /// Left out.
    Dropped,
    /// Not wanted.
    Off,
}

/// One row of the table of media URLs: a channel's main stream.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MediaUrl {
    /// The device's id; behind a gateway `<gateway>:<devIndex>`.
    pub device_index: String,
    /// The channel's number.
    pub channel: u32,
    /// Where its main stream is fetched, without credentials.
    pub media_url: String,
    /// Is the channel there?
    pub presence: Presence,
    /// The supervised task that fetches it: its stream's key, or empty where none does.
    pub task: String,
    /// When this row last changed.
    pub updated: Wall,
}
