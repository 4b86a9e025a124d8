//! What is counted by route. Each worker has a part of its own that only it writes, so counting takes no locked
//! instruction and no line of cache from another core; the parts are summed up when somebody asks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Upper bounds of the buckets of time, in microseconds; one more is without bound.
pub(in crate::proxy) const BOUNDS_MICROS: [u64; 11] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000, 60_000_000];
/// Statuses are counted by class, from 1xx to 5xx; those that are told apart have their own.
pub(in crate::proxy) const CLASSES: [&str; 9] = ["1xx", "2xx", "3xx", "4xx", "5xx", "499", "502", "503", "504"];

/// What is counted of one route.
#[derive(Debug)]
pub struct RouteMeters {
    /// As metrics call it.
    pub(in crate::proxy) label: Arc<str>,
    shards: Box<[Shard]>,
}

/// One worker's part. Only that worker may write it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Shard {
    in_flight: AtomicU64,
    by_class: [AtomicU64; CLASSES.len()],
    by_time: [AtomicU64; BOUNDS_MICROS.len() + 1],
    micros: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    retries: AtomicU64,
}

/// All parts together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that are being served.
    pub in_flight: u64,
    /// Requests that are over, by [`CLASSES`].
    pub by_class: [u64; CLASSES.len()],
    /// The same by [`BOUNDS_MICROS`].
    pub by_time: [u64; BOUNDS_MICROS.len() + 1],
    /// What they took together.
    pub micros: u64,
    /// Bytes of bodies from clients.
    pub bytes_in: u64,
    /// Bytes of bodies to clients.
    pub bytes_out: u64,
    /// Further tries.
    pub retries: u64,
}

impl Totals {
    /// Requests that are over.
    pub fn requests(&self) -> u64 {
        self.by_class.iter().sum()
    }
}

/// Only one thread writes: what it read is what is there.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Shard {
    /// A request has come.
    pub fn begin(&self) {
        add(&self.in_flight, 1);
    }

    /// It is over. 499: the client has gone.
    pub fn end(&self, status: u16, micros: u64, bytes_in: u64, bytes_out: u64) {
        add(&self.in_flight, u64::MAX);
        let class = match status {
            499 => 5,
            502..=504 => usize::from(status) - 496,
            _ => usize::from(status / 100).clamp(1, 5) - 1,
        };
        add(&self.by_class[class], 1);
        add(&self.by_time[BOUNDS_MICROS.partition_point(|bound| *bound < micros)], 1);
        add(&self.micros, micros);
        add(&self.bytes_in, bytes_in);
        add(&self.bytes_out, bytes_out);
    }

    /// A request is tried again.
    pub fn retry(&self) {
        add(&self.retries, 1);
    }
}

impl RouteMeters {
    /// Nothing counted yet. At least one part.
    pub(in crate::proxy) fn new(label: Arc<str>, workers: usize) -> Self {
        Self { label, shards: (0..workers.max(1)).map(|_| Shard::default()).collect() }
    }

    /// The part of a worker.
    pub fn shard(&self, worker: usize) -> &Shard {
        &self.shards[worker % self.shards.len()]
    }

    /// All parts together.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in &self.shards {
            let take = |counter: &AtomicU64| counter.load(Relaxed);
            // A request that is counted here as begun may end on no other worker, so the sum is not below zero.
            totals.in_flight = totals.in_flight.wrapping_add(take(&shard.in_flight));
            totals.by_class.iter_mut().zip(&shard.by_class).for_each(|(sum, one)| *sum += take(one));
            totals.by_time.iter_mut().zip(&shard.by_time).for_each(|(sum, one)| *sum += take(one));
            totals.micros += take(&shard.micros);
            totals.bytes_in += take(&shard.bytes_in);
            totals.bytes_out += take(&shard.bytes_out);
            totals.retries += take(&shard.retries);
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_summed_and_statuses_told_apart() {
        let meters = RouteMeters::new("api".into(), 2);
        let statuses = [200, 204, 301, 404, 499, 500, 501, 502, 503, 504, 599, 101, 0, 999];
        for (i, status) in statuses.into_iter().enumerate() {
            meters.shard(i % 2).begin();
            meters.shard(i % 2).end(status, 700, 10, 20);
        }
        meters.shard(1).begin();
        meters.shard(1).retry();
        let totals = meters.totals();
        assert_eq!(totals.by_class, [2, 2, 1, 1, 4, 1, 1, 1, 1], "{CLASSES:?}");
        assert_eq!((totals.requests(), totals.in_flight, totals.retries), (14, 1, 1));
        assert_eq!((totals.by_time[1], totals.micros, totals.bytes_in, totals.bytes_out), (14, 9800, 140, 280));
        assert_eq!(std::mem::align_of::<Shard>(), 128);
    }

    #[test]
    fn a_time_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        for (micros, bucket) in [(0, 0), (500, 0), (501, 1), (60_000_000, 10), (60_000_001, 11), (u64::MAX, 11)] {
            let shard = Shard::default();
            shard.begin();
            shard.end(200, micros, 0, 0);
            assert_eq!(shard.by_time.iter().position(|b| b.load(Relaxed) == 1), Some(bucket), "{micros}");
        }
    }
}
