use super::{
    fixture::{Bench, KEEP, config, noon, stream},
    *,
};
use crate::{
    base::{Clock, Kind, Metrics, Wall},
    disk::{Disk, Failure, Faults, Op, Rule, Space},
    events::Events,
    media::fixture::{Options, clip},
    model::{Frame, Range, Segment, Sum},
    store::{Options as StoreOptions, Store},
};
use std::{fs, path::Path, time::Duration};

/// Parts of a clip, one second each: frames of session 1 from noon on.
fn seconds() -> Vec<Vec<Frame>> {
    let frames = clip(Options::default()).frames(1, noon());
    let second = |f: &Frame| f.wall.micros_since(noon()) / 1_000_000;
    (0..8).map(|n| frames.iter().filter(|f| second(f) == n).cloned().collect()).collect()
}

fn cam() -> crate::model::StreamKey {
    stream("cam/1/main")
}

async fn lay_all(bench: &Bench) -> Vec<Segment> {
    for (n, part) in seconds().iter().enumerate() {
        bench.lay(&cam(), part, n as u32, 10).await;
    }
    bench.archive.hash_pending().await.unwrap();
    bench.all(&cam()).await
}

fn sha256(path: &Path) -> Sum {
    use sha2::Digest;
    Sum::Sha256(sha2::Sha256::digest(fs::read(path).unwrap()).into())
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.retain(|p| !p.ends_with(IDENTITY_FILE_NAME));
    found.sort();
    found
}

#[tokio::test]
async fn what_was_laid_is_found_by_time_with_its_table_and_its_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let rows = lay_all(&bench).await;
    assert_eq!(rows.len(), 8);
    for row in &rows {
        assert!(row.closed);
        assert_eq!(row.sum, sha256(&bench.archive.path(row)));
        assert_eq!(bench.archive.table(row).await.unwrap().video.sizes.len(), 25);
    }
    let at = |s: f64| noon().plus_micros((s * 1e6) as i64);
    let range = |from, to| Range { from: at(from), to: at(to) };
    let indexes = |rows: Vec<Segment>| rows.iter().map(|s| s.index).collect::<Vec<_>>();
    let ask = async |range, limit| indexes(bench.archive.segments(&cam(), range, limit).await.unwrap());
    assert_eq!(
        ask(range(2.5, 4.0), 9).await,
        [2, 3],
        "the one that began before is there, the one that follows is not"
    );
    assert_eq!(ask(range(3.0, 3.1), 9).await, [3]);
    assert_eq!(ask(range(0.0, 8.0), 3).await, [0, 1, 2]);
    assert_eq!(ask(range(9.0, 10.0), 9).await, [0u32; 0]);
    assert_eq!(ask(range(5.0, 4.0), 9).await, [0u32; 0]);
    assert!(bench.archive.segments(&stream("cam/1/sub"), Range::ALL, 9).await.unwrap().is_empty());
    assert_eq!(bench.archive.streams(), [cam()]);
    let usage = bench.archive.usage()[&cam()];
    assert_eq!((usage.segments, usage.oldest), (8, Some(noon())));
    assert_eq!(usage.bytes, rows.iter().map(|r| r.bytes).sum::<u64>());
    bench.end().await;
}

#[tokio::test]
async fn a_growing_segment_is_listed_at_once_and_grows() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let open = bench.lay_open(&cam(), &seconds()[0], 0, 25).await;
    let table = bench.archive.table(&open).await.unwrap();
    let longer = Segment { frames: 50, duration_ticks: 180_000, ..open.clone() };
    bench.archive.extended(longer.clone(), &table.video, &table.audio);
    assert_eq!(bench.all(&cam()).await, std::slice::from_ref(&longer));
    assert_eq!(bench.archive.table(&open).await.unwrap().video.sizes.len(), 50);
    assert_eq!(table.video.sizes.len(), 25, "a query's table does not change under it");
    let late = Range { from: noon().plus_micros(1_900_000), to: noon().plus_micros(3_000_000) };
    assert_eq!(bench.archive.segments(&cam(), late, 9).await.unwrap(), [longer]);
    bench.end().await;
}

#[tokio::test]
async fn names_are_free_even_where_two_segments_begin_in_one_millisecond() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let part = &seconds()[0];
    let (a, b) = (bench.lay(&cam(), part, 0, 25).await, bench.lay_open(&cam(), part, 1, 25).await);
    assert_eq!((b.start, b.name_suffix), (a.start.plus_micros(1), 1));
    assert_eq!(bench.archive.free_name(&cam(), noon()).await.unwrap(), (a.start.plus_micros(2), 2));
    assert_eq!(bench.archive.free_name(&cam(), Wall::from_micros(-5)).await.unwrap().0, Wall::from_micros(0));
    // What begins behind all of them needs no look at the index; what comes into it from elsewhere is known as well.
    let later = noon().plus_micros(60_000_000);
    assert_eq!(bench.archive.free_name(&cam(), later).await.unwrap(), (later, 0));
    let laid = Segment { start: later, closed: true, ..b.clone() };
    bench.archive.insert(vec![(laid, None)]).await.unwrap();
    assert_eq!(bench.archive.free_name(&cam(), later).await.unwrap(), (later.plus_micros(1), 0));
    bench.end().await;
}

#[tokio::test]
async fn after_a_crash_growing_and_unknown_files_are_indexed_and_torn_tails_cut() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let parts = seconds();
    let closed = bench.lay(&cam(), &parts[0], 0, 10).await;
    let grown = bench.lay_open(&cam(), &parts[1], 1, 10).await;
    let unknown = bench.lay_open(&cam(), &parts[2], 2, 10).await;
    let empty = bench.lay_open(&cam(), &parts[3], 3, 10).await;
    let path = |s: &Segment| bench.archive.path(s);
    // The crash tears one file, leaves one that no row speaks of, one without a whole fragment, and one unfinished.
    let whole = fs::read(path(&grown)).unwrap();
    fs::write(path(&grown), &whole[..whole.len() - 100]).unwrap();
    bench.archive.apply_changes(vec![index::Change::Drop { stream: cam(), start: unknown.start }]).await.unwrap();
    let header = bench.archive.table(&empty).await.unwrap().init_bytes as usize;
    let bytes = fs::read(path(&empty)).unwrap();
    fs::write(path(&empty), &bytes[..header + 50]).unwrap();
    let unfinished = path(&closed).with_file_name("20261121T120009.000Z.mp4.tmp");
    fs::write(&unfinished, &bytes[..10]).unwrap();
    let (grown_path, empty_path) = (path(&grown), path(&empty));
    bench.crash().await;

    let bench = Bench::start(dir.path(), Faults::new(), Clock::real());
    let recovered = bench.archive.recover().await.unwrap();
    let want = Recovered { segments: 2, torn: 1, removed: 2, ..Recovered::default() };
    assert_eq!(recovered, want);
    assert!(!empty_path.exists() && !unfinished.exists());
    bench.archive.hash_pending().await.unwrap();
    let rows = bench.all(&cam()).await;
    assert_eq!(
        rows.iter().map(|r| (r.index, r.frames, r.closed)).collect::<Vec<_>>(),
        [(0, 25, true), (1, 20, true), (2, 25, true)]
    );
    assert_eq!(rows[0], Segment { sum: rows[0].sum, ..closed });
    assert_eq!(fs::metadata(&grown_path).unwrap().len(), rows[1].bytes);
    assert_eq!(rows[1].sum, sha256(&grown_path));
    assert_eq!(bench.archive.usage()[&cam()].segments, 3);
    bench.end().await;

    let bench = Bench::start(dir.path(), Faults::new(), Clock::real());
    assert_eq!(bench.archive.recover().await.unwrap(), Recovered::default(), "nothing is left to do");
    bench.end().await;
}

#[tokio::test]
async fn a_start_does_not_wait_for_the_task() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.lay_open(&cam(), &seconds()[0], 0, 10).await;
    bench.crash().await;
    let metrics = Metrics::default();
    let disk = Disk::real(1);
    let store = Store::open(&dir.path().join("store"), StoreOptions::default(), &disk.files(), &metrics).unwrap();
    let deps = Deps { store, writing: disk.clone(), disk, clock: Clock::real(), events: Events::discard(), metrics };
    let (archive, _task) = build(config(dir.path()), deps).unwrap();
    assert_eq!(archive.recover().await.unwrap().segments, 1);
    assert_eq!(archive.streams(), [cam()]);
    assert!(archive.segments(&cam(), Range::ALL, 9).await.unwrap()[0].closed);
}

#[tokio::test]
async fn a_file_cut_anywhere_is_recovered_to_its_last_whole_fragment() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    // A stream with a row, so that the index does not look lost.
    bench.lay(&stream("cam/2/main"), &seconds()[0], 0, 25).await;
    let open = bench.lay_open(&cam(), &seconds()[0], 0, 5).await;
    let path = bench.archive.path(&open);
    let bytes = fs::read(&path).unwrap();
    let table = bench.archive.table(&open).await.unwrap();
    bench.crash().await;
    // In each fragment sound comes last.
    let mut first = 0;
    let mut ends = Vec::new();
    for chunk in &table.audio.chunks {
        let next = first + chunk.samples as usize;
        ends.push(chunk.offset + table.audio.sizes[first..next].iter().map(|s| u64::from(*s)).sum::<u64>());
        first = next;
    }
    assert_eq!(*ends.last().unwrap(), bytes.len() as u64);
    let mut length = bytes.len();
    while length > table.init_bytes as usize {
        fs::write(&path, &bytes[..length]).unwrap();
        let bench = Bench::start(dir.path(), Faults::new(), Clock::real());
        bench.archive.recover().await.unwrap();
        let frames: u32 = bench.all(&cam()).await.iter().map(|s| s.frames).sum();
        let whole = ends.iter().filter(|end| **end <= length as u64).count() as u32;
        assert_eq!(frames, whole * 5, "of {length} bytes");
        assert_eq!(path.exists(), frames > 0);
        bench.archive.apply_changes(vec![index::Change::Drop { stream: cam(), start: open.start }]).await.unwrap();
        bench.end().await;
        length = length.saturating_sub(997);
    }
}

#[tokio::test]
async fn a_lost_index_is_rebuilt_in_the_background_to_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let rows = lay_all(&bench).await;
    let tables: Vec<_> = futures_util::future::join_all(rows.iter().map(|r| bench.archive.table(r))).await;
    bench.end().await;
    fs::remove_dir_all(dir.path().join("store")).unwrap();

    let bench = Bench::start(dir.path(), Faults::new(), Clock::real());
    let recovered = bench.archive.recover().await.unwrap();
    assert!(recovered.wants_reindex && recovered.adopted, "the loss is told");
    let mut repair = bench.archive.upkeep()[1].watch();
    let seen = repair.borrow().runs;
    repair.wait_for(|run| run.runs > seen && !run.running).await.unwrap();
    assert_eq!(bench.all(&cam()).await, rows);
    for (row, table) in rows.iter().zip(tables) {
        assert_eq!(bench.archive.table(row).await.unwrap(), table.unwrap());
    }
    bench.end().await;
}

#[tokio::test]
async fn reindex_believes_the_files_and_reports_what_it_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let rows = lay_all(&bench).await;
    let path = |n: usize| bench.archive.path(&rows[n]);
    // A wrong row, a missing file, a damaged file, a lost row, entries that are not ours, and one that grows.
    let wrong = Segment { frames: 1, bytes: 7, ..rows[0].clone() };
    let put = index::Change::Put { segment: wrong, table: None, mark: None };
    let drop = index::Change::Drop { stream: cam(), start: rows[3].start };
    bench.archive.apply_changes(vec![put, drop]).await.unwrap();
    fs::remove_file(path(1)).unwrap();
    fs::write(path(2), b"not an mp4 file at all, but long enough to be asked").unwrap();
    fs::write(path(4).with_file_name("holiday.mp4"), b"x").unwrap();
    fs::create_dir(dir.path().join("recordings/lost+found")).unwrap();
    let growing = bench.lay_open(&stream("cam/2/main"), &seconds()[0], 0, 25).await;
    fs::write(bench.archive.path(&growing), b"as if it were only being written").unwrap();
    let mut steps = Vec::new();
    let summary = bench.archive.reindex(|p| steps.push(p)).await.unwrap();
    assert_eq!((summary.mended, summary.dropped, summary.damaged, summary.foreign), (2, 2, 1, 2));
    assert_eq!(summary.damaged_files, [path(2)]);
    assert!(path(2).exists());
    let last = steps.last().unwrap();
    assert_eq!((last.streams_done, last.streams, last.files_done, last.files), (2, 2, 8, 8));
    bench.archive.hash_pending().await.unwrap();
    let now = bench.all(&cam()).await;
    let want: Vec<_> = rows.iter().filter(|r| r.index != 1 && r.index != 2).cloned().collect();
    assert_eq!(now, want);
    assert_eq!(bench.all(&stream("cam/2/main")).await, [growing]);
    let usage = bench.archive.usage()[&cam()];
    assert_eq!((usage.segments, usage.bytes), (6, want.iter().map(|r| r.bytes).sum()));
    bench.end().await;
}

#[tokio::test]
async fn a_disk_that_is_not_mounted_is_not_taken_for_footage_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let rows = lay_all(&bench).await;
    let recordings = dir.path().join("recordings");
    fs::rename(&recordings, dir.path().join("elsewhere")).unwrap();
    fs::create_dir(&recordings).unwrap();
    let error = bench.archive.sweep().await.unwrap_err();
    assert!(matches!(error, Error::Away { .. }), "retention stops too: {error}");
    bench.end().await;

    let bench = Bench::start(dir.path(), Faults::new(), Clock::real());
    let error = bench.archive.recover().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("mount") && error.to_string().contains("skyvis reindex"), "{error}");
    fs::write(recordings.join(IDENTITY_FILE_NAME), "another").unwrap();
    assert!(matches!(bench.archive.recover().await.unwrap_err(), Error::Foreign { .. }));
    assert_eq!(bench.all(&cam()).await.len(), rows.len(), "no row was touched");
    fs::remove_dir_all(&recordings).unwrap();
    fs::rename(dir.path().join("elsewhere"), &recordings).unwrap();
    bench.archive.recover().await.unwrap();
    assert_eq!(bench.all(&cam()).await, rows);
    bench.end().await;
}

#[tokio::test]
async fn retention_removes_the_oldest_files_their_empty_directories_and_their_rows() {
    let dir = tempfile::tempdir().unwrap();
    // Half of it is of an hour later: however long this takes, no more of it becomes a day old meanwhile.
    let clock = Clock::simulated(noon().plus(Duration::from_secs(86_400 + 1_800)));
    let bench = Bench::start(dir.path(), Faults::new(), clock);
    bench.archive.recover().await.unwrap();
    for (n, part) in seconds().into_iter().enumerate() {
        let later = if n < 4 { 0 } else { 3_600_000_000 };
        let part: Vec<Frame> = part.into_iter().map(|f| Frame { wall: f.wall.plus_micros(later), ..f }).collect();
        bench.lay(&cam(), &part, n as u32, 10).await;
    }
    bench.archive.hash_pending().await.unwrap();
    let rows = bench.all(&cam()).await;
    let growing = bench.lay_open(&stream("left/1/main"), &seconds()[0], 0, 25).await;
    let limits = Limits { retain_days: Some(1), ..KEEP };
    bench.archive.apply(Config { defaults: limits, ..config(dir.path()) });
    bench.archive.sweep().await.unwrap();
    let left = bench.all(&cam()).await;
    assert_eq!(left.iter().map(|r| r.index).collect::<Vec<_>>(), [4, 5, 6, 7]);
    assert_eq!(files_below(&dir.path().join("recordings/cam")).len(), 4);
    assert_eq!(bench.all(&growing.stream).await, std::slice::from_ref(&growing), "a growing one never goes");
    bench.archive.closed(growing, false).await.unwrap();
    bench.archive.apply(Config { defaults: KEEP, retain_bytes: Some(left[3].bytes), ..config(dir.path()) });
    bench.archive.sweep().await.unwrap();
    assert_eq!(bench.all(&cam()).await, [left[3].clone()]);
    bench.archive.apply(Config { defaults: KEEP, retain_bytes: Some(0), ..config(dir.path()) });
    bench.archive.sweep().await.unwrap();
    assert!(bench.archive.usage().is_empty());
    assert!(files_below(&dir.path().join("recordings")).is_empty());
    assert!(!bench.archive.path(&rows[7]).parent().unwrap().exists());
    assert!(dir.path().join("recordings/cam/1/main").exists());
    bench.end().await;
}

#[tokio::test]
async fn a_sweep_that_fails_at_any_operation_is_finished_by_the_next() {
    for nth in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new();
        let bench = Bench::start(dir.path(), faults.clone(), Clock::real());
        bench.archive.recover().await.unwrap();
        for (n, part) in seconds().iter().take(3).enumerate() {
            bench.lay(&cam(), part, n as u32, 25).await;
        }
        faults.inject(Rule::any(Failure::Io).nth(nth));
        bench.archive.apply(Config { retain_bytes: Some(0), ..config(dir.path()) });
        // The task may sweep at the same time; whoever met the fault, the next one ends the work.
        let _ = bench.archive.sweep().await;
        let hit = faults.hits() > 0;
        faults.heal();
        bench.archive.sweep().await.unwrap();
        assert!(bench.all(&cam()).await.is_empty());
        assert!(files_below(&dir.path().join("recordings")).is_empty());
        bench.end().await;
        if !hit {
            assert!(nth > 5, "{nth}");
            break;
        }
    }
}

#[tokio::test]
async fn a_start_that_fails_at_any_operation_loses_nothing_for_the_next() {
    let mut nth = 1;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path()).await;
        let open = bench.lay_open(&cam(), &seconds()[0], 0, 5).await;
        let path = bench.archive.path(&open);
        bench.crash().await;
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let faults = Faults::new();
        faults.inject(Rule::any(Failure::Io).nth(nth));
        let bench = Bench::start(dir.path(), faults.clone(), Clock::real());
        let failed = bench.archive.recover().await.is_err();
        bench.end().await;
        let bench = Bench::open(dir.path()).await;
        let rows = bench.all(&cam()).await;
        assert_eq!(rows.iter().map(|r| (r.frames, r.closed)).collect::<Vec<_>>(), [(20, true)], "operation {nth}");
        bench.end().await;
        if !failed && faults.hits() == 0 {
            break;
        }
        nth += 1;
    }
    assert!(nth > 8, "{nth}");
}

#[tokio::test]
async fn what_the_index_could_not_take_is_tried_once_more_at_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let open = bench.lay_open(&cam(), &seconds()[0], 0, 25).await;
    // As if the commit at its close had failed.
    bench.archive.growing().close(Segment { closed: true, ..open });
    bench.end().await;
    let bench = Bench::start(dir.path(), Faults::new(), Clock::real());
    assert!(bench.all(&cam()).await[0].closed, "before anything is recovered");
    bench.end().await;
}

#[tokio::test]
async fn a_segment_that_the_index_could_not_take_stays_listed_and_is_saved_later() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let open = bench.lay_open(&cam(), &seconds()[0], 0, 25).await;
    // As if the commit at its close had failed.
    bench.archive.growing().close(Segment { closed: true, ..open.clone() });
    assert_eq!(bench.all(&cam()).await.len(), 1);
    let mut repair = bench.archive.upkeep()[1].watch();
    let seen = repair.borrow().runs;
    bench.archive.upkeep()[1].poke();
    repair.wait_for(|run| run.runs > seen + 1 || (run.runs > seen && !run.running)).await.unwrap();
    assert!(bench.archive.growing().all().is_empty());
    assert!(bench.all(&cam()).await[0].closed);
    bench.end().await;
}

#[tokio::test]
async fn a_start_on_a_full_disk_lists_what_the_index_cannot_take_yet() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.lay_open(&cam(), &seconds()[0], 0, 25).await;
    bench.crash().await;
    let faults = Faults::new();
    faults.pretend_space(Some(Space { total_bytes: 1 << 30, free_bytes: 100_000, ..Space::default() }));
    let bench = Bench::start_on(dir.path(), faults.clone(), Clock::real(), &Disk::faulty(1, faults.clone()));
    assert_eq!(bench.archive.recover().await.unwrap().segments, 1);
    let listed = bench.all(&cam()).await;
    assert_eq!(listed.iter().map(|r| (r.frames, r.closed)).collect::<Vec<_>>(), [(25, true)]);
    assert_eq!(bench.archive.table(&listed[0]).await.unwrap().video.sizes.len(), 25);
    assert_eq!(bench.archive.growing().unsaved().len(), 1);
    faults.pretend_space(None);
    let mut repair = bench.archive.upkeep()[1].watch();
    let mut seen = repair.borrow().runs;
    while !bench.archive.growing().unsaved().is_empty() {
        bench.archive.upkeep()[1].poke();
        seen = repair.wait_for(|run| run.runs > seen && !run.running).await.unwrap().runs;
    }
    bench.end().await;
    let bench = Bench::open(dir.path()).await;
    assert_eq!(bench.all(&cam()).await.len(), 1);
    bench.end().await;
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_does_not_delete_everything_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let year = Duration::from_secs(365 * 86_400);
    let limits = Limits { retain_days: Some(3), ..KEEP };
    let start = |clock: &Clock| {
        let bench = Bench::start(dir.path(), Faults::new(), clock.clone());
        bench.archive.apply(Config { defaults: limits, ..config(dir.path()) });
        bench
    };
    let clock = Clock::simulated(noon());
    let bench = start(&clock);
    bench.archive.recover().await.unwrap();
    let rows = lay_all(&bench).await;
    bench.archive.sweep().await.unwrap();
    clock.step_micros(year.as_micros() as i64);
    bench.archive.sweep().await.unwrap();
    assert_eq!(bench.all(&cam()).await, rows, "while it runs");
    bench.end().await;

    let bench = start(&clock);
    bench.archive.recover().await.unwrap();
    bench.archive.sweep().await.unwrap();
    assert_eq!(bench.all(&cam()).await, rows, "after a restart");
    bench.end().await;
}

#[tokio::test]
async fn a_disk_that_fills_faster_than_limits_are_looked_at_is_seen_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let bench = Bench::start(dir.path(), faults.clone(), Clock::real());
    let short = Some(Space { total_bytes: 1000, free_bytes: 199, ..Space::default() });
    faults.pretend_space(short);
    assert!(!bench.archive.is_short_of_space(), "nothing is deleted before the archive is open");
    bench.archive.recover().await.unwrap();
    assert!(!bench.archive.is_short_of_space(), "nothing is to be kept free");
    let limits = Limits { min_free: MinFree::Percent(20.0), ..KEEP };
    faults.pretend_space(Some(Space { total_bytes: 1000, free_bytes: 200, ..Space::default() }));
    let mut retention = bench.archive.upkeep()[0].watch();
    bench.archive.apply(Config { defaults: limits, ..config(dir.path()) });
    retention.wait_for(|run| !run.running).await.unwrap();
    let rows = lay_all(&bench).await;
    assert!(!bench.archive.is_short_of_space());
    assert_eq!(bench.all(&cam()).await, rows);
    faults.pretend_space(short);
    // Nobody asks for a sweep but the watch.
    retention.wait_for(|run| !run.running).await.unwrap();
    while bench.all(&cam()).await.len() == rows.len() {
        retention.changed().await.unwrap();
    }
    bench.end().await;
}

#[tokio::test]
async fn a_checksum_that_cannot_be_made_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let bench = Bench::start(dir.path(), faults.clone(), Clock::real());
    faults.inject(Rule::new(Op::OpenRead, Failure::Io).on("120000.000Z").persistent());
    for (n, part) in seconds().iter().take(2).enumerate() {
        bench.lay(&cam(), part, n as u32, 25).await;
    }
    assert_eq!(bench.archive.hash_pending().await.unwrap(), 2);
    let rows = bench.all(&cam()).await;
    assert_eq!(rows.iter().map(|r| r.sum.is_some()).collect::<Vec<_>>(), [false, true]);
    bench.end().await;
}

/// The background may have read a file when somebody else did; meanwhile another sum may be wished for.
#[tokio::test]
async fn of_two_who_sum_up_a_file_at_once_the_first_one_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path(), Faults::new(), Clock::real());
    bench.lay(&cam(), &seconds()[0], 0, 25).await;
    bench.archive.hash_pending().await.unwrap();
    let row = bench.all(&cam()).await.remove(0);
    assert!(row.sum.is_some());
    let late = index::Change::Summed { segment: Segment { sum: Sum::None, ..row.clone() }, sum: Sum::Crc32(7) };
    bench.archive.apply_changes(vec![late]).await.unwrap();
    assert_eq!(bench.all(&cam()).await, [row]);
    bench.end().await;
}

mod clock;
mod mended;
mod unfinished;
mod version;
