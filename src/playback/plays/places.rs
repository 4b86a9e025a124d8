//! Who is watching: how many at a time, and for how long a link that was handed out stays good. Pure: times are passed in,
//! as microseconds that never step.

use super::PlayId;
use std::{collections::HashMap, num::NonZeroU32, time::Duration};

/// Who asks for nothing for so long, with no answer under way, does not watch any more. Players fetch every few seconds,
/// and our page says that it is there while a film is paused.
const PLACE_REST: Duration = Duration::from_secs(60);
/// A visit is forgotten after so long, and its links with it.
pub(super) const VISIT_REST: Duration = Duration::from_secs(15 * 60);
/// Visits that are remembered; far more than one host can serve. About 10 MB.
const VISITS_MAX: usize = 50_000;

/// Names a visit: one person, browser or program that watches one play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct VisitId(pub(super) u64);

/// All visits, with something of the caller's for each.
pub(super) struct Places<T>(HashMap<PlayId, HashMap<VisitId, Place<T>>>, usize);

struct Place<T> {
    seen: i64,
    /// Answers under way.
    open: u32,
    what: T,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// As many watch as may; one may stop in so long.
    Play(Duration),
    /// More visits than are remembered.
    All,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self(HashMap::new(), 0)
    }
}

impl<T: Clone> Places<T> {
    /// Whether a visit is going on, so that its links are good however old they are.
    pub(super) fn is_known(&self, play: &PlayId, visit: VisitId, now: i64) -> bool {
        self.place(play, visit).is_some_and(|place| !place.is_over(now))
    }

    /// Whether an answer of a visit is under way.
    pub(super) fn is_open(&self, play: &PlayId, visit: VisitId) -> bool {
        self.place(play, visit).is_some_and(|place| place.open > 0)
    }

    /// Whether there is a place for the visit. Who had one and left it for a while has it again only while it is free.
    pub(super) fn room(&self, play: &PlayId, visit: VisitId, max: Option<NonZeroU32>, now: i64) -> Result<(), Full> {
        let visits = self.0.get(play);
        let mine = visits.and_then(|visits| visits.get(&visit));
        if !mine.is_some_and(|place| place.is_taken(now))
            && let (Some(max), Some(visits)) = (max, visits)
        {
            let taken = visits.values().filter(|place| place.is_taken(now)).count();
            if taken >= usize::try_from(max.get()).unwrap_or(usize::MAX) {
                let waits = visits.values().filter_map(|place| place.frees_in(now));
                return Err(Full::Play(waits.min().unwrap_or(PLACE_REST)));
            }
        }
        if mine.is_none() && self.1 >= VISITS_MAX { Err(Full::All) } else { Ok(()) }
    }

    /// The visit goes on, or begins where there is a place; what it has of the caller's.
    pub(super) fn take(
        &mut self,
        play: &PlayId,
        visit: VisitId,
        max: Option<NonZeroU32>,
        now: i64,
        begin: impl FnOnce() -> T,
    ) -> Result<T, Full> {
        self.room(play, visit, max, now)?;
        let begun = &mut self.1;
        let place = self.0.entry(play.clone()).or_default().entry(visit).or_insert_with(|| {
            *begun += 1;
            Place { seen: now, open: 0, what: begin() }
        });
        place.seen = place.seen.max(now);
        Ok(place.what.clone())
    }

    /// What a visit that goes on has of the caller's.
    pub(super) fn get(&self, play: &PlayId, visit: VisitId, now: i64) -> Option<T> {
        self.place(play, visit).filter(|place| !place.is_over(now)).map(|place| place.what.clone())
    }

    /// Somebody who has a place keeps it.
    pub(super) fn touch(&mut self, play: &PlayId, visit: VisitId, now: i64) {
        if let Some(place) = self.place_mut(play, visit).filter(|place| place.is_taken(now)) {
            place.seen = place.seen.max(now);
        }
    }

    /// An answer of the visit is under way.
    pub(super) fn open(&mut self, play: &PlayId, visit: VisitId) {
        if let Some(place) = self.place_mut(play, visit) {
            place.open += 1;
        }
    }

    /// It has ended.
    pub(super) fn close(&mut self, play: &PlayId, visit: VisitId, now: i64) {
        if let Some(place) = self.place_mut(play, visit) {
            place.open = place.open.saturating_sub(1);
            place.seen = place.seen.max(now);
        }
    }

    /// Forgets what is over; what it had of the caller's.
    pub(super) fn sweep(&mut self, now: i64) -> Vec<T> {
        let mut gone = Vec::new();
        for visits in self.0.values_mut() {
            visits.retain(|_, place| {
                let over = place.is_over(now);
                if over {
                    gone.push(place.what.clone());
                }
                !over
            });
        }
        self.0.retain(|_, visits| !visits.is_empty());
        self.1 -= gone.len();
        gone
    }

    /// How many watch a play now.
    pub(super) fn watching(&self, play: &PlayId, now: i64) -> usize {
        self.0.get(play).map_or(0, |visits| visits.values().filter(|place| place.is_taken(now)).count())
    }

    /// What all visits have of the caller's.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.values().flat_map(|visits| visits.values().map(|place| &place.what))
    }

    fn place(&self, play: &PlayId, visit: VisitId) -> Option<&Place<T>> {
        self.0.get(play)?.get(&visit)
    }

    fn place_mut(&mut self, play: &PlayId, visit: VisitId) -> Option<&mut Place<T>> {
        self.0.get_mut(play)?.get_mut(&visit)
    }
}

impl<T> Place<T> {
    fn rested(&self, now: i64) -> Duration {
        Duration::from_micros(u64::try_from(now.saturating_sub(self.seen)).unwrap_or(0))
    }

    fn is_taken(&self, now: i64) -> bool {
        self.open > 0 || self.rested(now) < PLACE_REST
    }

    fn is_over(&self, now: i64) -> bool {
        self.open == 0 && self.rested(now) >= VISIT_REST
    }

    /// None while an answer is under way: nobody knows when it ends.
    fn frees_in(&self, now: i64) -> Option<Duration> {
        (self.open == 0 && self.is_taken(now)).then(|| PLACE_REST.saturating_sub(self.rested(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;

    fn play() -> PlayId {
        "0".repeat(32).parse().unwrap()
    }

    fn two() -> Option<NonZeroU32> {
        NonZeroU32::new(2)
    }

    fn take(places: &mut Places<u64>, visit: u64, now: i64) -> Result<u64, Full> {
        places.take(&play(), VisitId(visit), two(), now, || visit)
    }

    #[test]
    fn who_stops_asking_leaves_the_place_and_who_downloads_keeps_it() {
        let mut places = Places::default();
        assert_eq!(take(&mut places, 1, 0), Ok(1));
        assert_eq!(take(&mut places, 2, 10 * SECOND), Ok(2));
        assert_eq!(take(&mut places, 3, 20 * SECOND), Err(Full::Play(Duration::from_secs(40))), "the first may leave");
        assert_eq!(take(&mut places, 1, 20 * SECOND), Ok(1), "who is in stays in");
        places.open(&play(), VisitId(1));
        assert_eq!(take(&mut places, 3, 70 * SECOND), Ok(3), "the second is gone");
        assert_eq!(
            take(&mut places, 2, 71 * SECOND),
            Err(Full::Play(Duration::from_secs(59))),
            "and comes back too late"
        );
        assert_eq!(places.watching(&play(), 200 * SECOND), 1, "a download is somebody who watches");
        places.close(&play(), VisitId(1), 200 * SECOND);
        assert_eq!((places.watching(&play(), 259 * SECOND), places.watching(&play(), 260 * SECOND)), (1, 0));
        let rest = VISIT_REST.as_micros() as i64;
        assert!(places.is_known(&play(), VisitId(1), 200 * SECOND + rest - 1));
        assert_eq!(places.sweep(200 * SECOND + rest).len(), 3);
        assert!(!places.is_known(&play(), VisitId(1), 200 * SECOND + rest) && places.0.is_empty() && places.1 == 0);
    }

    #[test]
    fn without_a_limit_only_memory_limits() {
        let mut places = Places::default();
        for n in 0..VISITS_MAX as u64 {
            places.take(&play(), VisitId(n), None, 0, || ()).unwrap();
        }
        assert_eq!(places.take(&play(), VisitId(u64::MAX), None, 0, || ()), Err(Full::All));
        assert_eq!(places.take(&play(), VisitId(5), None, 0, || ()), Ok(()));
        places.sweep(VISIT_REST.as_micros() as i64);
        assert_eq!(places.take(&play(), VisitId(u64::MAX), None, 0, || ()), Ok(()));
    }

    proptest! {
        #[test]
        fn never_more_than_may_watch(steps in proptest::collection::vec((0u64..6, 0u8..4, 0i64..40), 1..300)) {
            let mut places = Places::default();
            let (mut now, mut open) = (0, [0u32; 6]);
            for (visit, what, pause) in steps {
                now += pause * SECOND;
                let id = VisitId(visit);
                match what {
                    0 => drop(places.sweep(now)),
                    // An answer is under way only of who was let in.
                    1 if open[visit as usize] > 0 => {
                        places.close(&play(), id, now);
                        open[visit as usize] -= 1;
                    }
                    2 => {
                        if take(&mut places, visit, now).is_ok() {
                            places.open(&play(), id);
                            open[visit as usize] += 1;
                        }
                    }
                    _ => drop(take(&mut places, visit, now)),
                }
                prop_assert!(places.watching(&play(), now) <= 2);
                let all: usize = places.0.values().map(HashMap::len).sum();
                prop_assert_eq!(places.1, all);
            }
        }
    }
}
