//! Which devices a gateway has, out of one list after the other. Pure.
//!
//! A device that a list shows is there. One that is missing is gone only once two complete lists in a row lack it: a
//! device slips over the border of a page when another is deleted meanwhile. A list that is all of a sudden empty is
//! what a gateway says while it starts; it is believed once it has said so for a while.

use super::walk::Listing;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// Complete lists in a row that lack a device that is gone.
const MISSED_MAX: u32 = 2;
/// How long a gateway that had devices must say that it has none.
const EMPTY_BELIEVED_AFTER: Duration = Duration::from_secs(60);
/// Devices of one gateway that are taken. Each has its tasks and rows even while it is away.
pub(super) const DEVICES_MAX: usize = 2_000;

/// The devices that are known.
#[derive(Debug, Default)]
pub(super) struct Roll {
    known: BTreeMap<String, Missed>,
    empty_since: Option<Instant>,
    /// More than [`DEVICES_MAX`] were listed.
    full: bool,
}

#[derive(Debug, Default)]
struct Missed {
    lists: u32,
    gone_since: Option<Instant>,
}

impl Roll {
    /// Takes a list in.
    pub(super) fn learn(&mut self, listing: &Listing, now: Instant) {
        for index in listing.devices.keys() {
            if self.known.contains_key(index) || self.known.len() < DEVICES_MAX {
                self.known.insert(index.clone(), Missed::default());
            }
        }
        self.full = listing.devices.keys().any(|index| !self.known.contains_key(index));
        if listing.doubt.is_some() {
            return;
        }
        if listing.devices.is_empty() {
            let since = *self.empty_since.get_or_insert(now);
            if now.saturating_duration_since(since) < EMPTY_BELIEVED_AFTER {
                return;
            }
        } else {
            self.empty_since = None;
        }
        for (_, missed) in self.known.iter_mut().filter(|(index, _)| !listing.devices.contains_key(*index)) {
            missed.lists = missed.lists.saturating_add(1);
            if missed.lists >= MISSED_MAX {
                missed.gone_since.get_or_insert(now);
            }
        }
    }

    /// The device was deleted at the gateway.
    pub(super) fn is_gone(&self, index: &str) -> bool {
        self.known.get(index).is_none_or(|missed| missed.gone_since.is_some())
    }

    /// Forgets those that have been gone for so long.
    pub(super) fn forget(&mut self, after: Duration, now: Instant) {
        self.known.retain(|_, missed| missed.gone_since.is_none_or(|at| now.saturating_duration_since(at) < after));
    }

    /// Every device that is known, gone or not.
    pub(super) fn indexes(&self) -> BTreeSet<&str> {
        self.known.keys().map(String::as_str).collect()
    }

    /// More were listed than are taken.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::gateway::walk::tests::device;
    use proptest::prelude::*;

    const AGE_OUT: Duration = Duration::from_secs(300);

    fn list(indexes: &[&str], complete: bool) -> Listing {
        let devices = indexes.iter().map(|i| ((*i).to_owned(), device(i))).collect();
        Listing { devices, doubt: (!complete).then(|| "doubt".to_owned()) }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn a_deleted_device_is_gone_after_two_lists_and_ages_out() {
        let (mut roll, now) = (Roll::default(), Instant::now());
        roll.learn(&list(&["A", "B"], true), now);
        roll.learn(&list(&["A"], true), after(now, 15));
        assert!(!roll.is_gone("B"), "it may have slipped over the border of a page");
        roll.learn(&list(&["A"], true), after(now, 30));
        assert!(roll.is_gone("B") && !roll.is_gone("A"));
        roll.forget(AGE_OUT, after(now, 329));
        assert_eq!(roll.indexes(), ["A", "B"].into());
        roll.forget(AGE_OUT, after(now, 330));
        assert_eq!(roll.indexes(), ["A"].into());
        roll.learn(&list(&["A", "B"], true), after(now, 400));
        assert!(!roll.is_gone("B"));
    }

    #[tokio::test]
    async fn a_list_in_doubt_deletes_nothing_however_often_it_comes() {
        let (mut roll, now) = (Roll::default(), Instant::now());
        roll.learn(&list(&["A", "B"], true), now);
        for n in 1..100 {
            roll.learn(&list(&["A"], false), after(now, n * 15));
            roll.learn(&list(&[], false), after(now, n * 15));
            roll.forget(AGE_OUT, after(now, n * 15));
        }
        assert!(!roll.is_gone("A") && !roll.is_gone("B"));
    }

    #[tokio::test]
    async fn a_gateway_that_starts_and_has_no_devices_yet_loses_none() {
        let (mut roll, now) = (Roll::default(), Instant::now());
        roll.learn(&list(&["A"], true), now);
        for s in [1, 15, 30, 59] {
            roll.learn(&list(&[], true), after(now, s));
        }
        assert!(!roll.is_gone("A"));
        roll.learn(&list(&["A"], true), after(now, 60));
        for s in [61, 100, 121, 122] {
            roll.learn(&list(&[], true), after(now, s));
        }
        assert!(roll.is_gone("A"), "somebody deleted all of them");
    }

    #[tokio::test]
    async fn more_devices_than_are_taken_are_told_and_leave_the_known_ones_alone() {
        let (mut roll, now) = (Roll::default(), Instant::now());
        let names: Vec<String> = (0..DEVICES_MAX + 5).map(|n| format!("D{n:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        roll.learn(&list(&names[5..], true), now);
        assert!(!roll.is_full());
        roll.learn(&list(&names, true), now);
        assert!(roll.is_full());
        assert_eq!(roll.indexes().len(), DEVICES_MAX);
        assert!(roll.indexes().contains(names[DEVICES_MAX + 4]));
    }

    proptest! {
        #[test]
        fn only_two_complete_lists_in_a_row_delete(
            steps in proptest::collection::vec((proptest::collection::btree_set(0u8..4, 0..4), any::<bool>(), 1u64..40), 1..40),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let (mut roll, mut now) = (Roll::default(), Instant::now());
                let mut missed = BTreeMap::<u8, u32>::new();
                for (shown, complete, seconds) in steps {
                    now += Duration::from_secs(seconds);
                    let names: Vec<String> = shown.iter().map(u8::to_string).collect();
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    roll.learn(&list(&names, complete), now);
                    for n in &shown {
                        missed.insert(*n, 0);
                    }
                    for (_, lists) in missed.iter_mut().filter(|(n, _)| complete && !shown.contains(n)) {
                        *lists += 1;
                    }
                    for (n, lists) in &missed {
                        let gone = roll.is_gone(&n.to_string());
                        assert!(!gone || *lists >= 2, "device {n} after {lists} lists");
                    }
                }
            });
        }
    }
}
