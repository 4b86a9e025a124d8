//! The ledger over a real store: what outlasts a process, a full disk, retention and a new index.

use crate::{
    archive::{
        Limits, MinFree,
        fixture::{Bench, config, noon, stream},
    },
    base::{Clock, Wall},
    disk::{Disk, Failure, Faults, Rule},
    media::fixture::{Options, clip},
    model::{Checksum, Frame, Gap, GapCause, Range, StreamKey},
};
use std::{path::Path, time::Duration};

fn cam() -> StreamKey {
    stream("cam/1/main")
}

fn frames(session: u64, start: Wall) -> Vec<Frame> {
    clip(Options::default()).frames(session, start)
}

async fn gaps(bench: &Bench) -> Vec<Gap> {
    bench.archive.gaps(&cam(), Range::ALL).await.unwrap().gaps
}

fn at(seconds: i64) -> Wall {
    noon().plus_micros(seconds * 1_000_000)
}

fn start(dir: &Path, faults: Faults, now: Wall) -> Bench {
    Bench::start(dir, faults, Clock::simulated(now))
}

#[tokio::test]
async fn a_stream_that_was_recorded_when_the_process_died_has_a_crash_and_one_that_was_away_goes_on_being_away() {
    let dir = tempfile::tempdir().unwrap();
    let bench = start(dir.path(), Faults::new(), at(8));
    bench.archive.recover().await.unwrap();
    let (ledger, away) = (bench.archive.ledger(), stream("cam/2/main"));
    ledger.expect(&cam());
    ledger.expect(&away);
    ledger.absent(&away, GapCause::Offline, at(1));
    bench.lay_open(&cam(), &frames(1, noon()), 0, 25).await;
    // Told of pictures that never came to the disk.
    ledger.silent(&cam(), at(20), at(24));
    ledger.tick();
    ledger.save().await.unwrap();
    bench.crash().await;

    let bench = start(dir.path(), Faults::new(), at(100));
    bench.archive.recover().await.unwrap();
    assert_eq!(bench.archive.ledger().expected(), [cam(), away.clone()].into());
    assert_eq!(gaps(&bench).await, [Gap { start: at(8), end: None, cause: GapCause::Crash }]);
    let told = bench.archive.gaps(&away, Range::ALL).await.unwrap();
    assert_eq!(told.gaps, [Gap { start: at(1), end: None, cause: GapCause::Offline }]);
    assert_eq!((told.coverage(), told.wanted_micros >= 99_000_000), (0.0, true));
    let late = bench.archive.gaps(&cam(), Range { from: at(40), to: at(50) }).await.unwrap();
    assert_eq!(late.gaps, [Gap { start: at(8), end: None, cause: GapCause::Crash }], "of any range");
    // Footage again, and a stop in order: the next start finds what it says and derives nothing.
    bench.lay(&cam(), &frames(2, at(100)), 0, 25).await;
    bench.archive.ledger().stopping();
    bench.end().await;
    let bench = start(dir.path(), Faults::new(), at(200));
    bench.archive.recover().await.unwrap();
    let crash = Gap { start: at(8), end: Some(at(100)), cause: GapCause::Crash };
    assert_eq!(gaps(&bench).await, [crash, Gap { start: at(108), end: None, cause: GapCause::Restart }]);
    // A new index keeps the ledger.
    bench.archive.reindex(|_| {}).await.unwrap();
    assert_eq!(gaps(&bench).await[0], crash);
    bench.end().await;
}

#[tokio::test]
async fn a_crash_begins_where_footage_ends_though_a_clock_that_was_ahead_has_left_some_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = start(dir.path(), Faults::new(), at(3700));
    bench.archive.recover().await.unwrap();
    bench.archive.ledger().expect(&cam());
    bench.lay(&cam(), &frames(1, at(3600)), 0, 25).await;
    bench.lay_open(&cam(), &frames(2, noon()), 1, 25).await;
    bench.archive.ledger().save().await.unwrap();
    bench.crash().await;
    let bench = start(dir.path(), Faults::new(), at(100));
    bench.archive.recover().await.unwrap();
    let first = gaps(&bench).await[0];
    assert_eq!((first.start, first.cause), (at(8), GapCause::Crash));
    bench.end().await;
}

#[tokio::test]
async fn rows_that_the_store_cannot_take_are_kept_and_shown_and_written_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let of_store = Disk::faulty(1, faults.clone());
    let bench = Bench::start_on(dir.path(), Faults::new(), Clock::simulated(at(60)), &of_store);
    bench.archive.recover().await.unwrap();
    let ledger = bench.archive.ledger();
    ledger.expect(&cam());
    bench.lay(&cam(), &frames(1, noon()), 0, 25).await;
    faults.inject(Rule::any(Failure::NoSpace).persistent());
    ledger.absent(&cam(), GapCause::DiskFull, at(8));
    ledger.tick();
    let refused = ledger.save().await;
    let open = [Gap { start: at(8), end: None, cause: GapCause::DiskFull }];
    assert_eq!(gaps(&bench).await, open, "{refused:?}");
    faults.heal();
    bench.crash().await;
    // Whether or not the row was written before the end: the time is not without a gap.
    let bench = start(dir.path(), Faults::new(), at(100));
    bench.archive.recover().await.unwrap();
    let found = gaps(&bench).await;
    assert!(matches!(found[..], [Gap { end: None, cause: GapCause::DiskFull | GapCause::Crash, .. }]), "{found:?}");
    assert_eq!(found[0].start, at(8));
    bench.end().await;
}

#[tokio::test]
async fn rows_go_with_the_footage_that_they_lie_between() {
    let dir = tempfile::tempdir().unwrap();
    let day = 86_400;
    let bench = start(dir.path(), Faults::new(), at(10 * day));
    bench.archive.recover().await.unwrap();
    let (ledger, silent) = (bench.archive.ledger().clone(), stream("cam/2/main"));
    for stream in [&cam(), &silent] {
        ledger.expect(stream);
    }
    for n in 0..4 {
        bench.lay(&cam(), &frames(n + 1, at(i64::try_from(n).unwrap() * 3 * day)), 0, 25).await;
        ledger.absent(&cam(), GapCause::Offline, at(i64::try_from(n).unwrap() * 3 * day + 8));
        ledger.tick();
    }
    // One that never sent anything has gaps of its own that only age.
    ledger.absent(&silent, GapCause::Unreachable, noon());
    ledger.tick();
    ledger.absent(&silent, GapCause::Offline, at(day));
    ledger.save().await.unwrap();
    assert_eq!(gaps(&bench).await.len(), 4, "three between footage, and one that lasts");
    let limits = Limits { retain_days: Some(5), min_free: MinFree::Bytes(0), checksum: Checksum::Sha256 };
    bench.archive.apply(crate::archive::Config { defaults: limits, ..config(dir.path()) });
    let rows = ledger.rows().clone();
    let of_silent = || {
        let (rows, silent) = (rows.clone(), silent.clone());
        bench.disk.run(move |_| rows.overlapping(&silent, Range::ALL))
    };
    let swept = async {
        // What lasts stays.
        while bench.all(&cam()).await.len() > 2
            || gaps(&bench).await.len() > 2
            || of_silent().await.unwrap().unwrap().values().any(|gap| gap.cause != GapCause::Offline)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), swept).await.expect("in time");
    let left = gaps(&bench).await;
    assert_eq!(left[0].start, bench.all(&cam()).await[0].end(), "nothing before the oldest footage is spoken of");
    assert_eq!(of_silent().await.unwrap().unwrap().len(), 1);
    bench.end().await;
}
