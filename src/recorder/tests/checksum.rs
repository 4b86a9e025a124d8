//! Footage that nobody wants summed up.

use super::*;
use crate::{
    archive::{Config as ArchiveConfig, Fault, Limits, Thorough, fixture},
    disk::Files,
    model::Sum,
};

const CHECKSUM: Checksum = Checksum::None;
const DEEP: Thorough = Thorough { deep: true, gentle: false };

/// What the archive is told by a configuration without checksums.
fn unsummed(dir: &Path) -> ArchiveConfig {
    ArchiveConfig { defaults: Limits { checksum: Checksum::None, ..fixture::KEEP }, ..fixture::config(dir) }
}

async fn faults(bench: &Bench) -> Vec<&'static str> {
    let report = bench.archive.verify(DEEP, |_| ()).await.unwrap();
    assert_eq!((report.rows, report.without_checksum), (4, 0), "{report:?}");
    report.faults.into_keys().collect()
}

#[tokio::test]
async fn without_checksums_rows_have_none_and_verify_still_sees_structure_and_length() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.archive.apply(unsummed(dir.path()));
    let settings = Settings { checksum: CHECKSUM, ..settings() };
    let (mut writer, mut assembler) = (writer(&bench, &settings), Assembler::new(Rules::of(&settings)));
    assert_eq!(feed(&mut writer, &mut assembler, &frames(1)).await, 0);
    assert_eq!(end(&mut writer, &mut assembler).await, 0);
    let rows = check(&bench, "recorded").await;
    assert!(rows.len() == 4 && rows.iter().all(|r| r.sum.is_none()), "{rows:?}");
    assert_eq!(bench.archive.hash_pending().await.unwrap(), 0, "nothing is left to be summed");
    assert_eq!(faults(&bench).await, [""; 0]);

    // Not by a rebuild either, which knows of the wish by the configuration alone.
    fs::rename(bench.archive.path(&rows[0]), dir.path().join("aside")).unwrap();
    bench.archive.reindex(|_| ()).await.unwrap();
    fs::rename(dir.path().join("aside"), bench.archive.path(&rows[0])).unwrap();
    bench.archive.reindex(|_| ()).await.unwrap();
    bench.archive.hash_pending().await.unwrap();
    assert_eq!(check(&bench, "indexed anew").await, rows);
    assert_eq!(faults(&bench).await, [""; 0]);

    let files = Files::real();
    let mut short = files.open_append(&bench.archive.path(&rows[1])).unwrap();
    short.truncate(rows[1].bytes - 1).unwrap();
    let broken = files.open_append(&bench.archive.path(&rows[2])).unwrap();
    broken.write_all_at(4, b"free").unwrap();
    let mut expected = [Fault::Short.as_str(), Fault::Damaged.as_str()];
    expected.sort_unstable();
    assert_eq!(faults(&bench).await, expected);
    bench.end().await;
}

#[tokio::test]
async fn a_file_whose_last_sync_failed_is_cut_to_its_row_although_it_is_not_summed() {
    let dir = tempfile::tempdir().unwrap();
    let disk_faults = Faults::new();
    let bench = Bench::start(dir.path(), disk_faults.clone(), Clock::real());
    bench.archive.recover().await.unwrap();
    bench.archive.apply(unsummed(dir.path()));
    let settings = Settings { checksum: CHECKSUM, sync: Sync::Every(Duration::ZERO), ..settings() };
    let (mut writer, mut assembler) = (writer(&bench, &settings), Assembler::new(Rules::of(&settings)));
    disk_faults.inject(Rule::new(Op::SyncData, Failure::Io).on("recordings/cam").nth(3));
    assert_eq!(feed(&mut writer, &mut assembler, &frames(1)).await, 1);
    assert_eq!(end(&mut writer, &mut assembler).await, 0);
    let row = &check(&bench, "failed").await[0];
    let len = || fs::metadata(bench.archive.path(row)).unwrap().len();
    bench.archive.hash_pending().await.unwrap();
    assert_eq!((len(), row.sum), (row.bytes, Sum::None));
    assert!(bench.all(&cam()).await.iter().all(|r| r.sum.is_none()));
    bench.end().await;
}

#[tokio::test]
async fn checksums_that_are_switched_on_hold_from_the_next_file_on() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let settings = Settings { checksum: CHECKSUM, ..settings() };
    let (mut writer, mut assembler) = (writer(&bench, &settings), Assembler::new(Rules::of(&settings)));
    let frames = frames(1);
    let (first, rest) = frames.split_at(frames.len() / 8);
    feed(&mut writer, &mut assembler, first).await;
    writer.writer.set_checksum(Checksum::Sha256);
    feed(&mut writer, &mut assembler, rest).await;
    end(&mut writer, &mut assembler).await;
    bench.archive.hash_pending().await.unwrap();
    let rows = check(&bench, "switched").await;
    assert_eq!(rows.iter().map(|r| r.sum.is_some()).collect::<Vec<_>>(), [false, true, true, true]);
    bench.end().await;
}

#[tokio::test]
async fn rows_are_told_by_the_sum_that_made_them_whatever_is_wished_for_now() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let (mut writer, mut assembler) = (writer(&bench, &settings()), Assembler::new(Rules::of(&settings())));
    let frames = frames(1);
    let (first, rest) = frames.split_at(frames.len() / 8);
    feed(&mut writer, &mut assembler, first).await;
    writer.writer.set_checksum(Checksum::Crc32);
    feed(&mut writer, &mut assembler, rest).await;
    end(&mut writer, &mut assembler).await;
    let rows = check(&bench, "switched").await;
    let sums = |rows: &[Segment]| rows.iter().map(|row| row.sum.checksum()).collect::<Vec<_>>();
    assert_eq!(sums(&rows), [Checksum::Sha256, Checksum::Crc32, Checksum::Crc32, Checksum::Crc32]);
    assert_eq!(faults(&bench).await, [""; 0]);

    // One that lost its row gets the sum that is wished for now, the others keep theirs.
    for (moved, expected) in [(2, Checksum::Sha256), (3, Checksum::Crc32)] {
        let defaults = Limits { checksum: expected, ..fixture::KEEP };
        bench.archive.apply(ArchiveConfig { defaults, ..fixture::config(dir.path()) });
        let path = bench.archive.path(&rows[moved]);
        fs::rename(&path, dir.path().join("aside")).unwrap();
        bench.archive.reindex(|_| ()).await.unwrap();
        fs::rename(dir.path().join("aside"), &path).unwrap();
        bench.archive.reindex(|_| ()).await.unwrap();
        bench.archive.hash_pending().await.unwrap();
    }
    let now = bench.all(&cam()).await;
    assert_eq!(sums(&now), [Checksum::Sha256, Checksum::Crc32, Checksum::Sha256, Checksum::Crc32]);
    assert_eq!((&now[..2], now[3].sum), (&rows[..2], rows[3].sum));
    assert_eq!(faults(&bench).await, [""; 0]);

    // A byte within a picture changes: structure and length are as they were, whichever sum tells it.
    let files = Files::real();
    for row in &now[..2] {
        let path = bench.archive.path(row);
        let mut last = [0];
        files.open_read(&path).unwrap().read_exact_at(row.bytes - 1, &mut last).unwrap();
        files.open_append(&path).unwrap().write_all_at(row.bytes - 1, &[last[0] ^ 0x10]).unwrap();
    }
    let report = bench.archive.verify(DEEP, |_| ()).await.unwrap();
    assert_eq!(report.faults.into_iter().collect::<Vec<_>>(), [(Fault::Checksum.as_str(), 2)]);
    bench.end().await;
}
