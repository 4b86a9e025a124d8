//! A ring of points for consistent hashing: who comes or goes takes or leaves only its own part of the keys.

use super::{Member, hash::mix};

/// Points of a member of mean weight, as in ketama: their parts of the ring then differ by some 8 %.
const POINTS_PER_MEMBER: u64 = 160;
/// All points of a ring: 4 MiB. With thousands of members each has fewer of its own, and needs fewer.
const POINTS_MAX: u64 = 262_144;
/// What makes the next point of a member: the golden ratio's bits.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where each member's points lie, in order.
#[derive(Debug, Default)]
pub(super) struct Ring(Box<[(u64, u32)]>);

impl Ring {
    pub(super) fn new(members: &[Member]) -> Self {
        let count = members.iter().filter(|m| m.weight > 0).count() as u64;
        let total: u64 = members.iter().map(|m| u64::from(m.weight)).sum();
        if count == 0 {
            return Self::default();
        }
        let points_each = POINTS_PER_MEMBER.min((POINTS_MAX / count).max(1));
        let mut points = Vec::new();
        for (index, member) in (0u32..).zip(members).filter(|(_, m)| m.weight > 0) {
            // Its weight over the mean weight; a member has at least one.
            let share = u64::from(member.weight) * points_each * count;
            let own = ((share + total / 2) / total).max(1);
            points.extend((1..=own).map(|n| (mix(member.hash.wrapping_add(n.wrapping_mul(STRIDE))), index)));
        }
        points.sort_unstable();
        Self(points.into())
    }

    /// The members as they follow a key, each as often as it has points.
    pub(super) fn from(&self, key: u64) -> impl Iterator<Item = usize> {
        let (before, behind) = self.0.split_at(self.0.partition_point(|(point, _)| *point < key));
        behind.iter().chain(before).map(|(_, index)| *index as usize)
    }
}
