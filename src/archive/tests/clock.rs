//! A host's clock that is wrong, and footage that must not pay for it.

use super::*;

const DAY_MICROS: i64 = 86_400_000_000;
const YEAR_MICROS: i64 = 365 * DAY_MICROS;

/// One second of pictures, taken at `wall` by the host's clock.
fn second_at(wall: Wall) -> Vec<Frame> {
    let by = wall.micros_since(noon());
    let frames = seconds().swap_remove(0);
    frames.into_iter().map(|f| Frame { wall: f.wall.plus_micros(by), ..f }).collect()
}

#[tokio::test]
async fn footage_of_a_wrong_clock_is_as_old_as_it_is_and_goes_in_its_turn() {
    for wrong in [-50 * YEAR_MICROS, -YEAR_MICROS, -7 * DAY_MICROS, 7 * DAY_MICROS, YEAR_MICROS] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(noon());
        let start = |clock: &Clock| {
            let bench = Bench::start(dir.path(), Faults::new(), clock.clone());
            let limits = Limits { retain_days: Some(3), ..KEEP };
            bench.archive.apply(Config { defaults: limits, ..config(dir.path()) });
            bench
        };
        let bench = start(&clock);
        bench.archive.recover().await.unwrap();
        let mut laid = vec![bench.lay(&cam(), &second_at(clock.wall()), 0, 25).await];
        clock.step_micros(wrong);
        laid.push(bench.lay(&cam(), &second_at(clock.wall()), 1, 25).await);
        bench.archive.sweep().await.unwrap();
        bench.end().await;
        // The next process meets the wrong clock from its start.
        let bench = start(&clock);
        bench.archive.recover().await.unwrap();
        clock.step_micros(-wrong + 60_000_000);
        laid.push(bench.lay(&cam(), &second_at(clock.wall()), 2, 25).await);
        bench.archive.sweep().await.unwrap();
        let left: std::collections::BTreeSet<u32> = bench.all(&cam()).await.iter().map(|s| s.index).collect();
        assert_eq!(left, [0, 1, 2].into(), "{wrong}: nothing of it is three days old");
        // Room is made by what was recorded first, whatever the names say.
        for n in 1..3 {
            let bytes: u64 = laid[n..].iter().map(|s| s.bytes).sum();
            bench.archive.apply(Config { retain_bytes: Some(bytes), ..config(dir.path()) });
            bench.archive.sweep().await.unwrap();
            let mut left: Vec<u32> = bench.all(&cam()).await.iter().map(|s| s.index).collect();
            left.sort_unstable();
            assert_eq!(left, (n as u32..3).collect::<Vec<_>>(), "{wrong}");
        }
        bench.end().await;
    }
}

#[tokio::test]
async fn a_host_without_a_battery_begins_in_1970_and_its_footage_is_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(noon());
    let bench = Bench::start(dir.path(), Faults::new(), clock.clone());
    bench.archive.recover().await.unwrap();
    // Older than the last ten minutes, in which the time of ages may not have been written down.
    let old = bench.lay(&cam(), &second_at(clock.wall().plus_micros(-3_600_000_000)), 0, 25).await;
    bench.archive.sweep().await.unwrap();
    bench.end().await;

    let clock = Clock::simulated(Wall::from_millis(10_000));
    let limits = Limits { retain_days: Some(3), ..KEEP };
    let bench = Bench::start(dir.path(), Faults::new(), clock.clone());
    bench.archive.apply(Config { defaults: limits, ..config(dir.path()) });
    bench.archive.recover().await.unwrap();
    let new = bench.lay(&cam(), &second_at(clock.wall()), 1, 25).await;
    assert!(new.start < old.start);
    // NTP finds the time, an hour after the power was cut.
    clock.step_micros(noon().micros() + 3_600_000_000);
    let newest = bench.lay(&cam(), &second_at(clock.wall()), 2, 25).await;
    bench.archive.sweep().await.unwrap();
    assert_eq!(bench.all(&cam()).await.len(), 3, "the footage of 1970 is a minute old");
    bench.archive.apply(Config { retain_bytes: Some(new.bytes + newest.bytes), ..config(dir.path()) });
    bench.archive.sweep().await.unwrap();
    let left: Vec<u32> = bench.all(&cam()).await.iter().map(|s| s.index).collect();
    assert_eq!(left, [1, 2], "the oldest is what was recorded before the cut");
    bench.end().await;
}
