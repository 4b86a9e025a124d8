//! Names of things: devices and streams.

use serde::{Deserialize, Serialize, de};
use std::{fmt, str::FromStr, sync::Arc};

/// The longest device id, in bytes.
pub const DEVICE_ID_LEN_MAX: usize = 32;
/// The highest channel number that is believed.
pub const CHANNEL_MAX: u32 = 65_535;

/// A key that cannot be one; says what is wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadKey {
    /// Not `[a-z0-9-]{1,32}`.
    #[error("`{0}` is not a device id; use 1 to 32 of a-z, 0-9 and `-`")]
    Device(String),
    /// Not `<device>/<channel>/<main|sub>`.
    #[error("`{0}` is not a stream; write <device>/<channel>/<main|sub>, for example nvr1/3/main")]
    Stream(String),
}

/// The id of a configured device: `[a-z0-9-]{1,32}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceId {
    type Err = BadKey;

    fn from_str(s: &str) -> Result<Self, BadKey> {
        let fits = (1..=DEVICE_ID_LEN_MAX).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(s.into())) } else { Err(BadKey::Device(s.chars().take(64).collect())) }
    }
}

/// Which encoding of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The full picture; Hikvision's stream 1.
    Main,
    /// The small picture; Hikvision's stream 2.
    Sub,
}

impl Profile {
    /// `main` or `sub`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
        }
    }

    /// The last figure of Hikvision's stream ids: channel × 100 + this.
    pub const fn number(self) -> u32 {
        match self {
            Self::Main => 1,
            Self::Sub => 2,
        }
    }
}

impl FromStr for Profile {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "main" => Ok(Self::Main),
            "sub" => Ok(Self::Sub),
            _ => Err(()),
        }
    }
}

/// `<device>/<channel>/<main|sub>`: one encoding of one channel of one device.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The device.
    pub device: DeviceId,
    /// Numbered from 1, as the device numbers it.
    pub channel: u32,
    /// Main or sub.
    pub profile: Profile,
}

impl StreamKey {
    /// Puts a key together.
    pub fn new(device: DeviceId, channel: u32, profile: Profile) -> Self {
        Self { device, channel, profile }
    }
}

impl FromStr for StreamKey {
    type Err = BadKey;

    fn from_str(s: &str) -> Result<Self, BadKey> {
        let parse = || {
            let mut parts = s.split('/');
            let device = parts.next()?.parse().ok()?;
            let number = parts.next()?;
            let channel: u32 = number.parse().ok().filter(|c| (1..=CHANNEL_MAX).contains(c))?;
            // One spelling per key: no `+3`, no `03`.
            let canonical = number == channel.to_string();
            let profile = parts.next()?.parse().ok()?;
            (canonical && parts.next().is_none()).then_some(Self { device, channel, profile })
        };
        parse().ok_or_else(|| BadKey::Stream(s.chars().take(64).collect()))
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.device, self.channel, self.profile.as_str())
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! serde_as_text {
    ($type:ty, $name:literal, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "examples": [$example] })
            }
        }
    };
}
serde_as_text!(DeviceId, "DeviceId", "nvr1");
serde_as_text!(StreamKey, "StreamKey", "nvr1/3/main");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_nothing_else_is_a_key() {
        for s in ["nvr1/3/main", "a/65535/sub"] {
            assert_eq!(s.parse::<StreamKey>().unwrap().to_string(), s);
        }
        for s in [
            "",
            "nvr1",
            "nvr1/0/main",
            "nvr1/3/third",
            "../1/main",
            "NVR/1/main",
            "a/1/main/x",
            "a/+1/main",
            "a/01/main",
        ] {
            assert!(s.parse::<StreamKey>().is_err(), "{s}");
        }
    }
}
