//! When a stream is to be recorded: `mon-fri 07:00-19:00; sat 08:00-12:00 Asia/Shanghai`. Pure.
//!
//! A moment is within the schedule where the clock on the wall of its zone shows a time within one of the windows. So
//! it is right through every change of summer time: an hour that comes twice is recorded twice, one that is left out is
//! not waited for.

use crate::base::Wall;
use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Time, Weekday},
    tz::{AmbiguousOffset, TimeZone},
};
use std::{fmt, str::FromStr, sync::Arc};

/// Days that are looked ahead for the next change: a window of one weekday comes again within a week.
const DAYS_AHEAD: i64 = 9;
/// More windows than this are no schedule that a person wrote.
const WINDOWS_MAX: usize = 64;
const MINUTES_OF_DAY: u16 = 24 * 60;
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
const EXAMPLE: &str = "write for example \"mon-fri 07:00-19:00 Asia/Shanghai\", \"daily 22:00-06:00\" or \"mon,wed 08:00-12:00; sat 09:00-10:00\"";

/// When a stream is to be recorded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schedule(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: String,
    windows: Vec<Window>,
    zone: TimeZone,
}

/// From a minute of some days to another one, of the same day or the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// By days since Monday.
    days: [bool; 7],
    from: u16,
    /// Not after `from`: of the next day.
    to: u16,
}

/// A text is no schedule; says what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {EXAMPLE}")]
pub struct BadSchedule {
    what: String,
}

impl Schedule {
    /// Reads a schedule; one that names no zone goes by the host's.
    pub fn parse(text: &str) -> Result<Self, BadSchedule> {
        Self::parse_in(text, TimeZone::system())
    }

    /// Reads a schedule; one that names no zone goes by `default`.
    pub fn parse_in(text: &str, default: TimeZone) -> Result<Self, BadSchedule> {
        let separates = |c: char| c.is_whitespace() || c == ',' || c == ';';
        let words: Vec<&str> = text.split(separates).filter(|word| !word.is_empty()).collect();
        let mut windows: Vec<Window> = Vec::new();
        let mut zone = None;
        let (mut days, mut days_taken) = (None, false);
        for word in &words {
            if zone.is_some() {
                return Err(bad(format!("`{}` stands behind the time zone, which comes last", clip(word))));
            }
            if let Some(named) = days_of(word)? {
                // Days behind a time begin the next window.
                let before = days.filter(|_| !std::mem::take(&mut days_taken)).unwrap_or([false; 7]);
                days = Some(std::array::from_fn(|day| before[day] || named[day]));
            } else if word.starts_with(|c: char| c.is_ascii_digit()) {
                let (from, to) = times_of(word)?;
                windows.push(Window { days: days.unwrap_or([true; 7]), from, to });
                days_taken = true;
            } else {
                zone = Some(zone_of(word)?);
            }
        }
        if days.is_some() && !days_taken {
            return Err(bad("days are named without hours".into()));
        }
        if windows.is_empty() || windows.len() > WINDOWS_MAX {
            return Err(bad(format!("names {} windows of time, 1 to {WINDOWS_MAX} make a schedule", windows.len())));
        }
        Ok(Self(Arc::new(Inner { text: text.trim().to_owned(), windows, zone: zone.unwrap_or(default) })))
    }

    /// Whether the stream is to be recorded then.
    pub fn contains(&self, at: Wall) -> bool {
        self.holds(at.to_timestamp())
    }

    /// The first moment after `now` at which [`Schedule::contains`] changes; None where it never does.
    pub fn next_change(&self, now: Wall) -> Option<Wall> {
        let from = now.to_timestamp();
        let holds = self.holds(from);
        let mut moments = self.boundaries(from);
        moments.sort_unstable();
        moments.into_iter().filter(|at| *at > from).find(|at| self.holds(*at) != holds).map(Wall::from)
    }

    fn holds(&self, at: Timestamp) -> bool {
        let local = self.0.zone.to_datetime(at);
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        let today = usize::try_from(local.date().weekday().to_monday_zero_offset()).unwrap_or(0);
        let yesterday = (today + 6) % 7;
        self.0.windows.iter().any(|w| match w.from < w.to {
            true => w.days[today] && (w.from..w.to).contains(&minute),
            false => w.days[today] && minute >= w.from || w.days[yesterday] && minute < w.to,
        })
    }

    /// Every moment of the next days at which something may change: each begin and end of a window, as often as the
    /// zone's clock shows it, each midnight, and each change of the clock itself.
    fn boundaries(&self, from: Timestamp) -> Vec<Timestamp> {
        let zone = &self.0.zone;
        let mut minutes: Vec<u16> = self.0.windows.iter().flat_map(|w| [w.from, w.to % MINUTES_OF_DAY]).collect();
        minutes.push(0);
        minutes.sort_unstable();
        minutes.dedup();
        let today = zone.to_datetime(from).date();
        let mut found = Vec::new();
        for ahead in -1..=DAYS_AHEAD {
            let Ok(date) = today.checked_add(SignedDuration::from_hours(24 * ahead)) else { continue };
            for minute in &minutes {
                moments_of(zone, date, *minute, &mut found);
            }
        }
        let end = from.checked_add(SignedDuration::from_hours(24 * DAYS_AHEAD)).unwrap_or(Timestamp::MAX);
        found.extend(zone.following(from).map(|change| change.timestamp()).take_while(|at| *at <= end));
        found
    }
}

/// The moments at which the zone's clock shows a minute of a day: mostly one, two where the hour comes twice.
fn moments_of(zone: &TimeZone, date: Date, minute: u16, found: &mut Vec<Timestamp>) {
    let hour = i8::try_from(minute / 60).unwrap_or(0);
    let Ok(time) = Time::new(hour, i8::try_from(minute % 60).unwrap_or(0), 0, 0) else { return };
    let shown = date.to_datetime(time);
    let offsets = match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } => [offset, offset],
        AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => [before, after],
    };
    found.extend(offsets.iter().filter_map(|offset| offset.to_timestamp(shown).ok()));
}

/// `mon`, `mon-fri`, `daily`; None: no days.
fn days_of(word: &str) -> Result<Option<[bool; 7]>, BadSchedule> {
    let lower = word.to_ascii_lowercase();
    if lower == "daily" {
        return Ok(Some([true; 7]));
    }
    let day =
        |name: &str| DAYS.iter().position(|(short, long)| *short == name || format!("{long:?}").to_lowercase() == name);
    let (first, last) = match lower.split_once('-') {
        None => (day(&lower), day(&lower)),
        Some((first, last)) => (day(first), day(last)),
    };
    match (first, last) {
        (Some(first), Some(last)) => {
            // Over the end of the week too: `sat-mon`.
            let length = (last + 7 - first) % 7;
            Ok(Some(std::array::from_fn(|day| (day + 7 - first) % 7 <= length)))
        }
        (None, None) => Ok(None),
        _ => Err(bad(format!("`{}` is no range of days", clip(word)))),
    }
}

/// `07:00-19:00`
fn times_of(word: &str) -> Result<(u16, u16), BadSchedule> {
    let (from, to) = word.split_once('-').ok_or_else(|| bad(format!("`{}` is no range of hours", clip(word))))?;
    let minute = |text: &str| {
        let read = || {
            let (hours, minutes) = text.split_once(':')?;
            let number = |t: &str| t.parse::<u16>().ok().filter(|_| (1..=2).contains(&t.len()));
            let (hours, minutes) = (number(hours)?, number(minutes).filter(|_| minutes.len() == 2)?);
            (minutes < 60).then_some(hours * 60 + minutes).filter(|m| *m <= MINUTES_OF_DAY)
        };
        read().ok_or_else(|| bad(format!("`{}` is no time of day from 00:00 to 24:00", clip(text))))
    };
    let (from, to) = (minute(from)?, minute(to)?);
    if from == to || from == MINUTES_OF_DAY {
        return Err(bad(format!("`{}` has no length; a whole day is 00:00-24:00", clip(word))));
    }
    Ok((from, to))
}

fn zone_of(word: &str) -> Result<TimeZone, BadSchedule> {
    if word.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(word).map_err(|_| bad(format!("`{}` is neither days, nor hours, nor a time zone", clip(word))))
}

fn bad(what: String) -> BadSchedule {
    BadSchedule { what }
}

fn clip(text: &str) -> String {
    text.chars().take(40).filter(|c| !c.is_control()).collect()
}

impl FromStr for Schedule {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        Self::parse(text)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// Two texts that read the same say the same, as far as reloads care.
impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text && self.0.zone == other.0.zone
    }
}

impl Eq for Schedule {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wall(text: &str) -> Wall {
        text.parse().unwrap()
    }

    fn utc(text: &str) -> Schedule {
        Schedule::parse_in(text, TimeZone::UTC).unwrap()
    }

    #[test]
    fn windows_days_lists_and_nights() {
        // 2026-11-21 is a Saturday.
        for (text, within, without) in [
            ("mon-fri 07:00-19:00", "2026-11-20T18:59:59Z", "2026-11-21T12:00:00Z"),
            ("daily 22:00-06:00", "2026-11-21T05:59:00Z", "2026-11-21T06:00:00Z"),
            ("22:00-06:00", "2026-11-21T22:00:00Z", "2026-11-21T21:59:59Z"),
            ("sat 22:00-06:00", "2026-11-22T05:00:00Z", "2026-11-21T05:00:00Z"),
            ("sat-mon 00:00-24:00", "2026-11-23T23:59:59Z", "2026-11-24T00:00:00Z"),
            ("mon,sat 8:00-9:00", "2026-11-21T08:30:00Z", "2026-11-22T08:30:00Z"),
            ("mon,wed 07:00-19:00; sat,sun 10:00-12:00", "2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"),
            ("mon-fri 07:00-19:00, sat 10:00-12:00", "2026-11-21T10:00:00Z", "2026-11-21T13:00:00Z"),
            ("sat 08:00-09:00,10:00-11:00", "2026-11-21T10:30:00Z", "2026-11-21T09:30:00Z"),
            ("Saturday 07:00-19:00 Asia/Shanghai", "2026-11-21T10:59:00Z", "2026-11-21T11:00:00Z"),
            ("daily 07:00-19:00 asia/shanghai", "2026-11-20T23:00:00Z", "2026-11-20T22:59:59Z"),
        ] {
            let schedule = utc(text);
            assert!(schedule.contains(wall(within)), "{text} has {within}");
            assert!(!schedule.contains(wall(without)), "{text} has not {without}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for (text, why) in [
            ("", "0 windows"),
            ("mon-fri", "without hours"),
            ("mon-fry 07:00-19:00", "`mon-fry` is no range of days"),
            ("07:00", "`07:00` is no range of hours"),
            ("mon 7-19", "`7` is no time of day"),
            ("mon 07:00-25:00", "`25:00` is no time of day"),
            ("mon 07:60-08:00", "`07:60` is no time of day"),
            ("mon 07:00-07:00", "no length"),
            ("24:00-06:00", "no length"),
            ("mon 07:00-19:00 Asia/Shangrila", "`Asia/Shangrila` is neither"),
            ("mon 07:00-19:00 UTC tue 07:00-08:00", "comes last"),
            ("always", "`always` is neither"),
        ] {
            let problem = Schedule::parse_in(text, TimeZone::UTC).unwrap_err().to_string();
            assert!(problem.contains(why) && problem.contains("Asia/Shanghai"), "{text}: {problem}");
        }
        assert!(Schedule::parse(&"08:00-09:00 ".repeat(65)).is_err());
    }

    #[test]
    fn an_hour_that_comes_twice_is_recorded_twice_and_one_that_is_left_out_is_not_waited_for() {
        let berlin = utc("daily 02:10-02:40 Europe/Berlin");
        // 2026-10-25: 03:00 becomes 02:00.
        let (first, second) = (wall("2026-10-25T00:10:00Z"), wall("2026-10-25T01:10:00Z"));
        assert_eq!(berlin.next_change(wall("2026-10-24T12:00:00Z")), Some(first));
        assert_eq!(berlin.next_change(first), Some(wall("2026-10-25T00:40:00Z")));
        assert_eq!(berlin.next_change(wall("2026-10-25T00:40:00Z")), Some(second));
        // 2026-03-29: 02:00 becomes 03:00.
        assert_eq!(berlin.next_change(wall("2026-03-28T12:00:00Z")), Some(wall("2026-03-30T00:10:00Z")));
        let over = utc("daily 02:30-05:00 Europe/Berlin");
        assert_eq!(over.next_change(wall("2026-03-28T12:00:00Z")), Some(wall("2026-03-29T01:00:00Z")));
        assert_eq!(utc("00:00-24:00").next_change(first), None, "it never changes");
        assert_eq!(
            utc("sun 08:00-09:00").next_change(wall("2026-11-15T09:00:00Z")),
            Some(wall("2026-11-22T08:00:00Z"))
        );
    }

    const ZONES: [&str; 8] = [
        "UTC",
        "Asia/Shanghai",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Asia/Kathmandu",
        "Africa/Casablanca",
    ];

    fn texts() -> impl Strategy<Value = String> {
        let window = (0usize..7, 0usize..7, 0u16..1440, 1u16..1440).prop_map(|(a, b, from, length)| {
            let to = (from + length) % 1440;
            let show = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
            format!("{}-{} {}-{}", DAYS[a].0, DAYS[b].0, show(from), show(to))
        });
        (prop::collection::vec(window, 1..4), prop::sample::select(ZONES.to_vec()))
            .prop_map(|(windows, zone)| format!("{} {zone}", windows.join("; ")))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
        /// Against the definition, minute by minute, around the changes of clocks as well as far from them.
        #[test]
        fn nothing_changes_before_the_next_change(
            text in texts(),
            near in prop::sample::select(vec![
                "2026-03-08T05:00:00Z", "2026-03-29T00:00:00Z", "2026-04-04T14:00:00Z", "2026-10-03T14:00:00Z",
                "2026-10-25T00:00:00Z", "2026-11-01T04:00:00Z", "2026-02-15T02:00:00Z", "2026-07-01T00:00:00Z",
            ]),
            minutes in 0i64..3000,
            micros in 0i64..60_000_000,
        ) {
            let schedule = utc(&text);
            let now = wall(near).plus_micros(-86_400_000_000 + minutes * 60_000_000 + micros);
            let before = schedule.contains(now);
            let next = schedule.next_change(now);
            let end = next.unwrap_or(now.plus_micros(8 * 86_400_000_000));
            prop_assert!(end > now);
            // Whole minutes from the first one on: clocks of all these zones change, and windows begin, at some.
            let mut at = Wall::from_micros((now.micros() / 60_000_000 + 1) * 60_000_000);
            while at < end {
                prop_assert_eq!(schedule.contains(at), before, "{} at {}", &text, at);
                at = at.plus_micros(60_000_000);
            }
            prop_assert_eq!(schedule.contains(end.plus_micros(-1)), before);
            if let Some(next) = next {
                prop_assert_ne!(schedule.contains(next), before);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = Schedule::parse_in(&text, TimeZone::UTC);
        }
    }
}
