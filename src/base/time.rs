//! Wall time as skyvis stores and shows it: UTC, microseconds inside, milliseconds in text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr, time::Duration};

/// A moment of UTC, in microseconds since 1970-01-01. Never used to measure how long something took:
/// the host's clock may step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(i64);

/// A text is not a time; says what would be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a time; write RFC 3339, for example 2026-11-21T08:30:00Z or 2026-11-21T16:30:00+08:00")]
pub struct NotATime(String);

impl Wall {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// `self - earlier` in microseconds; negative where `earlier` is later.
    pub const fn micros_since(self, earlier: Wall) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment moved by a signed number of microseconds.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Later by `d`.
    pub fn plus(self, d: Duration) -> Self {
        self.plus_micros(i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
    }

    /// Earlier by `d`.
    pub fn minus(self, d: Duration) -> Self {
        self.plus_micros(-i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
    }

    /// As HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn http_date(self) -> [u8; 29] {
        let text = self.to_timestamp().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        // Only a year of five digits is longer, which no clock shows.
        text.as_bytes().first_chunk().copied().unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT")
    }

    /// The civil time in UTC; out-of-range values are clamped to what the calendar can show.
    pub fn to_timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

impl From<jiff::Timestamp> for Wall {
    fn from(t: jiff::Timestamp) -> Self {
        Self(t.as_microsecond())
    }
}

impl fmt::Display for Wall {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = Wall::from_millis(self.millis());
        write!(f, "{:.3}", ms.to_timestamp())
    }
}

impl FromStr for Wall {
    type Err = NotATime;

    /// RFC 3339 with any offset. A `+` that a query string turned into a space is understood.
    fn from_str(s: &str) -> Result<Self, NotATime> {
        let fixed = if s.contains('T') || s.contains('t') { s.replace(' ', "+") } else { s.to_owned() };
        fixed.parse::<jiff::Timestamp>().map(Self::from).map_err(|_| NotATime(s.chars().take(64).collect()))
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Wall {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = String::deserialize(d)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            i64::deserialize(d).map(Self)
        }
    }
}

impl schemars::JsonSchema for Wall {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time", "description": "RFC 3339, UTC, milliseconds" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utc_with_milliseconds_and_any_offset_is_read() {
        let t: Wall = "2026-11-21T16:30:00.5+08:00".parse().unwrap();
        assert_eq!(t.to_string(), "2026-11-21T08:30:00.500Z");
        assert_eq!("2026-11-21T16:30:00.5 08:00".parse::<Wall>().unwrap(), t, "a + lost to form encoding");
        assert!("yesterday".parse::<Wall>().unwrap_err().to_string().contains("RFC 3339"));
    }

    #[test]
    fn microseconds_survive_the_store_and_are_floored_in_text() {
        let t = Wall::from_micros(1_700_000_000_123_999);
        assert_eq!(postcard::from_bytes::<Wall>(&postcard::to_stdvec(&t).unwrap()).unwrap(), t);
        assert!(t.to_string().ends_with(".123Z"));
    }
}
