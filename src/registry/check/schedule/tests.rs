//! A site in a few thousand steps: time and chance are the test's own.

use super::*;
use crate::{
    model::InstanceKey,
    registry::{Check, CheckKind, pace::micros},
};
use proptest::prelude::*;

const S: Moment = 1_000_000;

fn key(n: usize) -> Who {
    Who::of(InstanceKey { service: "web".parse().unwrap(), id: n.to_string().parse().unwrap() })
}

fn number(who: &Who) -> usize {
    let crate::registry::Owner::Instance(key) = &who.owner else { panic!("{who:?}") };
    key.id.as_str().parse().unwrap()
}

fn checked(n: usize, defined: u64, interval: Duration, known: Option<Health>) -> Arc<Aim> {
    let check = Check { interval, ..Check::new(CheckKind::Tcp) };
    Arc::new(Aim { who: key(n), check, defined, known, record: None })
}

/// A stream of chances that is the same each time.
fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_single_new_one_is_looked_at_at_once_and_then_each_interval() {
    let mut schedule = Schedule::default();
    schedule.follow(0, vec![], || 0.0);
    schedule.follow(5 * S, vec![checked(1, 7, seconds(10), None)], || 0.9);
    assert_eq!(schedule.next(), Some(5 * S));
    assert_eq!(schedule.take(5 * S).len(), 1);
    assert_eq!((schedule.next(), schedule.take(60 * S).len()), (None, 0), "one look at a time");
    let news = schedule.found(6 * S, &key(1), 7, Health::Passing, 0.0);
    assert_eq!(news, Found::News { health: Health::Passing, in_a_row: 1 });
    assert_eq!(schedule.next(), None, "the registry has to hear of it first");
    schedule.told(7 * S, &key(1), 7, Some(Health::Passing), 0.0);
    assert_eq!(schedule.next(), Some(15 * S), "from where the look began");
    schedule.take(15 * S);
    assert_eq!(schedule.found(15 * S, &key(1), 7, Health::Passing, 1.0), Found::AsBefore { in_a_row: 2 });
    assert_eq!(schedule.next(), Some(24 * S), "a tenth early at most");
    // A look that took longer than the interval is followed by the next one, and by no crowd of them.
    schedule.take(24 * S);
    schedule.found(90 * S, &key(1), 7, Health::Passing, 0.5);
    assert_eq!((schedule.next(), schedule.take(90 * S).len(), schedule.next()), (Some(90 * S), 1, None));
}

#[test]
fn what_the_registry_did_not_take_is_told_again() {
    let mut schedule = Schedule::default();
    schedule.follow(0, vec![checked(1, 7, seconds(1), None)], || 0.0);
    for _ in 0..3 {
        let now = schedule.next().unwrap();
        schedule.take(now);
        assert!(matches!(schedule.found(now, &key(1), 7, Health::Passing, 0.0), Found::News { .. }));
        schedule.told(now, &key(1), 7, None, 0.0);
    }
}

#[test]
fn a_change_of_the_definition_is_looked_at_at_once_and_an_old_look_says_nothing_of_it() {
    let mut schedule = Schedule::default();
    schedule.follow(0, vec![checked(1, 7, seconds(10), None)], || 0.0);
    schedule.take(0);
    schedule.follow(S, vec![checked(1, 8, seconds(10), None)], || 0.0);
    assert_eq!(schedule.next(), None, "the old look is under way");
    assert_eq!(schedule.found(2 * S, &key(1), 7, Health::Passing, 0.0), Found::Outdated);
    assert_eq!((schedule.next(), schedule.take(2 * S)[0].defined), (Some(2 * S), 8));
    schedule.found(2 * S, &key(1), 8, Health::Passing, 0.0);
    // The same while the verdict is on its way.
    schedule.follow(2 * S, vec![checked(1, 9, seconds(10), None)], || 0.0);
    schedule.told(3 * S, &key(1), 8, Some(Health::Passing), 0.0);
    assert_eq!(schedule.take(3 * S)[0].defined, 9);
    assert!(matches!(schedule.found(3 * S, &key(1), 9, Health::Passing, 0.0), Found::News { .. }));
    // Gone, with a look under way: nothing is left.
    schedule.follow(4 * S, vec![], || 0.0);
    schedule.told(5 * S, &key(1), 9, Some(Health::Passing), 0.0);
    assert_eq!((schedule.next(), schedule.in_flight(), schedule.watched.len()), (None, 0, 0));
    // Somebody who keeps changing the interval does not put the look off for ever.
    let kept = |defined| vec![checked(1, defined, seconds(10), Some(Health::Passing))];
    schedule.follow(10 * S, kept(10), || 0.5);
    schedule.follow(14 * S, kept(11), || 0.9);
    assert_eq!(schedule.next(), Some(15 * S));
}

#[test]
fn after_a_start_nobody_is_taken_out_for_the_grace_and_all_are_spread_over_the_interval() {
    const COUNT: usize = 10_000;
    let mut schedule = Schedule::default();
    let kept: Vec<_> = (0..COUNT).map(|n| checked(n, 7, seconds(10), Some(Health::Passing))).collect();
    let mut random = dice(1);
    schedule.follow(0, kept.clone(), &mut random);
    let (mut now, mut looks, mut fell) = (0, vec![0; 400], 0);
    while now < 40 * S {
        let taken = schedule.take(now);
        looks[(now / (S / 10)) as usize] += taken.len();
        for record in taken {
            // Everybody is away, as after a power cut.
            let found = schedule.found(now, &record.who, 7, Health::Critical, random());
            if let Found::News { health, .. } = found {
                assert!(now >= micros(GRACE), "{} fell after {now} µs", number(&record.who));
                assert_eq!(health, Health::Critical);
                schedule.told(now, &record.who, 7, Some(health), random());
                fell += 1;
            }
        }
        now = schedule.next().unwrap_or(now + S);
    }
    assert_eq!(fell, COUNT, "whoever stays away falls within an interval after it");
    let most = looks.iter().max().unwrap();
    assert!(*most < 3 * COUNT / 100, "{most} of {COUNT} in a tenth of a second, 100 would be even");
    // One that comes meanwhile has nothing to keep.
    let mut schedule = Schedule::default();
    schedule.follow(0, kept, &mut random);
    schedule.follow(S, vec![checked(COUNT, 7, seconds(1), None)], &mut random);
    for health in [Health::Passing, Health::Critical, Health::Critical] {
        let now = schedule.next().unwrap();
        schedule.take(now);
        if let Found::News { health, .. } = schedule.found(now, &key(COUNT), 7, health, 0.0) {
            schedule.told(now, &key(COUNT), 7, Some(health), 0.0);
        }
    }
    assert_eq!(schedule.watched[&key(COUNT)].told, Some(Health::Critical));
    assert!(schedule.next().unwrap() < micros(GRACE));
}

#[test]
fn a_fall_that_was_held_back_needs_a_failure() {
    let mut schedule = Schedule::default();
    schedule.follow(0, vec![checked(1, 7, seconds(29), Some(Health::Passing))], || 0.0);
    let mut look = |at: u64, health| {
        assert_eq!(schedule.take(at * S).len(), 1);
        schedule.found(at * S, &key(1), 7, health, 0.0)
    };
    look(0, Health::Critical);
    look(29, Health::Critical);
    assert!(matches!(look(58, Health::Passing), Found::AsBefore { .. }), "it came back in time");
    look(87, Health::Critical);
    assert!(matches!(look(116, Health::Critical), Found::News { health: Health::Critical, .. }));
}

#[test]
fn a_whole_site_that_is_registered_at_once_is_looked_at_by_a_thousand_a_second() {
    let mut schedule = Schedule::default();
    schedule.follow(0, (0..5_000).map(|n| checked(n, 7, seconds(10), None)).collect(), || 0.0);
    let mut looks = vec![0; 5];
    for tick in 0..5_000 {
        for record in schedule.take(tick * 1_000) {
            looks[(tick / 1_000) as usize] += 1;
            schedule.found(tick * 1_000, &record.who, 7, Health::Critical, 0.0);
            schedule.told(tick * 1_000, &record.who, 7, Some(Health::Critical), 0.0);
        }
    }
    assert_eq!(looks, [1_000; 5]);
    // One that comes then does not wait for the intervals of the others.
    let all = (0..5_001).map(|n| checked(n, 7, seconds(10), None)).collect();
    schedule.follow(5 * S, all, || 0.0);
    assert_eq!(schedule.take(5 * S).last().unwrap().who, key(5_000));
}

#[test]
fn no_more_are_asked_at_once_than_there_may_be_and_who_waited_longest_is_next() {
    let mut schedule = Schedule::default();
    schedule.follow(0, (0..2_000).map(|n| checked(n, 7, seconds(1), None)).collect(), || 0.0);
    let first = schedule.take(60 * S);
    assert_eq!((first.len(), schedule.in_flight(), schedule.next()), (IN_FLIGHT_MAX, IN_FLIGHT_MAX, None));
    assert_eq!(schedule.late(60 * S), seconds(60) - Duration::from_millis(IN_FLIGHT_MAX as u64));
    assert!(schedule.take(61 * S).is_empty());
    // A verdict on its way has a place as well: a store that hangs ends the looking, not the memory.
    assert!(matches!(schedule.found(61 * S, &first[0].who, 7, Health::Passing, 0.0), Found::News { .. }));
    assert!(schedule.take(61 * S).is_empty());
    schedule.told(61 * S, &first[0].who, 7, Some(Health::Passing), 0.0);
    assert_eq!(schedule.next(), Some(IN_FLIGHT_MAX as u64 * 1_000));
    let next = schedule.take(62 * S);
    assert_eq!(next.len(), 1);
    assert!(first.iter().all(|r| r.who != next[0].who), "nobody is asked twice before everybody was asked once");
}

/// What becomes of an instance in the game below.
#[derive(Clone, Debug)]
enum Fate {
    Comes { interval_ms: u64 },
    Goes,
}

fn fates() -> impl Strategy<Value = Vec<(u64, usize, Fate)>> {
    let fate = prop_oneof![
        4 => (100_u64..5_000).prop_map(|interval_ms| Fate::Comes { interval_ms }),
        1 => Just(Fate::Goes),
    ];
    proptest::collection::vec((0_u64..20_000, 0_usize..200, fate), 1..400).prop_map(|mut all| {
        all.sort_by_key(|(at, ..)| *at);
        all
    })
}

struct Game {
    schedule: Schedule,
    wanted: HashMap<usize, Arc<Aim>>,
    /// When what is under way is over, whose it is, and what it tells if it is a report.
    flights: Vec<(Moment, Arc<Aim>, Option<Health>)>,
    began: HashMap<(Who, u64), (Moment, Moment)>,
    random: Box<dyn FnMut() -> f64>,
    /// No look had to wait for a place.
    has_room: bool,
}

impl Game {
    fn start(&mut self, now: Moment) -> Result<(), TestCaseError> {
        for record in self.schedule.take(now) {
            prop_assert!(self.flights.iter().all(|(_, other, _)| other.who != record.who), "two looks at one");
            let n: usize = number(&record.who);
            prop_assert!(self.wanted.get(&n).is_some_and(|w| w.defined == record.defined), "nobody wanted this");
            let interval = micros(record.check.interval);
            let name = (record.who.clone(), record.defined);
            if let Some((began, ended)) = self.began.get(&name) {
                prop_assert!(now >= began + interval * 9 / 10 - 1, "too early");
                let latest = (began + interval).max(*ended);
                prop_assert!(!self.has_room || now <= latest + 1, "{now} is later than {latest}");
            }
            self.began.insert(name, (now, now));
            let takes = match (self.random)() {
                x if x < 0.2 => 4 * S,
                x => (x * 0.1 * S as f64) as u64,
            };
            self.flights.push((now + takes, record, None));
        }
        prop_assert!(self.flights.len() <= IN_FLIGHT_MAX);
        prop_assert_eq!(self.flights.len(), self.schedule.in_flight());
        self.has_room &= self.flights.len() < IN_FLIGHT_MAX;
        Ok(())
    }

    fn end(&mut self, now: Moment) {
        let (over, under_way) = std::mem::take(&mut self.flights).into_iter().partition(|(at, ..)| *at <= now);
        self.flights = under_way;
        let over: Vec<(Moment, Arc<Aim>, Option<Health>)> = over;
        for (_, record, report) in over {
            let (key, defined, random) = (&record.who, record.defined, (self.random)());
            if let Some(ended) = self.began.get_mut(&(key.clone(), defined)) {
                ended.1 = now;
            }
            if let Some(health) = report {
                self.schedule.told(now, key, defined, (random < 0.8).then_some(health), random);
                continue;
            }
            let health = if random < 0.5 { Health::Passing } else { Health::Critical };
            if let Found::News { health, .. } = self.schedule.found(now, key, defined, health, random) {
                self.flights.push((now + (random * 5_000.0) as u64, record, Some(health)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn whatever_comes_and_goes_each_is_looked_at_in_time_by_one_and_no_more_than_there_may_be(
        fates in fates(), seed in any::<u64>()
    ) {
        let mut game = Game {
            schedule: Schedule::default(),
            wanted: HashMap::new(),
            flights: Vec::new(),
            began: HashMap::new(),
            random: Box::new(dice(seed)),
            has_room: true,
        };
        let (mut fates, mut now, mut defined) = (fates.into_iter().peekable(), 0, 0);
        while now < 25 * S {
            let mut changed = false;
            while let Some((_, n, fate)) = fates.next_if(|(at, ..)| at * 1_000 <= now) {
                changed = true;
                defined += 1;
                match fate {
                    Fate::Comes { interval_ms } => {
                        let interval = Duration::from_millis(interval_ms);
                        drop(game.wanted.insert(n, checked(n, defined, interval, None)));
                    }
                    Fate::Goes => drop(game.wanted.remove(&n)),
                }
            }
            if changed {
                game.schedule.follow(now, game.wanted.values().cloned().collect(), &mut game.random);
            }
            game.end(now);
            game.start(now)?;
            let next = game.flights.iter().map(|(at, ..)| *at).chain(game.schedule.next());
            let next = next.chain(fates.peek().map(|(at, ..)| at * 1_000)).min();
            now = next.unwrap_or(25 * S).max(now + 1);
        }
        // Nobody was forgotten: each is under way, or has its time.
        for record in game.wanted.values() {
            let is_under_way = game.schedule.in_flight.contains(&record.who);
            prop_assert!(is_under_way != game.schedule.due.of(&record.who).is_some(), "{} is lost", number(&record.who));
        }
        prop_assert_eq!(game.schedule.watched.len(), game.wanted.len());
    }
}
