//! What a PLAY asks for: `Range` in normal play time or by the clock, `Scale`, `Speed` (RFC 2326, 3.6, 3.7, 12.29,
//! 12.34, 12.35). Pure.

use crate::base::Wall;
use std::time::Duration;

/// The furthest normal play time that is understood, in seconds: about a hundred years.
const NPT_SECONDS_MAX: f64 = 3.2e9;

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// What is live.
    Now,
    /// So long after the begin of what was described.
    Npt(Duration),
    /// A moment.
    Clock(Wall),
}

/// A range of time to be played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// None: from where it stands.
    pub from: Option<Point>,
    /// None: to the end.
    pub to: Option<Point>,
}

impl Span {
    /// Reads a `Range` header. None where it is none, or is in frames of film.
    pub fn parse(header: &str) -> Option<Self> {
        let spec = header.split(';').next()?.trim();
        let (unit, range) = spec.split_once('=')?;
        let (from, to) = range.trim().split_once('-')?;
        let point = match unit.trim().to_ascii_lowercase().as_str() {
            "npt" => npt,
            "clock" => clock,
            _ => return None,
        };
        let end = |text: &str| match text.trim() {
            "" => Some(None),
            text => point(text).map(Some),
        };
        let span = Self { from: end(from)?, to: end(to)? };
        (span != Self::default()).then_some(span)
    }
}

/// `now`, `12.5`, `1:02:03.5`.
fn npt(text: &str) -> Option<Point> {
    if text.eq_ignore_ascii_case("now") {
        return Some(Point::Now);
    }
    let mut seconds = 0.0;
    let fields: Vec<&str> = text.split(':').collect();
    if fields.len() > 3 || fields.iter().any(|f| !f.bytes().all(|b| b.is_ascii_digit() || b == b'.')) {
        return None;
    }
    for field in fields {
        seconds = seconds * 60.0 + field.parse::<f64>().ok()?;
    }
    (0.0..=NPT_SECONDS_MAX).contains(&seconds).then(|| Point::Npt(Duration::from_secs_f64(seconds)))
}

fn clock(text: &str) -> Option<Point> {
    moment(text).map(Point::Clock)
}

/// A moment as RTSP and Hikvision write it, `20260101T000000Z` with or without a fraction and in either case, or as
/// RFC 3339 does.
pub fn moment(text: &str) -> Option<Wall> {
    text.to_ascii_uppercase().parse().ok()
}

/// A moment as a `Range` header has it.
pub fn clock_text(at: Wall) -> String {
    at.to_timestamp().strftime("%Y%m%dT%H%M%S%.3fZ").to_string()
}

/// Reads `Scale` or `Speed`: a number that is not 0. What comes after it is left alone, as in `Speed: 1.0-2.0`.
pub fn factor(header: &str) -> Option<f64> {
    let text = header.trim();
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.char_indices().find(|(n, c)| !(digits(*c) || (*n == 0 && matches!(c, '-' | '+')))).map(|(n, _)| n);
    let value: f64 = text[..end.unwrap_or(text.len())].parse().ok()?;
    (value.is_finite() && value != 0.0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: f64) -> Option<Point> {
        Some(Point::Npt(Duration::from_secs_f64(n)))
    }

    #[test]
    fn ranges_are_read_as_clients_write_them() {
        let at = |text: &str| Some(Point::Clock(text.parse().unwrap()));
        for (header, from, to) in [
            ("npt=0.000-", seconds(0.0), None),
            ("npt=10.5-20", seconds(10.5), seconds(20.0)),
            ("npt=1:02:03.5-", seconds(3723.5), None),
            ("npt=now-", Some(Point::Now), None),
            ("npt=-20", None, seconds(20.0)),
            ("clock=20260101T000000Z-", at("2026-01-01T00:00:00Z"), None),
            (
                "clock=20260101T000000.25Z-20260101T000500Z;time=x",
                at("2026-01-01T00:00:00.25Z"),
                at("2026-01-01T00:05:00Z"),
            ),
            ("Clock=20260101t000000z-", at("2026-01-01T00:00:00Z"), None),
        ] {
            assert_eq!(Span::parse(header), Some(Span { from, to }), "{header}");
        }
        for header in ["", "npt", "npt=", "npt=-", "npt=x-", "npt=1:2:3:4-", "npt=-1-", "smpte=10:07:00-", "npt=1e9-"] {
            assert_eq!(Span::parse(header), None, "{header}");
        }
    }

    #[test]
    fn moments_have_three_forms() {
        let wanted = Some("2026-01-01T00:00:00Z".parse().unwrap());
        for text in ["20260101T000000Z", "20260101t000000z", "2026-01-01T00:00:00Z", "2026-01-01T08:00:00+08:00"] {
            assert_eq!(moment(text), wanted, "{text}");
        }
        for text in ["", "20260101", "20261301T000000Z", "now", "20260101T000000"] {
            assert_eq!(moment(text), None, "{text}");
        }
        let at = "2026-01-01T00:00:00.25Z".parse().unwrap();
        assert_eq!(clock_text(at), "20260101T000000.250Z");
        assert_eq!(moment(&clock_text(at)), Some(at));
    }

    #[test]
    fn factors_are_numbers() {
        assert_eq!(
            (factor("2"), factor(" 0.5 "), factor("-1.0"), factor("1.5-3")),
            (Some(2.0), Some(0.5), Some(-1.0), Some(1.5))
        );
        for header in ["", "x", "0", "0.0", "-", "1.2.3", "inf", "NaN"] {
            assert_eq!(factor(header), None, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_borne(text in "(npt|clock)?=?[0-9:.TZ-]{0,40}|\\PC{0,40}") {
            let _ = (Span::parse(&text), factor(&text), moment(&text));
        }
    }
}
