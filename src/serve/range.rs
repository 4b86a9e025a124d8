//! The `Range` header, RFC 9110 §14, of which one range is honoured.

use http::HeaderValue;

/// A run of bytes of a representation, both ends in it. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub first: u64,
    /// Last byte.
    pub last: u64,
}

/// What to do about a `Range` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// None, not understood, or several ranges: send all with 200, as the standard allows.
    Whole,
    /// Send these with 206.
    Part(ByteRange),
    /// Answer 416 with [`unsatisfied`].
    Unsatisfiable,
}

impl ByteRange {
    /// How many bytes.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub fn len(&self) -> u64 {
        self.last - self.first + 1
    }

    /// The `Content-Range` of a 206.
    pub fn content_range(&self, total: u64) -> HeaderValue {
        text(format!("bytes {}-{}/{total}", self.first, self.last))
    }
}

impl RangeOutcome {
    /// Reads a `Range` header for a representation of `total` bytes.
    pub fn parse(header: Option<&HeaderValue>, total: u64) -> Self {
        let Some(header) = header else { return Self::Whole };
        let Some(set) = header.to_str().ok().and_then(after_unit) else { return Self::Whole };
        let set = set.trim();
        if set.contains(',') {
            return Self::Whole;
        }
        let Some((first, last)) = set.split_once('-') else { return Self::Whole };
        match (number(first), number(last), first.is_empty(), last.is_empty()) {
            (Some(first), Some(last), ..) if last >= first => part(first, last.min(total.saturating_sub(1)), total),
            (Some(first), None, _, true) => part(first, total.saturating_sub(1), total),
            (None, Some(suffix), true, _) => suffix_part(suffix, total),
            _ => Self::Whole,
        }
    }

    /// The `Content-Range` of a 416.
    pub fn unsatisfied(total: u64) -> HeaderValue {
        text(format!("bytes */{total}"))
    }
}

fn part(first: u64, last: u64, total: u64) -> RangeOutcome {
    if first < total { RangeOutcome::Part(ByteRange { first, last }) } else { RangeOutcome::Unsatisfiable }
}

fn suffix_part(suffix: u64, total: u64) -> RangeOutcome {
    if suffix == 0 {
        RangeOutcome::Unsatisfiable
    } else {
        part(total.saturating_sub(suffix), total.saturating_sub(1), total)
    }
}

fn after_unit(header: &str) -> Option<&str> {
    let (unit, set) = header.split_once('=')?;
    unit.trim().eq_ignore_ascii_case("bytes").then_some(set)
}

/// Digits only; a number too large to hold is larger than any file.
fn number(s: &str) -> Option<u64> {
    let all_digits = !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| s.parse().unwrap_or(u64::MAX))
}

fn text(s: String) -> HeaderValue {
    HeaderValue::try_from(s).unwrap_or_else(|_| HeaderValue::from_static("bytes */*"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use RangeOutcome::{Part, Unsatisfiable, Whole};

    fn parse(header: &str, total: u64) -> RangeOutcome {
        RangeOutcome::parse(Some(&HeaderValue::from_str(header).unwrap()), total)
    }

    #[test]
    fn the_cases_of_the_standard() {
        let part = |first, last| Part(ByteRange { first, last });
        for (header, total, outcome) in [
            ("bytes=0-499", 10_000, part(0, 499)),
            ("bytes=9500-", 10_000, part(9500, 9999)),
            ("bytes=-500", 10_000, part(9500, 9999)),
            ("bytes=-20000", 10_000, part(0, 9999)),
            ("Bytes=0-99999999999999999999999", 10, part(0, 9)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-5", 0, Unsatisfiable),
            ("bytes=5-4", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=--5", 10, Whole),
            ("bytes=-", 10, Whole),
            ("seconds=1-2", 10, Whole),
            ("bytes", 10, Whole),
        ] {
            assert_eq!(parse(header, total), outcome, "{header} of {total}");
        }
        assert_eq!(RangeOutcome::parse(None, 10), Whole);
        assert_eq!(ByteRange { first: 0, last: 499 }.content_range(1000), "bytes 0-499/1000");
    }

    proptest::proptest! {
        #[test]
        fn a_part_always_lies_inside(header in "bytes=[0-9]{0,20}-[0-9]{0,20}", total in 0u64..1000) {
            if let Part(range) = parse(&header, total) {
                proptest::prop_assert!(range.first <= range.last && range.last < total);
            }
        }
    }
}
