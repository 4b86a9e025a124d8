//! Who logged in wrongly how often, and who is locked out: Hikvision's "illegal login lock". Pure.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};
use tokio::time::Instant;

/// The most addresses that are remembered; one more makes the device forget all, as a reboot would.
const ADDRESSES_MAX: usize = 1024;

/// Wrong logins by address.
#[derive(Debug)]
pub(super) struct Logins {
    wrong_max: u32,
    lock: Duration,
    by_address: BTreeMap<IpAddr, Tries>,
    failed: u64,
    accepted: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    wrong: u32,
    locked_until: Option<Instant>,
}

/// What an address may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has this many tries left.
    Free { tries_left: u32 },
    /// It is refused, whatever it sends, for this many seconds.
    Locked { seconds: u64 },
}

impl Logins {
    pub fn new(wrong_max: u32, lock: Duration) -> Self {
        Self { wrong_max: wrong_max.max(1), lock, by_address: BTreeMap::new(), failed: 0, accepted: 0 }
    }

    /// Wrong logins ever.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Right logins ever.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// All addresses are free again.
    pub fn forget(&mut self) {
        self.by_address.clear();
    }

    /// Asks without costing a try.
    pub fn standing(&mut self, address: IpAddr, now: Instant) -> Standing {
        let tries = self.by_address.get(&address).copied().unwrap_or_default();
        match tries.locked_until {
            Some(until) if until > now => Standing::Locked { seconds: (until - now).as_secs_f64().ceil() as u64 },
            Some(_) => {
                self.by_address.remove(&address);
                Standing::Free { tries_left: self.wrong_max }
            }
            None => Standing::Free { tries_left: self.wrong_max - tries.wrong },
        }
    }

    /// A wrong login, or any login of a locked address: that begins the lock anew.
    pub fn wrong(&mut self, address: IpAddr, now: Instant) -> Standing {
        self.failed += 1;
        if self.by_address.len() >= ADDRESSES_MAX && !self.by_address.contains_key(&address) {
            self.by_address.clear();
        }
        let locked = matches!(self.standing(address, now), Standing::Locked { .. });
        let tries = self.by_address.entry(address).or_default();
        tries.wrong = (tries.wrong + 1).min(self.wrong_max);
        if locked || tries.wrong == self.wrong_max {
            tries.locked_until = Some(now + self.lock);
        }
        self.standing(address, now)
    }

    /// A right login of an address that is not locked.
    pub fn right(&mut self, address: IpAddr) {
        self.accepted += 1;
        self.by_address.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_wrong_try_locks_and_trying_locks_anew() {
        let here = IpAddr::from([127, 0, 0, 1]);
        let other = IpAddr::from([127, 0, 0, 2]);
        let t0 = crate::base::Clock::real().now();
        let mut logins = Logins::new(3, Duration::from_secs(100));
        assert_eq!(logins.wrong(here, t0), Standing::Free { tries_left: 2 });
        logins.right(here);
        assert_eq!(logins.wrong(here, t0), Standing::Free { tries_left: 2 });
        assert_eq!(logins.wrong(here, t0), Standing::Free { tries_left: 1 });
        assert_eq!(logins.wrong(here, t0), Standing::Locked { seconds: 100 });
        let later = t0 + Duration::from_secs(60);
        assert_eq!(logins.standing(here, later), Standing::Locked { seconds: 40 });
        assert_eq!(logins.standing(other, later), Standing::Free { tries_left: 3 });
        assert_eq!(logins.wrong(here, later), Standing::Locked { seconds: 100 });
        assert_eq!(logins.standing(here, t0 + Duration::from_secs(161)), Standing::Free { tries_left: 3 });
        assert_eq!(logins.failed(), 5);
    }
}
