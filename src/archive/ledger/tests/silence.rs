//! A silence may lie within footage; nothing else may.

use super::*;
use GapCause::Silence;

fn silent(bench: &mut Bench, from: i64, to: i64) {
    bench.report(|line, out| line.lost((at(from), at(to)), GapCause::Silence, out));
}

#[test]
fn a_silence_is_missing_though_the_file_goes_on_over_it() {
    let mut bench = Bench::default();
    bench.footage(at(0), at(30));
    silent(&mut bench, 10, 12);
    silent(&mut bench, 20, 23);
    let known = Range { from: at(0), to: at(30) };
    let told = bench.tell(Range::ALL, known);
    assert_eq!(told.gaps, bench.rows.values().copied().collect::<Vec<_>>());
    assert_eq!((told.missing_micros, told.wanted_micros), (5 * SECOND, 30 * SECOND));
    assert_eq!((bench.opened, bench.closed), (2, 2));
    assert_eq!(bench.lost, BTreeMap::from([(Silence, 5 * SECOND)]));
    let part = bench.tell(Range { from: at(11), to: at(21) }, known);
    assert_eq!((part.missing_micros, part.gaps.len()), (2 * SECOND, 2), "{part:?}");
    assert!(bench.line.open().is_none(), "nothing lasts");
}

#[test]
fn rows_that_speak_of_footage_as_missing_are_not_believed_but_for_silences() {
    let mut bench = Bench::default();
    bench.footage(at(0), at(30));
    bench.rows.insert(at(10), Gap { start: at(10), end: Some(at(12)), cause: Offline });
    let told = bench.tell(Range::ALL, Range { from: at(0), to: at(30) });
    assert_eq!(told.missing_micros, 0);
}

#[test]
fn a_silence_that_nobody_would_miss_is_none() {
    let mut bench = Bench::default();
    bench.footage(at(0), at(30));
    bench.report(|line, out| line.lost((at(10), at(10).plus_micros(JOIN_MICROS_MAX)), GapCause::Silence, out));
    assert!(bench.rows.is_empty());
}
