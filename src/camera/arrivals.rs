//! What the arrival of frames says of the time that they were taken: how far a camera's clock lies from ours, and how
//! fast it runs. Pure. All of it by monotonic time, so that nobody who sets a clock disturbs it.

use std::collections::VecDeque;

/// The least delayed arrival is looked for in this much of the past, at least.
const DELAY_WINDOW_MICROS: i64 = 30_000_000;
/// One point of the pace is the least delayed frame of this long.
const POINT_MICROS: i64 = 5_000_000;
/// Points that are kept: two minutes.
const POINTS_MAX: usize = 25;
/// Over so many points a clock that is plainly wrong shows; a network that is held up is so for less, or unevenly.
const PLAIN_POINTS: usize = 3;
/// Wrong by more than this is plainly wrong.
const PLAIN_ERROR: f64 = 0.01;
/// The errors of the single points lie within this ratio, where it is the clock that is wrong.
const EVEN_RATIO: f64 = 1.5;
/// A small error is believed over this long.
const SLIGHT_MICROS_MIN: i64 = 100_000_000;
/// Smaller errors than this are those of good quartz, which are followed without a pace.
const SLIGHT_ERROR: f64 = 0.000_3;
/// A clock is at most so many times too slow or too fast; beyond it, each frame counts as a jump.
const PACE_MAX: f64 = 64.0;

/// Smallest (arrival − time by the camera) of the last one to two windows: that frame was delayed least.
#[derive(Clone, Debug, Default)]
pub(super) struct LeastDelay {
    began: Option<i64>,
    current: Option<i64>,
    previous: Option<i64>,
}

impl LeastDelay {
    /// A frame arrived at `arrival`, so much after it was taken by the camera's time.
    pub(super) fn observe(&mut self, offset: i64, arrival: i64) {
        if *self.began.get_or_insert(arrival) + DELAY_WINDOW_MICROS <= arrival {
            self.began = Some(arrival);
            self.previous = self.current.take();
        }
        self.current = Some(self.current.map_or(offset, |c| c.min(offset)));
    }

    /// What was observed before counts no more, but for this.
    pub(super) fn restart(&mut self, offset: i64, arrival: i64) {
        *self = Self { began: Some(arrival), current: Some(offset), previous: None };
    }

    pub(super) fn get(&self) -> Option<i64> {
        self.current.into_iter().chain(self.previous).min()
    }

    /// Whether it stands on a whole window.
    pub(super) fn is_settled(&self) -> bool {
        self.previous.is_some()
    }
}

/// A frame by both clocks, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Point {
    camera: i64,
    arrival: i64,
}

/// How long a second of the camera's clock lasts. 1 for any that is worth its name; cameras that stamp 25 pictures a
/// second and send 21, or count in another unit than they say, have another.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    points: VecDeque<Point>,
    began: Option<i64>,
    least: Option<Point>,
}

impl Pace {
    /// Takes a frame in; `pace` is what is used now. Some where another one is right.
    pub(super) fn observe(&mut self, camera: i64, arrival: i64, pace: f64) -> Option<f64> {
        let delay = |p: Point| p.arrival as f64 - p.camera as f64 * pace;
        let new = Point { camera, arrival };
        let complete = self.began.is_some_and(|began| began.saturating_add(POINT_MICROS) <= arrival);
        let point = if complete { self.least.take() } else { None };
        if complete || self.began.is_none() {
            self.began = Some(arrival);
        }
        if self.least.is_none_or(|least| delay(new) < delay(least)) {
            self.least = Some(new);
        }
        self.points.push_back(point?);
        if self.points.len() > POINTS_MAX {
            self.points.pop_front();
        }
        let found = self.plain(pace).or_else(|| self.slight(pace))?;
        // What was seen under another pace was seen of another clock.
        self.points.drain(..self.points.len() - 1);
        Some(found)
    }

    /// The camera's clock was set: what lies before says nothing of what comes.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    fn plain(&self, pace: f64) -> Option<f64> {
        let first = self.points.len().checked_sub(PLAIN_POINTS + 1)?;
        let recent: Vec<Point> = self.points.range(first..).copied().collect();
        let errors: Option<Vec<f64>> = recent.windows(2).map(|p| Some(slope(p[0], p[1])? / pace - 1.0)).collect();
        let errors = errors?;
        let (least, most) = errors.iter().fold((f64::MAX, 0.0_f64), |(a, b), e| (a.min(e.abs()), b.max(e.abs())));
        let one_way = errors.iter().all(|e| e.signum() == errors[0].signum());
        let even = one_way && least > PLAIN_ERROR && most <= least * EVEN_RATIO;
        even.then(|| slope(recent[0], recent[PLAIN_POINTS])).flatten()
    }

    fn slight(&self, pace: f64) -> Option<f64> {
        let (first, last) = (*self.points.front()?, *self.points.back()?);
        if last.arrival - first.arrival < SLIGHT_MICROS_MIN {
            return None;
        }
        let found = slope(first, last)?;
        let found = if (found - 1.0).abs() <= SLIGHT_ERROR { 1.0 } else { found };
        ((found / pace - 1.0).abs() > SLIGHT_ERROR).then_some(found)
    }
}

/// Seconds of ours in a second of the camera's.
fn slope(a: Point, b: Point) -> Option<f64> {
    let camera = b.camera.saturating_sub(a.camera);
    let slope = b.arrival.saturating_sub(a.arrival) as f64 / camera as f64;
    (camera > 0 && slope > 1.0 / PACE_MAX && slope < PACE_MAX).then_some(slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds frames of a clock whose seconds last `true_pace`, each `delay(n)` late; the pace in the end and after how
    /// many seconds it was found.
    fn feed(true_pace: f64, seconds: i64, delay: impl Fn(i64) -> i64) -> (f64, Option<i64>) {
        let (mut pace, mut found, mut used) = (Pace::default(), None, 1.0);
        for n in 0..seconds * 20 {
            let arrival = n * 50_000;
            let camera = (arrival as f64 / true_pace) as i64;
            if let Some(new) = pace.observe(camera, arrival + delay(n), used) {
                (used, found) = (new, found.or(Some(arrival / 1_000_000)));
            }
        }
        (used, found)
    }

    #[test]
    fn good_quartz_has_no_pace_whatever_the_network_does() {
        for ppm in [-100.0, 0.0, 100.0] {
            for jitter in [0, 20_000, 200_000] {
                let (pace, _) = feed(1.0 + ppm / 1e6, 3600, |n| (n * 7919) % (jitter + 1));
                assert_eq!(pace, 1.0, "{ppm} ppm, {jitter} µs");
            }
        }
    }

    #[test]
    fn a_clock_that_lies_is_found_out() {
        for (truth, within) in [(25.0 / 21.0, 25), (0.9, 25), (11.25, 25), (1.002, 130)] {
            let (pace, found) = feed(truth, 600, |n| (n * 7919) % 20_000);
            assert!((pace / truth - 1.0).abs() < 0.002, "{truth}: {pace}");
            assert!(found.is_some_and(|s| s <= within), "{truth}: after {found:?} s");
        }
    }

    #[test]
    fn a_network_that_is_held_up_now_and_then_is_no_clock() {
        // Every two minutes all is held up for four seconds, and then delivered at once.
        let (pace, found) = feed(1.0, 3600, |n| {
            let at = n * 50_000 % 120_000_000;
            (120_000_000 - at).max(0).min(if at >= 116_000_000 { 4_000_000 } else { 0 })
        });
        assert_eq!((pace, found), (1.0, None));
    }
}
