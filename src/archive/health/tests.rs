//! What is told of a disk, from its first failure to its mending.

use super::*;
use crate::{
    archive::fixture::{Bench, noon, stream},
    disk::Faults,
    media::fixture::{Options, clip},
};
use std::fs;

/// Nothing waits it out.
const PATIENCE: Duration = Duration::from_secs(60);
const ROOM: Space =
    Space { total_bytes: 1 << 40, free_bytes: 1 << 30, total_inodes: 10, free_inodes: 5, read_only: false };

#[test]
fn each_trouble_lasts_until_its_own_cause_is_gone() {
    let judged = |before, found| judge(Some(before), found, Some(Duration::from_secs(1)));
    assert_eq!(judge(None, Ok(ROOM), None), Verdict::Well);
    assert_eq!(judged(Trouble::Full, Ok(ROOM)), Verdict::Well);
    assert_eq!(judged(Trouble::Full, Ok(Space { free_bytes: 1 << 20, ..ROOM })), Verdict::Stays);
    assert_eq!(judged(Trouble::Quota, Ok(Space { free_bytes: 1 << 20, ..ROOM })), Verdict::Stays);
    assert_eq!(judged(Trouble::Inodes, Ok(Space { free_inodes: 0, ..ROOM })), Verdict::Stays);
    assert_eq!(judged(Trouble::Inodes, Ok(ROOM)), Verdict::Well);
    assert_eq!(judged(Trouble::Full, Ok(Space { free_inodes: 0, ..ROOM })), Verdict::Well);
    assert_eq!(judged(Trouble::ReadOnly, Ok(ROOM)), Verdict::Well);
    assert_eq!(judged(Trouble::Hangs, Ok(ROOM)), Verdict::Well);
    assert_eq!(judged(Trouble::Io, Ok(ROOM)), Verdict::Stays, "a medium that failed a moment ago");
    assert_eq!(judge(Some(Trouble::Io), Ok(ROOM), Some(MEDIUM_QUIET)), Verdict::Well);
    let read_only = Space { read_only: true, ..ROOM };
    assert!(matches!(judge(None, Ok(read_only), None), Verdict::Trouble(Trouble::ReadOnly, _)));
    let error = (Trouble::Gone, "gone".to_owned());
    assert_eq!(judged(Trouble::Full, Err(error)), Verdict::Trouble(Trouble::Gone, "gone".to_owned()));
}

async fn told(bench: &Bench, events: usize) -> Vec<String> {
    let told = || bench.events.after(0, 100).unwrap().into_iter().map(|e| e.kind.0).filter(|k| k.starts_with("disk."));
    let mut last = bench.events.watch();
    while told().count() < events {
        tokio::time::timeout(PATIENCE, last.changed()).await.expect("in time").unwrap();
    }
    told().collect()
}

async fn until(bench: &Bench, trouble: Option<Trouble>) {
    let mut health = bench.archive.health();
    let waited = tokio::time::timeout(PATIENCE, health.wait_for(|h| h.trouble == trouble)).await;
    drop(waited.unwrap_or_else(|_| panic!("never seen: {trouble:?}")).unwrap());
}

#[tokio::test]
async fn a_disk_that_goes_away_or_is_another_one_is_told_and_no_row_goes_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let cam = stream("cam/1/main");
    bench.lay(&cam, &clip(Options::default()).frames(1, noon()), 0, 25).await;
    let (recordings, elsewhere) = (bench.archive.dir().to_owned(), dir.path().join("elsewhere"));
    fs::rename(&recordings, &elsewhere).unwrap();
    until(&bench, Some(Trouble::NotMounted)).await;
    fs::create_dir(&recordings).unwrap();
    assert!(bench.archive.enter(&bench.disk.files()).is_err(), "the bare place is not written to");
    assert!(bench.archive.reindex(|_| {}).await.is_ok(), "asked for by an operator, it is believed");
    until(&bench, None).await;
    bench.end().await;
    fs::remove_dir_all(&recordings).unwrap();
    fs::rename(&elsewhere, &recordings).unwrap();

    let bench = Bench::open(dir.path()).await;
    bench.archive.reindex(|_| {}).await.unwrap();
    bench.archive.hash_pending().await.unwrap();
    let rows = bench.all(&cam).await;
    assert_eq!(rows.len(), 1);
    let identity = recordings.join(super::super::IDENTITY_FILE_NAME);
    let ours = fs::read(&identity).unwrap();
    fs::write(&identity, "another").unwrap();
    until(&bench, Some(Trouble::WrongDirectory)).await;
    let error = bench.archive.enter(&bench.disk.files()).unwrap_err().to_string();
    assert!(error.contains("mount the right disk"), "{error}");
    assert!(bench.archive.sweep().await.is_err());
    fs::write(&identity, ours).unwrap();
    until(&bench, None).await;
    assert_eq!(bench.all(&cam).await, rows);
    let all = told(&bench, 4).await;
    assert_eq!(all, ["disk.not_mounted", "disk.ok", "disk.wrong_directory", "disk.ok"]);
    bench.end().await;
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_no_listing_and_is_told_until_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let bench = Bench::start(dir.path(), faults.clone(), Clock::real());
    bench.archive.recover().await.unwrap();
    let cam = stream("cam/1/main");
    bench.lay(&cam, &clip(Options::default()).frames(1, noon()), 0, 25).await;
    faults.hang("recordings");
    let writes: Vec<_> = (0..20)
        .map(|_| {
            let (disk, path) = (bench.disk.clone(), bench.archive.dir().join("x"));
            bench.group.spawn("write", async move { disk.run(move |files| files.create_new(&path).map(drop)).await })
        })
        .collect();
    until(&bench, Some(Trouble::Hangs)).await;
    assert_eq!(bench.all(&cam).await.len(), 1, "listed all the same");
    assert!(bench.metrics.render().contains("skyvis_disk_trouble{reason=\"disk_hangs\"} 1"));
    let given_up = bench.disk.run_within(Duration::from_millis(5), |_| ()).await;
    assert_eq!(given_up.unwrap_err().trouble(), Trouble::Hangs);
    faults.heal();
    until(&bench, None).await;
    futures_util::future::join_all(writes).await;
    assert_eq!(told(&bench, 2).await, ["disk.hangs", "disk.ok"]);
    bench.end().await;
}
