//! What there is to choose from: an immutable set of members, shared by all threads.

use super::{InstanceState, Policy, ring::Ring, state::Admission};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// A weight is a multiple of this inside, so that slow start can take parts of a weight of 1.
const WEIGHT_SCALE: u64 = 1024;
/// With slow start, the share that an instance begins with: with none, it would never be tried.
const RAMP_FLOOR_DIVISOR: u64 = 10;
/// Numbers pools, so that a picker sees that it has another one before it.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// One instance in a pool.
#[derive(Clone, Debug)]
pub struct Member {
    /// What is known of it.
    pub state: Arc<InstanceState>,
    /// Its share beside the others; 0: none.
    pub weight: u32,
    /// Of a name that stays, see [`hash`](super::hash); only for [`Policy::Hash`].
    pub hash: u64,
}

/// A set to choose from.
#[derive(Debug)]
pub struct Pool {
    pub(super) number: u64,
    pub(super) policy: Policy,
    pub(super) members: Box<[Member]>,
    pub(super) ring: Ring,
    /// All members weigh the same, all of the time: turns need no sums.
    pub(super) is_uniform: bool,
    slow_start_micros: u64,
}

impl Pool {
    /// A pool of these. `slow_start`: how long an instance that is new or back takes to get its whole share; zero: it
    /// gets it at once. Hashing goes by without it, since there it would only move keys about.
    pub fn new(policy: Policy, members: Vec<Member>, slow_start: Duration) -> Self {
        let ring = if policy == Policy::Hash { Ring::new(&members) } else { Ring::default() };
        let slow_start_micros = u64::try_from(slow_start.as_micros()).unwrap_or(u64::MAX);
        let is_uniform = slow_start_micros == 0 && members.windows(2).all(|two| two[0].weight == two[1].weight);
        let number = NUMBERS.fetch_add(1, Relaxed);
        Self { number, policy, members: members.into(), ring, is_uniform, slow_start_micros }
    }

    /// Who is in it.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// By what it is chosen from.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// A member's weight at this moment, in parts of [`WEIGHT_SCALE`].
    pub(super) fn weight(&self, member: &Member, now_micros: u64) -> i64 {
        let whole = u64::from(member.weight) * WEIGHT_SCALE;
        let weight = match member.state.ramping_micros(now_micros) {
            Some(passed) if passed < self.slow_start_micros => {
                let floor = (whole / RAMP_FLOOR_DIVISOR).max(u64::from(whole > 0));
                let grown = u128::from(whole) * u128::from(passed) / u128::from(self.slow_start_micros);
                u64::try_from(grown).unwrap_or(whole).max(floor)
            }
            _ => whole,
        };
        // At most 2³² × 2¹⁰.
        weight as i64
    }

    /// Whether a member may be chosen now. `any`: ejected ones too, since all are.
    pub(super) fn admits(&self, index: usize, tried: &[u32], any: bool, now_micros: u64) -> bool {
        let member = &self.members[index];
        let is_tried = || tried.iter().any(|t| *t as usize == index);
        let admitted = any || member.state.admission(now_micros) != Admission::Out;
        member.weight > 0 && admitted && !is_tried()
    }
}
