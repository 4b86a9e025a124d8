//! Checked values, in the shape of the file. Whatever is held here has passed every check.

use crate::{
    archive::MinFree,
    base::Secret,
    camera::{DeviceKind, Transport},
    model::{Checksum, DeviceId, Profile, Trust},
    playback::{plays, whep},
    proxy,
    recorder::{Mode, Schedule, Sync},
    registry, transcode,
};
use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// A whole configuration that passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `data_dir`: database and journals, and footage where `recording.dir` is not set.
    pub data_dir: PathBuf,
    /// `node`: the name of this host.
    pub node: String,
    /// `[log]`
    pub log: Log,
    /// `[admin]`
    pub admin: Admin,
    /// `[proxy]`
    pub proxy: Proxy,
    /// `[registry]`
    pub registry: registry::Config,
    /// `[registry]`: where clients of other registries are served.
    pub fronts: Fronts,
    /// `[hikvision]`
    pub hikvision: Hikvision,
    /// `[[device]]`, in the order of the file.
    pub devices: Vec<Device>,
    /// `[recording]`, which holds for each device that says nothing else.
    pub recording: Recording,
    /// `recording.dir`, or its default below `data_dir`.
    pub recording_dir: PathBuf,
    /// `[playback]`
    pub playback: Playback,
    /// `transcode.ffmpeg`; `None`: the one in the search path.
    pub ffmpeg: Option<PathBuf>,
    /// `transcode.processes`
    pub ffmpeg_processes_max: usize,
    /// `notify.prefix`: what relative callback paths are appended to; empty for none.
    pub notify_prefix: String,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Text, JSON or straight to journald.
    pub format: LogFormat,
    /// A tracing filter.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
    /// Fields of the systemd journal.
    Journald,
}

/// Where clients of other registries are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fronts {
    /// `registry.etcd_listen`; None: nowhere.
    pub etcd_listen: Option<SocketAddr>,
    /// `registry.consul_listen`; None: nowhere.
    pub consul_listen: Option<SocketAddr>,
    /// `registry.consul_token`: what clients of Consul have to send; None: nothing.
    pub consul_token: Option<Secret>,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where the console and the API are served.
    pub listen: AdminListen,
    /// The bearer token; `None` where none is asked for.
    pub token: Option<Secret>,
    /// The token of those who may look and change nothing; `None` where there is no such.
    pub viewer_token: Option<Secret>,
}

/// Where the admin endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminListen {
    /// An address and port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// `[proxy]`
#[derive(Clone, Debug, PartialEq)]
pub struct Proxy {
    /// Where media is served to others.
    pub listen: Vec<SocketAddr>,
    /// What URLs that are handed out begin with, without a slash at the end; `None`: taken from the request.
    pub wan_endpoint: Option<String>,
    /// Threads; 0: one for each processor.
    pub workers: usize,
    /// What connections live under.
    pub settings: proxy::Settings,
    /// `[[proxy.tls]]`, in the order of the file.
    pub tls: Vec<proxy::tls::Site>,
    /// `[proxy.acme]`, where one of those is ordered.
    pub acme: Option<proxy::acme::Config>,
    /// `[[proxy.route]]`, in the order of the file.
    pub routes: Vec<proxy::config::Route>,
}

/// `[hikvision]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hikvision {
    /// Time between two polls of a device.
    pub poll_interval: Duration,
    /// Offline this long, a media URL leaves the table.
    pub age_out: Duration,
    /// The longest that one request may take.
    pub timeout: Duration,
}

/// One `[[device]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its name in keys, paths and URLs.
    pub id: DeviceId,
    /// What it is.
    pub kind: DeviceKind,
    /// Host name or IP address; an IPv6 address without brackets.
    pub host: String,
    /// The port of its ISAPI.
    pub http_port: u16,
    /// `None`: an http address. Else what makes the certificate at the https address good.
    pub tls: Option<Trust>,
    /// `None`: ask the device, else 554.
    pub rtsp_port: Option<u16>,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Channels to take; empty for all.
    pub channels: Vec<u32>,
    /// Encodings to take.
    pub streams: Vec<Profile>,
    /// What RTP is carried by.
    pub transport: Transport,
    /// `transcode`: what its streams become; `None`: they stay as they are.
    pub transcode: Option<transcode::Settings>,
    /// False: known and shown, never connected to.
    pub enabled: bool,
    /// `[recording]` with what `[device.recording]` changes in it.
    pub recording: Recording,
    /// The same with what `per_channel` changes in it, for channels that it names.
    pub per_channel: BTreeMap<u32, Recording>,
}

/// The keys of `[recording]` that may differ from device to device, and most of them from channel to channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Whether streams are recorded.
    pub enabled: bool,
    /// `mode`: all frames, or one picture a segment.
    pub mode: Mode,
    /// A file is cut at the first key frame after this.
    pub segment: Duration,
    /// The most that a crash may cost.
    pub fragment: Duration,
    /// When written data is made durable.
    pub sync: Sync,
    /// Whether files are summed up.
    pub checksum: Checksum,
    /// Whether sound is recorded.
    pub audio: bool,
    /// When it is recorded; None: always.
    pub schedule: Option<Schedule>,
    /// Days that footage is kept; 0 for no limit.
    pub retain_days: u32,
    /// Bytes of footage that are kept, of all devices or of this one; 0 for no limit.
    pub retain_bytes: u64,
    /// Room that is kept on the footage's file system.
    pub min_free: MinFree,
}

/// `[playback]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playback {
    /// `playback.token`, else the admin token; `None` where neither is set.
    pub token: Option<Secret>,
    /// `playback.play_expiry_default`: how long a play lasts where nobody says.
    pub play_expiry_default: Duration,
    /// `playback.authorize`: who is asked instead of plays' own passwords.
    pub authorize: Option<plays::Asking>,
    /// `playback.rtsp_listen`: where streams and footage are served by RTSP; None: nowhere.
    pub rtsp_listen: Option<SocketAddr>,
    /// `playback.webrtc_listen`: where viewers by WebRTC are met, by UDP and TCP.
    pub webrtc_listen: whep::Listen,
    /// `playback.webrtc_addresses`: where they can reach us besides; a port of 0 is the one that is listened at.
    pub webrtc_addresses: Vec<SocketAddr>,
}

impl LogFormat {
    /// The word of the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Journald => "journald",
        }
    }
}

impl fmt::Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
