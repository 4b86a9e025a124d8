//! The host's clock is set, and rows come to lie over one another.

use super::*;
use GapCause::{ClockStep, Crash};

fn told(bench: &Bench, from: i64, to: i64) -> Vec<(i64, i64, GapCause)> {
    let seconds = |t: Wall| t.micros_since(at(0)) / SECOND;
    let range = Range { from: at(from), to: at(to) };
    let gaps = bench.tell(range, range).gaps;
    gaps.iter().map(|g| (seconds(g.start), seconds(g.end.unwrap()), g.cause)).collect()
}

impl Bench {
    /// Footage, as it comes out where an index gives it by start.
    fn filed(&mut self, start: i64, end: i64) {
        self.footage(at(start), at(end));
        self.footage.sort();
    }

    fn set(&mut self) {
        self.report(|line, _| line.missing(ClockStep));
    }
}

#[test]
fn a_clock_that_is_set_ahead_and_back_takes_no_cause_from_what_comes_then() {
    let mut bench = Bench::default();
    bench.filed(0, 10);
    // An hour ahead for 3 s.
    bench.set();
    bench.filed(3610, 3613);
    bench.set();
    bench.filed(13, 20);
    bench.absent(Offline, at(21));
    bench.tick(at(22));
    bench.filed(30, 40);
    bench.absent(Crash, at(41));
    bench.tick(at(50));
    bench.filed(60, 70);
    assert_eq!(told(&bench, 0, 70), [(10, 13, ClockStep), (20, 30, Offline), (40, 60, Crash)]);
    assert_eq!(told(&bench, 25, 45), [(20, 30, Offline), (40, 60, Crash)]);
}

#[test]
fn a_clock_that_is_set_back_takes_no_cause_from_what_was_before() {
    let mut bench = Bench::default();
    bench.filed(0, 10);
    bench.absent(Offline, at(11));
    bench.tick(at(12));
    bench.filed(30, 40);
    bench.absent(Unreachable, at(41));
    bench.tick(at(42));
    bench.filed(50, 60);
    // Back into what lasted long, for 3 s.
    bench.set();
    bench.filed(20, 23);
    bench.set();
    bench.filed(63, 70);
    let of_it = [(10, 20, Offline), (23, 30, Offline), (40, 50, Unreachable), (60, 63, ClockStep)];
    assert_eq!(told(&bench, 0, 70), of_it);
}

#[test]
fn a_sliver_of_a_step_beside_another_row_is_no_gap_of_its_own() {
    let rows = [
        Gap { start: at(10), end: Some(at(3610)), cause: ClockStep },
        Gap { start: at(20).plus_micros(40_000), end: Some(at(29)), cause: Offline },
    ];
    let mut spans = Spans::default();
    spans.push(at(0), at(20), false);
    spans.push(at(29).plus_micros(JOIN_MICROS_MAX), at(40), false);
    let range = Range { from: at(0), to: at(40) };
    let gaps = tell(range, range, &spans, &rows).gaps;
    let whole = Gap { start: at(20), end: Some(at(29).plus_micros(JOIN_MICROS_MAX)), cause: Offline };
    assert_eq!(gaps, [whole]);
}

#[test]
fn only_the_rows_near_a_hole_are_looked_at_and_a_long_one_from_far_before_still_counts() {
    let gap = |from, to| Gap { start: at(from), end: Some(at(to)), cause: Offline };
    // A step as long as all of it, and a hole each minute with its row.
    let step = Gap { start: at(-60), end: Some(at(60 * 50_000)), cause: GapCause::ClockStep };
    let rows: Vec<Gap> = std::iter::once(step).chain((0..1000).map(|n| gap(n * 60, n * 60 + 30))).collect();
    let mut spans = Spans::default();
    (0..1000).for_each(|n| spans.push(at(n * 60 + 30), at(n * 60 + 55), false));
    let range = Range { from: at(0), to: at(60_000) };
    let told = tell(range, range, &spans, &rows);
    // Each hole is of both: the last five seconds of a minute are only the step's.
    assert_eq!(told.gaps.iter().filter(|g| g.cause == Offline).count(), 1000);
    assert_eq!(told.gaps.iter().filter(|g| g.cause == GapCause::ClockStep).count(), 1000);
    assert_eq!(told.missing_micros, 35 * 1000 * SECOND);
}
