//! What is remembered against what the rows say, at any time.

use super::*;
use crate::{
    archive::{
        fixture::{Bench, noon, stream},
        index::Change,
    },
    model::{SessionId, Span, Sum, span::spans_of},
};
use proptest::prelude::*;

/// One step of a life: a segment put, dropped, or left growing, by its place in time.
#[derive(Clone, Debug)]
enum Step {
    Put(i64),
    Drop(i64),
    Grow(i64),
    Look(i64, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..300i64;
    prop_oneof![
        6 => at().prop_map(Step::Put),
        2 => at().prop_map(Step::Drop),
        1 => at().prop_map(Step::Grow),
        3 => (at(), at()).prop_map(|(a, b)| Step::Look(a.min(b), a.max(b) + 1)),
    ]
}

/// Rows that a forgetful one remembers, unless those of one hour are more.
const FEW: usize = 7;

/// When number `at` begins: some hours of each day are recorded.
fn place(at: i64) -> Wall {
    noon().plus_micros(at * 100_000_000 + at.div_euclid(75) * 20 * HOUR_MICROS)
}

/// Number `at` of a row of segments 100 s long, every seventh of which is a little short.
fn segment(at: i64) -> Segment {
    let short = i64::from(at % 7 == 0) * 3;
    Segment {
        stream: stream("cam/1/main"),
        start: place(at),
        duration_ticks: u64::try_from(100 - short).unwrap() * 90_000,
        bytes: 1000 + at.unsigned_abs(),
        frames: 2500,
        session: SessionId(at.unsigned_abs() / 50),
        index: u32::try_from(at % 50).unwrap() * 2,
        name_suffix: 0,
        closed: true,
        sum: Sum::Sha256([0; 32]),
    }
}

async fn compare(bench: &Bench, forgetful: &Hours, range: Range) {
    let stream = stream("cam/1/main");
    let rows = bench.archive.segments(&stream, range, usize::MAX).await.unwrap();
    let spans: Vec<Span> = bench.archive.spans(&stream, range).await.unwrap();
    assert_eq!(spans, spans_of(&rows), "{range:?}");
    let runs = forgetful.runs(bench.archive.index(), &stream, range, &bench.archive.growing().of(&stream)).unwrap();
    assert_eq!(runs.into_iter().map(Span::from).collect::<Vec<_>>(), spans, "{range:?}");
    forgetful.with(|streams| {
        let kept: Vec<usize> = streams.of.values().flat_map(|of| of.rows.values()).map(|rows| rows.len()).collect();
        assert_eq!(streams.rows, kept.iter().sum::<usize>());
        assert!(streams.rows <= FEW || kept.iter().filter(|rows| **rows > 0).count() == 1, "{kept:?}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn sums_say_at_any_time_what_the_rows_say(steps in proptest::collection::vec(step(), 1..60)) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let bench = Bench::open(dir.path()).await;
            let forgetful = Hours { rows_max: FEW, ..Hours::default() };
            for step in steps {
                match step {
                    Step::Put(at) => {
                        let put = Change::Put { segment: segment(at), table: None, mark: None };
                        bench.archive.apply_changes(vec![put]).await.unwrap();
                        forgetful.changed(&stream("cam/1/main"), place(at));
                    }
                    Step::Drop(at) => {
                        let Segment { stream, start, .. } = segment(at);
                        bench.archive.apply_changes(vec![Change::Drop { stream: stream.clone(), start }]).await.unwrap();
                        forgetful.changed(&stream, start);
                    }
                    Step::Grow(at) => {
                        let growing = Segment { closed: false, bytes: 7, duration_ticks: 90_000, ..segment(at) };
                        bench.archive.opened(growing, Default::default()).await.unwrap();
                        forgetful.changed(&stream("cam/1/main"), place(at));
                        let longer = Segment { closed: false, ..segment(at) };
                        bench.archive.extended(longer, &Default::default(), &Default::default());
                    }
                    Step::Look(from, to) => {
                        let at = |n: i64| place(n).plus_micros(30_000_000);
                        compare(&bench, &forgetful, Range { from: at(from), to: at(to) }).await;
                    }
                }
            }
            compare(&bench, &forgetful, Range::ALL).await;
            bench.end().await;
        });
    }
}

/// Rows come while others look, in the hour that all of them look at: whoever was told that one is there finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_found_while_others_look_and_more_comes() {
    const PUTS: i64 = 120;
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let (cam, archive) = (stream("cam/1/main"), bench.archive.clone());
    let range = Range { from: place(0), to: place(299).plus_micros(50_000_000) };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let looks = (0..3).map(|_| {
        let (archive, cam, stopped) = (archive.clone(), cam.clone(), stopped.clone());
        async move {
            let mut most = 0;
            while !*stopped.borrow() {
                let segments: u32 = archive.spans(&cam, range).await.unwrap().iter().map(|span| span.segments).sum();
                assert!(segments >= most, "rows only come");
                most = segments;
                tokio::task::yield_now().await;
            }
        }
    });
    let writes = async {
        for n in 0..PUTS {
            let put = Change::Put { segment: segment(n * 2), table: None, mark: None };
            archive.apply_changes(vec![put]).await.unwrap();
            let segments: u32 = archive.spans(&cam, range).await.unwrap().iter().map(|span| span.segments).sum();
            assert_eq!(i64::from(segments), n + 1);
        }
        stop.send_replace(true);
    };
    tokio::join!(futures_util::future::join_all(looks), writes);
    bench.end().await;
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_remembered_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let (cam, hours) = (stream("cam/1/main"), Hours::default());
    let (index, at) = (bench.archive.index(), hour(place(0)));
    let put = |n| Change::Put { segment: segment(n), table: None, mark: None };
    bench.archive.apply_changes(vec![put(0)]).await.unwrap();
    let known =
        || hours.with(|streams| streams.of.get(&cam).map_or((false, 0), |of| (of.hours.is_some(), of.rows.len())));
    let before = hours.changes(&cam);
    hours.changed(&cam, place(0));
    hours.read_all(index, &cam, before).unwrap();
    assert_eq!(known(), (false, 0));
    hours.read_all(index, &cam, hours.changes(&cam)).unwrap();
    assert_eq!(known(), (true, 0));
    let before = hours.changes(&cam);
    hours.changed(&cam, place(0));
    hours.read_hour(index, &cam, at, before).unwrap();
    assert_eq!(known(), (true, 0));
    hours.read_hour(index, &cam, at, hours.changes(&cam)).unwrap();
    assert_eq!(known(), (true, 1));
    let before = hours.changes(&cam);
    hours.changed(&cam, place(0));
    let is_known = || hours.with(|streams| streams.of[&cam].rows[&at][0].1.is_some());
    hours.read_row(index, &cam, place(0), before).unwrap();
    assert!(!is_known());
    hours.read_row(index, &cam, place(0), hours.changes(&cam)).unwrap();
    assert!(is_known());
    bench.end().await;
}
