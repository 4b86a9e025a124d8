//! What a play is: for whom, of what, until when. Pure.

use super::password::PasswordHash;
use crate::{
    base::Wall,
    model::{Range, StreamKey},
};
use std::{fmt, num::NonZeroU32, str::FromStr, sync::Arc, time::Duration};

/// Hexadecimal digits of an id: 128 bits, which nobody guesses.
const ID_DIGITS: usize = 32;
/// A link that is to last longer is better made anew.
pub const EXPIRES_IN_MAX: Duration = Duration::from_secs(366 * 86_400);
/// More than one answer holds, in hours.
const INTERVAL_HOURS_MAX: i64 = 24;
/// An interval whose end is still to come is followed, and its playlist fetched again and again, whole: in hours.
const FOLLOWED_HOURS_MAX: i64 = 4;
const HOUR_MICROS: i64 = 3_600_000_000;
/// People at once; who needs more wants no limit.
const VIEWERS_MAX: u32 = 100_000;

/// Names a play. Part of its links.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayId(Arc<str>);

impl PlayId {
    pub(super) fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()).into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PlayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that names no play.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("it is not the id of a play, which has {ID_DIGITS} hexadecimal digits")]
pub struct NotAPlay;

impl FromStr for PlayId {
    type Err = NotAPlay;

    fn from_str(text: &str) -> Result<Self, NotAPlay> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_one = text.len() == ID_DIGITS && text.bytes().all(is_digit);
        is_one.then(|| Self(text.into())).ok_or(NotAPlay)
    }
}

/// What of a stream is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// What was recorded, or will be, in an interval.
    Recorded(Range),
    /// What the camera sends now.
    Live,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// Its name.
    pub id: PlayId,
    /// Of what.
    pub stream: StreamKey,
    /// Of when.
    pub shown: Shown,
    /// None: whoever has the link may see it.
    pub password: Option<PasswordHash>,
    /// When it was made.
    pub created: Wall,
    /// From when on it shows nothing any more.
    pub expires: Wall,
    /// How many may watch at the same time.
    pub viewers_max: Option<NonZeroU32>,
    /// When it was taken back.
    pub revoked: Option<Wall>,
}

impl Play {
    /// Whether anybody may still see something by it.
    pub fn is_open(&self, now: Wall) -> bool {
        self.revoked.is_none() && now < self.expires
    }

    /// Whether its interval ended after it was made, so that players follow it. The same for all of its life: what a
    /// playlist has listed must not be cut in another way later.
    pub fn follows(&self) -> bool {
        matches!(self.shown, Shown::Recorded(range) if range.to > self.created)
    }

    /// When it ended, where it has.
    pub(super) fn ended(&self, now: Wall) -> Option<Wall> {
        self.revoked.or_else(|| (now >= self.expires).then_some(self.expires))
    }
}

/// What somebody wants a play to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaySpec {
    /// Of what.
    pub stream: StreamKey,
    /// Of when.
    pub shown: Shown,
    /// How long it lasts; None: as configured.
    pub expires_in: Option<Duration>,
    /// How many may watch at the same time.
    pub viewers_max: Option<u32>,
}

/// What no play can be; the text names the field and says what would be right.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadGrant {
    /// Nothing lies between the two.
    #[error("`to` ({}) must be after `from` ({})", .0.to, .0.from)]
    Backwards(Range),
    /// More than one answer holds.
    #[error("the interval is longer than {INTERVAL_HOURS_MAX} hours; make several plays of it")]
    TooLong,
    /// More than is followed.
    #[error(
        "the interval ends in the future and is longer than {FOLLOWED_HOURS_MAX} hours, which no player follows; \
         end it now, begin it later, or make a play with \"live\": true"
    )]
    FollowedTooLong,
    /// Over at once, or never.
    #[error("`expires_in` lies between 1s and 366d")]
    Expiry,
    /// Nobody, or everybody.
    #[error("`max_viewers` lies between 1 and {VIEWERS_MAX}; leave it out for no limit")]
    Viewers,
}

impl PlaySpec {
    /// The play, made now.
    pub(super) fn play(self, id: PlayId, now: Wall, expiry_default: Duration) -> Result<Play, BadGrant> {
        if let Shown::Recorded(range) = self.shown {
            let micros = range.to.micros_since(range.from);
            match () {
                () if micros <= 0 => return Err(BadGrant::Backwards(range)),
                () if micros > INTERVAL_HOURS_MAX * HOUR_MICROS => return Err(BadGrant::TooLong),
                () if range.to > now && micros > FOLLOWED_HOURS_MAX * HOUR_MICROS => {
                    return Err(BadGrant::FollowedTooLong);
                }
                () => {}
            }
        }
        let expires_in = self.expires_in.unwrap_or(expiry_default);
        if !(Duration::from_secs(1)..=EXPIRES_IN_MAX).contains(&expires_in) {
            return Err(BadGrant::Expiry);
        }
        let viewers_max = match self.viewers_max {
            None => None,
            Some(n) => Some(NonZeroU32::new(n).filter(|n| n.get() <= VIEWERS_MAX).ok_or(BadGrant::Viewers)?),
        };
        let PlaySpec { stream, shown, .. } = self;
        let expires = now.plus(expires_in);
        Ok(Play { id, stream, shown, password: None, created: now, expires, viewers_max, revoked: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Wall {
        "2026-11-21T08:30:00Z".parse().unwrap()
    }

    fn of(from_hours: i64, to_hours: i64) -> PlaySpec {
        let at = |hours| now().plus_micros(hours * HOUR_MICROS);
        PlaySpec {
            stream: "nvr1/3/main".parse().unwrap(),
            shown: Shown::Recorded(Range { from: at(from_hours), to: at(to_hours) }),
            expires_in: None,
            viewers_max: None,
        }
    }

    #[test]
    fn what_cannot_be_a_play_is_refused_by_name() {
        let made = |spec: PlaySpec| spec.play(PlayId::random(), now(), Duration::from_secs(60));
        assert!(matches!(made(of(-1, -1)), Err(BadGrant::Backwards(_))));
        assert!(matches!(made(of(-1, -2)), Err(BadGrant::Backwards(_))));
        assert_eq!(made(of(-26, -1)), Err(BadGrant::TooLong));
        assert_eq!(made(of(-4, 1)), Err(BadGrant::FollowedTooLong));
        assert!(made(of(-24, 0)).is_ok() && made(of(-3, 1)).is_ok());
        for (seconds, good) in [(0, false), (1, true), (366 * 86_400, true), (366 * 86_400 + 1, false)] {
            let spec = PlaySpec { expires_in: Some(Duration::from_secs(seconds)), ..of(-2, -1) };
            assert_eq!(made(spec).is_ok(), good, "{seconds}");
        }
        for (viewers, good) in [(0, false), (1, true), (VIEWERS_MAX, true), (VIEWERS_MAX + 1, false)] {
            assert_eq!(made(PlaySpec { viewers_max: Some(viewers), ..of(-2, -1) }).is_ok(), good, "{viewers}");
        }
        let play = made(of(-2, -1)).unwrap();
        assert!(play.is_open(now()) && !play.is_open(now().plus(Duration::from_secs(60))));
        assert!(!play.follows() && made(of(-2, 1)).unwrap().follows());
    }

    #[test]
    fn an_id_is_32_digits_and_nothing_else() {
        let id = PlayId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "x", &"0".repeat(31), &"0".repeat(33), &"A".repeat(32), &"g".repeat(32)] {
            assert_eq!(text.parse::<PlayId>(), Err(NotAPlay), "{text}");
        }
    }
}
