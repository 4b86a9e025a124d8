//! How many connections there are, of all workers and of each address, and who gets no more.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Parts of the map of addresses: workers that accept at once seldom meet in one.
const SHARDS: usize = 16;

/// The places of all workers.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: AtomicUsize,
    by_address: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
}

/// A connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Arc<Places>,
    address: Option<IpAddr>,
}

/// Why a connection gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There are as many as there may be.
    All,
    /// Its address has as many as one may have.
    Address,
}

impl Places {
    /// A place for a connection from `address`; `per_address_max` 0: no limit.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, max: usize, per_address_max: usize) -> Result<Place, Full> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let mut place = Place { of: self.clone(), address: None };
        if before >= max {
            return Err(Full::All);
        }
        place.count(address, per_address_max)?;
        Ok(place)
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn shard(&self, address: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let bits = match address {
            IpAddr::V4(a) => u128::from(a.to_bits()),
            IpAddr::V6(a) => a.to_bits() >> 64,
        };
        let mixed = bits ^ (bits >> 16) ^ (bits >> 8);
        let shard = usize::try_from(mixed % SHARDS as u128).unwrap_or_default();
        self.by_address[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Counts it for an address: that of the client, where it is known only now.
    pub(super) fn count(&mut self, address: IpAddr, per_address_max: usize) -> Result<(), Full> {
        if per_address_max > 0 {
            let address = who(address);
            let mut shard = self.of.shard(address);
            let taken = shard.entry(address).or_default();
            if *taken >= per_address_max {
                return Err(Full::Address);
            }
            *taken += 1;
            drop(shard);
            self.address = Some(address);
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.taken.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut shard = self.of.shard(address);
        match shard.get_mut(&address) {
            Some(taken) if *taken > 1 => *taken -= 1,
            _ => drop(shard.remove(&address)),
        }
    }
}

/// Who an address counts as: of IPv6, whoever has one has its whole /64.
fn who(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_what_is_given_back_can_be_taken() {
        let places = Arc::new(Places::default());
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "::ffff:10.0.0.1".parse().unwrap());
        let held = [places.take(a, 3, 2).unwrap(), places.take(b, 3, 2).unwrap()];
        assert_eq!(places.take(a, 3, 2).unwrap_err(), Full::Address);
        let other = places.take("2001:db8::1".parse().unwrap(), 3, 2).unwrap();
        assert_eq!(places.take("10.0.0.9".parse().unwrap(), 3, 2).unwrap_err(), Full::All);
        drop(held);
        assert_eq!(places.taken(), 1);
        let _same_net = places.take("2001:db8::ffff:1".parse().unwrap(), 3, 2).unwrap();
        assert_eq!(places.take("2001:db8::2".parse().unwrap(), 3, 2).unwrap_err(), Full::Address);
        drop(other);
        assert!(
            places.by_address.iter().map(|s| s.lock().unwrap().len()).sum::<usize>() == 1,
            "nothing is left behind"
        );
    }
}
