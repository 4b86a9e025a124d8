//! A disk whose syncs take their time: what comes is in the system's memory at once all the same, where a kill cannot
//! reach it, and what fails behind the writer is told and counted.

use super::*;
use crate::recorder::follow::STEPS_MAX;
use crate::{
    base::Wall,
    media::fmp4::read::Scanned,
    model::{Gap, GapCause, Range},
};
use std::path::PathBuf;

/// All files below the recordings as they are now, with or without their names, by name.
fn scanned(bench: &Bench) -> Vec<(PathBuf, Scanned)> {
    let mut files = files_below(&bench.archive.dir().join("cam"));
    files.sort();
    let scanned = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        let read = |at: u64, buffer: &mut [u8]| {
            buffer.copy_from_slice(&bytes[at as usize..at as usize + buffer.len()]);
            Ok::<_, ()>(())
        };
        (path, scan(bytes.len() as u64, read).unwrap())
    };
    files.into_iter().map(scanned).collect()
}

fn pictures_in(files: &[(PathBuf, Scanned)]) -> usize {
    files.iter().map(|(_, file)| file.table.video.sizes.len()).sum()
}

/// Has frames written, without waiting for what follows; how many pictures that were.
async fn write(hand: &mut Hand, assembler: &mut Assembler, frames: &[Frame]) -> usize {
    let mut pictures = 0;
    for action in frames.iter().flat_map(|frame| assembler.push(frame.clone())) {
        if let Action::Append { video, .. } = &action {
            pictures += video.samples.len();
        }
        let written = tokio::time::timeout(PATIENCE, hand.writer.apply(action)).await;
        written.expect("no write waits for a sync").unwrap();
    }
    pictures
}

/// One second is listed; of the four that follow, which fill two files and begin a third, each is written while `op`
/// hangs. How many pictures that were, those of the first second and all.
async fn written_while(op: Op) -> (tempfile::TempDir, Bench, Hand, Assembler, Faults, usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let bench = Bench::start(dir.path(), faults.clone(), Clock::real());
    bench.archive.recover().await.unwrap();
    let each_fragment = Settings { sync: Sync::Every(Duration::ZERO), ..settings() };
    let (mut hand, mut assembler) = (writer(&bench, &each_fragment), Assembler::new(Rules::of(&each_fragment)));
    let frames = frames(1);
    let second = frames.len() / 8;
    let first = write(&mut hand, &mut assembler, &frames[..second]).await;
    hand.writer.settled().await.unwrap();
    assert_eq!(bench.all(&cam()).await[0].frames as usize, first);
    let done = faults.count(op);
    faults.hang_in(op, "recordings/cam");
    let written = first + write(&mut hand, &mut assembler, &frames[second..5 * second]).await;
    let hangs = async {
        while faults.count(op) == done {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, hangs).await.expect("what follows the writer comes to it");
    (dir, bench, hand, assembler, faults, first, written)
}

#[tokio::test]
async fn while_a_sync_hangs_what_comes_is_in_its_file_and_the_next_file_begins() {
    for op in [Op::SyncData, Op::SyncDir, Op::Rename] {
        let (_dir, bench, mut hand, mut assembler, faults, first, written) = written_while(op).await;
        let files = scanned(&bench);
        assert_eq!((files.len(), pictures_in(&files)), (3, written), "{op:?}: {files:?}");
        assert!(files.iter().all(|(_, file)| file.tail == crate::media::fmp4::read::Tail::None));
        let listed = bench.all(&cam()).await;
        let durable = if op == Op::SyncData { first as u32 } else { 50 };
        let frames: Vec<u32> = listed.iter().map(|row| row.frames).collect();
        assert_eq!(frames, [durable], "{op:?}: what is durable and has its name is listed, and nothing else");
        faults.heal();
        end(&mut hand, &mut assembler).await;
        let rows = check(&bench, "well again").await;
        assert!(rows.len() == 3 && rows.iter().all(|row| row.sum.is_some()), "{op:?}: {rows:?}");
        for pair in rows.windows(2) {
            assert!(pair[1].continues(&pair[0]), "{op:?}");
        }
        hand.let_go().await;
        bench.end().await;
    }
}

#[tokio::test]
async fn what_lies_behind_a_sync_that_fails_is_counted_and_a_gap_and_the_next_file_is_kept() {
    let (_dir, bench, mut hand, _, faults, first, written) = written_while(Op::SyncData).await;
    faults.inject(Rule::new(Op::SyncData, Failure::Io).on("recordings/cam"));
    faults.go_on();
    let error = hand.writer.settled().await.unwrap_err();
    assert_eq!(error.reason(), "disk_error");
    assert!(!hand.writer.is_open());
    let rows = check(&bench, "failed").await;
    let frames: u32 = rows.iter().map(|row| row.frames).sum();
    // The second half of the first file was behind the sync that failed; sound is counted, too.
    assert_eq!(rows.iter().map(|row| row.frames).collect::<Vec<_>>(), [first as u32, 50, written as u32 - 100]);
    let lost = |line: &str| line.contains("frames_left_out_total") && line.contains("disk_failed");
    let metrics = bench.metrics.render();
    let lost: f64 = metrics.lines().find(|l| lost(l)).unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(lost >= (written - frames as usize) as f64, "{lost} of {written} - {frames}");
    assert!(!rows[1].continues(&rows[0]), "the hole shows");
    let spans = bench.archive.spans(&cam(), Range::ALL).await.unwrap();
    let ends: Vec<(Wall, Wall)> = spans.iter().map(|span| (span.start, span.end)).collect();
    assert_eq!(ends, [(rows[0].start, rows[0].end()), (rows[1].start, rows[2].end())]);
    let gap = Gap { start: rows[0].end(), end: Some(rows[1].start), cause: GapCause::DiskError };
    assert_eq!(bench.archive.gaps(&cam(), Range::ALL).await.unwrap().gaps, [gap]);
    bench.archive.hash_pending().await.unwrap();
    let len = fs::metadata(bench.archive.path(&rows[0])).unwrap().len();
    assert_eq!(len, rows[0].bytes, "what was given up is cut off");
    hand.let_go().await;
    bench.end().await;
}

#[tokio::test]
async fn a_sync_that_fails_while_nothing_comes_is_met_while_idle() {
    let (_dir, bench, mut hand, _, faults, ..) = written_while(Op::SyncData).await;
    faults.inject(Rule::new(Op::SyncData, Failure::Io).on("recordings/cam"));
    faults.go_on();
    let met = async {
        while hand.writer.idle().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await.expect("in time");
    assert!(!hand.writer.is_open());
    check(&bench, "met").await;
    hand.let_go().await;
    bench.end().await;
}

#[tokio::test]
async fn a_disk_that_hangs_holds_the_writer_up_at_last() {
    let (_dir, bench, mut hand, mut assembler, faults, ..) = written_while(Op::SyncData).await;
    let appends = || faults.count(Op::Append);
    let steps = hand.writer.steps();
    let is_full = || steps.upgrade().is_some_and(|steps| steps.capacity() == 0);
    {
        let more = async {
            for session in 2.. {
                for action in frames(session).into_iter().flat_map(|frame| assembler.push(frame)) {
                    hand.writer.apply(action).await.unwrap();
                }
            }
        };
        let held = async {
            // The follower hangs in a sync: who has no room now gets none.
            while !is_full() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = more => unreachable!("it goes on for ever"),
            held = tokio::time::timeout(PATIENCE, held) => held.expect("it is held up"),
        }
    }
    assert!(appends() < 3 * STEPS_MAX as u64, "{} writes are ahead of what is durable", appends());
    faults.heal();
    hand.let_go().await;
    bench.end().await;
}
