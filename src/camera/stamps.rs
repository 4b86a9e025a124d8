//! One track's stamps onto the time of its session, which follows real time and never jumps or goes back. Pure.
//!
//! A stamp is first made *steady*: jumps of the camera's clock are bridged by the time that passed on arrival, and its
//! pace is corrected where it lies. Steady time is then *placed*: moved by a correction that is slewed towards what the
//! session asks for. So a frame is never given up for its stamp, and how long it lasts is right to half a thousandth.

use super::arrivals::{LeastDelay, Pace};
use crate::{base::lanes, model::span::JOIN_MICROS_MAX};

/// Corrections are made no faster than this, which no player notices.
pub(super) const SLEW_PPM_MAX: i64 = 500;
/// What lies further off than this is corrected faster.
pub(super) const SLEW_CALM_MICROS: i64 = 600_000;
/// The part beyond it is corrected within about so long, were time as fast as before.
const SLEW_HASTE_MICROS: i64 = 20_000_000;
/// Time runs at least at half its speed, and at most at one and a half.
const SLEW_SHARE_MAX: i64 = 2;
/// A thread's turn.
const TURN_MICROS: i64 = 200_000;
/// A clock that jumped ahead leaves a hole, which the ledger would count as footage that is missing from a quarter of a
/// second on. Arrival tells it from a silence: a frame is read a turn of its thread late at most, and never early. So what
/// follows a silence comes no sooner than the least delayed frame, but for what that one was late itself; what follows
/// a jump of a quarter of a second comes sooner than the least delayed by what a turn leaves of it, however late it is read.
///
/// Few pictures a second may all be read late in their turns, and after a silence early: that counts as a jump too. Then
/// the hole is as long as arrival says, which is right to a turn.
const EARLY_MICROS_MAX: i64 = JOIN_MICROS_MAX - TURN_MICROS;
/// Stamps that go back by less keep their order, as pictures have that are sent before those they are shown after;
/// by more, the clock jumped back.
pub(super) const BACK_MICROS_MAX: i64 = 500_000;
/// What was held up longer than this on its way does not come.
const DELAY_MICROS_MAX: i64 = 10_000_000;
/// Frames that repeat a stamp are set one tick apart; after so many in a row the clock stands still, and arrival counts.
const REPEATS_MAX: u32 = 3;
/// A usual interval is at most this.
const INTERVAL_MICROS_MAX: i64 = 1_000_000;

const NANOS: i64 = 1_000_000_000;

const _: () = assert!(lanes::TURN.as_micros() == TURN_MICROS as u128 && EARLY_MICROS_MAX > 0);

/// How raw stamps are read: all from one stamp on, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    raw: i64,
    /// As the camera counts.
    nominal: i64,
    /// As time passes.
    steady: i64,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Ticks in the session's time, growing strictly.
    pub ticks: i64,
    /// It lies where there are frames already.
    pub covered: bool,
    /// The camera's clock jumped before it.
    pub jumped: bool,
}

/// The camera's clock jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jump {
    /// To where it had been before: the frames in between were stamped wrong.
    Known,
    /// To where nothing is known.
    Bridged,
}

/// One track.
#[derive(Clone, Debug)]
pub(super) struct Stamps {
    rate: i64,
    mapping: Mapping,
    /// What a jump left: a camera that stamps single frames hours away comes back to it.
    before_jump: Option<Mapping>,
    /// Seconds of ours in a second of the camera's.
    pace: f64,
    paces: Pace,
    delay: LeastDelay,
    /// Of the frame that is furthest so far, in nanoseconds.
    last_steady: i64,
    last_raw: i64,
    last_arrival: i64,
    last_placed: i64,
    last_ticks: i64,
    /// Nanoseconds.
    interval: i64,
    repeats: u32,
    /// Placed − steady, in nanoseconds.
    correction: i64,
}

impl Stamps {
    /// The first frame has this stamp and this place.
    pub(super) fn new(rate: u32, raw: i64, place_micros: i64, arrival: i64) -> Self {
        let at = place_micros.saturating_mul(1000);
        Self {
            rate: i64::from(rate.max(1)),
            mapping: Mapping { raw, nominal: at, steady: at },
            before_jump: None,
            pace: 1.0,
            paces: Pace::default(),
            delay: LeastDelay::default(),
            last_steady: at,
            last_raw: raw,
            last_arrival: arrival,
            last_placed: at.saturating_sub(NANOS),
            last_ticks: i64::MIN,
            interval: 0,
            repeats: 0,
            correction: 0,
        }
    }

    /// Arrival − steady time of the least delayed frame, in microseconds.
    pub(super) fn least_delay(&self) -> Option<i64> {
        self.delay.get()
    }

    /// Whether [`Stamps::least_delay`] stands on long enough.
    pub(super) fn is_settled(&self) -> bool {
        self.delay.is_settled()
    }

    /// A delay that is known from elsewhere.
    pub(super) fn foresee(&mut self, least_delay: i64, arrival: i64) {
        self.delay.observe(least_delay, arrival);
    }

    /// Steady time of a stamp, in microseconds.
    pub(super) fn steady_micros(&self, raw: i64) -> i64 {
        self.read(self.mapping, raw).1 / 1000
    }

    /// Placed − steady time as it is now, in microseconds.
    pub(super) fn correction_micros(&self) -> i64 {
        self.correction / 1000
    }

    /// Places a frame that arrived at `arrival`. `wanted` says from the least delay what correction is right, both in
    /// microseconds; None where there is nothing to go by yet.
    pub(super) fn place(&mut self, raw: i64, arrival: i64, wanted: impl FnOnce(i64) -> Option<i64>) -> Placed {
        let passed_on_arrival =
            arrival.saturating_sub(self.last_arrival).clamp(0, DELAY_MICROS_MAX).saturating_mul(1000);
        let jump = self.bridge(raw, arrival, passed_on_arrival);
        let (nominal, steady) = self.read(self.mapping, raw);
        // Where time was bridged, how long the frame was on its way was assumed, and says nothing.
        if jump != Some(Jump::Bridged) {
            self.observe(raw, nominal, steady, arrival);
        }
        self.repeats = if raw == self.last_raw { self.repeats.saturating_add(1) } else { 0 };
        let passed = steady.saturating_sub(self.last_steady);
        if passed > 0 {
            self.last_steady = steady;
            self.interval = passed.min(INTERVAL_MICROS_MAX * 1000);
            let wanted = self.delay.get().and_then(wanted);
            let apart = wanted.map_or(0, |w| w.saturating_mul(1000).saturating_sub(self.correction));
            self.correction = self.correction.saturating_add(slewed(apart, passed));
        }
        let exact = steady.saturating_add(self.correction);
        let stands = self.repeats > REPEATS_MAX;
        let placed = if stands { exact.max(self.last_placed.saturating_add(passed_on_arrival)) } else { exact };
        let covered = placed <= self.last_placed && passed <= 0;
        let ticks = to_ticks(placed, self.rate).max(self.last_ticks.saturating_add(1));
        if !covered {
            self.last_placed = placed;
        }
        (self.last_raw, self.last_arrival) = (raw, arrival);
        Placed { ticks, covered, jumped: jump.is_some() }
    }

    /// The place was used: what comes lies behind it.
    pub(super) fn keep(&mut self, placed: Placed) {
        self.last_ticks = placed.ticks;
    }

    /// Finds a stamp that cannot be, and reads it so that time goes on.
    fn bridge(&mut self, raw: i64, arrival: i64, passed_on_arrival: i64) -> Option<Jump> {
        if self.fits(self.mapping, raw, arrival, passed_on_arrival) {
            // A small step back from a single frame that was stamped ahead.
            let goes_on = |b: &Mapping| (1..=self.interval.saturating_mul(2)).contains(&self.step(*b, raw));
            let back = self.before_jump.filter(|b| self.step(self.mapping, raw) < 0 && goes_on(b));
            return back.map(|before| self.back_to(before));
        }
        if let Some(before) = self.before_jump.filter(|b| self.fits(*b, raw, arrival, passed_on_arrival)) {
            return Some(self.back_to(before));
        }
        let step = self.bridged(arrival, passed_on_arrival);
        let nominal = self.read(self.mapping, self.last_raw).0;
        let away = self.before_jump.is_some();
        let new = Mapping {
            raw,
            nominal: nominal.saturating_add((step as f64 / self.pace) as i64),
            steady: self.last_steady.saturating_add(step),
        };
        // One jump away and another one that does not lead back: it was no single frame that was wrong.
        if away {
            self.paces.restart();
        }
        self.before_jump = Some(std::mem::replace(&mut self.mapping, new));
        Some(Jump::Bridged)
    }

    fn back_to(&mut self, before: Mapping) -> Jump {
        self.before_jump = Some(std::mem::replace(&mut self.mapping, before));
        Jump::Known
    }

    /// Time from the last frame to one whose stamp says nothing: the usual where frames come as usual, as far as that can
    /// be seen in turns, and arrival does not show that time was lost or won by it already; else what passed on arrival.
    fn bridged(&self, arrival: i64, passed_on_arrival: i64) -> i64 {
        let usual = self.interval.max(1);
        let by_arrival = self
            .delay
            .get()
            .map(|least| arrival.saturating_sub(least).saturating_mul(1000).saturating_sub(self.last_steady));
        let agrees = by_arrival.is_some_and(|by| by.saturating_sub(usual).saturating_abs() <= 2 * TURN_MICROS * 1000);
        let in_turns = agrees && self.interval > 1 && passed_on_arrival <= usual.saturating_add(JOIN_MICROS_MAX * 1000);
        if in_turns || passed_on_arrival < usual.saturating_mul(2) { usual } else { passed_on_arrival }
    }

    /// Whether a stamp, read so, can be that of the next frame.
    fn fits(&self, mapping: Mapping, raw: i64, arrival: i64, passed_on_arrival: i64) -> bool {
        let step = self.step(mapping, raw);
        if step < -BACK_MICROS_MAX * 1000 {
            return false;
        }
        let Some(least) = self.delay.get() else { return true };
        let delay = arrival.saturating_sub(self.read(mapping, raw).1 / 1000).saturating_sub(least);
        // Cameras begin with frames that they kept, in a burst; what is usual is not known then.
        let usual = if self.interval > 1 { self.interval } else { INTERVAL_MICROS_MAX * 1000 };
        let leaves_a_hole = step.saturating_sub(usual) > JOIN_MICROS_MAX * 1000;
        let sooner = step.saturating_sub(passed_on_arrival) > EARLY_MICROS_MAX * 1000;
        !(leaves_a_hole && sooner && delay < -EARLY_MICROS_MAX)
    }

    /// Time from the last frame to one with this stamp.
    fn step(&self, mapping: Mapping, raw: i64) -> i64 {
        self.read(mapping, raw).1.saturating_sub(self.last_steady)
    }

    fn observe(&mut self, raw: i64, nominal: i64, steady: i64, arrival: i64) {
        let offset = arrival.saturating_sub(steady / 1000);
        self.delay.observe(offset, arrival);
        if let Some(pace) = self.paces.observe(nominal / 1000, arrival, self.pace) {
            self.mapping = Mapping { raw, nominal, steady };
            self.before_jump = None;
            self.pace = pace;
            self.delay.restart(offset, arrival);
        }
    }

    /// Nominal and steady time of a stamp.
    fn read(&self, mapping: Mapping, raw: i64) -> (i64, i64) {
        let passed = i128::from(raw.saturating_sub(mapping.raw)) * i128::from(NANOS) / i128::from(self.rate);
        let passed = i64::try_from(passed).unwrap_or(if passed < 0 { i64::MIN } else { i64::MAX });
        #[expect(clippy::float_cmp, reason = "1 is never computed, only set")]
        let truly = if self.pace == 1.0 { passed } else { (passed as f64 * self.pace) as i64 };
        (mapping.nominal.saturating_add(passed), mapping.steady.saturating_add(truly))
    }
}

/// How much of a distance is made up while so much time passes.
fn slewed(apart: i64, passed: i64) -> i64 {
    // Rounded up, so that the last of it is not left.
    let calm = passed.saturating_mul(SLEW_PPM_MAX).saturating_add(999_999) / 1_000_000;
    let beyond = apart.saturating_abs().saturating_sub(SLEW_CALM_MICROS * 1000).max(0);
    let haste = i128::from(passed) * i128::from(beyond) / i128::from(SLEW_HASTE_MICROS * 1000);
    let haste = i64::try_from(haste).unwrap_or(i64::MAX);
    let most = calm.saturating_add(haste).min(passed / SLEW_SHARE_MAX);
    apart.clamp(-most, most)
}

/// Rounded to the nearest: a stamp and its ticks agree where nothing was corrected.
fn to_ticks(nanos: i64, rate: i64) -> i64 {
    let ticks = (i128::from(nanos) * i128::from(rate) + i128::from(NANOS / 2)).div_euclid(i128::from(NANOS));
    i64::try_from(ticks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}
