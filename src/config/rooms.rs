//! What each room is told, out of the checked values.

use super::{Config, Device, Proxy, Recording};
use crate::{archive, camera, playback, proxy, recorder, transcode};
use std::path::PathBuf;

/// The database, below the data directory.
const STORE_DIR: &str = "store";

impl Config {
    /// Where the database lies.
    pub fn store_dir(&self) -> PathBuf {
        self.data_dir.join(STORE_DIR)
    }

    /// What the camera room runs on. Two configurations with equal ones need nothing restarted there.
    pub fn cameras(&self) -> camera::Config {
        camera::Config {
            devices: self.devices.iter().map(Device::camera).collect(),
            poll_interval: self.hikvision.poll_interval,
            age_out: self.hikvision.age_out,
            timeout: self.hikvision.timeout,
        }
    }

    /// What the proxy runs on.
    pub fn proxy(&self) -> proxy::Config {
        let Proxy { listen, tls, acme, workers, settings, routes, .. } = self.proxy.clone();
        proxy::Config { listen, tls, acme, workers, settings, routes }
    }

    /// What the recorder runs on.
    pub fn recorder(&self) -> recorder::Config {
        recorder::Config {
            defaults: self.recording.settings(),
            devices: self.devices.iter().map(|d| (d.id.clone(), d.recorder())).collect(),
        }
    }

    /// What is transcoded, and by what.
    pub fn transcode(&self) -> transcode::Config {
        let of_device = |d: &Device| d.transcode.clone().filter(|_| d.enabled).map(|t| (d.id.clone(), t));
        transcode::Config {
            ffmpeg: self.ffmpeg.clone(),
            processes_max: self.ffmpeg_processes_max,
            devices: self.devices.iter().filter_map(of_device).collect(),
            ..transcode::Config::default()
        }
    }

    /// What playback runs on.
    pub fn playback(&self) -> playback::Config {
        playback::Config { token: self.playback.token.clone() }
    }

    /// Where viewers by WebRTC are told to call.
    pub fn whep(&self) -> playback::whep::Config {
        playback::whep::Config { announced: self.playback.webrtc_addresses.clone() }
    }

    /// What plays run on.
    pub fn plays(&self) -> playback::plays::Config {
        playback::plays::Config {
            expiry_default: self.playback.play_expiry_default,
            wan_endpoint: self.proxy.wan_endpoint.clone(),
            authorize: self.playback.authorize.clone(),
        }
    }

    /// What the archive runs on.
    pub fn archive(&self) -> archive::Config {
        let of_device = |d: &Device| archive::DeviceLimits {
            limits: d.recording.limits(),
            retain_bytes: limit(d.recording.retain_bytes),
            channels: d.per_channel.iter().map(|(n, r)| (*n, r.channel_limits())).collect(),
        };
        archive::Config {
            dir: self.recording_dir.clone(),
            retain_bytes: limit(self.recording.retain_bytes),
            defaults: self.recording.limits(),
            devices: self.devices.iter().map(|d| (d.id.clone(), of_device(d))).collect(),
        }
    }
}

impl Device {
    fn camera(&self) -> camera::DeviceConfig {
        camera::DeviceConfig {
            id: self.id.clone(),
            kind: self.kind,
            host: self.host.clone(),
            http_port: self.http_port,
            tls: self.tls,
            rtsp_port: self.rtsp_port,
            user: self.user.clone(),
            password: self.password.clone(),
            channels: self.channels.clone(),
            profiles: self.streams.clone(),
            transport: self.transport,
            transcoded: self.transcode.as_ref().map(|t| t.streams.clone()).unwrap_or_default(),
            // Set up with the session, for all channels alike; who does not record it leaves it out.
            audio: self.recording.audio || self.per_channel.values().any(|r| r.audio),
            enabled: self.enabled,
        }
    }

    fn recorder(&self) -> recorder::DeviceSettings {
        recorder::DeviceSettings {
            settings: self.recording.settings(),
            channels: self.per_channel.iter().map(|(n, r)| (*n, r.settings())).collect(),
            only: self.channels.clone(),
            profiles: self.streams.clone(),
            enabled: self.enabled,
        }
    }

    /// `host:port` of its ISAPI.
    pub fn address(&self) -> String {
        self.camera().address()
    }
}

impl Recording {
    fn settings(&self) -> recorder::Settings {
        recorder::Settings {
            enabled: self.enabled,
            mode: self.mode,
            segment: self.segment,
            fragment: self.fragment,
            sync: self.sync,
            checksum: self.checksum,
            audio: self.audio,
            schedule: self.schedule.clone(),
        }
    }

    fn channel_limits(&self) -> archive::ChannelLimits {
        archive::ChannelLimits {
            retain_days: days(self.retain_days),
            retain_bytes: limit(self.retain_bytes),
            checksum: self.checksum,
        }
    }

    fn limits(&self) -> archive::Limits {
        archive::Limits { retain_days: days(self.retain_days), min_free: self.min_free, checksum: self.checksum }
    }
}

/// In the file, 0 says that there is no limit.
fn days(days: u32) -> Option<u32> {
    (days != 0).then_some(days)
}

/// In the file, 0 says that there is no limit.
fn limit(bytes: u64) -> Option<u64> {
    (bytes != 0).then_some(bytes)
}
