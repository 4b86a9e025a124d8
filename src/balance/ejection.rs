//! Instances that fail are taken out for a while, whatever checks say. Two cases, which want different things:
//!
//! - *Nothing listens there.* Nothing was sent, so the request goes elsewhere; trying again costs time only. It is out
//!   at once, for a short time that doubles, and as many may be out as are down.
//! - *It answers badly.* That may be the request's own fault. It takes several in a row, and only a tenth of the pool
//!   may be out for that (one may always be).
//!
//! Never the last one: an instance that fails sometimes is better than none. Once its time is over, one request tries
//! it, and its outcome decides.

use super::{Pool, state::Why};
use std::sync::atomic::Ordering::{Relaxed, Release};

/// Bad answers in a row that take an instance out.
const FAILURES_MAX: u32 = 5;
/// The first time out for bad answers; the n-th is n times as long.
const FAILING_MICROS: u64 = 30_000_000;
const FAILING_MICROS_MAX: u64 = 300_000_000;
/// One former ejection is forgiven for each such time that it was in.
const FORGIVEN_AFTER_MICROS: u64 = 60_000_000;
/// One in so many may be out for bad answers.
const FAILING_DIVISOR: usize = 10;
/// The first time out where nothing listens; each further one in a row is twice as long.
const UNREACHABLE_MICROS: u64 = 1_000_000;
const UNREACHABLE_MICROS_MAX: u64 = 30_000_000;
/// What an answer that never came counts as for choosing by time: far beyond any good answer.
const FAILED_MICROS: u64 = 1_000_000;

/// How a request to a member went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The head of an answer came.
    Answered {
        /// Its status.
        status: u16,
        /// From the request being sent to its coming.
        micros: u64,
    },
    /// No connection came about; nothing was sent.
    Unreachable,
    /// A fresh connection ended, or brought nonsense, before a whole head.
    Broken,
    /// No head came in time.
    Slow,
}

impl Pool {
    /// Takes in how a request to a member went.
    pub fn settle(&self, member: u32, outcome: Outcome, now_micros: u64) {
        let Some(member) = self.members.get(member as usize) else { return };
        let state = &member.state;
        match outcome {
            Outcome::Answered { status, micros } if !speaks_ill(status) => {
                state.ewma.observe(micros, now_micros);
                self.is_well(member, now_micros);
                return;
            }
            // A quick refusal must not look like a quick answer.
            Outcome::Answered { micros, .. } => state.ewma.observe(micros.max(FAILED_MICROS), now_micros),
            Outcome::Unreachable | Outcome::Broken | Outcome::Slow => state.ewma.observe(FAILED_MICROS, now_micros),
        }
        state.count_error();
        // What was under way when it was taken out says nothing new.
        if state.is_out(now_micros) {
            return;
        }
        let was_out = state.out_until.load(Relaxed) != 0;
        if outcome == Outcome::Unreachable {
            let refusals = state.refusals.fetch_add(1, Relaxed);
            let out_micros = (UNREACHABLE_MICROS << refusals.min(16)).min(UNREACHABLE_MICROS_MAX);
            self.take_out(member, Why::Unreachable, out_micros, now_micros);
        } else if state.failures.fetch_add(1, Relaxed) + 1 >= FAILURES_MAX || was_out {
            self.take_out_for_failing(member, now_micros);
        }
        state.trial_ends();
    }

    fn is_well(&self, member: &super::Member, now_micros: u64) {
        let state = &member.state;
        // Hardly ever anything else than 0: reading spares other cores the writing.
        if state.failures.load(Relaxed) != 0 {
            state.failures.store(0, Relaxed);
        }
        let until = state.out_until.load(Relaxed);
        if until != 0 && until <= now_micros {
            state.refusals.store(0, Relaxed);
            state.out_until.store(0, Release);
            state.trial_ends();
            state.ramp(now_micros);
        } else if until == 0 && state.refusals.load(Relaxed) != 0 {
            state.refusals.store(0, Relaxed);
        }
    }

    fn take_out_for_failing(&self, member: &super::Member, now_micros: u64) {
        let is_out = |m: &&super::Member| m.state.ejected(now_micros).is_some_and(|e| e.why == Why::Failing);
        let out = self.members.iter().filter(is_out).count();
        if out >= (self.members.len() / FAILING_DIVISOR).max(1) {
            return;
        }
        let state = &member.state;
        let since_micros = match state.out_until.load(Relaxed) {
            0 => FORGIVEN_AFTER_MICROS * u64::from(u32::MAX),
            until => now_micros.saturating_sub(until),
        };
        let forgiven = u32::try_from(since_micros / FORGIVEN_AFTER_MICROS).unwrap_or(u32::MAX);
        let times = state.ejections.load(Relaxed).saturating_sub(forgiven).saturating_add(1);
        let out_micros = FAILING_MICROS.saturating_mul(u64::from(times)).min(FAILING_MICROS_MAX);
        if self.take_out(member, Why::Failing, out_micros, now_micros) {
            state.ejections.store(times, Relaxed);
        }
    }

    /// Never the last one that is in.
    fn take_out(&self, member: &super::Member, why: Why, out_micros: u64, now_micros: u64) -> bool {
        let is_in = |m: &&super::Member| m.weight > 0 && !m.state.is_out(now_micros);
        let is_another = |m: &&super::Member| m.state.number != member.state.number;
        if !self.members.iter().filter(is_in).any(|m| is_another(&m)) {
            return false;
        }
        member.state.why.store(why as u8, Relaxed);
        member.state.out_until.store(now_micros.saturating_add(out_micros).max(1), Release);
        true
    }
}

/// Whether a status says that the instance, rather than the request, is at fault. 501 and 505 are about the request.
const fn speaks_ill(status: u16) -> bool {
    status >= 500 && !matches!(status, 501 | 505)
}
