//! Times on the command line: RFC 3339, `now`, or `-2h` for two hours before now.

use super::error::Error;
use crate::base::{Wall, units::parse_duration};

/// Reads a time. `now` is passed in.
pub(super) fn parse(text: &str, now: Wall) -> Result<Wall, Error> {
    if text == "now" {
        return Ok(now);
    }
    match text.strip_prefix('-').map(parse_duration) {
        Some(Ok(before)) => Ok(now.minus(before)),
        _ => Ok(text.parse()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let now: Wall = "2026-11-21T08:00:00Z".parse().unwrap();
        let shown = |text| parse(text, now).map(|t| t.to_string());
        assert_eq!(shown("now").unwrap(), "2026-11-21T08:00:00.000Z");
        assert_eq!(shown("-1h30m").unwrap(), "2026-11-21T06:30:00.000Z");
        assert_eq!(shown("2026-11-21T16:00:00+08:00").unwrap(), "2026-11-21T08:00:00.000Z");
        for text in ["yesterday", "-1", "2026-11-21"] {
            assert_eq!(shown(text).unwrap_err().exit_code(), 2, "{text}");
        }
    }
}
