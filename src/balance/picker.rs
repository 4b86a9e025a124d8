//! One thread's choosing: its turns, its dice.

use super::{Policy, Pool, hash::mix, state::Admission};
use std::collections::HashMap;

/// A member may be busier than the mean by this many parts of 100 before a key goes to the next one.
const LOAD_PERCENT_MAX: u64 = 125;
/// Below so many requests in flight nobody is too busy: with hardly any load the mean is below one, and a bound on it
/// would send two requests of one client to different instances.
const LOAD_FREE: u32 = 4;
/// Members that are tried by dice before they are gone through in order.
const DICE_MAX: usize = 8;
/// Turns that a thread may be ahead of the first: else all threads would begin with the same member.
const AHEAD_MAX: u64 = 64;

/// What is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Now.
    pub now_micros: u64,
    /// The hash of the key; only for [`Policy::Hash`].
    pub hash: u64,
    /// Members that were tried for this request before.
    pub tried: &'a [u32],
}

/// One thread's memory of one pool. After a change of the pool it finds its place again by itself.
#[derive(Debug, Default)]
pub struct Picker {
    /// The pool that the rest belongs to.
    pool: u64,
    /// By member: what smooth round robin has saved up.
    saved: Vec<i64>,
    /// The states of the members, by which they are known again.
    numbers: Vec<u64>,
    /// Where the turn is in a pool of equals.
    turn: usize,
    dice: u64,
    ahead: u64,
}

impl Picker {
    /// A picker whose turns begin `ahead` behind the first, and whose dice differ from others'.
    pub fn new(ahead: u64) -> Self {
        Self { dice: mix(ahead.wrapping_add(1)), ahead: ahead % AHEAD_MAX, ..Self::default() }
    }

    /// The index of the member that the request goes to. None: all were tried, or there is none.
    ///
    /// Where all that are left are ejected, ejection does not count: one of them may serve after all.
    pub fn pick(&mut self, pool: &Pool, ask: &Ask<'_>) -> Option<u32> {
        if self.pool != pool.number {
            self.align(pool);
        }
        let index = self.choose_admitted(pool, ask).or_else(|| self.choose(pool, ask, true))?;
        u32::try_from(index).ok()
    }

    fn choose_admitted(&mut self, pool: &Pool, ask: &Ask<'_>) -> Option<usize> {
        loop {
            let index = self.choose(pool, ask, false)?;
            let state = &pool.members[index].state;
            // Who loses a trial finds the member out, so this comes to an end.
            if state.admission(ask.now_micros) == Admission::In || state.take_trial(ask.now_micros) {
                return Some(index);
            }
        }
    }

    fn choose(&mut self, pool: &Pool, ask: &Ask<'_>, any: bool) -> Option<usize> {
        match pool.policy {
            Policy::RoundRobin if pool.is_uniform => self.next_in_turn(pool, ask, any),
            Policy::RoundRobin => self.smooth(pool, ask, |i| pool.admits(i, ask.tried, any, ask.now_micros)),
            Policy::LeastConn => self.least_conn(pool, ask, any),
            Policy::P2c => self.two_choices(pool, ask, any),
            Policy::Hash => by_hash(pool, ask, any),
        }
    }

    /// Smooth round robin among equals is plain round robin.
    fn next_in_turn(&mut self, pool: &Pool, ask: &Ask<'_>, any: bool) -> Option<usize> {
        let count = pool.members.len();
        let mut order = (self.turn..count).chain(0..self.turn.min(count));
        let index = order.find(|i| pool.admits(*i, ask.tried, any, ask.now_micros))?;
        self.turn = (index + 1) % count;
        Some(index)
    }

    fn smooth(&mut self, pool: &Pool, ask: &Ask<'_>, is_usable: impl Fn(usize) -> bool) -> Option<usize> {
        let all = pool.members.iter().zip(&mut self.saved).enumerate().filter(|(index, _)| is_usable(*index));
        smooth(all.map(|(index, (member, saved))| (index, pool.weight(member, ask.now_micros), saved)))
    }

    /// The fewest in flight for the weight; among equals, smooth round robin.
    fn least_conn(&mut self, pool: &Pool, ask: &Ask<'_>, any: bool) -> Option<usize> {
        // Other threads go on counting: each load is looked at once.
        let mut least: Option<(u64, u64)> = None;
        let mut tied: Vec<usize> = Vec::new();
        for (index, member) in pool.members.iter().enumerate() {
            if !pool.admits(index, ask.tried, any, ask.now_micros) {
                continue;
            }
            let load = u64::from(member.state.in_flight());
            let weight = pool.weight(member, ask.now_micros).unsigned_abs();
            // load / weight < least.0 / least.1, without dividing: below 2³² × 2⁴².
            let order =
                least.map(|(l, w)| (u128::from(load) * u128::from(w)).cmp(&(u128::from(l) * u128::from(weight))));
            match order {
                Some(std::cmp::Ordering::Greater) => {}
                Some(std::cmp::Ordering::Equal) => tied.push(index),
                None | Some(std::cmp::Ordering::Less) => {
                    least = Some((load, weight));
                    tied.clear();
                    tied.push(index);
                }
            }
        }
        match tied.as_slice() {
            [one] => Some(*one),
            // In order, so that each look-up goes on where the last one was.
            tied => self.smooth(pool, ask, |i| tied.binary_search(&i).is_ok()),
        }
    }

    fn two_choices(&mut self, pool: &Pool, ask: &Ask<'_>, any: bool) -> Option<usize> {
        let admits = |i: usize| pool.admits(i, ask.tried, any, ask.now_micros);
        let first = self.roll(pool, admits)?;
        let Some(second) = self.roll(pool, |i| i != first && admits(i)) else { return Some(first) };
        let cost = |index: usize| {
            let member = &pool.members[index];
            let waiting = f64::from(member.state.in_flight()) + 1.0;
            // In f64 exact enough: only the order counts.
            member.state.ewma_micros(ask.now_micros) * waiting / pool.weight(member, ask.now_micros) as f64
        };
        Some(if cost(second) < cost(first) { second } else { first })
    }

    /// One that is usable, at random.
    fn roll(&mut self, pool: &Pool, is_usable: impl Fn(usize) -> bool) -> Option<usize> {
        let count = pool.members.len();
        if count == 0 {
            return None;
        }
        let mut at = 0;
        for _ in 0..DICE_MAX {
            self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
            // The upper bits of the product: a number below `count`.
            at = ((u128::from(mix(self.dice)) * count as u128) >> 64) as usize;
            if is_usable(at) {
                return Some(at);
            }
        }
        // Few are left: from the last throw on, whoever comes first.
        (at..count).chain(0..at).find(|i| is_usable(*i))
    }

    /// Takes what was saved over to another pool: who stays keeps its place, who is new begins at zero.
    fn align(&mut self, pool: &Pool) {
        let is_first = self.pool == 0;
        self.pool = pool.number;
        self.turn = if pool.members.is_empty() { 0 } else { self.turn % pool.members.len() };
        let is_same = self.numbers.len() == pool.members.len()
            && self.numbers.iter().zip(&pool.members).all(|(number, member)| *number == member.state.number);
        if !is_same {
            let old: HashMap<u64, i64> = self.numbers.drain(..).zip(self.saved.drain(..)).collect();
            self.numbers.extend(pool.members.iter().map(|m| m.state.number));
            self.saved.extend(self.numbers.iter().map(|n| old.get(n).copied().unwrap_or(0)));
        }
        if is_first && matches!(pool.policy, Policy::RoundRobin | Policy::LeastConn) {
            for _ in 0..self.ahead {
                match pool.is_uniform {
                    true => self.turn = (self.turn + 1) % pool.members.len().max(1),
                    false => drop(self.smooth(pool, &Ask::default(), |i| pool.members[i].weight > 0)),
                }
            }
        }
    }
}

/// The first behind the key that is not much busier than the mean.
fn by_hash(pool: &Pool, ask: &Ask<'_>, any: bool) -> Option<usize> {
    let admits = |i: &usize| pool.admits(*i, ask.tried, any, ask.now_micros);
    let first = pool.ring.from(ask.hash).find(admits)?;
    if pool.members[first].state.in_flight() < LOAD_FREE {
        return Some(first);
    }
    let usable = || pool.members.iter().enumerate().filter(|(i, _)| admits(i)).map(|(_, m)| m);
    let weights: u64 = usable().map(|m| u64::from(m.weight)).sum();
    // With the one that is about to come.
    let loads: u64 = usable().map(|m| u64::from(m.state.in_flight())).sum::<u64>() + 1;
    let has_room = |index: &usize| {
        let member = &pool.members[*index];
        let (load, weight) = (member.state.in_flight(), u64::from(member.weight));
        let share = u128::from(loads) * u128::from(weight) * u128::from(LOAD_PERCENT_MAX);
        let bound = share.div_ceil(u128::from(weights) * 100);
        load < LOAD_FREE || u128::from(load) < bound
    };
    // Somebody is below the mean, so somebody has room; counts that move meanwhile must not lose a request.
    pool.ring.from(ask.hash).filter(admits).find(has_room).or(Some(first))
}

/// One turn of smooth weighted round robin, nginx's: everybody saves its weight, the richest goes and pays what all have
/// saved; of equals the first. Of each that can be chosen, its weight and what it has saved up.
pub fn smooth<'a, T>(all: impl Iterator<Item = (T, i64, &'a mut i64)>) -> Option<T> {
    let mut best: Option<(T, &mut i64)> = None;
    let mut total = 0i64;
    for (who, weight, saved) in all {
        *saved = saved.saturating_add(weight);
        total = total.saturating_add(weight);
        if best.as_ref().is_none_or(|(_, most)| *saved > **most) {
            best = Some((who, saved));
        }
    }
    let (who, saved) = best?;
    *saved = saved.saturating_sub(total);
    Some(who)
}
