//! What all threads know of one instance. Atomics: nobody waits for anybody, and what is read may be a moment old.

use super::ewma::Ewma;
use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

/// Numbers states, so that a picker knows them again in another pool.
static NUMBERS: AtomicU64 = AtomicU64::new(1);
/// The longest that one trial of an ejected instance keeps others away from it: its connection may hang.
const TRIAL_MICROS: u64 = 2_000_000;

/// What is known of one instance. Outlives the pools that it is in.
#[derive(Debug)]
pub struct InstanceState {
    pub(super) number: u64,
    in_flight: AtomicU32,
    connections: AtomicU32,
    requests: AtomicU64,
    errors: AtomicU64,
    pub(super) ewma: Ewma,
    /// Bad answers in a row.
    pub(super) failures: AtomicU32,
    /// Connections that did not come about, in a row.
    pub(super) refusals: AtomicU32,
    /// Out until then; 0: in.
    pub(super) out_until: AtomicU64,
    pub(super) why: AtomicU8,
    /// Somebody tries it, until then, after its time out was over.
    trial_until: AtomicU64,
    /// Times that it was taken out for bad answers, less those that have been forgiven.
    pub(super) ejections: AtomicU32,
    /// Since when it takes more and more of its share; 0: it takes all of it.
    ramp_since: AtomicU64,
    routable: AtomicBool,
}

/// Why an instance was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Why {
    /// No connection came about.
    Unreachable = 1,
    /// Bad answers, or none, in a row.
    Failing = 2,
}

impl Why {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "cannot be connected to",
            Self::Failing => "failed several times in a row",
        }
    }
}

/// An instance is out for failing, whatever checks say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejected {
    /// When it is tried again.
    pub until_micros: u64,
    /// What it did.
    pub why: Why,
}

/// Whether an instance may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    In,
    /// Its time out is over: one request may try it.
    Trial,
    Out,
}

impl Default for InstanceState {
    fn default() -> Self {
        Self {
            number: NUMBERS.fetch_add(1, Relaxed),
            in_flight: AtomicU32::default(),
            connections: AtomicU32::default(),
            requests: AtomicU64::default(),
            errors: AtomicU64::default(),
            ewma: Ewma::default(),
            failures: AtomicU32::default(),
            refusals: AtomicU32::default(),
            out_until: AtomicU64::default(),
            why: AtomicU8::default(),
            trial_until: AtomicU64::default(),
            ejections: AtomicU32::default(),
            ramp_since: AtomicU64::default(),
            routable: AtomicBool::default(),
        }
    }
}

impl InstanceState {
    /// Counts a request as in flight until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        InFlight(self.clone())
    }

    /// Requests in flight, of all threads.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Open connections to it. Counted by whoever opens them; nothing here looks at it.
    pub fn connections(&self) -> &AtomicU32 {
        &self.connections
    }

    /// Requests that were begun so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Requests that failed so far, by their outcome.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// How long answers took of late, in microseconds.
    pub fn ewma_micros(&self, now_micros: u64) -> f64 {
        self.ewma.micros(now_micros)
    }

    /// Whether it is out for failing, and until when.
    pub fn ejected(&self, now_micros: u64) -> Option<Ejected> {
        let until_micros = self.out_until.load(Acquire);
        let why = if self.why.load(Relaxed) == Why::Unreachable as u8 { Why::Unreachable } else { Why::Failing };
        (until_micros > now_micros).then_some(Ejected { until_micros, why })
    }

    /// Tells it whether the catalog lets requests go there. From then on that it comes back, its share grows slowly
    /// where slow start is on. `fresh`: it has never been seen before, and neither has anything else.
    pub fn set_routable(&self, routable: bool, fresh: bool, now_micros: u64) {
        if !self.routable.swap(routable, AcqRel) && routable && !fresh {
            self.ramp_since.store(now_micros.max(1), Relaxed);
        }
    }

    pub(super) fn is_out(&self, now_micros: u64) -> bool {
        self.out_until.load(Acquire) > now_micros
    }

    pub(super) fn admission(&self, now_micros: u64) -> Admission {
        match self.out_until.load(Acquire) {
            0 => Admission::In,
            until if until > now_micros || self.trial_until.load(Relaxed) > now_micros => Admission::Out,
            _ => Admission::Trial,
        }
    }

    /// Wins the one trial, or loses it to another thread.
    pub(super) fn take_trial(&self, now_micros: u64) -> bool {
        let taken = self.trial_until.load(Relaxed);
        let until = now_micros.saturating_add(TRIAL_MICROS);
        taken <= now_micros && self.trial_until.compare_exchange(taken, until, AcqRel, Relaxed).is_ok()
    }

    pub(super) fn trial_ends(&self) {
        self.trial_until.store(0, Relaxed);
    }

    pub(super) fn count_error(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    /// After a time out its share grows slowly as well.
    pub(super) fn ramp(&self, now_micros: u64) {
        self.ramp_since.store(now_micros.max(1), Relaxed);
    }

    /// Microseconds that it has been growing; None: it takes its whole share.
    pub(super) fn ramping_micros(&self, now_micros: u64) -> Option<u64> {
        match self.ramp_since.load(Relaxed) {
            0 => None,
            since => Some(now_micros.saturating_sub(since)),
        }
    }
}

/// A request in flight; it is over once this is dropped.
#[derive(Debug)]
#[must_use = "the request counts as in flight only as long as this is held"]
pub struct InFlight(Arc<InstanceState>);

impl InFlight {
    /// Where it is in flight to.
    pub fn state(&self) -> &Arc<InstanceState> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
