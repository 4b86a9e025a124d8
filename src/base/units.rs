//! Durations and sizes as people write them: `"500ms"`, `"30s"`, `"5m"`, `"500GiB"`, `"5%"`.

use std::{fmt, time::Duration};

/// A text is not a duration or size; says what would be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a {what}; write for example {example}")]
pub struct BadUnit {
    text: String,
    what: &'static str,
    example: &'static str,
}

const DURATION_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads `"1h30m"`, `"500ms"`, `"0"`. Whole milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, BadUnit> {
    let bad = || BadUnit { text: clip(text), what: "duration", example: r#""500ms", "30s", "5m", "24h" or "7d""# };
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let (number, unit, tail) = split_number(rest).ok_or_else(bad)?;
        let scale = DURATION_UNITS.iter().find(|(u, _)| *u == unit).ok_or_else(bad)?.1;
        total_ms = scaled(number, scale).and_then(|ms| total_ms.checked_add(ms)).ok_or_else(bad)?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_millis(total_ms))
}

/// Reads `"500GiB"`, `"1.5TB"`, `"0"`. Bytes.
pub fn parse_size(text: &str) -> Result<u64, BadUnit> {
    let bad = || BadUnit { text: clip(text), what: "size", example: r#""0B", "200MiB" or "1.5TB""# };
    if text.trim() == "0" {
        return Ok(0);
    }
    let (number, unit, tail) = split_number(text.trim()).ok_or_else(bad)?;
    let unit = if unit.is_empty() { return Err(bad()) } else { unit };
    let scale = SIZE_UNITS.iter().find(|(u, _)| u.eq_ignore_ascii_case(unit)).ok_or_else(bad)?.1;
    if !tail.is_empty() {
        return Err(bad());
    }
    scaled(number, scale).ok_or_else(bad)
}

/// `"90s"` as `"1m30s"`: the text that [`parse_duration`] reads back.
pub fn format_duration(d: Duration) -> String {
    let mut left = u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, scale) in DURATION_UNITS.iter().rev() {
        if left >= *scale && (*unit != "d" || left.is_multiple_of(*scale)) {
            out += &format!("{}{unit}", left / scale);
            left %= scale;
        }
    }
    out
}

/// Bytes as `"500GiB"` where whole, else as plain bytes: what [`parse_size`] reads back.
pub fn format_size(bytes: u64) -> String {
    for (unit, scale) in SIZE_UNITS[5..].iter().rev() {
        if bytes >= *scale && bytes.is_multiple_of(*scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    format!("{bytes}B")
}

/// Bytes for a person: three figures and a binary unit.
pub struct Human(pub u64);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if value < 1000.0 {
                let digits = usize::from(value < 100.0 && unit != "B");
                return write!(f, "{value:.digits$} {unit}");
            }
            value /= 1024.0;
        }
        write!(f, "{value:.1} TiB")
    }
}

/// Splits `"1.5GiB rest"` into number, unit letters and what follows.
fn split_number(text: &str) -> Option<(&str, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, tail) = rest.split_at(letters);
    (!number.is_empty()).then_some((number, unit, tail))
}

/// `number * scale`, exact for whole numbers, to the nearest unit for fractions.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale);
    }
    let value = number.parse::<f64>().ok()? * scale as f64;
    (value.is_finite() && value < 9.0e18).then_some(value.round() as u64)
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in
            [("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("0", 0), ("1.5s", 1_500), ("7d", 604_800_000)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for text in ["", "5", "s", "5 parsecs", "-1s", "1s2", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0B", 0), ("1KiB", 1024), ("500GiB", 500 << 30), ("1.5MB", 1_500_000), ("2 gib", 2 << 30)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "5", "GiB", "5 GiB x", "-1B", "5%"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_formatted_reads_back(ms in 0u64..10_000_000_000, bytes in 0u64..u64::MAX / 4) {
            let d = Duration::from_millis(ms);
            proptest::prop_assert_eq!(parse_duration(&format_duration(d)).unwrap(), d);
            proptest::prop_assert_eq!(parse_size(&format_size(bytes)).unwrap(), bytes);
        }
    }
}
