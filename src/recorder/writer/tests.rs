//! Each operation on the disk of a whole life fails: of recorder, archive and store together. The life records, is
//! listed, sums up, compares, rebuilds, exports and stops. After each the disk is well again and a new process looks:
//! what was listed before is there, and every row, file, byte and sum is what it says.

use super::super::{
    assembler::Assembler,
    cut::Rules,
    tests::{cam, end, feed, files_below, frames, settings, writer},
    *,
};
use crate::{
    archive::{Thorough, fixture::Bench},
    base::Clock,
    disk::{Disk, Failure, Faults, Rule},
    media::fixture::run,
    model::{Frame, Segment},
};
use std::{io::Write, path::Path, time::Duration};

const SHALLOW: Thorough = Thorough { deep: false, gentle: false };
const DEEP: Thorough = Thorough { deep: true, gentle: false };
/// A life and the look after it are over by then, or something waits for ever.
const LIFE_MAX: Duration = Duration::from_secs(60);
/// In the short form one in so many operations is made to fail, another one in each of the forms; `IOFAIL=all` takes
/// them all.
const STRIDE: usize = 23;
/// Files of every so many lives are decoded by ffmpeg.
const DECODED_EVERY: usize = 40;

/// One life on a disk that may fail; what was listed at its end.
async fn live(dir: &Path, faults: &Faults, frames: &[Frame]) -> Vec<Segment> {
    let disk = Disk::faulty(1, faults.clone());
    let Ok(bench) = Bench::try_start_on(dir, faults.clone(), Clock::real(), &disk) else { return Vec::new() };
    let mut listed = Vec::new();
    if bench.archive.recover().await.is_ok() {
        let settings = Settings { sync: Sync::Every(Duration::ZERO), ..settings() };
        let (mut writer, mut assembler) = (writer(&bench, &settings), Assembler::new(Rules::of(&settings)));
        feed(&mut writer, &mut assembler, frames).await;
        end(&mut writer, &mut assembler).await;
        // Each of these may fail, and must then leave things as they were.
        let _ = bench.archive.hash_pending().await;
        let _ = bench.archive.verify(SHALLOW, |_| {}).await;
        let _ = bench.archive.reindex(|_| {}).await;
        let _ = bench.archive.sweep().await;
        let _ = bench.store.export(&dir.join("exports"), Clock::real().wall(), 2);
        let range = crate::model::Range::ALL;
        listed = bench.archive.segments(&cam(), range, usize::MAX).await.unwrap_or_default();
    }
    bench.end().await;
    listed
}

/// A new process on the same directory, with a disk that is well.
async fn look(dir: &Path, listed: &[Segment], case: &str, decode: bool) {
    let bench = Bench::start(dir, Faults::new(), Clock::real());
    let rebuilt = bench.archive.recover().await.unwrap().wants_reindex;
    if rebuilt {
        // No row was ever committed: the index is rebuilt in the background.
        let mut repair = bench.archive.upkeep()[1].watch();
        let seen = repair.borrow().runs;
        repair.wait_for(|run| run.runs > seen && !run.running).await.unwrap();
    }
    bench.archive.hash_pending().await.unwrap();
    let rows = bench.all(&cam()).await;
    for was in listed {
        let now = rows.iter().find(|r| r.start == was.start).unwrap_or_else(|| panic!("{case}: {} is lost", was.start));
        assert!(now.frames >= was.frames && now.bytes >= was.bytes, "{case}: {} lost its end", was.start);
    }
    let report = bench.archive.verify(DEEP, |_| {}).await.unwrap();
    assert_eq!(report.findings, [], "{case}");
    assert_eq!(report.without_checksum, 0, "{case}");
    // A start that rebuilds the index does not look for them; the one after it does.
    assert!(report.unfinished == 0 || rebuilt, "{case}");
    for row in rows.iter().filter(|_| decode) {
        let path = bench.archive.path(row);
        let said = run("ffmpeg", &["-v", "error", "-xerror", "-i", path.to_str().unwrap(), "-f", "null", "-"]);
        assert_eq!(said, "", "{case}");
    }
    let is_left = |p: &std::path::PathBuf| p.extension().is_some_and(|e| e == "tmp");
    assert!(rebuilt || !files_below(bench.archive.dir()).iter().any(is_left), "{case}");
    bench.end().await;
}

/// Fails operation after operation; how many points that were.
async fn fail_each(failure: Failure, persistent: bool, first: usize, stride: usize) -> usize {
    let frames = frames(1);
    let frames = &frames[..frames.len() / 2];
    let mut points = 0;
    for nth in (first..).step_by(stride) {
        let case = format!("{failure:?}, operation {nth}{}", if persistent { " and from then on" } else { "" });
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new();
        let rule = Rule::any(failure).nth(nth as u64);
        faults.inject(if persistent { rule.persistent() } else { rule });
        let life = async {
            let listed = live(dir.path(), &faults, frames).await;
            let hit = faults.hits() > 0;
            faults.heal();
            look(dir.path(), &listed, &case, points % DECODED_EVERY == 0).await;
            hit
        };
        if !tokio::time::timeout(LIFE_MAX, life).await.unwrap_or_else(|_| panic!("{case}: it never ended")) {
            assert!(nth > 100, "{case}: too few operations to be true");
            return points;
        }
        points += 1;
    }
    points
}

#[tokio::test]
async fn whatever_operation_fails_nothing_listed_is_lost_and_nothing_lies() {
    let all = std::env::var("IOFAIL").is_ok_and(|v| v == "all");
    let stride = if all { 1 } else { STRIDE };
    let mut total = 0;
    let forms = [Failure::Io, Failure::NoSpace, Failure::ReadOnly, Failure::Short(700)];
    for (form, (failure, persistent)) in forms.iter().flat_map(|f| [(*f, false), (*f, true)]).enumerate() {
        let first = if all { 1 } else { 1 + form * 3 };
        let points = fail_each(failure, persistent, first, stride).await;
        total += points;
        // Past the test runner's capture: the figure is the point of it.
        let _ = writeln!(std::io::stderr(), "iofail: {failure:?}, persistent {persistent}: {points} points");
    }
    let _ = writeln!(std::io::stderr(), "iofail: {total} points in all");
}
