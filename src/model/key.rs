//! Names of things: devices and streams.

use serde::{Deserialize, Serialize, de};
use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// The longest id of a configured device, in bytes.
pub const DEVICE_ID_LEN_MAX: usize = 32;
/// The longest `devIndex` of a device behind a gateway, in bytes. Gateways hand out UUIDs of 36.
pub const DEV_INDEX_LEN_MAX: usize = 64;
/// Between a gateway's id and the `devIndex` of a device behind it.
const BEHIND: char = ':';
/// So much of what is no key is shown in an error: as much as the longest key takes.
const SHOWN_CHARS_MAX: usize = 128;
/// The highest channel number that is believed.
pub const CHANNEL_MAX: u32 = 65_535;

/// A key that cannot be one; says what is wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadKey {
    /// Not `[a-z0-9-]{1,32}`, with or without `:<devIndex>`.
    #[error(
        "`{0}` is not a device id; use 1 to 32 of a-z, 0-9 and `-`, and for a device behind a gateway <gateway>:<devIndex>"
    )]
    Device(String),
    /// Not `[a-z0-9-]{1,32}`.
    #[error("`{0}` is not a device id; use 1 to 32 of a-z, 0-9 and `-`")]
    Configured(String),
    /// Not `[A-Za-z0-9-]{1,64}`.
    #[error("`{0}` is not a devIndex; it has 1 to 64 of A-Z, a-z, 0-9 and `-`")]
    DevIndex(String),
    /// Not `<device>/<channel>/<main|sub>`.
    #[error("`{0}` is not a stream; write <device>/<channel>/<main|sub>, for example nvr1/3/main")]
    Stream(String),
}

/// The id of a device: `[a-z0-9-]{1,32}` for one that the configuration names, and `<gateway>:<devIndex>` for one that
/// a configured gateway has behind it, where `devIndex` is spelled as the gateway does, `[A-Za-z0-9-]{1,64}`.
///
/// Settings, passwords and limits are those of the configured part. Ids order as their text does, so that they can be
/// looked up by it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id that may stand in the configuration: one without a gateway.
    pub fn parse_configured(text: &str) -> Result<Self, BadKey> {
        match is_configured(text) {
            true => Ok(Self(text.into())),
            false => Err(BadKey::Configured(shown(text))),
        }
    }

    /// The configured device that this one is, or lies behind.
    pub fn configured(&self) -> Self {
        if self.dev_index().is_none() { self.clone() } else { Self(self.configured_str().into()) }
    }

    /// The text of [`configured`](Self::configured), for looking things up.
    pub fn configured_str(&self) -> &str {
        self.0.split_once(BEHIND).map_or(&*self.0, |(configured, _)| configured)
    }

    /// The gateway's name for this device, where it lies behind one.
    pub fn dev_index(&self) -> Option<&str> {
        self.0.split_once(BEHIND).map(|(_, index)| index)
    }

    /// The device of that `devIndex` behind this gateway.
    pub fn member(&self, dev_index: &str) -> Result<Self, BadKey> {
        match is_dev_index(dev_index) {
            true => Ok(Self(format!("{}{BEHIND}{dev_index}", self.configured_str()).into())),
            false => Err(BadKey::DevIndex(shown(dev_index))),
        }
    }
}

impl FromStr for DeviceId {
    type Err = BadKey;

    fn from_str(s: &str) -> Result<Self, BadKey> {
        let fits = match s.split_once(BEHIND) {
            None => is_configured(s),
            Some((gateway, index)) => is_configured(gateway) && is_dev_index(index),
        };
        if fits { Ok(Self(s.into())) } else { Err(BadKey::Device(shown(s))) }
    }
}

impl Borrow<str> for DeviceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn is_configured(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=DEVICE_ID_LEN_MAX).contains(&text.len()) && text.bytes().all(fits)
}

fn is_dev_index(text: &str) -> bool {
    (1..=DEV_INDEX_LEN_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
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
        parse().ok_or_else(|| BadKey::Stream(shown(s)))
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
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const BEHIND_A_GATEWAY: &str = "gw1:A5B5D1C0-0A1B-4B1C-9D1E-0123456789AB/3/main";

    #[test]
    fn keys_read_back_and_nothing_else_is_a_key() {
        for s in ["nvr1/3/main", "a/65535/sub", BEHIND_A_GATEWAY] {
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
            "gw1:/1/main",
            ":A/1/main",
            "gw1:A:B/1/main",
            "gw1:../1/main",
            "gw1:A_B/1/main",
            "GW1:A/1/main",
        ] {
            assert!(s.parse::<StreamKey>().is_err(), "{s}");
        }
    }

    #[test]
    fn a_device_behind_a_gateway_is_known_by_both_parts() {
        let gateway = DeviceId::parse_configured("gw1").unwrap();
        let device = gateway.member("A5B5").unwrap();
        assert_eq!((device.as_str(), device.dev_index()), ("gw1:A5B5", Some("A5B5")));
        assert_eq!(device.configured(), gateway);
        assert_eq!((gateway.configured(), gateway.dev_index()), (gateway.clone(), None));
        assert!(DeviceId::parse_configured("gw1:A5B5").is_err(), "not to be written into a configuration");
        assert!(device.configured().member(&"A".repeat(DEV_INDEX_LEN_MAX + 1)).is_err());
        let limits: BTreeMap<DeviceId, u8> = [(device.configured(), 1)].into();
        assert_eq!(limits.get(device.configured_str()), Some(&1));
    }

    proptest! {
        #[test]
        fn every_id_reads_back_and_is_safe_as_a_directory(text in "[a-z0-9-]{1,32}(:[A-Za-z0-9-]{1,64})?") {
            let id: DeviceId = text.parse().unwrap();
            prop_assert_eq!(id.as_str(), text.as_str());
            prop_assert_eq!(std::path::Path::new(&text).components().count(), 1);
            let again = id.dev_index().map_or(id.clone(), |index| id.configured().member(index).unwrap());
            prop_assert_eq!(again, id);
        }

        #[test]
        fn nothing_else_is_an_id(text in "\\PC{0,80}") {
            if let Ok(id) = text.parse::<DeviceId>() {
                prop_assert!(is_configured(id.configured_str()) && id.dev_index().is_none_or(is_dev_index));
            }
        }
    }
}
