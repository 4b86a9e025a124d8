use super::*;
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};

const SECOND: u64 = 1_000_000;
const NOW: u64 = 1_000 * SECOND;

fn pool_of(policy: Policy, weights: &[u32]) -> Pool {
    pool_with(policy, weights, Duration::ZERO)
}

fn pool_with(policy: Policy, weights: &[u32], slow_start: Duration) -> Pool {
    let member = |(i, weight): (usize, &u32)| Member {
        state: Arc::default(),
        weight: *weight,
        hash: hash(format!("instance-{i}").as_bytes()),
    };
    Pool::new(policy, weights.iter().enumerate().map(member).collect(), slow_start)
}

fn ask(now_micros: u64) -> Ask<'static> {
    Ask { now_micros, ..Ask::default() }
}

fn picks(picker: &mut Picker, pool: &Pool, count: usize) -> Vec<u32> {
    (0..count).map(|_| picker.pick(pool, &ask(NOW)).unwrap()).collect()
}

fn well(micros: u64) -> Outcome {
    Outcome::Answered { status: 200, micros }
}

/// nginx's `ngx_http_upstream_get_peer`, with its names, for peers that do not fail.
struct Nginx {
    weight: Vec<i64>,
    current_weight: Vec<i64>,
}

impl Nginx {
    fn new(weights: &[u32]) -> Self {
        Self { weight: weights.iter().map(|w| i64::from(*w)).collect(), current_weight: vec![0; weights.len()] }
    }

    fn get_peer(&mut self, tried: &[u32]) -> Option<u32> {
        let mut best: Option<usize> = None;
        let mut total = 0;
        for i in 0..self.weight.len() {
            if tried.contains(&(i as u32)) {
                continue;
            }
            self.current_weight[i] += self.weight[i];
            total += self.weight[i];
            if best.is_none() || self.current_weight[i] > self.current_weight[best.unwrap()] {
                best = Some(i);
            }
        }
        self.current_weight[best?] -= total;
        best.map(|i| i as u32)
    }
}

#[test]
fn smooth_round_robin_gives_the_sequence_that_nginx_published() {
    let pool = pool_of(Policy::RoundRobin, &[5, 1, 1]);
    let letters: String =
        picks(&mut Picker::default(), &pool, 14).iter().map(|i| ['a', 'b', 'c'][*i as usize]).collect();
    assert_eq!(letters, "aabacaaaabacaa");
}

proptest! {
    #[test]
    fn smooth_round_robin_is_that_of_nginx(
        weights in prop::collection::vec(1u32..=1000, 1..12),
        tried in prop::collection::vec(prop::collection::vec(0u32..12, 0..3), 1..300),
    ) {
        let pool = pool_of(Policy::RoundRobin, &weights);
        // Equals go by plain turns, which are the same until one is left out; that is looked at below.
        prop_assume!(!pool.is_uniform);
        let (mut nginx, mut picker) = (Nginx::new(&weights), Picker::default());
        for tried in &tried {
            let got = picker.pick(&pool, &Ask { now_micros: NOW, hash: 0, tried });
            prop_assert_eq!(got, nginx.get_peer(tried));
        }
    }

    #[test]
    fn equals_are_served_as_by_nginx(weight in 1u32..=1000, count in 1usize..40) {
        let weights = vec![weight; count];
        let pool = pool_of(Policy::RoundRobin, &weights);
        let (mut nginx, mut picker) = (Nginx::new(&weights), Picker::default());
        for _ in 0..3 * count {
            prop_assert_eq!(picker.pick(&pool, &ask(NOW)), nginx.get_peer(&[]));
        }
    }

    #[test]
    fn each_gets_exactly_its_weight_and_is_never_left_waiting(weights in prop::collection::vec(1u32..=50, 1..8)) {
        let pool = pool_of(Policy::RoundRobin, &weights);
        let total: u32 = weights.iter().sum();
        let sequence = picks(&mut Picker::default(), &pool, total as usize);
        for (i, weight) in weights.iter().enumerate() {
            let places: Vec<_> = sequence.iter().enumerate().filter(|(_, p)| **p as usize == i).map(|(at, _)| at).collect();
            prop_assert_eq!(places.len() as u32, *weight);
            // What is smooth about it: two turns of one are at most about twice its even distance apart.
            let far = places.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(0);
            prop_assert!(far as u32 <= 2 * total.div_ceil(*weight) + 2, "{far} of {total}/{weight}");
        }
    }

    #[test]
    fn a_swap_of_the_pool_keeps_everybodys_place(
        weights in prop::collection::vec(1u32..=20, 2..8),
        before in 0usize..50,
    ) {
        let whole = pool_of(Policy::RoundRobin, &weights);
        let again = Pool::new(Policy::RoundRobin, whole.members().to_vec(), Duration::ZERO);
        let (mut kept, mut swapped) = (Picker::default(), Picker::default());
        prop_assert_eq!(picks(&mut kept, &whole, before), picks(&mut swapped, &whole, before));
        prop_assert_eq!(picks(&mut kept, &whole, 50), picks(&mut swapped, &again, 50));
    }

    #[test]
    fn least_conn_takes_one_of_the_least_loaded(
        members in prop::collection::vec((1u32..=20, 0u32..20), 1..10),
        tried in prop::collection::vec(0u32..10, 0..4),
    ) {
        let weights: Vec<u32> = members.iter().map(|(w, _)| *w).collect();
        let pool = pool_of(Policy::LeastConn, &weights);
        let loads = members.iter().zip(pool.members());
        let _held: Vec<_> = loads.flat_map(|((_, load), m)| (0..*load).map(|_| m.state.begin())).collect();
        let left = |i: &usize| !tried.contains(&(*i as u32));
        let load = |i: usize| f64::from(members[i].1) / f64::from(members[i].0);
        let least = (0..members.len()).filter(left).map(load).fold(f64::INFINITY, f64::min);
        match Picker::default().pick(&pool, &Ask { now_micros: NOW, hash: 0, tried: &tried }) {
            Some(index) => prop_assert!(left(&(index as usize)) && load(index as usize) <= least + 1e-9),
            None => prop_assert!((0..members.len()).all(|i| !left(&i))),
        }
    }

    #[test]
    fn a_member_that_goes_takes_only_its_own_keys_along(count in 2usize..30, gone in 0usize..30) {
        let gone = gone % count;
        let whole = pool_of(Policy::Hash, &vec![1; count]);
        let mut members = whole.members().to_vec();
        let lost = members.remove(gone);
        let less = Pool::new(Policy::Hash, members, Duration::ZERO);
        let mut picker = Picker::default();
        for key in 0..500u32 {
            let ask = Ask { now_micros: NOW, hash: hash(&key.to_le_bytes()), tried: &[] };
            let before = &whole.members()[picker.pick(&whole, &ask).unwrap() as usize];
            let after = &less.members()[picker.pick(&less, &ask).unwrap() as usize];
            prop_assert!(before.state.number == after.state.number || before.state.number == lost.state.number);
        }
    }

    #[test]
    fn nobody_is_loaded_beyond_the_bound_for_the_sake_of_its_keys(count in 2usize..20, keys in 1u64..4, requests in 1usize..400) {
        let pool = pool_of(Policy::Hash, &vec![3; count]);
        let mut held = Vec::new();
        let mut picker = Picker::default();
        for n in 0..requests {
            let ask = Ask { now_micros: NOW, hash: hash(&(n as u64 % keys).to_le_bytes()), tried: &[] };
            let index = picker.pick(&pool, &ask).unwrap();
            held.push(pool.members()[index as usize].state.begin());
        }
        let bound = (1.25 * requests as f64 / count as f64).ceil().max(4.0) as u32;
        for member in pool.members() {
            prop_assert!(member.state.in_flight() <= bound, "{} over {bound}", member.state.in_flight());
        }
    }

    /// Whatever happens to a pool: a pick is there as long as something is left to try, one is always in, and no more
    /// than a tenth (or one) is out for bad answers.
    #[test]
    fn whatever_happens_somebody_is_left(
        count in 1usize..25,
        policy in 0usize..4,
        steps in prop::collection::vec((0u32..25, 0u8..5, 0u64..20 * SECOND), 1..400),
    ) {
        let pool = pool_of(Policy::ALL[policy], &vec![1; count]);
        let mut picker = Picker::default();
        let mut now = NOW;
        for (member, outcome, passed) in steps {
            now += passed;
            let outcome = match outcome {
                0 => well(1000),
                1 => Outcome::Unreachable,
                2 => Outcome::Broken,
                3 => Outcome::Slow,
                _ => Outcome::Answered { status: 503, micros: 100 },
            };
            pool.settle(member % count as u32, outcome, now);
            let out: Vec<Ejected> = pool.members().iter().filter_map(|m| m.state.ejected(now)).collect();
            prop_assert!(out.len() < count, "the last one stays");
            prop_assert!(out.iter().filter(|e| e.why == Why::Failing).count() <= (count / 10).max(1));
            prop_assert!(out.iter().all(|e| e.until_micros <= now + 300 * SECOND));
            let mut tried = Vec::new();
            for _ in 0..count {
                let index = picker.pick(&pool, &Ask { now_micros: now, hash: now, tried: &tried }).unwrap();
                prop_assert!(!tried.contains(&index));
                tried.push(index);
            }
            prop_assert_eq!(picker.pick(&pool, &Ask { now_micros: now, hash: now, tried: &tried }), None);
        }
    }
}

#[test]
fn who_weighs_nothing_is_never_chosen() {
    for policy in Policy::ALL {
        let pool = pool_of(policy, &[0, 2, 0, 1]);
        let mut picker = Picker::new(3);
        let ask = |n: u32| Ask { now_micros: NOW, hash: hash(&n.to_le_bytes()), tried: &[] };
        assert!((0..200).all(|n| [1, 3].contains(&picker.pick(&pool, &ask(n)).unwrap())), "{policy:?}");
        assert_eq!(Picker::default().pick(&pool_of(policy, &[0, 0]), &ask(1)), None);
        assert_eq!(Picker::default().pick(&pool_of(policy, &[]), &ask(1)), None);
    }
}

#[test]
fn threads_do_not_all_begin_with_the_same() {
    for weights in [vec![1; 8], vec![1, 2, 1, 1, 1, 1, 1, 1]] {
        let pool = pool_of(Policy::RoundRobin, &weights);
        let first: std::collections::BTreeSet<u32> = (0..8).map(|n| picks(&mut Picker::new(n), &pool, 1)[0]).collect();
        assert!(first.len() >= 7, "{first:?}");
    }
}

#[test]
fn two_choices_leave_the_slow_and_the_busy_alone() {
    let pool = pool_of(Policy::P2c, &[1, 1, 1]);
    let mut picker = Picker::new(7);
    for (i, micros) in [2_000, 2_000, 400_000].into_iter().enumerate() {
        pool.settle(i as u32, well(micros), NOW);
        pool.settle(i as u32, well(micros), NOW + 60 * SECOND);
    }
    let count = |picker: &mut Picker, at| {
        let mut counts = [0; 3];
        (0..300).for_each(|_| counts[picker.pick(&pool, &ask(at)).unwrap() as usize] += 1);
        counts
    };
    let counts = count(&mut picker, NOW + 60 * SECOND);
    assert!(counts[2] == 0 && counts[0] > 100 && counts[1] > 100, "{counts:?}");
    let _busy: Vec<_> = (0..5).map(|_| pool.members()[0].state.begin()).collect();
    let counts = count(&mut picker, NOW + 60 * SECOND);
    assert!(counts[0] == 0 || counts[1] > 2 * counts[0], "{counts:?}");
}

#[test]
fn a_quick_refusal_is_not_taken_for_a_quick_answer() {
    let pool = pool_of(Policy::P2c, &[1, 1]);
    for n in 0..4 {
        pool.settle(0, Outcome::Answered { status: 503, micros: 50 }, NOW + n);
        pool.settle(1, well(20_000), NOW + n);
    }
    let mut picker = Picker::new(1);
    assert!((0..100).all(|_| picker.pick(&pool, &ask(NOW + SECOND)) == Some(1)));
}

#[test]
fn an_instance_that_is_new_or_back_gets_its_share_slowly() {
    let pool = pool_with(Policy::RoundRobin, &[100, 100], Duration::from_secs(100));
    pool.members()[0].state.set_routable(true, true, NOW);
    pool.members()[1].state.set_routable(true, false, NOW);
    let mut before = 0;
    for (second, share) in [(0, 9), (10, 9), (25, 20), (50, 33), (99, 49), (100, 50), (1000, 50)] {
        let now = NOW + second * SECOND;
        let mut picker = Picker::default();
        let got = (0..100).filter(|_| picker.pick(&pool, &ask(now)) == Some(1)).count();
        assert!(got.abs_diff(share) <= 1 && got >= before, "after {second} s {got} of 100, not {share}");
        before = got;
    }
    // To stay is not to come back.
    pool.members()[1].state.set_routable(true, false, NOW + 2000 * SECOND);
    assert_eq!(pool.weight(&pool.members()[1], NOW + 2000 * SECOND), 100 * 1024);
    pool.members()[1].state.set_routable(false, false, NOW + 2000 * SECOND);
    pool.members()[1].state.set_routable(true, false, NOW + 2001 * SECOND);
    assert_eq!(pool.weight(&pool.members()[1], NOW + 2001 * SECOND), 10 * 1024);
}

#[test]
fn where_nothing_listens_one_request_tries_after_a_time_that_doubles() {
    let pool = pool_of(Policy::RoundRobin, &[1, 1, 1]);
    let mut picker = Picker::default();
    let mut now = NOW;
    for out_seconds in [1, 2, 4, 8, 16, 30, 30] {
        pool.settle(1, Outcome::Unreachable, now);
        // What was under way already changes nothing.
        pool.settle(1, Outcome::Unreachable, now);
        let out = pool.members()[1].state.ejected(now).unwrap();
        assert_eq!((out.until_micros, out.why), (now + out_seconds * SECOND, Why::Unreachable));
        assert!((0..9).all(|_| picker.pick(&pool, &ask(out.until_micros - 1)) != Some(1)));
        now = out.until_micros;
        let tries = (0..9).filter(|_| picker.pick(&pool, &ask(now)) == Some(1)).count();
        assert_eq!(tries, 1, "one trial");
    }
    pool.settle(1, well(1000), now);
    assert_eq!((0..9).filter(|_| picker.pick(&pool, &ask(now)) == Some(1)).count(), 3, "back");
    pool.settle(1, Outcome::Unreachable, now);
    assert_eq!(pool.members()[1].state.ejected(now).unwrap().until_micros, now + SECOND, "all is forgiven");
}

#[test]
fn as_many_may_be_out_as_are_down_but_for_the_last() {
    let pool = pool_of(Policy::RoundRobin, &[1; 20]);
    (0..20).for_each(|i| pool.settle(i, Outcome::Unreachable, NOW));
    let out = pool.members().iter().filter(|m| m.state.ejected(NOW).is_some()).count();
    assert_eq!(out, 19);
    assert_eq!(Picker::default().pick(&pool, &ask(NOW)), Some(19));
    // A trial of each comes first, then whoever is left, then those that are out after all.
    let tried: Vec<u32> = vec![19];
    assert!(Picker::default().pick(&pool, &Ask { now_micros: NOW, hash: 0, tried: &tried }).is_some());
}

#[test]
fn bad_answers_take_out_a_tenth_at_most_and_for_longer_each_time() {
    let bad = Outcome::Answered { status: 502, micros: 100 };
    let pool = pool_of(Policy::RoundRobin, &[1; 20]);
    let out = |now| pool.members().iter().filter(|m| m.state.ejected(now).is_some()).count();
    for i in 0..20 {
        (0..4).for_each(|_| pool.settle(i, bad, NOW));
    }
    assert_eq!(out(NOW), 0, "four are not five");
    pool.settle(0, well(1000), NOW);
    pool.settle(0, bad, NOW);
    assert_eq!(out(NOW), 0, "they must be in a row");
    for i in 0..20 {
        (0..5).for_each(|_| pool.settle(i, bad, NOW));
    }
    assert_eq!(out(NOW), 2);
    assert_eq!(pool.members()[0].state.ejected(NOW).unwrap().until_micros, NOW + 30 * SECOND);
    let now = NOW + 30 * SECOND;
    pool.settle(0, bad, now);
    let again = pool.members()[0].state.ejected(now).unwrap();
    assert_eq!((again.until_micros, again.why), (now + 60 * SECOND, Why::Failing), "the trial failed");
    for status in [200, 404, 501, 505] {
        let pool = pool_of(Policy::RoundRobin, &[1, 1]);
        (0..50).for_each(|_| pool.settle(0, Outcome::Answered { status, micros: 1 }, NOW));
        assert_eq!(pool.members()[0].state.ejected(NOW), None, "{status} is about the request");
    }
}

#[test]
fn one_alone_is_never_taken_out() {
    let pool = pool_of(Policy::RoundRobin, &[1]);
    for outcome in [Outcome::Unreachable, Outcome::Broken, Outcome::Slow] {
        (0..50).for_each(|_| pool.settle(0, outcome, NOW));
        assert_eq!((pool.members()[0].state.ejected(NOW), Picker::default().pick(&pool, &ask(NOW))), (None, Some(0)));
    }
}

#[test]
fn keys_are_spread_by_weight() {
    let pool = pool_of(Policy::Hash, &[1, 1, 2]);
    let mut counts = [0u32; 3];
    let mut picker = Picker::default();
    for key in 0..20_000u32 {
        let ask = Ask { now_micros: NOW, hash: hash(&key.to_le_bytes()), tried: &[] };
        counts[picker.pick(&pool, &ask).unwrap() as usize] += 1;
    }
    assert!(counts.iter().zip([5000, 5000, 10_000]).all(|(got, fair)| got.abs_diff(fair) * 5 < fair), "{counts:?}");
}
