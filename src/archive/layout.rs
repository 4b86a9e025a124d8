//! Where a segment's file lies, and back: path ↔ (stream, start, suffix). Pure.
//!
//! `<device>/<channel>/<main|sub>/<YYYY>/<MM>/<DD>/<HH>/<YYYYMMDDTHHMMSS.mmmZ[-n]>.mp4` (`.jpg` for a picture), all of it in UTC, so that
//! names sort in time. There is one spelling per segment: what does not format back to itself is not ours.

use crate::{
    base::Wall,
    model::{StreamKey, segment::PICTURE},
};
use std::path::{Path, PathBuf};

/// The end of a segment's name.
pub const EXTENSION: &str = ".mp4";
/// The end of a picture's name.
pub const PICTURE_EXTENSION: &str = ".jpg";
/// What is added to a segment's name until its first fragment is durable.
pub const UNFINISHED: &str = ".tmp";
/// The highest `-n` that is believed.
pub const SUFFIX_MAX: u32 = 9_999;

/// 9999-12-30, the last day that has a four-figure year in every time zone.
const MICROS_MAX: i64 = 253_402_128_000_000_000;

/// What a file in an hour's directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Milliseconds since the epoch.
    pub start_ms: i64,
    /// The `n` of `-n`, 0 without; and [`PICTURE`] where it is one.
    pub suffix: u32,
}

/// What an entry's name says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A segment with at least one whole fragment.
    Segment(Name),
    /// A segment whose first fragment was not durable yet when it was written last.
    Unfinished(Name),
    /// Not ours.
    Foreign,
}

/// An hour's directory, as it sorts: year, month, day, hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
}

/// A start that the layout can name: since 1970, before the year 10000.
pub fn nameable(start: Wall) -> Wall {
    Wall::from_micros(start.micros().clamp(0, MICROS_MAX))
}

/// The directory of a stream, below the recordings directory.
pub fn stream_dir(stream: &StreamKey) -> PathBuf {
    PathBuf::from(stream.to_string())
}

/// Path of a segment's file, below the recordings directory.
pub fn path(stream: &StreamKey, start: Wall, suffix: u32) -> PathBuf {
    let mut path = stream_dir(stream);
    path.push(Hour::of(start).dir());
    path.push(file_name(Name { start_ms: nameable(start).millis(), suffix }));
    path
}

/// What the file of this path is called until its first fragment is durable.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// `20261121T083000.000Z-1.mp4`.
pub fn file_name(name: Name) -> String {
    let t = nameable(Wall::from_millis(name.start_ms)).to_timestamp().to_zoned(jiff::tz::TimeZone::UTC);
    let stamp = format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}.{:03}Z",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second(),
        t.millisecond()
    );
    let extension = if name.suffix & PICTURE != 0 { PICTURE_EXTENSION } else { EXTENSION };
    match name.suffix & !PICTURE {
        0 => format!("{stamp}{extension}"),
        n => format!("{stamp}-{n}{extension}"),
    }
}

/// What the entry of an hour's directory is. Whatever is not spelled exactly as we would, or lies in the wrong hour,
/// is foreign.
pub fn classify(hour: Hour, text: &str) -> Entry {
    if let Some(rest) = text.strip_suffix(UNFINISHED) {
        return parse_name(hour, rest).map_or(Entry::Foreign, Entry::Unfinished);
    }
    parse_name(hour, text).map_or(Entry::Foreign, Entry::Segment)
}

fn parse_name(hour: Hour, text: &str) -> Option<Name> {
    let (stem, kind) = match text.strip_suffix(EXTENSION) {
        Some(stem) => (stem, 0),
        None => (text.strip_suffix(PICTURE_EXTENSION)?, PICTURE),
    };
    let (stamp, suffix) = match stem.split_once('-') {
        None => (stem, 0),
        Some((stamp, n)) => (stamp, n.parse().ok().filter(|n| (1..=SUFFIX_MAX).contains(n))?),
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S%.3fZ", stamp).ok()?;
    let start = Wall::from(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    let name = Name { start_ms: start.millis(), suffix: suffix | kind };
    (Hour::of(start) == hour && file_name(name) == text).then_some(name)
}

impl Hour {
    /// The hour that a moment lies in.
    pub fn of(t: Wall) -> Self {
        let t = nameable(t).to_timestamp().to_zoned(jiff::tz::TimeZone::UTC);
        Self { year: t.year(), month: t.month(), day: t.day(), hour: t.hour() }
    }

    /// `2026/11/21/08`.
    pub fn dir(self) -> PathBuf {
        let Self { year, month, day, hour } = self;
        PathBuf::from(format!("{year:04}/{month:02}/{day:02}/{hour:02}"))
    }

    /// From the names of the four directories; None where they are not such names.
    pub fn parse(parts: [&str; 4]) -> Option<Self> {
        let [year, month, day, hour] = parts;
        let found = Self {
            year: year.parse().ok()?,
            month: month.parse().ok()?,
            day: day.parse().ok()?,
            hour: hour.parse().ok()?,
        };
        let real = jiff::civil::DateTime::new(found.year, found.month, found.day, found.hour, 0, 0, 0).is_ok();
        (real && found.year >= 1970 && found.dir().to_str() == Some(&parts.join("/"))).then_some(found)
    }

    /// The directory's names that lie at or above this hour's path, `depth` (0 to 3) levels down: whether a directory
    /// that is named by the first parts of an hour can hold hours from `self` on.
    pub fn reaches(self, parts: &[&str]) -> bool {
        let own = self.dir();
        let own: Vec<_> = own.iter().filter_map(|p| p.to_str()).take(parts.len()).collect();
        // Names have fixed widths, so text sorts as numbers do.
        parts >= own.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream() -> StreamKey {
        "nvr1/3/main".parse().unwrap()
    }

    #[test]
    fn a_path_reads_as_the_contract_says() {
        let start: Wall = "2026-11-21T08:30:00.5Z".parse().unwrap();
        let text = |suffix| path(&stream(), start, suffix).to_str().unwrap().to_owned();
        assert_eq!(text(0), "nvr1/3/main/2026/11/21/08/20261121T083000.500Z.mp4");
        assert_eq!(text(2), "nvr1/3/main/2026/11/21/08/20261121T083000.500Z-2.mp4");
    }

    #[test]
    fn only_our_own_spelling_is_ours() {
        let hour = Hour::parse(["2026", "11", "21", "08"]).unwrap();
        let good = Name { start_ms: 1_795_249_800_500, suffix: 0 };
        assert_eq!(classify(hour, "20261121T083000.500Z.mp4"), Entry::Segment(good));
        assert_eq!(classify(hour, "20261121T083000.500Z-7.mp4"), Entry::Segment(Name { suffix: 7, ..good }));
        assert_eq!(classify(hour, "20261121T083000.500Z.mp4.tmp"), Entry::Unfinished(good));
        assert_eq!(classify(hour, "20261121T083000.500Z.jpg"), Entry::Segment(Name { suffix: PICTURE, ..good }));
        assert_eq!(classify(hour, "20261121T083000.500Z-7.jpg"), Entry::Segment(Name { suffix: PICTURE | 7, ..good }));
        let picture = Name { suffix: PICTURE, ..good };
        assert_eq!(classify(hour, "20261121T083000.500Z.jpg.tmp"), Entry::Unfinished(picture));
        for name in [
            "",
            ".mp4",
            "x.mp4",
            "20261121T083000.500Z.mp4.bak",
            "20261121T083000.5Z.mp4",
            "20261121T083000.500Z-0.mp4",
            "20261121T083000.500Z-01.mp4",
            "20261121T083000.500Z--1.mp4",
            "20261121T083000.500Z-99999999999.mp4",
            "20261121T093000.500Z.mp4", // another hour's
            "20261321T083000.500Z.mp4",
            "+20261121T083000.500Z.mp4",
            "20261121T083000.500Z .mp4",
            "../20261121T083000.500Z.mp4",
            "20261121T083060.500Z.mp4",
            "２0261121T083000.500Z.mp4",
        ] {
            assert_eq!(classify(hour, name), Entry::Foreign, "{name}");
        }
    }

    #[test]
    fn only_real_hours_are_hours() {
        for parts in [
            ["2026", "13", "01", "00"],
            ["2026", "02", "30", "00"],
            ["2026", "1", "01", "00"],
            ["26", "01", "01", "00"],
            ["+2026", "01", "01", "00"],
            ["2026", "01", "01", "24"],
            ["..", "01", "01", "00"],
            ["1969", "01", "01", "00"],
        ] {
            assert_eq!(Hour::parse(parts), None, "{parts:?}");
        }
    }

    #[test]
    fn a_directory_reaches_an_hour_at_every_depth() {
        let hour = Hour::parse(["2026", "11", "21", "08"]).unwrap();
        for yes in [&["2026"][..], &["2027"], &["2026", "11"], &["2026", "11", "21", "08"], &["2026", "12", "01", "00"]]
        {
            assert!(hour.reaches(yes), "{yes:?}");
        }
        for no in [&["2025"][..], &["2026", "10"], &["2026", "11", "21", "07"], &["2025", "12", "31", "23"]] {
            assert!(!hour.reaches(no), "{no:?}");
        }
    }

    proptest! {
        #[test]
        fn every_start_has_one_path_that_reads_back(
            micros in 0i64..=MICROS_MAX, suffix in 0u32..=SUFFIX_MAX, picture: bool,
        ) {
            let suffix = if picture { suffix | PICTURE } else { suffix };
            let start = Wall::from_micros(micros);
            let path = path(&stream(), start, suffix);
            let parts: Vec<&str> = path.iter().map(|p| p.to_str().unwrap()).collect();
            let hour = Hour::parse([parts[3], parts[4], parts[5], parts[6]]).unwrap();
            prop_assert_eq!(hour, Hour::of(start));
            prop_assert_eq!(classify(hour, parts[7]), Entry::Segment(Name { start_ms: start.millis(), suffix }));
        }

        #[test]
        fn names_sort_in_time(a in 0i64..=MICROS_MAX, b in 0i64..=MICROS_MAX) {
            let name = |t| path(&stream(), Wall::from_micros(t), 0);
            if a / 1000 < b / 1000 {
                prop_assert!(name(a) < name(b));
            }
        }

        #[test]
        fn nonsense_never_panics(text in "\\PC{0,40}") {
            let hour = Hour::of(Wall::from_micros(0));
            let _ = classify(hour, &text);
            let _ = Hour::parse([&text, "01", "01", "00"]);
        }
    }
}
