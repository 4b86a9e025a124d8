//! What is put right once the disk is well again.

use super::*;
use crate::disk::Trouble;

#[tokio::test]
async fn rows_are_put_right_at_once_after_a_trouble_that_came_and_went_between_two_looks() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(noon());
    let bench = Bench::start(dir.path(), Faults::new(), clock.clone());
    bench.archive.recover().await.unwrap();
    let mut repair = bench.archive.upkeep()[1].watch();
    repair.wait_for(|run| run.runs > 0 && !run.running).await.unwrap();
    // The one that recovery asked for may come as one more.
    bench.archive.upkeep()[1].poke();
    repair.wait_for(|run| run.runs > 1 && !run.running).await.unwrap();

    // From here on time passes only while nobody has anything to do.
    tokio::time::pause();
    bench.archive.report_failure(Trouble::ReadOnly, "read-only file system");
    bench.archive.report_written();
    let told = clock.wall();
    let before = repair.borrow().runs;
    let run = repair.wait_for(|run| run.runs > before || run.running).await.unwrap().clone();
    assert_eq!(run.started, Some(told), "not only when it would have run anyway");
    tokio::time::resume();
    bench.end().await;
}
