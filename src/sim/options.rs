//! What a simulated device is like. Checked by [`Options::check`] before anything is bound.

use super::Sound;
use crate::{
    base::{Clock, Secret},
    model::VideoCodec,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
    time::Duration,
};

/// The most channels of one simulated device; Hikvision's largest NVRs have 256.
pub const CHANNELS_MAX: u32 = 512;
/// The most devices behind a simulated gateway.
pub const DEVICES_MAX: u32 = 2_000;
/// The most channels of all devices behind a simulated gateway together.
pub const FLAT_CHANNELS_MAX: u32 = 16_000;
/// The most frames per second of a stream.
pub const FPS_MAX: u32 = 120;
/// The widest and highest picture, in pixels.
pub const SIDE_MAX_PIXELS: u16 = 4096;

/// Which device is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A camera: its inputs are its own.
    Camera,
    /// A network video recorder: its channels are proxied cameras that can be offline or deleted.
    Nvr,
    /// A Hik Device Gateway: devices that come and go, each with so many channels.
    Gateway,
}

/// What a device asks for before it lets somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Digest by MD5, which is not named: nearly all of them.
    DigestMd5,
    /// Digest by SHA-256 alone.
    DigestSha256,
    /// Digest by either, in two headers.
    DigestBoth,
    /// Basic alone; digest is refused.
    Basic,
    /// Digest by MD5 and Basic, in two headers.
    DigestAndBasic,
}

impl FromStr for Asks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "digest-md5" => Self::DigestMd5,
            "digest-sha256" => Self::DigestSha256,
            "both" => Self::DigestBoth,
            "basic" => Self::Basic,
            "digest+basic" => Self::DigestAndBasic,
            _ => return Err("write digest-md5, digest-sha256, both, basic or digest+basic".into()),
        })
    }
}

/// Everything that can be chosen about a simulated device. `Options::default()` is a camera on loopback that takes
/// free ports, user `admin`, password `Skyvis-2026`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on.
    pub listen: IpAddr,
    /// ISAPI's port; 0 takes a free one.
    pub http_port: u16,
    /// ISAPI's port for HTTPS; 0 takes a free one, `None` opens none.
    pub https_port: Option<u16>,
    /// RTSP's port; 0 takes a free one.
    pub rtsp_port: u16,
    /// The port that faults are driven by over HTTP; 0 takes a free one, `None` opens none.
    pub control_port: Option<u16>,
    /// Camera, NVR or gateway.
    pub kind: DeviceKind,
    /// Devices behind a gateway.
    pub devices: u32,
    /// Channels, numbered from 1; of each device behind a gateway.
    pub channels: u32,
    /// What each of a recorder's channels is called, as somebody typed it there; `None`: Camera 01, 02 and so on.
    pub channel_name: Option<String>,
    /// The only account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// What the streams are coded in.
    pub codec: VideoCodec,
    /// Frames per second.
    pub fps: u32,
    /// From one key frame to the next. The H.265 clip has its own: 25 frames.
    pub key_interval: Duration,
    /// The main stream's size in pixels, multiples of 16 (H.264); the sub stream has half of each side.
    pub size: (u16, u16),
    /// Sound as a second track.
    pub audio: bool,
    /// What the sound is coded in.
    pub sound: Sound,
    /// Parameter sets come in the stream alone: the SDP says nothing of them.
    pub in_band: bool,
    /// Small NAL units of a picture share a packet (STAP-A, AP).
    pub aggregate: bool,
    /// Filler brings each main stream up to this; 0: none. A sub stream gets an eighth.
    pub bits_per_second: u64,
    /// Sender reports, right after PLAY and each 5 s.
    pub sender_reports: bool,
    /// `profile-level-id=420029` in the SDP whatever the parameter sets say, as real devices do.
    pub lying_profile: bool,
    /// A third track of ONVIF metadata in the SDP, which never sends anything.
    pub metadata_track: bool,
    /// `qop="auth"` in ISAPI's digest challenge, as firmware V5.5 and later has it.
    pub http_qop: bool,
    /// What ISAPI asks for.
    pub http_auth: Asks,
    /// What RTSP asks for.
    pub rtsp_auth: Asks,
    /// How long a nonce is good for; `None`: five minutes for ISAPI, as long as its connection for RTSP.
    pub nonce_lifetime: Option<Duration>,
    /// A nonce is good for the URL that it was given for, as newer firmware has it.
    pub nonce_per_url: bool,
    /// ISAPI's refusals tell of the lockout, as newer firmware has it; else they are a web page.
    pub tells_lock: bool,
    /// Wrong logins from one address until it is locked out.
    pub wrong_logins_max: u32,
    /// How long a lockout lasts; trying meanwhile begins it anew.
    pub lock: Duration,
    /// From one heartbeat on the event stream to the next.
    pub heartbeat: Duration,
    /// An RTSP session without a request for this long is ended.
    pub session_timeout: Duration,
    /// How far the device's clock is ahead of the true time, in milliseconds.
    pub clock_skew_ms: i64,
    /// Where time comes from.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            http_port: 0,
            https_port: None,
            rtsp_port: 0,
            control_port: Some(0),
            kind: DeviceKind::Camera,
            devices: 1,
            channels: 1,
            channel_name: None,
            user: "admin".into(),
            password: Secret::new("Skyvis-2026"),
            codec: VideoCodec::H264,
            fps: 25,
            key_interval: Duration::from_secs(1),
            size: (640, 352),
            audio: false,
            sound: Sound::Aac,
            in_band: false,
            aggregate: false,
            bits_per_second: 0,
            sender_reports: true,
            lying_profile: true,
            metadata_track: false,
            http_qop: true,
            http_auth: Asks::DigestMd5,
            rtsp_auth: Asks::DigestMd5,
            nonce_lifetime: None,
            nonce_per_url: false,
            tells_lock: true,
            wrong_logins_max: 7,
            lock: Duration::from_secs(30 * 60),
            heartbeat: Duration::from_secs(10),
            session_timeout: Duration::from_secs(60),
            clock_skew_ms: 0,
            clock: Clock::real(),
        }
    }
}

impl Options {
    /// The reason why these options cannot be, if there is one.
    pub(super) fn check(&self) -> Result<(), String> {
        let (width, height) = self.size;
        let fits = |side: u16| (64..=SIDE_MAX_PIXELS).contains(&side) && side.is_multiple_of(32);
        if !(1..=CHANNELS_MAX).contains(&self.channels) {
            return Err(format!("channels must be 1 to {CHANNELS_MAX}, not {}", self.channels));
        }
        if !(1..=DEVICES_MAX).contains(&self.devices) || self.devices * self.channels > FLAT_CHANNELS_MAX {
            return Err(format!(
                "devices must be 1 to {DEVICES_MAX}, with {FLAT_CHANNELS_MAX} channels in all at most"
            ));
        }
        if !(1..=FPS_MAX).contains(&self.fps) {
            return Err(format!("frames per second must be 1 to {FPS_MAX}, not {}", self.fps));
        }
        if !fits(width) || !fits(height) {
            return Err(format!("{width}x{height}: each side must be 64 to {SIDE_MAX_PIXELS} and a multiple of 32"));
        }
        if self.codec == VideoCodec::Mjpeg {
            return Err("the simulator codes H.264 and H.265 only".into());
        }
        if self.key_interval.is_zero() || self.heartbeat.is_zero() || self.session_timeout.is_zero() {
            return Err("key interval, heartbeat and session timeout must be longer than nothing".into());
        }
        Ok(())
    }

    /// Frames from one key frame to the next.
    pub(super) fn key_every_frames(&self) -> u64 {
        let frames = self.key_interval.as_secs_f64() * f64::from(self.fps);
        (frames.round() as u64).max(1)
    }
}
