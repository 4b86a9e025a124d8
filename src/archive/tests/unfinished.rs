//! Files that a crash left without their name.

use super::*;
use crate::model::segment::PICTURE;
use std::path::PathBuf;

/// Two seconds that follow one another are laid; a crash then leaves the second of them without its name, and without a
/// row, and `torn` bytes of its end are not there. Where `alone`, the first is not there either.
async fn crashed(torn: usize, alone: bool) -> (tempfile::TempDir, Segment, PathBuf) {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let parts = seconds();
    let bench = Bench::open(other.path()).await;
    let second = bench.lay(&cam(), &parts[1], 1, 5).await;
    let bytes = fs::read(bench.archive.path(&second)).unwrap();
    bench.end().await;
    let bench = Bench::start(dir.path(), Faults::new(), Clock::simulated(second.end()));
    bench.archive.recover().await.unwrap();
    if !alone {
        bench.lay(&cam(), &parts[0], 0, 5).await;
    }
    let path = bench.archive.path(&second);
    bench.crash().await;
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(layout::unfinished(&path), &bytes[..bytes.len() - torn]).unwrap();
    (dir, second, path)
}

#[tokio::test]
async fn footage_that_a_crash_left_without_its_name_is_named_and_listed_at_the_next_start() {
    for (torn, frames) in [(0, 25), (100, 20)] {
        let (dir, second, path) = crashed(torn, false).await;
        let faults = Faults::new();
        let bench = Bench::start(dir.path(), faults.clone(), Clock::real());
        let recovered = bench.archive.recover().await.unwrap();
        assert_eq!(recovered, Recovered { segments: 1, torn: u64::from(torn > 0), ..Recovered::default() });
        assert!(path.exists() && !layout::unfinished(&path).exists());
        let rows = bench.all(&cam()).await;
        assert_eq!(rows.iter().map(|r| (r.index, r.frames, r.closed)).collect::<Vec<_>>()[1..], [(1, frames, true)]);
        assert!(rows[1].continues(&rows[0]) && rows[1].start == second.start);
        assert_eq!(fs::metadata(&path).unwrap().len(), rows[1].bytes);
        // Its bytes are durable before it has its name, and its name before there is a row.
        let unfinished = layout::unfinished(&path);
        let steps: Vec<(Op, PathBuf)> = faults.history();
        let at = |op, path: &std::path::Path| steps.iter().rposition(|step| *step == (op, path.to_owned())).unwrap();
        assert!(at(Op::SyncData, &unfinished) < at(Op::Rename, &unfinished));
        assert!(at(Op::Rename, &unfinished) < at(Op::SyncDir, path.parent().unwrap()));
        bench.archive.hash_pending().await.unwrap();
        let report = bench.archive.verify(Thorough { deep: true, gentle: false }, |_| ()).await.unwrap();
        assert_eq!((report.findings, report.unfinished), (Vec::new(), 0));
        bench.end().await;
    }
}

#[tokio::test]
async fn a_start_that_rebuilds_the_index_names_what_a_crash_left_without_a_name_and_the_rebuild_lists_it() {
    let (dir, second, path) = crashed(0, true).await;
    let bench = Bench::start(dir.path(), Faults::new(), Clock::simulated(second.end()));
    assert!(bench.archive.recover().await.unwrap().wants_reindex);
    assert!(path.exists());
    let mut repair = bench.archive.upkeep()[1].watch();
    let listed = async {
        while bench.all(&cam()).await.is_empty() {
            repair.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), listed).await.expect("the rebuild lists it");
    assert_eq!(bench.all(&cam()).await.iter().map(|r| r.frames).collect::<Vec<_>>(), [25]);
    bench.end().await;
}

#[tokio::test]
async fn a_name_that_another_file_has_is_not_taken_from_it() {
    let (dir, second, path) = crashed(0, false).await;
    fs::write(&path, b"somebody's").unwrap();
    let bench = Bench::start(dir.path(), Faults::new(), Clock::real());
    let recovered = bench.archive.recover().await.unwrap();
    assert_eq!((recovered.segments, recovered.damaged), (1, 1));
    assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    let rows = bench.all(&cam()).await;
    assert_eq!((rows[1].start, rows[1].name_suffix, rows[1].frames), (second.start, second.name_suffix + 1, 25));
    bench.end().await;
}

#[tokio::test]
async fn what_cannot_get_its_name_now_is_there_for_the_next_start() {
    for op in [Op::SyncData, Op::Rename] {
        let (dir, _, path) = crashed(0, false).await;
        let faults = Faults::new();
        faults.inject(Rule::new(op, Failure::Io).on(".mp4.tmp"));
        let bench = Bench::start(dir.path(), faults, Clock::real());
        assert_eq!(bench.archive.recover().await.unwrap(), Recovered { damaged: 1, ..Recovered::default() });
        assert!(layout::unfinished(&path).exists() && bench.all(&cam()).await.len() == 1);
        bench.end().await;
        let bench = Bench::open(dir.path()).await;
        assert_eq!(bench.all(&cam()).await.len(), 2);
        bench.end().await;
    }
}

#[tokio::test]
async fn what_holds_no_footage_goes() {
    let (dir, _, path) = crashed(0, false).await;
    let whole = fs::read(layout::unfinished(&path)).unwrap();
    let picture = path.with_extension("jpg");
    for len in [0, 10, 1000] {
        fs::write(layout::unfinished(&path), &whole[..len]).unwrap();
        fs::write(layout::unfinished(&picture), &whole[..len]).unwrap();
        let bench = Bench::start(dir.path(), Faults::new(), Clock::real());
        let recovered = bench.archive.recover().await.unwrap();
        assert_eq!(recovered, Recovered { removed: 2, ..Recovered::default() }, "{len} bytes");
        assert!(!layout::unfinished(&path).exists() && !layout::unfinished(&picture).exists());
        assert!(bench.all(&cam()).await.iter().all(|row| row.name_suffix & PICTURE == 0));
        bench.end().await;
    }
}
