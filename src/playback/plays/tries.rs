//! What wrong passwords cost: time at first, then the turn. By play and address, by play, and by address. Pure: times are
//! passed in, as microseconds that never step.

use super::PlayId;
use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// So many wrong tries at one play from one address, and one more for each minute that passes.
const OF_PAIR: Allowance = Allowance { tries: 5, each: Duration::from_secs(60) };
/// From one address at all plays together: an office behind one address has many people and few plays.
const OF_ADDRESS: Allowance = Allowance { tries: 20, each: Duration::from_secs(60) };
/// At one play from everywhere: 50 an hour, so that many addresses are no better than one.
const OF_PLAY: Allowance = Allowance { tries: 50, each: Duration::from_secs(72) };
/// Before the answer to a try, by how many wrong ones stand in front of it.
const DELAYS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1_500),
];
/// Addresses and plays that are remembered, of each kind. About 4 MB.
const REMEMBERED_MAX: usize = 32_768;

/// A leaking bucket.
#[derive(Clone, Copy)]
struct Allowance {
    tries: i64,
    each: Duration,
}

/// Where a try comes from: an IPv4 address, or the network of an IPv6 one, of which a client has many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// None: a client on a unix socket.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(match address.map(|a| a.to_canonical()) {
            None => Ipv4Addr::UNSPECIFIED.into(),
            Some(IpAddr::V6(v6)) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
            Some(v4) => v4,
        })
    }
}

/// The wrong tries that are not forgiven yet: of each, when the last of them will be. What is tried is a play, or
/// something else that has a password.
pub struct Tries<P = PlayId> {
    pairs: HashMap<(P, Origin), i64>,
    origins: HashMap<Origin, i64>,
    plays: HashMap<P, i64>,
}

impl<P> Default for Tries<P> {
    fn default() -> Self {
        Self { pairs: HashMap::new(), origins: HashMap::new(), plays: HashMap::new() }
    }
}

impl<P: Clone + Eq + Hash> Tries<P> {
    /// A try begins. It counts as a wrong one until it turns out to be none, so that many at once are many tries. How long
    /// its answer is to be held back, or when the next try may be made.
    pub fn begin(&mut self, play: &P, origin: Origin, now: i64) -> Result<Duration, Duration> {
        let pair = (play.clone(), origin);
        let waits = [
            OF_PAIR.wait(self.pairs.get(&pair), now),
            OF_ADDRESS.wait(self.origins.get(&origin), now),
            OF_PLAY.wait(self.plays.get(play), now),
        ];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(wait);
        }
        let before = OF_PAIR.level(self.pairs.get(&pair), now);
        OF_PAIR.add(&mut self.pairs, pair, now);
        OF_ADDRESS.add(&mut self.origins, origin, now);
        OF_PLAY.add(&mut self.plays, play.clone(), now);
        let slot = usize::try_from(before).unwrap_or(usize::MAX).min(DELAYS.len() - 1);
        Ok(DELAYS[slot])
    }

    /// The try was none, since nobody could say whether it was right.
    pub(super) fn undo(&mut self, play: &P, origin: Origin) {
        OF_PAIR.take_back(&mut self.pairs, &(play.clone(), origin));
        OF_ADDRESS.take_back(&mut self.origins, &origin);
        OF_PLAY.take_back(&mut self.plays, play);
    }

    /// The try was right: whoever knows the password only mistyped it before.
    pub fn right(&mut self, play: &P, origin: Origin) {
        self.undo(play, origin);
        self.pairs.remove(&(play.clone(), origin));
    }

    /// Nobody tries this play any more.
    pub(super) fn forget(&mut self, play: &P) {
        self.plays.remove(play);
        self.pairs.retain(|(of, _), _| of != play);
    }
}

impl Allowance {
    fn each_micros(self) -> i64 {
        i64::try_from(self.each.as_micros()).unwrap_or(i64::MAX)
    }

    /// Wrong tries that are not forgiven, rounded up.
    fn level(self, until: Option<&i64>, now: i64) -> i64 {
        let left = until.map_or(0, |until| until.saturating_sub(now).max(0));
        left.saturating_add(self.each_micros() - 1) / self.each_micros()
    }

    /// How long until one more is allowed; None: it is now.
    fn wait(self, until: Option<&i64>, now: i64) -> Option<Duration> {
        let left = until.map_or(0, |until| until.saturating_sub(now));
        let over = left.saturating_sub((self.tries - 1) * self.each_micros());
        u64::try_from(over).ok().filter(|over| *over > 0).map(Duration::from_micros)
    }

    fn add<K: Eq + Hash>(self, all: &mut HashMap<K, i64>, key: K, now: i64) {
        if all.len() >= REMEMBERED_MAX && !all.contains_key(&key) {
            make_room(all, now);
        }
        let until = all.entry(key).or_insert(now);
        *until = (*until).max(now).saturating_add(self.each_micros());
    }

    fn take_back<K: Eq + Hash>(self, all: &mut HashMap<K, i64>, key: &K) {
        if let Some(until) = all.get_mut(key) {
            *until = until.saturating_sub(self.each_micros());
        }
    }
}

/// Drops what is forgiven; where that is not half, what will be first.
fn make_room<K: Eq + Hash>(all: &mut HashMap<K, i64>, now: i64) {
    all.retain(|_, until| *until > now);
    if all.len() > REMEMBERED_MAX / 2 {
        let mut ends: Vec<i64> = all.values().copied().collect();
        let middle = ends.len() / 2;
        let (_, median, _) = ends.select_nth_unstable(middle);
        let median = *median;
        // Of many that end at once, all but so many go.
        let mut kept = 0;
        all.retain(|_, until| {
            let keeps = *until >= median && kept < REMEMBERED_MAX / 2;
            kept += usize::from(keeps);
            keeps
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;

    fn origin(n: u8) -> Origin {
        Origin::of(Some(Ipv4Addr::new(192, 0, 2, n).into()))
    }

    fn play(n: u8) -> PlayId {
        format!("{n:032x}").parse().unwrap()
    }

    #[test]
    fn wrong_tries_are_slowed_and_then_refused_until_a_minute_has_passed() {
        let mut tries = Tries::default();
        let delays: Vec<_> = (0..5).map(|_| tries.begin(&play(1), origin(1), 0).unwrap()).collect();
        assert_eq!(delays, DELAYS);
        assert_eq!(tries.begin(&play(1), origin(1), 0), Err(Duration::from_secs(60)));
        assert_eq!(tries.begin(&play(1), origin(1), 20 * SECOND), Err(Duration::from_secs(40)));
        assert!(tries.begin(&play(1), origin(2), 0).is_ok(), "another address");
        assert!(tries.begin(&play(2), origin(1), 0).is_ok(), "another play");
        assert!(tries.begin(&play(1), origin(1), 60 * SECOND).is_ok());
        assert!(tries.begin(&play(1), origin(1), 60 * SECOND).is_err(), "one more and no more");
        tries.forget(&play(1));
        assert_eq!(tries.begin(&play(1), origin(1), 60 * SECOND), Ok(Duration::ZERO));
    }

    #[test]
    fn who_knows_the_password_starts_anew_and_what_nobody_judged_does_not_count() {
        let mut tries = Tries::default();
        for _ in 0..4 {
            tries.begin(&play(1), origin(1), 0).unwrap();
        }
        tries.begin(&play(1), origin(1), 0).unwrap();
        tries.right(&play(1), origin(1));
        assert_eq!(tries.begin(&play(1), origin(1), 0), Ok(Duration::ZERO));
        for _ in 0..100 {
            tries.begin(&play(3), origin(3), 0).unwrap();
            tries.undo(&play(3), origin(3));
        }
    }

    #[test]
    fn many_addresses_at_one_play_and_many_plays_from_one_address_are_refused_as_well() {
        let mut tries = Tries::default();
        let allowed = (0..200u8).filter(|n| tries.begin(&play(1), origin(*n), 0).is_ok()).count();
        assert_eq!(allowed, 50);
        let mut tries = Tries::default();
        let allowed = (0..200u8).filter(|n| tries.begin(&play(*n), origin(1), 0).is_ok()).count();
        assert_eq!(allowed, 20);
        let of = |text: &str| Origin::of(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"), "one network of IPv6 is one address");
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), origin(1));
    }

    #[test]
    fn memory_is_bounded_and_those_who_tried_most_are_kept() {
        let mut tries = Tries::default();
        let guesser = origin(7);
        for n in 0..(3 * REMEMBERED_MAX) {
            let other = Origin::of(Some(Ipv4Addr::from_bits(0x0a00_0000 + n as u32).into()));
            let id: PlayId = format!("{n:032x}").parse().unwrap();
            // Every one of them is a new play and a new address.
            let _ = tries.begin(&id, other, n as i64);
            if n % 1000 == 0 {
                let _ = tries.begin(&play(1), guesser, n as i64);
            }
        }
        assert!(tries.pairs.len() <= REMEMBERED_MAX && tries.origins.len() <= REMEMBERED_MAX);
        assert!(tries.begin(&play(1), guesser, 3 * REMEMBERED_MAX as i64).is_err(), "it was forgotten");
    }

    proptest! {
        /// Over any time, no more tries than were allowed at once and one more for each that was forgiven.
        #[test]
        fn no_pace_gets_more_tries_than_are_allowed(pauses in proptest::collection::vec(0i64..90, 1..200)) {
            let mut tries = Tries::default();
            let (mut now, mut allowed) = (0, Vec::new());
            for pause in pauses {
                now += pause * SECOND;
                match tries.begin(&play(1), origin(1), now) {
                    Ok(_) => allowed.push(now),
                    Err(wait) => {
                        let then = now + wait.as_micros() as i64;
                        prop_assert!(wait > Duration::ZERO && wait <= OF_PAIR.each);
                        prop_assert!(OF_PAIR.wait(tries.pairs.get(&(play(1), origin(1))), then).is_none(), "as promised");
                    }
                }
            }
            for (i, from) in allowed.iter().enumerate() {
                for (n, to) in allowed[i..].iter().enumerate() {
                    prop_assert!((n as i64) < OF_PAIR.tries + (to - from) / OF_PAIR.each_micros() + 1);
                }
            }
        }
    }
}
