//! Each operation on the disk fails while pictures are taken; and a disk that is full in between.

use super::*;
use crate::{
    archive::{Thorough, fixture::Bench},
    base::Clock,
    disk::{Disk, Failure, Faults, Rule},
    live::Hub,
    media::fixture::run,
    model::{Gap, Range},
    recorder::{
        Settings,
        metrics::Counts,
        status::Board,
        tests::{cam, files_below},
    },
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

const DEEP: Thorough = Thorough { deep: true, gentle: false };
const LIFE_MAX: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_secs(2);
/// Pictures of one life, the disk well again before the last two.
const PICTURES: i64 = 5;

fn jpeg() -> Bytes {
    static MADE: OnceLock<Bytes> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg");
        let source = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x48:duration=1", "-frames:v", "1"];
        run("ffmpeg", &[&source[..], &["-update", "1", path.to_str().unwrap()]].concat());
        std::fs::read(path).unwrap().into()
    });
    made.clone()
}

fn picture(taken: crate::base::Wall) -> Picture {
    Picture { data: jpeg(), width: 64, height: 48, taken }
}

fn stills(bench: &Bench, hub: &Hub, clock: &Clock) -> (Stills, watch::Sender<Orders>) {
    let shared = Shared {
        hub: hub.clone(),
        archive: bench.archive.clone(),
        disk: bench.disk.clone(),
        clock: clock.clone(),
        events: bench.events.clone(),
        board: Board::default(),
    };
    let settings = Settings { segment: PERIOD, ..Settings::default() };
    let (send, orders) = watch::channel(Orders { settings, pause: None });
    (Stills::new(shared, cam(), orders, Counts::new(&bench.metrics).of(&cam())), send)
}

/// A life on a disk that fails and is well again before the last two pictures: the pictures that were acknowledged.
async fn live(dir: &Path, faults: &Faults) -> Vec<Segment> {
    let disk = Disk::faulty(1, faults.clone());
    let Ok(bench) = Bench::try_start_on(dir, faults.clone(), Clock::real(), &disk) else { return Vec::new() };
    let mut acknowledged = Vec::new();
    if bench.archive.recover().await.is_ok() {
        let (mut stills, _orders) = stills(&bench, &Hub::default(), &Clock::real());
        let begin = crate::archive::fixture::noon();
        for n in 0..PICTURES {
            if n == PICTURES - 2 {
                faults.heal();
            }
            let taken = begin.plus(PERIOD.saturating_mul(n as u32));
            let saved = stills.save(picture(taken), PERIOD, &Settings::default()).await;
            let failed_store = bench.store.health().failed.is_some();
            assert!(n < PICTURES - 2 || saved.is_ok() || failed_store, "the disk is well: {saved:?}");
            if saved.is_ok() {
                acknowledged.extend(stills.last.clone());
            }
        }
        let _ = bench.archive.hash_pending().await;
    }
    bench.end().await;
    acknowledged
}

async fn look(dir: &Path, acknowledged: &[Segment], case: &str) {
    let bench = Bench::start(dir, Faults::new(), Clock::real());
    if bench.archive.recover().await.unwrap().wants_reindex {
        bench.archive.reindex(|_| {}).await.unwrap();
    }
    bench.archive.hash_pending().await.unwrap();
    let rows = bench.all(&cam()).await;
    for was in acknowledged {
        let now = rows.iter().find(|r| r.start == was.start).unwrap_or_else(|| panic!("{case}: {} is lost", was.start));
        assert_eq!((now.bytes, now.sum, now.is_picture()), (was.bytes, was.sum, true), "{case}");
    }
    let report = bench.archive.verify(DEEP, |_| {}).await.unwrap();
    assert_eq!(report.findings, [], "{case}");
    for path in files_below(bench.archive.dir()).iter().filter(|p| p.extension().is_some_and(|e| e == "jpg")) {
        assert!(jpeg::size(&std::fs::read(path).unwrap()).is_ok(), "{case}: {} is no whole picture", path.display());
    }
    bench.end().await;
}

#[tokio::test]
async fn whatever_operation_fails_no_picture_that_was_acknowledged_is_lost_and_the_next_is_taken() {
    for (failure, persistent) in [(Failure::Io, false), (Failure::NoSpace, true), (Failure::Short(700), false)] {
        let mut points = 0;
        // All of them: the store's own are those of the writer's test.
        for nth in 1.. {
            let case = format!("{failure:?}, operation {nth}, {persistent}");
            let dir = tempfile::tempdir().unwrap();
            let faults = Faults::new();
            let rule = Rule::any(failure).on("recordings").nth(nth);
            faults.inject(if persistent { rule.persistent() } else { rule });
            let life = async {
                let acknowledged = live(dir.path(), &faults).await;
                look(dir.path(), &acknowledged, &case).await;
                acknowledged.len() as i64
            };
            let kept = tokio::time::timeout(LIFE_MAX, life).await.unwrap_or_else(|_| panic!("{case}: never ended"));
            if faults.hits() == 0 {
                assert_eq!(kept, PICTURES, "{case}");
                break;
            }
            points = nth;
        }
        assert!(points > 20, "{failure:?}: too few operations to be true: {points}");
    }
}

/// A camera that gives a picture of now, or none.
struct Camera {
    clock: Clock,
    away: AtomicBool,
}

impl crate::live::Stills for Camera {
    fn picture(&self) -> BoxFuture<'_, Result<Picture, NoPicture>> {
        let taken = self.clock.wall();
        let away = self.away.load(Ordering::Relaxed);
        let none = || failed(GapCause::Unreachable, "nobody answers".to_owned());
        async move { if away { Err(none()) } else { Ok(picture(taken)) } }.boxed()
    }
}

#[tokio::test]
async fn a_period_without_a_picture_is_a_gap_with_its_cause_from_the_last_picture_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (faults, clock) = (Faults::new(), Clock::real());
    let bench = Bench::start(dir.path(), faults.clone(), clock.clone());
    bench.archive.recover().await.unwrap();
    let (hub, stop) = (Hub::default(), CancellationToken::new());
    let camera = Arc::new(Camera { clock: clock.clone(), away: AtomicBool::new(false) });
    hub.set_stills(&cam(), Some(camera.clone()));
    let _publisher = hub.publisher(&cam());
    bench.archive.ledger().expect(&cam());
    let (stills, _orders) = stills(&bench, &hub, &clock);
    bench.group.spawn("stills", stills.run(stop.clone()));
    let gaps = async || bench.archive.gaps(&cam(), Range::ALL).await.unwrap().gaps;
    let count = async || bench.all(&cam()).await.len();
    let until = async |what: &str, causes: &[GapCause], open: bool| {
        let found = async {
            loop {
                let now: Vec<Gap> = gaps().await;
                let same = now.iter().map(|g| g.cause).eq(causes.iter().copied());
                if same && now.last().is_some_and(|g| g.end.is_none()) == open {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let told = tokio::time::timeout(LIFE_MAX, found).await;
        assert!(told.is_ok(), "{what}: {:?}", gaps().await);
    };
    let more = async |n: usize| {
        let before = count().await;
        while count().await < before + n {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    more(2).await;
    assert_eq!(gaps().await, []);
    camera.away.store(true, Ordering::Relaxed);
    until("the camera is away", &[GapCause::Unreachable], true).await;
    camera.away.store(false, Ordering::Relaxed);
    until("it is back", &[GapCause::Unreachable], false).await;
    faults.inject(Rule::any(Failure::NoSpace).on("recordings/cam").persistent());
    until("the disk is full", &[GapCause::Unreachable, GapCause::DiskFull], true).await;
    let mut health = bench.archive.health();
    let told = health.wait_for(|health| health.trouble == Some(crate::disk::Trouble::Full));
    assert!(tokio::time::timeout(LIFE_MAX, told).await.is_ok_and(|told| told.is_ok()), "the archive is told too");
    faults.heal();
    until("there is room", &[GapCause::Unreachable, GapCause::DiskFull], false).await;
    more(2).await;
    // From the end of a picture to the begin of the next, and nowhere else.
    let rows = bench.all(&cam()).await;
    for gap in gaps().await {
        assert!(rows.iter().any(|r| r.end() == gap.start) && rows.iter().any(|r| Some(r.start) == gap.end), "{gap:?}");
    }
    stop.cancel();
    bench.end().await;
}
