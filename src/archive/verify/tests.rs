//! Each way in which rows and files can differ is found, and nothing is touched or told that is only under way.

use super::*;
use crate::{
    archive::{
        fixture::{Bench, noon, stream},
        index::Change,
        ledger::Unsaved,
    },
    media::fixture::{Options, clip},
    model::{Frame, Gap, GapCause, Range, SessionId},
    store::{Batch, Codec, Keyspace},
};
use std::fs;

const DEEP: Thorough = Thorough { deep: true, gentle: false };
const SHALLOW: Thorough = Thorough { deep: false, gentle: false };

fn seconds() -> Vec<Vec<Frame>> {
    let frames = clip(Options::default()).frames(1, noon());
    let second = |f: &Frame| f.wall.micros_since(noon()) / 1_000_000;
    (0..8).map(|n| frames.iter().filter(|f| second(f) == n).cloned().collect()).collect()
}

async fn faults(bench: &Bench, thorough: Thorough) -> Vec<(Fault, PathBuf)> {
    let report = bench.archive.verify(thorough, |_| {}).await.unwrap();
    assert_eq!(report.faults() as usize, report.findings.len());
    assert_eq!(report.advice().is_some(), report.faults() > 0);
    report.findings.into_iter().map(|f| (f.fault, f.path)).collect()
}

#[tokio::test]
async fn every_difference_is_found_and_reindex_mends_what_can_be_mended() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let cam = stream("cam/1/main");
    for (n, part) in seconds().iter().enumerate() {
        bench.lay(&cam, part, n as u32, 10).await;
    }
    bench.archive.hash_pending().await.unwrap();
    assert_eq!(faults(&bench, SHALLOW).await, []);
    assert_eq!(faults(&bench, DEEP).await, []);
    let rows = bench.all(&cam).await;
    let path = |n: usize| bench.archive.path(&rows[n]);
    let bytes = |n: usize| fs::read(path(n)).unwrap();
    // A file that went, a row that went, one cut short, one with a tail, one damaged at its end, one with a flipped
    // bit in a picture, and a row that says something else.
    fs::remove_file(path(0)).unwrap();
    let drop = Change::Drop { stream: cam.clone(), start: rows[1].start };
    fs::write(path(2), &bytes(2)[..bytes(2).len() - 10]).unwrap();
    fs::write(path(3), [bytes(3), vec![0; 7]].concat()).unwrap();
    let mut ends_elsewhere = bytes(4);
    let last = ends_elsewhere.windows(4).rposition(|w| w == b"mdat").unwrap();
    ends_elsewhere[last..last + 4].copy_from_slice(b"junk");
    fs::write(path(4), ends_elsewhere).unwrap();
    let mut flipped = bytes(5);
    let end = flipped.len() - 3;
    flipped[end] ^= 1;
    fs::write(path(5), flipped).unwrap();
    let wrong = Segment { duration_ticks: 1, ..rows[6].clone() };
    let put = Change::Put { segment: wrong, table: None, mark: None };
    bench.archive.apply_changes(vec![drop, put]).await.unwrap();
    fs::write(path(7).with_file_name("holiday.mp4"), b"x").unwrap();
    fs::write(path(7).with_extension("mp4.tmp"), b"x").unwrap();

    let shallow = [
        (Fault::NoFile, path(0)),
        (Fault::NoRow, path(1)),
        (Fault::Short, path(2)),
        (Fault::Tail, path(3)),
        (Fault::Damaged, path(4)),
    ];
    assert_eq!(faults(&bench, SHALLOW).await, shallow);
    let deep: Vec<_> =
        shallow.iter().cloned().chain([(Fault::Checksum, path(5)), (Fault::WrongRow, path(6))]).collect();
    assert_eq!(faults(&bench, DEEP).await, deep);
    let report = bench.archive.verify(SHALLOW, |_| {}).await.unwrap();
    assert_eq!((report.rows, report.files, report.foreign, report.unfinished), (7, 7, 1, 1));
    assert_eq!(report.faults["short"], 1);
    assert_eq!(bench.all(&cam).await.len(), 7, "nothing was changed");

    bench.archive.reindex(|_| {}).await.unwrap();
    bench.archive.hash_pending().await.unwrap();
    let left: Vec<Fault> = faults(&bench, DEEP).await.into_iter().map(|(fault, _)| fault).collect();
    assert!(left.iter().all(|f| [Fault::Tail, Fault::Damaged, Fault::Checksum].contains(f)), "{left:?}");
    bench.end().await;
}

#[tokio::test]
async fn what_grows_or_was_left_growing_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let cam = stream("cam/1/main");
    bench.lay(&cam, &seconds()[0], 0, 10).await;
    let open = bench.lay_open(&cam, &seconds()[1], 1, 10).await;
    let path = bench.archive.path(&open);
    // As if the next fragment were only being written.
    let bytes = fs::read(&path).unwrap();
    let fragment = bytes.windows(4).position(|w| w == b"moof").unwrap() - 4;
    fs::write(&path, [&bytes[..], &bytes[fragment..fragment + 100]].concat()).unwrap();
    let report = bench.archive.verify(DEEP, |_| {}).await.unwrap();
    assert_eq!((report.faults(), report.growing), (0, 1));
    bench.crash().await;
    let bench = Bench::start(dir.path(), crate::disk::Faults::new(), crate::base::Clock::real());
    assert_eq!(faults(&bench, SHALLOW).await, [(Fault::LeftOpen, path)]);
    bench.archive.recover().await.unwrap();
    assert_eq!(faults(&bench, DEEP).await, []);
    bench.end().await;
}

#[tokio::test]
async fn what_is_opened_and_deleted_meanwhile_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let cam = stream("cam/1/main");
    let part = &seconds()[0];
    bench.lay(&cam, part, 0, 10).await;
    let gone = bench.lay(&cam, &seconds()[1], 1, 10).await;
    // A file with its name and no row yet, and a row whose file has just gone.
    let late = bench.lay(&cam, &seconds()[2], 2, 10).await;
    let table = bench.archive.table(&late).await.unwrap();
    bench.archive.apply_changes(vec![Change::Drop { stream: cam.clone(), start: late.start }]).await.unwrap();
    fs::remove_file(bench.archive.path(&gone)).unwrap();
    let mends = async {
        let mut settled = vec![Change::Drop { stream: cam.clone(), start: gone.start }];
        settled.push(Change::Put { segment: late.clone(), table: Some(table), mark: None });
        bench.archive.clock().sleep(AGAIN_AFTER / 2).await;
        bench.archive.apply_changes(settled).await.unwrap();
    };
    let (report, ()) = tokio::join!(bench.archive.verify(DEEP, |_| {}), mends);
    assert_eq!(report.unwrap().findings, []);
    bench.end().await;
}

#[tokio::test]
async fn of_footage_whose_disk_is_not_there_nothing_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.lay(&stream("cam/1/main"), &seconds()[0], 0, 10).await;
    fs::rename(bench.archive.dir(), dir.path().join("elsewhere")).unwrap();
    fs::create_dir(bench.archive.dir()).unwrap();
    let error = bench.archive.verify(SHALLOW, |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("mount"), "{error}");
    bench.end().await;
}

#[tokio::test]
async fn rows_of_gaps_that_cannot_be_right_are_told_and_reindex_puts_them_right() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let (cam, other) = (stream("cam/1/main"), stream("cam/2/main"));
    let at = |ms: i64| noon().plus_micros(ms * 1000);
    let gap = |from: i64, to: Option<i64>| Gap { start: at(from), end: to.map(at), cause: GapCause::Offline };
    let lay = async |stream: &StreamKey, gaps: &[Gap]| {
        let mut unsaved = Unsaved::default();
        gaps.iter().for_each(|gap| unsaved.gap(stream, gap.start, Some(*gap)));
        bench.archive.ledger().rows().commit(unsaved.batch().unwrap()).await.unwrap();
    };
    let told = async || -> Vec<(Fault, String)> {
        let report = bench.archive.verify(SHALLOW, |_| {}).await.unwrap();
        report.findings.into_iter().map(|f| (f.fault, f.stream.to_string())).collect()
    };
    bench.lay(&cam, &seconds()[4], 0, 10).await;
    bench.lay(&other, &seconds()[0], 0, 10).await;
    // As a stream's rows are: end to end, up to footage, and one that lasts.
    lay(&cam, &[gap(0, Some(1000)), gap(1000, Some(4000)), gap(5000, None)]).await;
    assert_eq!(told().await, []);
    // One lies over the next, one lasts and is not the last, one ends before it begins, one nobody can read; and of a
    // stream that has nothing else, one ends where no footage is.
    lay(&cam, &[gap(0, Some(2500)), gap(-2000, None), gap(-5000, Some(-6000))]).await;
    lay(&other, &[gap(1000, Some(9000))]).await;
    let unreadable = Keyspace::<serde_json::Value>::new(0x28, "gaps", Codec::Json);
    let key = [b"cam/1/main\0".as_slice(), &(at(3000).micros() as u64).to_be_bytes()].concat();
    let row = serde_json::json!({ "end": 1, "cause": "a cause of a later version" });
    bench.store.commit(Batch::new().put(&unreadable, &key, &row).unwrap()).await.unwrap();
    let mut found = told().await;
    found.sort_by_key(|(fault, stream)| (fault.as_str(), stream.clone()));
    let of = |fault, stream: &StreamKey| (fault, stream.to_string());
    let overlap = of(Fault::GapOverlap, &cam);
    let expected =
        [of(Fault::GapBeyond, &other), overlap.clone(), overlap.clone(), overlap, of(Fault::GapUnreadable, &cam)];
    assert_eq!(found, expected);
    // It explains nothing, and keeps nothing else from being told.
    let gaps = bench.archive.gaps(&cam, Range::ALL).await.unwrap().gaps;
    assert!(gaps.iter().any(|gap| gap.end == Some(at(4000))), "{gaps:?}");

    let summary = bench.archive.reindex(|_| {}).await.unwrap();
    assert_eq!(summary.gaps_mended, 5);
    assert_eq!(told().await, [], "told of what is only about to be written, too");
    let rows = |stream: &StreamKey| -> Vec<Gap> {
        let rows = bench.archive.ledger().rows().all(stream).unwrap();
        rows.into_iter().filter_map(|(_, gap)| gap).collect()
    };
    let right = [gap(-2000, Some(0)), gap(0, Some(1000)), gap(1000, Some(4000)), gap(5000, None)];
    let is_written = || rows(&cam) == right && rows(&other) == [gap(1000, None)];
    let written = async {
        while !is_written() {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(30), written).await;
    assert!(in_time.is_ok(), "{:?} {:?}", rows(&cam), rows(&other));
    // Where the clock was set back, two sessions lie in one hour, and what is missing of each.
    let back: Vec<Frame> = seconds()[4].iter().map(|f| Frame { session: SessionId(9), ..f.clone() }).collect();
    bench.lay(&cam, &back, 0, 10).await;
    lay(&cam, &[gap(0, Some(2500))]).await;
    assert_eq!(told().await, []);
    bench.end().await;
}
