//! Lengths of time as the API writes them. Pure.

use std::time::Duration;

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];
/// Three hundred years: the longest that the API's own numbers hold.
const SECONDS_MAX: f64 = 9.2e9;

/// Reads `10s`, `1m30s`, `1.5h`, `0`.
pub(super) fn read(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        let tail = &rest[end..];
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (_, scale) = UNITS.iter().find(|(unit, _)| *unit == &tail[..unit_end])?;
        nanos += number * scale;
        rest = &tail[unit_end..];
    }
    (nanos / 1e9 < SECONDS_MAX).then(|| Duration::from_nanos(nanos as u64))
}

/// Writes `10s`, `1m30s`, `500ms`, `0s`.
pub(super) fn show(time: Duration) -> String {
    let nanos = time.as_nanos();
    let scaled = |scale: u32, unit: &str| {
        let text = format!("{}", nanos as f64 / f64::from(scale));
        format!("{text}{unit}")
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => scaled(1_000, "µs"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "ms"),
        _ => {
            let (hours, minutes) = (time.as_secs() / 3_600, time.as_secs() / 60 % 60);
            let seconds = (time.as_secs() % 60) as f64 + f64::from(time.subsec_nanos()) / 1e9;
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_as_clients_do() {
        for (text, millis, shown) in [
            ("10s", 10_000, "10s"),
            ("90s", 90_000, "1m30s"),
            ("1m", 60_000, "1m0s"),
            ("1h", 3_600_000, "1h0m0s"),
            ("500ms", 500, "500ms"),
            ("1.5s", 1_500, "1.5s"),
            ("120000ms", 120_000, "2m0s"),
            ("0", 0, "0s"),
        ] {
            let time = read(text).unwrap();
            assert_eq!((time, show(time).as_str()), (Duration::from_millis(millis), shown), "{text}");
        }
        for bad in ["", "10", "abc", "-1s", "1d", "s", "1e3s", "999999999h"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
