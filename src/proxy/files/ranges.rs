//! `Range` with one range or several (RFC 9110, section 14). Pure.

use std::ops::Range;

/// A set of more is a mistake or an attack: all of the file is sent.
const RANGES_MAX: usize = 32;

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All, with 200: no range, one that nobody can read, or ranges that together are more than the file.
    Whole,
    /// One part or several, with 206.
    Parts(Vec<Range<u64>>),
    /// 416.
    Nothing,
}

impl Wanted {
    /// Reads the field for a file of `total` bytes.
    pub(super) fn of(field: &[u8], total: u64) -> Self {
        let Ok(text) = std::str::from_utf8(field) else { return Self::Whole };
        let Some((unit, set)) = text.split_once('=') else { return Self::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let mut parts = Vec::new();
        let mut sum = 0u64;
        for (count, spec) in set.split(',').map(str::trim).filter(|s| !s.is_empty()).enumerate() {
            if count == RANGES_MAX {
                return Self::Whole;
            }
            let Some((first, last)) = spec.split_once('-') else { return Self::Whole };
            let range = match (number(first), number(last), first.trim().is_empty(), last.trim().is_empty()) {
                (Some(first), Some(last), ..) if first <= last => first..last.saturating_add(1).min(total),
                (Some(first), None, _, true) => first..total,
                (None, Some(suffix), true, _) => total.saturating_sub(suffix)..total,
                _ => return Self::Whole,
            };
            if range.start < range.end {
                sum = sum.saturating_add(range.end - range.start);
                parts.push(range);
            }
        }
        match parts.is_empty() {
            true if set.contains('-') => Self::Nothing,
            true => Self::Whole,
            // Who asks for the same again and again would have us send what no file has.
            false if sum > total => Self::Whole,
            false => Self::Parts(parts),
        }
    }
}

/// Digits only; a number too large to hold is larger than any file.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Wanted::*, *};

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one range is one part")]
    fn the_cases_of_the_standard() {
        for (field, total, wanted) in [
            ("bytes=0-499", 10_000, Parts(vec![0..500])),
            ("bytes=9500-", 10_000, Parts(vec![9500..10_000])),
            ("bytes=-500", 10_000, Parts(vec![9500..10_000])),
            ("bytes=-20000", 10_000, Parts(vec![0..10_000])),
            ("BYTES = 0-0, -1", 10, Parts(vec![0..1, 9..10])),
            ("bytes=0-0,20-30", 10, Parts(vec![0..1])),
            ("bytes=0-99999999999999999999999", 10, Parts(vec![0..10])),
            ("bytes=10-", 10, Nothing),
            ("bytes=-0", 10, Nothing),
            ("bytes=0-", 0, Nothing),
            ("bytes=5-4", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=0-1,x", 10, Whole),
            ("bytes=0-9,0-9", 10, Whole),
            ("bytes=", 10, Whole),
            ("lines=0-1", 10, Whole),
            ("bytes", 10, Whole),
        ] {
            assert_eq!(Wanted::of(field.as_bytes(), total), wanted, "{field}");
        }
        let many = format!("bytes={}", (0..33).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(","));
        assert_eq!(Wanted::of(many.as_bytes(), 1000), Whole);
    }

    proptest::proptest! {
        #[test]
        fn parts_lie_inside_and_are_no_more_than_the_file(field in "bytes=[0-9, -]{0,60}", total in 0u64..1000) {
            if let Parts(parts) = Wanted::of(field.as_bytes(), total) {
                proptest::prop_assert!(!parts.is_empty());
                proptest::prop_assert!(parts.iter().all(|p| p.start < p.end && p.end <= total));
                proptest::prop_assert!(parts.iter().map(|p| p.end - p.start).sum::<u64>() <= total);
            }
        }
    }
}
