//! Ages, lengths and rates as a person reads them.

use crate::base::Wall;

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 60 * MINUTE_S;
const DAY_S: i64 = 24 * HOUR_S;

/// How long ago: `now`, `12 s ago`, `3 min ago`, `5 h ago`, `9 d ago`.
pub(super) fn age(then: Wall, now: Wall) -> String {
    match now.micros_since(then) / 1_000_000 {
        ..=-60 => "in the future".into(),
        -59..=1 => "now".into(),
        s => format!("{} ago", rough(s)),
    }
}

/// A length with the two units that matter: `1 h 02 min`, `3 min 05 s`, `12.4 s`.
pub(super) fn length(micros: i64) -> String {
    let seconds = micros.max(0) / 1_000_000;
    match seconds {
        0..MINUTE_S => format!("{:.1} s", micros.max(0) as f64 / 1e6),
        MINUTE_S..HOUR_S => format!("{} min {:02} s", seconds / MINUTE_S, seconds % MINUTE_S),
        HOUR_S..DAY_S => format!("{} h {:02} min", seconds / HOUR_S, seconds % HOUR_S / MINUTE_S),
        _ => format!("{} d {:02} h", seconds / DAY_S, seconds % DAY_S / HOUR_S),
    }
}

/// Bits per second: `4.1 Mbit/s`.
pub(super) fn rate(bits_per_second: u64) -> String {
    let value = bits_per_second as f64;
    match bits_per_second {
        0 => String::new(),
        1..1_000 => format!("{value} bit/s"),
        1_000..1_000_000 => format!("{:.0} kbit/s", value / 1e3),
        _ => format!("{:.1} Mbit/s", value / 1e6),
    }
}

/// A part of a whole: `100 %`, `99.98 %`; what is not quite all never reads as all.
pub(super) fn part(part: f64) -> String {
    match part {
        1.0.. => "100 %".into(),
        _ => format!("{:.2} %", (part * 10_000.0).floor() / 100.0),
    }
}

fn rough(seconds: i64) -> String {
    match seconds {
        ..MINUTE_S => format!("{seconds} s"),
        MINUTE_S..HOUR_S => format!("{} min", seconds / MINUTE_S),
        HOUR_S..DAY_S => format!("{} h", seconds / HOUR_S),
        _ => format!("{} d", seconds / DAY_S),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_lengths_and_rates() {
        let now = Wall::from_micros(1_000_000_000_000_000);
        let ages =
            [0, 1, 2, 59, 60, 3599, 7200, 86_400 * 9, -30, -90].map(|s| age(now.plus_micros(-s * 1_000_000), now));
        let expected = [
            "now",
            "now",
            "2 s ago",
            "59 s ago",
            "1 min ago",
            "59 min ago",
            "2 h ago",
            "9 d ago",
            "now",
            "in the future",
        ];
        assert_eq!(ages, expected);
        assert_eq!(
            [12_400_000, 185_000_000, 3_720_000_000, 90_000_000_000].map(length),
            ["12.4 s", "3 min 05 s", "1 h 02 min", "1 d 01 h"]
        );
        assert_eq!([1.0, 0.999_999, 0.5, 0.0].map(part), ["100 %", "99.99 %", "50.00 %", "0.00 %"]);
        assert_eq!([0, 900, 64_000, 4_100_000].map(rate), ["", "900 bit/s", "64 kbit/s", "4.1 Mbit/s"]);
    }
}
