//! Footage that was listed before it was durable, and that the disk has lost.

use super::*;
use crate::{
    archive::Thorough,
    disk::Files,
    model::{Gap, GapCause, Range},
};

#[tokio::test]
async fn what_a_disk_lost_after_it_was_listed_is_a_gap_and_no_row_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let bench = Bench::start(dir.path(), faults.clone(), Clock::real());
    bench.archive.recover().await.unwrap();
    bench.archive.ledger().expect(&cam());
    let (segment, sync) = (Duration::from_secs(4), Sync::Every(Duration::from_secs(3600)));
    let settings = Settings { segment, sync, ..settings() };
    let (mut writer, mut assembler) = (writer(&bench, &settings), Assembler::new(Rules::of(&settings)));
    faults.inject(Rule::new(Op::Append, Failure::ReadOnly).on("recordings/cam").nth(3));
    assert_eq!(feed(&mut writer, &mut assembler, &frames(1)).await, 1);
    assert_eq!(end(&mut writer, &mut assembler).await, 0);
    let before = check(&bench, "failed").await;
    // A file system that an error made read-only forgets what it has not written out.
    let mut file = Files::real().open_append(&bench.archive.path(&before[0])).unwrap();
    file.truncate(before[0].bytes - 1).unwrap();

    let verify = async || bench.archive.verify(Thorough { deep: true, gentle: false }, |_| ()).await.unwrap();
    let report = verify().await;
    assert_eq!((report.findings, report.unsettled), (Vec::new(), 1), "the daemon puts it right by itself");
    bench.archive.hash_pending().await.unwrap();
    let after = check(&bench, "settled").await;
    assert!(after[0].end() < before[0].end() && after[0].sum.is_some(), "{:?}", after[0]);
    let gaps = bench.archive.gaps(&cam(), Range::ALL).await.unwrap().gaps;
    let lost = Gap { start: after[0].end(), end: Some(before[0].end()), cause: GapCause::DiskError };
    assert_eq!(gaps[0], lost);
    assert_eq!((gaps[1].start, gaps[1].end), (before[0].end(), Some(after[1].start)), "what was not written at all");
    let report = verify().await;
    assert_eq!((report.findings, report.unsettled, report.without_checksum), (Vec::new(), 0, 0));
    bench.end().await;
}
