//! As of which changes footage is listed: plans of it are made anew by that alone.

use super::*;

#[tokio::test]
async fn whatever_changes_what_is_listed_of_a_stream_changes_its_version_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let mut last = bench.archive.version(&cam());
    let mut is_another = || {
        let now = bench.archive.version(&cam());
        now != std::mem::replace(&mut last, now)
    };
    assert!(!is_another());
    let parts = seconds();
    let segment = bench.lay_open(&cam(), &parts[0], 0, 10).await;
    assert!(is_another(), "a file was begun");
    let longer = Segment { duration_ticks: segment.duration_ticks + 3600, frames: segment.frames + 1, ..segment };
    let more = crate::model::TrackSamples { sizes: vec![7], durations: vec![3600], ..Default::default() };
    bench.archive.extended(longer.clone(), &more, &Default::default());
    assert!(is_another(), "it grew");
    bench.archive.closed(longer.clone(), false).await.unwrap();
    assert!(is_another(), "it is complete");

    bench.lay(&stream("cam/2/main"), &parts[1], 0, 10).await;
    bench.archive.spans(&cam(), Range::ALL).await.unwrap();
    assert!(!is_another(), "somebody else's footage, and a look");

    let gone = index::Change::Drop { stream: cam(), start: longer.start };
    bench.archive.apply_changes(vec![gone]).await.unwrap();
    assert!(is_another(), "it is gone");
    bench.end().await;
}
