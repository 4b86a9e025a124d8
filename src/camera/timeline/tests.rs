//! Whole days of cameras with clocks of every kind, against the truth.

use super::{super::stamps, *};
use crate::model::span::JOIN_MICROS_MAX;
use proptest::prelude::*;

const START: i64 = 1_800_000_000_000_000;

/// The host's clocks, so many microseconds after the start; never stepped.
fn reading(micros: i64) -> Reading {
    Reading { wall: Wall::from_micros(START + micros), mono_micros: micros, steps: 0 }
}

/// A camera: what it stamps on a picture that is taken at a moment, and what it sends late.
struct Camera {
    fps: i64,
    stamp: Box<dyn Fn(i64) -> i64>,
    delay: Box<dyn Fn(i64) -> i64>,
}

impl Camera {
    fn new(fps: i64) -> Self {
        Self { fps, stamp: Box::new(|micros| micros * 9 / 100), delay: Box::new(|_| 0) }
    }

    fn stamping(self, stamp: impl Fn(i64) -> i64 + 'static) -> Self {
        Self { stamp: Box::new(stamp), ..self }
    }

    fn delayed(self, delay: impl Fn(i64) -> i64 + 'static) -> Self {
        Self { delay: Box::new(delay), ..self }
    }
}

/// How a run went: the worst of it.
#[derive(Debug, Default)]
struct Worst {
    /// Wall time less truth, once the run has settled.
    error_micros: i64,
    /// Longest and shortest interval of pictures that were taken evenly, in ticks.
    longest: i64,
    shortest: i64,
    jumps: u64,
}

/// Feeds so many seconds, key frames every second; fails where ticks do not grow or UTC is not of the ticks.
fn run(t: &mut Timeline, camera: &Camera, seconds: std::ops::Range<i64>, settled_after: i64) -> Worst {
    let mut worst = Worst { shortest: i64::MAX, ..Worst::default() };
    let mut last: Option<Picture> = None;
    for n in seconds.start * camera.fps..seconds.end * camera.fps {
        let taken = n * 1_000_000 / camera.fps;
        let raw = (camera.stamp)(taken);
        let picture = t.picture(raw, 0, n % camera.fps == 0, reading(taken + (camera.delay)(n)));
        worst.jumps += u64::from(picture.jumped);
        if let Some(last) = last {
            assert!(picture.ticks > last.ticks, "{last:?} {picture:?}");
            let by_ticks = (picture.ticks - last.ticks) * 100 / 9;
            let by_wall = picture.wall.micros_since(last.wall);
            assert!((by_wall - by_ticks).abs() <= 1, "a gap or an overlap: {by_wall} µs, {by_ticks} µs of ticks");
            if taken >= settled_after * 1_000_000 {
                worst.longest = worst.longest.max(picture.ticks - last.ticks);
                worst.shortest = worst.shortest.min(picture.ticks - last.ticks);
            }
        }
        if taken >= settled_after * 1_000_000 {
            worst.error_micros = worst.error_micros.max((picture.wall.micros() - START - taken).abs());
        }
        last = Some(picture);
    }
    worst
}

const DAY: i64 = 86_400;

#[test]
fn jitter_does_not_move_what_was_anchored() {
    let camera = Camera::new(25).delayed(|n| (n * 7919) % 50_000);
    let worst = run(&mut Timeline::default(), &camera, 0..60, 0);
    assert_eq!((worst.error_micros <= 11, worst.shortest, worst.longest), (true, 3600, 3600), "{worst:?}");
}

#[test]
fn a_day_of_drift_stays_bounded_without_a_jump_a_gap_or_an_overlap() {
    for ppm in [-100, -20, 20, 100] {
        let camera = Camera::new(10)
            .stamping(move |micros| (micros + micros / 1_000_000 * ppm) * 9 / 100)
            .delayed(|n| (n * 7919) % 30_000);
        let worst = run(&mut Timeline::default(), &camera, 0..DAY, 0);
        assert!(worst.error_micros < 15_000, "{ppm} ppm: {worst:?}");
        assert_eq!(worst.jumps, 0);
        // A second's stamps are off by 100 ppm at once, which the last interval of it bears.
        assert!((8_985..=9_015).contains(&worst.shortest) && (8_985..=9_015).contains(&worst.longest), "{worst:?}");
    }
}

#[test]
fn clocks_that_count_something_else_are_recorded_in_real_time() {
    let stamps: [(&str, i64, fn(i64) -> i64); 5] = [
        ("25 stamped, 21 sent", 21, |micros| (micros * 21 + 500_000) / 1_000_000 * 3600),
        ("20 stamped, 25 sent", 25, |micros| (micros * 25 + 500_000) / 1_000_000 * 4500),
        ("8 kHz for 90", 25, |micros| micros * 8 / 1000),
        ("100 kHz for 90", 25, |micros| micros / 10),
        ("twice as fast as it says", 25, |micros| micros * 18 / 100),
    ];
    for (name, fps, stamp) in stamps {
        let camera = Camera::new(fps).stamping(stamp).delayed(|n| (n * 7919) % 20_000);
        let worst = run(&mut Timeline::default(), &camera, 0..DAY / 8, 300);
        assert!(worst.error_micros < 700_000, "{name}: {worst:?}");
        let usual = 90_000 / fps;
        assert!(worst.longest < usual * 11 / 10 && worst.shortest > usual * 9 / 10, "{name}: {worst:?}");
    }
}

#[test]
fn a_clock_in_steps_of_a_second_and_one_that_stands_still_go_by_arrival() {
    let coarse = Camera::new(25).stamping(|micros| micros / 1_000_000 * 90_000);
    let worst = run(&mut Timeline::default(), &coarse, 0..3600, 10);
    assert!(worst.error_micros < 1_500_000, "{worst:?}");
    let still = Camera::new(25).stamping(|_| 77);
    let worst = run(&mut Timeline::default(), &still, 0..3600, 10);
    assert!(worst.error_micros < 1_500_000, "{worst:?}");
}

#[test]
fn jumps_cost_no_frame_and_no_time() {
    for away in [-86_400_000, -3_600_000, -6000, 6000, 3_600_000, 86_400_000 * 365_i64] {
        let camera = Camera::new(25)
            .stamping(move |micros| micros * 9 / 100 + if micros >= 30_000_000 { away * 90 } else { 0 })
            .delayed(|n| (n * 7919) % 20_000);
        let worst = run(&mut Timeline::default(), &camera, 0..120, 0);
        assert_eq!(worst.jumps, 1, "{away} ms: {worst:?}");
        assert!(worst.error_micros < 100_000 && worst.longest < 7200, "{away} ms: {worst:?}");
    }
}

#[test]
fn single_frames_stamped_elsewhere_are_put_where_they_belong() {
    for away in [400, 900, 3 * 3_600_000] {
        let camera = Camera::new(25)
            .stamping(move |micros| micros * 9 / 100 + if micros / 40_000 % 75 == 74 { away * 90 } else { 0 })
            .delayed(|n| (n * 7919) % 20_000);
        let worst = run(&mut Timeline::default(), &camera, 0..1200, 0);
        assert_eq!(worst.jumps, 2 * 400 - 1, "{away} ms: each is told, away and back");
        assert!(worst.error_micros < 40_000 && worst.longest < 4000, "{away} ms: {worst:?}");
    }
}

/// From when a picture is taken to the end of the thread's turn that it is read in, where turns began so long ago.
fn until_turn(taken: i64, phase: i64) -> i64 {
    const TURN: i64 = 200_000;
    TURN - 1 - (taken + phase).rem_euclid(TURN)
}

#[test]
fn a_jump_of_less_than_a_second_leaves_no_hole_where_pictures_are_read_in_turns() {
    for (fps, away, phase) in [5, 12, 25, 30]
        .into_iter()
        .flat_map(|fps| [300, 400, 600, 999].map(|away| (fps, away)))
        .flat_map(|(fps, away)| (0..200).step_by(13).map(move |phase| (fps, away, phase * 1000)))
    {
        let camera = Camera::new(fps)
            .stamping(move |micros| micros * 9 / 100 + if micros >= 40_000_000 { away * 90 } else { 0 })
            .delayed(move |n| until_turn(n * 1_000_000 / fps, phase));
        let worst = run(&mut Timeline::default(), &camera, 0..80, 0);
        let case = format!("{fps} a second, {away} ms, turns of {phase} µs: {worst:?}");
        assert_eq!(worst.jumps, 1, "{case}");
        assert!(worst.longest <= 90_000 / fps + 90 && worst.error_micros < 210_000, "{case}");
    }
}

#[test]
fn a_silence_stays_one_where_pictures_are_read_in_turns() {
    for (fps, silent, phase) in [5, 12, 25, 30]
        .into_iter()
        .flat_map(|fps| [600, 900, 1500, 4000].map(|silent| (fps, silent * 1000)))
        .flat_map(|(fps, silent)| (0..200).step_by(13).map(move |phase| (fps, silent, phase * 1000)))
    {
        // Behind it, the camera takes its pictures at other moments of a turn.
        let taken = (0..60 * fps).map(|n| n * 1_000_000 / fps).map(|t| if t > 40_000_000 { t + silent } else { t });
        let (mut t, mut longest, mut last) = (Timeline::default(), 0, None);
        for taken in taken {
            let at = reading(taken + until_turn(taken, phase));
            let ticks = t.picture(taken * 9 / 100, 0, true, at).ticks;
            longest = longest.max(last.map_or(0, |last| ticks - last));
            last = Some(ticks);
        }
        let hole = longest * 100 / 9 - 1_000_000 / fps;
        let case = format!("{fps} a second, {silent} µs, turns of {phase} µs: {hole} µs");
        assert!(hole > JOIN_MICROS_MAX && (hole - silent).abs() <= 200_000, "{case}");
    }
}

#[test]
fn pictures_that_are_shown_after_later_ones_keep_their_time() {
    // I P B B: stamps in the order of sending.
    let camera = Camera::new(25).stamping(|micros| {
        let n = micros / 40_000;
        (n / 3 * 3 + [0, 2, 1][usize::try_from(n % 3).unwrap()]) * 3600
    });
    let worst = run(&mut Timeline::default(), &camera, 0..600, 0);
    assert_eq!(worst.jumps, 0);
    assert!(worst.error_micros < 100_000, "{worst:?}");
}

#[test]
fn what_is_held_up_and_then_comes_at_once_is_when_it_was_taken() {
    let camera = Camera::new(25).delayed(|n| (8_000_000 - n * 40_000 % 120_000_000).clamp(0, 4_000_000));
    let mut t = Timeline::default();
    t.foresee((0..300).map(|n| (n * 3600, reading(n * 40_000 + (camera.delay)(n)))));
    let worst = run(&mut t, &camera, 0..1200, 0);
    assert!(worst.error_micros < 10_000, "{worst:?}");
}

#[test]
fn a_sane_report_is_approached_without_a_jump_and_a_mad_one_is_only_shown() {
    let camera = Camera::new(25);
    let mut t = Timeline::default();
    run(&mut t, &camera, 0..1, 0);
    t.report(0, Wall::from_micros(START - 200_000));
    assert_eq!(t.skew_millis(), Some(-200));
    let before = t.picture(90_000, 0, true, reading(1_000_000)).wall;
    let worst = run(&mut t, &camera, 2..800, 2);
    assert!((3597..=3603).contains(&worst.shortest) && worst.longest <= 3600, "{worst:?}");
    let after = t.picture(800 * 90_000, 0, true, reading(800_000_000)).wall;
    assert!((after.micros_since(before) - 798_800_000).abs() < 30, "reached");

    for years in [-20, 1] {
        let mut t = Timeline::default();
        run(&mut t, &camera, 0..1, 0);
        t.report(0, Wall::from_micros(START + years * 365 * 86_400_000_000));
        assert_eq!(run(&mut t, &camera, 1..100, 0).error_micros, 0);
        assert_eq!(t.skew_millis(), Some(years * 365 * 86_400_000));
    }
}

/// What the host's clock shows where it is stepped by `by` at `at`.
fn stepped(micros: i64, at: i64, by: i64) -> Reading {
    let after = i64::from(micros >= at);
    Reading {
        wall: Wall::from_micros(START + micros + after * by),
        mono_micros: micros,
        steps: u64::try_from(after).unwrap(),
    }
}

#[test]
fn a_step_of_the_hosts_clock_begins_a_session_at_the_next_key_frame_and_loses_nothing() {
    for by in [-365 * 86_400_000_000, -3_600_000_000, -150_000, 150_000, 86_400_000_000_i64] {
        let mut t = Timeline::default();
        let mut renewals = Vec::new();
        let mut last_ticks = -1;
        for n in 0..250 {
            let micros = n * 40_000;
            let picture = t.picture(n * 3600, 0, n % 50 == 0, stepped(micros, 4_500_000, by));
            assert!(picture.ticks > last_ticks);
            last_ticks = picture.ticks;
            if picture.renewed {
                renewals.push(n);
            }
            // Until the key frame, UTC goes on as it was: a file cannot jump.
            let shift = if n >= 150 { by } else { 0 };
            assert_eq!(picture.wall.micros(), START + micros + shift, "{by} {n}");
        }
        assert_eq!(renewals, [150]);
    }
}

#[test]
fn a_host_that_slews_is_followed() {
    let mut t = Timeline::default();
    for n in 0..100_000 {
        let micros = n * 40_000;
        // 400 ppm, as NTP corrects.
        let wall = START + micros + micros * 400 / 1_000_000;
        let at = Reading { wall: Wall::from_micros(wall), mono_micros: micros, steps: 0 };
        let picture = t.picture(n * 3600, 0, n % 50 == 0, at);
        assert!((picture.wall.micros() - wall).abs() < 1000 && !picture.renewed, "{n}");
    }
}

#[test]
fn sound_is_aligned_by_rtp_time_where_arrival_agrees_and_by_arrival_where_not() {
    let ticks = |t: &mut Timeline, raw, zero, at| t.sound(raw, zero, 8000, reading(at)).map(|s| s.ticks);
    let mut t = Timeline::default();
    assert_eq!(ticks(&mut t, 5, 0, 0), None, "no picture yet");
    t.picture(0, 500_000, true, reading(0));
    assert_eq!(ticks(&mut t, 5, 600_000, 150_000), Some(800));
    let mut t = Timeline::default();
    t.picture(0, 500_000, true, reading(0));
    assert_eq!(ticks(&mut t, 5, 77_000_000, 150_000), Some(1200));
    let mut t = Timeline::default();
    t.picture(0, 500_000, true, reading(0));
    assert_eq!(ticks(&mut t, 5, 400_000, 10_000), None, "from before the first picture");
    assert_eq!(ticks(&mut t, 1605, 600_000, 210_000), Some(800));
}

#[test]
fn sound_by_another_clock_stays_with_the_picture_through_hours_and_is_kept_whole() {
    for ppm in [-200, -50, 0, 50, 200] {
        let mut t = Timeline::default();
        let (mut last, mut apart) = (None, 0);
        for n in 0..25 * 3600 * 6 {
            let at = n * 40_000;
            t.picture(n * 3600, at, n % 50 == 0, reading(at + n * 7919 % 20_000));
            let own = at + at / 1_000_000 * ppm;
            let sound = t.sound(own * 8 / 1000, own, 8000, reading(at + n * 104_729 % 40_000)).expect("none is lost");
            assert!(last.is_none_or(|l| sound.ticks > l));
            last = Some(sound.ticks);
            apart = (sound.ticks * 125 - at).abs().max(apart);
        }
        assert!(apart < 50_000, "{ppm} ppm: {apart} µs apart");
    }
}

proptest! {
    #[test]
    fn ticks_grow_strictly_and_utc_is_of_the_ticks_whatever_comes(
        frames in prop::collection::vec(
            (prop_oneof![0_i64..20_000, -100_000_i64..100_000, any::<i32>().prop_map(i64::from)], 0_i64..400_000,
             -2_000_000_i64..2_000_000, any::<bool>()),
            1..300,
        ),
    ) {
        let mut t = Timeline::default();
        let (mut raw, mut now) = (0_i64, 0_i64);
        let mut last: Option<Picture> = None;
        for (step, delay, report, key) in frames {
            (raw, now) = (raw + step, now + 40_000);
            let picture = t.picture(raw, 0, key, reading(now + delay));
            t.report(raw, Wall::from_micros(START + now + report));
            prop_assert!(!picture.renewed);
            if let Some(last) = last {
                prop_assert!(picture.ticks > last.ticks);
                let by_ticks = (picture.ticks - last.ticks) * 100 / 9;
                prop_assert!((picture.wall.micros_since(last.wall) - by_ticks).abs() <= 1);
            }
            last = Some(picture);
        }
    }

    #[test]
    fn utc_is_corrected_no_faster_than_allowed(
        frames in prop::collection::vec((1_000_i64..100_000, 0_i64..90_000, -400_000_i64..400_000), 2..300),
    ) {
        let mut t = Timeline::default();
        let mut now = 0_i64;
        let mut last: Option<i64> = None;
        for (step, delay, report) in frames {
            let (passed, before) = (step, now);
            now += step;
            let raw = now * 9 / 100;
            let stamped = (raw - before * 9 / 100) * 100 / 9;
            let picture = t.picture(raw, 0, true, reading(now + delay));
            t.report(raw, Wall::from_micros(START + now + report));
            if let Some(last) = last {
                let by_ticks = (picture.ticks - last) * 100 / 9;
                let allowed = passed * stamps::SLEW_PPM_MAX / 1_000_000 + 30;
                prop_assert!((by_ticks - stamped).abs() <= allowed, "{by_ticks} {stamped}");
            }
            last = Some(picture.ticks);
        }
    }

    #[test]
    fn nothing_overflows(raws in prop::collection::vec(any::<i64>(), 1..20), at in any::<i64>(), mono in any::<i64>()) {
        let mut t = Timeline::default();
        for raw in raws {
            let at = Reading { wall: Wall::from_micros(at), mono_micros: mono / 4, steps: 0 };
            t.picture(raw, raw, true, at);
            t.report(raw, at.wall);
            t.sound(raw, raw, 8000, at);
            t.skew_millis();
        }
    }
}
