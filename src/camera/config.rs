//! Checked values that the room runs on. The shape of the file is known to `config` alone.

use crate::{
    base::Secret,
    model::{DeviceId, Profile, Trust},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What cameras there are and how patiently they are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Every configured device; ids are unique.
    pub devices: Vec<DeviceConfig>,
    /// How often a healthy device is asked for its state.
    pub poll_interval: Duration,
    /// A media URL leaves the table once its channel was offline or gone this long.
    pub age_out: Duration,
    /// The most that one request to a device, or one step of an RTSP session, may take.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            poll_interval: Duration::from_secs(15),
            age_out: Duration::from_secs(300),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Which sort of Hikvision thing answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// One camera: its channels are its own video inputs.
    Camera,
    /// A recorder: its channels are cameras that come and go.
    Nvr,
    /// A Hik Device Gateway: devices that come and go, each with channels.
    Gateway,
}

/// What RTP is carried by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// The RTSP connection: nothing is lost on the way.
    #[default]
    Tcp,
    /// Datagrams: what is lost or overtaken is lost, and counted.
    Udp,
}

/// One device. Two equal configs need no restart of anything.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceConfig {
    /// Its name here.
    pub id: DeviceId,
    /// Camera or recorder.
    pub kind: DeviceKind,
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// Port of its ISAPI.
    pub http_port: u16,
    /// Whom to believe to be the device, where its ISAPI is asked over HTTPS; None: plain HTTP.
    pub tls: Option<Trust>,
    /// Port of its RTSP; None: the device is asked, else 554.
    pub rtsp_port: Option<u16>,
    /// Account.
    pub user: String,
    /// Password; any character may stand in it.
    pub password: Secret,
    /// Channels that are wanted; empty: all that the device has. Of a gateway: of each device behind it.
    pub channels: Vec<u32>,
    /// Streams of each channel that are wanted.
    pub profiles: Vec<Profile>,
    /// What RTP is carried by.
    pub transport: Transport,
    /// Whether sound is taken along.
    pub audio: bool,
    /// Streams that are transcoded before anybody else sees them.
    pub transcoded: Vec<Profile>,
    /// False: known, shown, and left alone.
    pub enabled: bool,
}

impl DeviceConfig {
    /// `host:port` of its ISAPI, as the API shows it; with `https://` in front where it is asked so.
    pub fn address(&self) -> String {
        let scheme = if self.tls.is_some() { "https://" } else { "" };
        format!("{scheme}{}", host_port(&self.host, self.http_port))
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
