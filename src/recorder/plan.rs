//! Whether a stream is wanted at a moment: its schedule, and a pause that somebody asked for. Pure.
//!
//! Where a stream is not wanted its camera is not asked for frames at all, unless somebody else reads it: a site that
//! sets hours expects no traffic outside of them. So that a window begins with a picture that can be decoded, the
//! session is begun [`LEAD`] before it.

use super::Schedule;
use crate::{base::Wall, model::GapCause};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Frames are fetched so long before they are wanted: a login, a session and the wait for a key frame take some seconds.
pub const LEAD: Duration = Duration::from_secs(15);
/// Changes that are looked at for the next time that a stream is wanted: schedules change twice a window.
const CHANGES_MAX: usize = 8;

/// Somebody asked that a stream is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pause {
    /// From when on.
    pub since: Wall,
    /// It ends by itself then; null: it lasts until it is resumed.
    pub until: Option<Wall>,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
}

/// When one stream is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Hours; None: always.
    pub schedule: Option<Schedule>,
    /// A pause, over or not.
    pub pause: Option<Pause>,
}

/// What holds for a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Why the stream is not wanted; None: it is.
    pub unwanted: Option<GapCause>,
    /// First moment that was looked at.
    pub from: Wall,
    /// The first one at which something else may hold.
    pub until: Wall,
}

impl Stretch {
    /// Whether it says something of that moment.
    pub fn holds(&self, at: Wall) -> bool {
        self.from <= at && at < self.until
    }
}

impl Plan {
    /// Why the stream is not wanted then; None: it is.
    pub fn unwanted(&self, at: Wall) -> Option<GapCause> {
        let paused = self.pause.as_ref().is_some_and(|p| p.since <= at && p.until.is_none_or(|until| at < until));
        let outside = || self.schedule.as_ref().is_some_and(|schedule| !schedule.contains(at));
        match paused {
            true => Some(GapCause::Paused),
            false => outside().then_some(GapCause::Schedule),
        }
    }

    /// What holds from then on, and how long at least.
    pub fn stretch(&self, at: Wall) -> Stretch {
        let pause = self.pause.iter().flat_map(|p| [Some(p.since), p.until]).flatten();
        let schedule = self.schedule.as_ref().and_then(|s| s.next_change(at));
        let until = pause.chain(schedule).filter(|edge| *edge > at).min();
        Stretch { unwanted: self.unwanted(at), from: at, until: until.unwrap_or(Wall::from_micros(i64::MAX)) }
    }

    /// When the stream is wanted next: `at` where it is now, None where no end of it can be seen.
    pub fn next_wanted(&self, at: Wall) -> Option<Wall> {
        let mut at = at;
        for _ in 0..CHANGES_MAX {
            // The cheap question first: it is asked of each stream twice a second.
            if self.unwanted(at).is_none() {
                return Some(at);
            }
            at = Some(self.stretch(at).until).filter(|until| until.micros() != i64::MAX)?;
        }
        None
    }

    /// Whether frames are fetched at that moment: the stream is wanted, or soon will be.
    pub fn takes(&self, at: Wall) -> bool {
        self.next_wanted(at).is_some_and(|wanted| wanted <= at.plus(LEAD))
    }

    /// What people are shown as the reason while the stream is not wanted.
    pub fn reason(&self, cause: GapCause) -> String {
        let given = self.pause.as_ref().and_then(|p| p.reason.clone());
        given.filter(|_| cause == GapCause::Paused).unwrap_or_else(|| cause.as_str().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn wall(text: &str) -> Wall {
        text.parse().unwrap()
    }

    fn plan(schedule: &str, pause: Option<(&str, Option<&str>)>) -> Plan {
        let schedule = (!schedule.is_empty()).then(|| Schedule::parse_in(schedule, TimeZone::UTC).unwrap());
        let pause = pause.map(|(since, until)| Pause { since: wall(since), until: until.map(wall), reason: None });
        Plan { schedule, pause }
    }

    #[test]
    fn a_pause_comes_before_the_schedule_and_neither_before_its_time() {
        let plan = plan("daily 08:00-10:00", Some(("2026-11-21T09:00:00Z", Some("2026-11-21T09:30:00Z"))));
        for (at, cause) in [
            ("07:59:59", Some(GapCause::Schedule)),
            ("08:00:00", None),
            ("09:00:00", Some(GapCause::Paused)),
            ("09:30:00", None),
            ("10:00:00", Some(GapCause::Schedule)),
        ] {
            assert_eq!(plan.unwanted(wall(&format!("2026-11-21T{at}Z"))), cause, "{at}");
        }
        let stretch = plan.stretch(wall("2026-11-21T08:30:00Z"));
        assert_eq!((stretch.unwanted, stretch.until), (None, wall("2026-11-21T09:00:00Z")));
        assert!(stretch.holds(wall("2026-11-21T08:59:59Z")) && !stretch.holds(stretch.until));
    }

    #[test]
    fn frames_are_fetched_a_little_before_they_are_wanted_and_not_while_they_are_not() {
        let by_hours = plan("daily 08:00-10:00", None);
        for (at, takes) in [("07:59:44", false), ("07:59:45", true), ("09:59:59", true), ("10:00:00", false)] {
            assert_eq!(by_hours.takes(wall(&format!("2026-11-21T{at}Z"))), takes, "{at}");
        }
        let paused = plan("", Some(("2026-11-21T09:00:00Z", None)));
        assert!(!paused.takes(wall("2026-11-22T09:00:00Z")) && paused.takes(wall("2026-11-21T08:00:00Z")));
        assert!(Plan::default().takes(Wall::default()));
        // A pause that ends outside of the hours.
        let both = plan("daily 08:00-10:00", Some(("2026-11-21T09:00:00Z", Some("2026-11-21T12:00:00Z"))));
        assert_eq!(both.next_wanted(wall("2026-11-21T09:10:00Z")), Some(wall("2026-11-22T08:00:00Z")));
    }
}
