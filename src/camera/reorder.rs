//! Decoding times for pictures whose time of showing alone is known. Pure.
//!
//! RTP says when a picture is shown. Where pictures refer to later ones, they come in the order of decoding, and the
//! times of showing go forth and back. Decoding times must grow; they are spread here like the times of showing: the
//! *n*-th picture that comes is decoded when the *n*-th picture is shown. So a stream that is not reordered keeps its
//! times untouched, and one that is keeps the same times of showing to the tick, with offsets of either sign.
//!
//! How deep the reordering is, the first pictures show; nothing is held back for it and nothing lost.

use crate::media::order::DEPTH_MAX;
use std::collections::VecDeque;

/// A picture shown so long before one that came earlier is not reordered: its clock went back.
const BACK_TICKS_MAX: i64 = 2 * 90_000;
/// Times of showing that are remembered to tell how long a picture lasts.
const HISTORY: usize = 8;

/// The state of one session.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    depth: usize,
    /// Times of showing that are not spent as decoding times yet, the earliest first.
    pending: Vec<i64>,
    /// The last one that was spent.
    spent: Option<i64>,
    last: Option<i64>,
    /// From the time that is spent to the decoding time: the depth in pictures.
    shift: i64,
    history: VecDeque<i64>,
}

impl Reorder {
    /// The decoding time of the next picture, which is shown at `shown`. `may_go_back`: whether it may be shown before
    /// one that came earlier; where it may not, its time is given back untouched.
    pub(super) fn place(&mut self, shown: i64, may_go_back: bool) -> i64 {
        let back = self.spent.is_some_and(|spent| shown < spent);
        let broken = back && (!may_go_back || self.spent.is_some_and(|spent| spent - shown > BACK_TICKS_MAX));
        if broken || (self.depth == 0 && !back) {
            (self.spent, self.last) = (Some(shown), Some(shown));
            self.remember(shown);
            return shown;
        }
        self.remember(shown);
        let at = self.pending.partition_point(|p| *p <= shown);
        self.pending.insert(at, shown);
        if self.pending.len() > self.depth {
            let next = self.pending.remove(0);
            if let Some(spent) = self.spent.filter(|spent| next < *spent && self.depth < DEPTH_MAX) {
                // That one was spent too early: it is not the next to be shown.
                self.pending.insert(self.pending.partition_point(|p| *p <= spent), spent);
                self.depth += 1;
                self.shift = self.step() * self.depth as i64;
            }
            self.spent = Some(next);
        }
        let exact = self.spent.unwrap_or(shown).saturating_add(self.shift);
        let decoded = self.last.map_or(exact, |last| exact.max(last.saturating_add(1)));
        self.last = Some(decoded);
        decoded
    }

    fn remember(&mut self, shown: i64) {
        self.history.push_back(shown);
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// How long a picture lasts: the least that lies between two.
    fn step(&self) -> i64 {
        let mut sorted: Vec<i64> = self.history.iter().copied().collect();
        sorted.sort_unstable();
        sorted.windows(2).map(|w| w[1] - w[0]).filter(|step| *step > 0).min().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(shown: &[i64]) -> Vec<i64> {
        let mut reorder = Reorder::default();
        shown.iter().map(|s| reorder.place(s * 3600, true)).collect()
    }

    #[test]
    fn what_is_not_reordered_stays_as_it_is() {
        assert_eq!(run(&[0, 1, 2, 5, 6]), [0, 3600, 7200, 18_000, 21_600]);
        let mut reorder = Reorder::default();
        assert_eq!([0, 90_000, 40_000].map(|s| reorder.place(s, false)), [0, 90_000, 40_000], "a clock that went back");
        assert_eq!([90_000_000, 0].map(|s| reorder.place(s, true)), [90_000_000, 0], "far back");
    }

    #[test]
    fn pictures_between_others_get_decoding_times_like_the_times_of_showing() {
        let plain = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11];
        let decoded = run(&plain);
        assert_eq!(&decoded[4..], (4..13).map(|n| n * 3600).collect::<Vec<i64>>(), "{decoded:?}");
        let pyramid = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11, 16, 14, 13, 15];
        let decoded = run(&pyramid);
        assert_eq!(&decoded[6..], (6..17).map(|n| n * 3600).collect::<Vec<i64>>(), "{decoded:?}");
    }

    proptest! {
        #[test]
        fn decoding_times_grow_strictly_whatever_the_order(
            groups in proptest::collection::vec((1usize..6, 1i64..9000), 1..40),
        ) {
            let (mut reorder, mut last, mut at) = (Reorder::default(), None, 0);
            for (count, step) in groups {
                // The last of each group comes first.
                let group: Vec<i64> = (1..=count as i64).map(|n| at + n * step).collect();
                at += count as i64 * step;
                for shown in group.iter().rev().take(1).chain(&group[..count - 1]) {
                    let decoded = reorder.place(*shown, true);
                    prop_assert!(last.is_none_or(|l| decoded > l), "{last:?} {decoded}");
                    prop_assert!((decoded - shown).abs() <= 20 * 9000, "{decoded} {shown}");
                    last = Some(decoded);
                }
            }
        }
    }
}
