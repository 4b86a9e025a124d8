//! Whether a client works with us or only makes us work. Pure.

use super::limits::{IDLE_BYTES_FREE, IDLE_BYTES_SHARE, REQUEST_USE_BYTES, TAKEN_BACK_MAX};
use std::cell::Cell;

/// What a connection has cost and brought.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Bytes that came.
    pub(super) came: Cell<u64>,
    /// Bytes of bodies, both ways.
    pub(super) carried: Cell<u64>,
    requests: Cell<u64>,
    answered: Cell<u64>,
    taken_back: Cell<u64>,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    /// Requests are taken back as fast as they come.
    Resets,
    /// Frames come that carry nothing.
    Idle,
}

impl Flood {
    /// For counts and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::Idle => "idle_frames",
        }
    }
}

pub(super) fn add(to: &Cell<u64>, n: u64) {
    to.set(to.get().saturating_add(n));
}

impl Account {
    /// A request came.
    pub(super) fn request(&self) {
        add(&self.requests, 1);
    }

    /// One was answered to its end, or taken back.
    pub(super) fn ended(&self, taken_back: bool) {
        add(if taken_back { &self.taken_back } else { &self.answered }, 1);
    }

    /// Whether it is enough.
    pub(super) fn judge(&self) -> Option<Flood> {
        if self.taken_back.get() > self.answered.get().saturating_add(TAKEN_BACK_MAX) {
            return Some(Flood::Resets);
        }
        let used = self.carried.get().saturating_add(self.requests.get().saturating_mul(REQUEST_USE_BYTES));
        let free = used.saturating_mul(IDLE_BYTES_SHARE).saturating_add(IDLE_BYTES_FREE);
        (self.came.get() > free).then_some(Flood::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_pays_for_frames_and_what_is_answered_for_what_is_taken_back() {
        let account = Account::default();
        add(&account.came, IDLE_BYTES_FREE);
        assert_eq!(account.judge(), None);
        add(&account.came, 1);
        assert_eq!(account.judge(), Some(Flood::Idle));
        account.request();
        assert_eq!(account.judge(), None);
        // A client that loads a gigabyte and opens its window for every 1 KiB of it.
        add(&account.carried, 1 << 30);
        add(&account.came, 13 << 20);
        assert_eq!(account.judge(), None);
        for _ in 0..TAKEN_BACK_MAX {
            account.ended(true);
        }
        assert_eq!(account.judge(), None);
        account.ended(true);
        assert_eq!(account.judge(), Some(Flood::Resets));
        account.ended(false);
        assert_eq!(account.judge(), None);
    }
}
