//! What the ledger says of one stream while camera, disk, clock and people do their worst.

use super::*;
use crate::{
    base::Wall,
    live::{Absence, Publisher},
    model::{Gap, GapCause, Profile, Range},
};
use GapCause::{Connecting, DiskFull, Offline, Overload, Paused, Restart, Silence, StreamError};
use jiff::tz::TimeZone;

/// A recorder of one stream, and what its gaps come to.
struct Site {
    bench: Bench,
    hub: Hub,
    recorder: Recorder,
    group: TaskGroup,
    clock: Clock,
}

fn recording(settings: Settings) -> Config {
    let device = DeviceSettings {
        settings: settings.clone(),
        channels: BTreeMap::new(),
        only: Vec::new(),
        profiles: vec![Profile::Main],
        enabled: true,
    };
    Config { defaults: settings, devices: BTreeMap::from([(cam().device, device)]) }
}

impl Site {
    async fn start(dir: &Path, faults: Faults, settings: Settings, clock: Clock) -> Self {
        let bench = Bench::start(dir, faults, clock.clone());
        bench.archive.recover().await.unwrap();
        let hub = Hub::default();
        let deps = Deps {
            hub: hub.clone(),
            archive: bench.archive.clone(),
            disk: bench.disk.clone(),
            clock: clock.clone(),
            events: Events::discard(),
            metrics: bench.metrics.clone(),
            store: bench.store.clone(),
        };
        let (recorder, task) = build(recording(settings), deps).unwrap();
        let group = TaskGroup::new();
        group.spawn("recorder", task.run(group.stop_token()));
        Self { bench, hub, recorder, group, clock }
    }

    async fn publisher(&self) -> Publisher {
        let publisher = self.hub.publisher(&cam());
        self.until("somebody listens", || async { self.hub.readers(&cam()) > 0 }).await;
        publisher
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, mut holds: impl FnMut() -> F) {
        let waited = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("not in time: {what}"));
    }

    async fn until_recorded(&self, frames: u32) {
        let counted = || async { self.bench.all(&cam()).await.iter().map(|s| s.frames).sum::<u32>() >= frames };
        self.until(&format!("{frames} frames"), counted).await;
    }

    async fn gaps(&self) -> Vec<Gap> {
        self.bench.archive.gaps(&cam(), Range::ALL).await.unwrap().gaps
    }

    async fn until_gaps(&self, causes: &[GapCause]) -> Vec<Gap> {
        self.until(&format!("gaps {causes:?}"), || async {
            self.gaps().await.iter().map(|g| g.cause).collect::<Vec<_>>() == causes
        })
        .await;
        self.gaps().await
    }

    async fn end(self) {
        assert!(self.group.stop(PATIENCE).await);
        self.bench.end().await;
    }
}

/// The pictures of eight seconds from `start` on, a key frame each second.
fn pictures(session: u64, start: Wall) -> Vec<Frame> {
    let all = clip(Options::default()).frames(session, start);
    all.into_iter().filter(|f| f.track == TrackKind::Video).collect()
}

fn absence(cause: GapCause, since: Wall) -> Absence {
    Absence { cause, since }
}

#[tokio::test]
async fn a_camera_that_goes_leaves_a_gap_from_its_last_frame_to_its_next() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(noon().plus_micros(60_000_000));
    let site = Site::start(dir.path(), Faults::new(), settings(), clock).await;
    let publisher = site.publisher().await;
    let first = pictures(1, noon());
    first.iter().for_each(|f| publisher.publish(f.clone()));
    publisher.absent(absence(StreamError, noon().plus_micros(8_500_000)));
    publisher.break_session("the device ended the session");
    let end = noon().plus_micros(8_000_000);
    assert_eq!(site.until_gaps(&[StreamError]).await, [Gap { start: end, end: None, cause: StreamError }]);
    publisher.absent(absence(Offline, noon().plus_micros(9_500_000)));
    assert_eq!(site.until_gaps(&[Offline]).await, [Gap { start: end, end: None, cause: Offline }]);
    let back = noon().plus_micros(70_000_000);
    pictures(2, back).iter().for_each(|f| publisher.publish(f.clone()));
    site.until_recorded(380).await;
    assert_eq!(site.gaps().await, [Gap { start: end, end: Some(back), cause: Offline }]);
    let told = site.bench.archive.gaps(&cam(), Range::ALL).await.unwrap();
    assert_eq!(told.missing_micros, 62_000_000);
    assert!(site.bench.metrics.render().contains("skyvis_recording_gap_seconds_total{cause=\"schedule\"} 0"));
    drop(publisher);
    site.end().await;
}

#[tokio::test]
async fn frames_that_are_lost_on_the_way_are_a_gap_where_a_person_would_miss_them() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(noon().plus_micros(8_000_000));
    let site = Site::start(dir.path(), Faults::new(), settings(), clock).await;
    let publisher = site.publisher().await;
    let all = pictures(1, noon());
    // A key frame each 25; packets are lost of 30, so 50 is the next that can be decoded. Then 98 and 99 are lost.
    for (n, frame) in all.iter().enumerate() {
        if n == 30 || n == 98 {
            publisher.missing(StreamError);
        }
        if !(30..50).contains(&n) && !(98..100).contains(&n) {
            publisher.publish(frame.clone());
        }
    }
    site.until_recorded(170).await;
    let (start, end) = (all[30].wall, all[50].wall);
    assert_eq!(site.gaps().await, [Gap { start, end: Some(end), cause: StreamError }], "and none for 80 ms");
    drop(publisher);
    site.end().await;
}

#[tokio::test]
async fn a_camera_that_is_silent_within_a_session_leaves_a_gap_and_loses_no_picture() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(noon().plus_micros(8_000_000));
    let site = Site::start(dir.path(), Faults::new(), settings(), clock).await;
    let publisher = site.publisher().await;
    let all = pictures(1, noon());
    // A key frame each 25: what comes after the first silence needs what was before it, after the second it does not.
    let sent = |n: &usize| !(60..110).contains(n) && !(130..150).contains(n) && !(180..182).contains(n);
    (0..all.len()).filter(sent).for_each(|n| publisher.publish(all[n].clone()));
    site.until_recorded(120).await;
    let gap = |from: usize, to: usize| Gap { start: all[from].wall, end: Some(all[to].wall), cause: Silence };
    assert_eq!(site.gaps().await, [gap(60, 110), gap(130, 150)], "and none for 80 ms");
    let told = site.bench.archive.gaps(&cam(), Range::ALL).await.unwrap();
    assert_eq!(told.missing_micros, 2_800_000);
    drop(publisher);
    site.end().await;
}

#[tokio::test]
async fn what_a_slow_disk_leaves_out_is_overload() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(noon().plus_micros(8_000_000));
    let site = Site::start(dir.path(), Faults::new(), settings(), clock).await;
    let publisher = site.publisher().await;
    let all = pictures(1, noon());
    all[..50].iter().for_each(|f| publisher.publish(f.clone()));
    site.until_recorded(40).await;
    // More at once than the ring holds: the first of them are gone before anybody can take them.
    let big = |f: &Frame| Frame { data: vec![0; 1 << 20].into(), ..f.clone() };
    all[50..125].iter().for_each(|f| publisher.publish(big(f)));
    all[125..].iter().for_each(|f| publisher.publish(f.clone()));
    site.until("the last frame", || async {
        site.bench.all(&cam()).await.last().is_some_and(|s| s.end() >= all[198].wall)
    })
    .await;
    let gaps = site.gaps().await;
    assert_eq!(gaps.iter().map(|g| g.cause).collect::<Vec<_>>(), [Overload], "{gaps:?}");
    assert_eq!(gaps[0].start, all[50].wall);
    drop(publisher);
    site.end().await;
}

#[tokio::test]
async fn a_full_disk_is_the_cause_from_the_last_whole_fragment_on_and_a_restart_the_time_without_us() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let clock = Clock::simulated(noon().plus_micros(4_000_000));
    let site = Site::start(dir.path(), faults.clone(), settings(), clock).await;
    let publisher = site.publisher().await;
    let all = pictures(1, noon());
    all[..100].iter().for_each(|f| publisher.publish(f.clone()));
    site.until_recorded(95).await;
    faults.inject(Rule::any(Failure::NoSpace).on("recordings/cam").persistent());
    all[100..].iter().for_each(|f| publisher.publish(f.clone()));
    let kept = site.bench.all(&cam()).await.last().unwrap().end();
    let open = site.until_gaps(&[DiskFull]).await;
    assert!(open[0].end.is_none() && open[0].start >= kept, "{open:?}");
    faults.heal();
    site.until("a look for room", || async { site.hub.readers(&cam()) > 0 }).await;
    let back = noon().plus_micros(30_000_000);
    pictures(2, back).iter().for_each(|f| publisher.publish(f.clone()));
    site.until("footage again", || async { site.bench.all(&cam()).await.last().is_some_and(|s| s.start >= back) })
        .await;
    let gaps = site.gaps().await;
    assert_eq!(gaps.iter().map(|g| (g.cause, g.end)).collect::<Vec<_>>(), [(DiskFull, Some(back))], "{gaps:?}");
    drop(publisher);
    site.end().await;

    // A stop in order says so before the next start; a crash is derived at it.
    let later = noon().plus_micros(120_000_000);
    let site = Site::start(dir.path(), Faults::new(), settings(), Clock::simulated(later)).await;
    let gaps = site.until_gaps(&[DiskFull, Restart]).await;
    assert_eq!((gaps[1].start, gaps[1].end), (noon().plus_micros(38_000_000), None));
    let publisher = site.publisher().await;
    pictures(3, later).iter().for_each(|f| publisher.publish(f.clone()));
    site.until("footage again", || async { site.bench.all(&cam()).await.last().is_some_and(|s| s.start >= later) })
        .await;
    let gaps = site.until_gaps(&[DiskFull, Restart]).await;
    assert_eq!(gaps[1].end, Some(later));
    drop(publisher);
    site.end().await;
}

#[tokio::test]
async fn the_hours_of_a_schedule_are_kept_to_the_frame_and_begin_with_a_key_frame() {
    let dir = tempfile::tempdir().unwrap();
    let by = |text| Some(Schedule::parse_in(text, TimeZone::UTC).unwrap());
    // Pictures from 12:00:56.5 to 12:01:04.5 and from 12:02:56.5 on; key frames at each half second.
    let (first, second) = (noon().plus_micros(56_500_000), noon().plus_micros(176_500_000));
    let scheduled = Settings { schedule: by("daily 12:00-12:01, 12:03-12:05"), ..settings() };
    let clock = Clock::simulated(first);
    let site = Site::start(dir.path(), Faults::new(), scheduled, clock).await;
    let publisher = site.publisher().await;
    let frames = pictures(1, first);
    frames.iter().for_each(|f| publisher.publish(f.clone()));
    site.until("the end of the window", || async {
        let status = site.recorder.watch().borrow().get(&cam()).cloned();
        status.is_some_and(|s| !s.recording && s.reason.as_deref() == Some("schedule"))
    })
    .await;
    site.until_recorded(88).await;
    let edge = noon().plus_micros(60_000_000);
    let recorded = site.bench.all(&cam()).await;
    let last = frames.iter().filter(|f| f.wall < edge).count() as u32;
    assert_eq!(recorded.iter().map(|s| s.frames).sum::<u32>(), last, "not a frame more, not one less");

    // By our clock as well the window is over: nobody asks for frames, and the camera is told why.
    site.clock.step_micros(20_000_000);
    let mut demand = publisher.demand();
    let held =
        tokio::time::timeout(PATIENCE, demand.wait_for(Option::is_some)).await.expect("in time").unwrap().clone();
    assert_eq!(held.unwrap().reason.as_ref(), "schedule");
    assert_eq!(site.hub.readers(&cam()), 0);

    // Shortly before the next one they are wanted; the window begins with the key frame before its begin.
    site.clock.step_micros(second.micros_since(site.clock.wall()));
    site.recorder.apply(recording(Settings { schedule: by("daily 12:00-12:01, 12:03-12:04"), ..settings() }));
    tokio::time::timeout(PATIENCE, demand.wait_for(Option::is_none)).await.expect("in time").unwrap();
    site.until("somebody listens", || async { site.hub.readers(&cam()) > 0 }).await;
    pictures(2, second).iter().for_each(|f| publisher.publish(f.clone()));
    let key = second.plus_micros(3_000_000);
    site.until("the window", || async { site.bench.all(&cam()).await.last().is_some_and(|s| s.start >= key) }).await;
    let gaps = site.gaps().await;
    let begun = site.bench.all(&cam()).await.iter().find(|s| s.start > edge).unwrap().start;
    assert_eq!(begun, key, "12:02:59.5 is the key frame before 12:03");
    let end = recorded.last().unwrap().end();
    assert_eq!(gaps, [Gap { start: end, end: Some(begun), cause: GapCause::Schedule }]);
    let told = site.bench.archive.gaps(&cam(), Range::ALL).await.unwrap();
    assert_eq!((told.missing_micros, told.coverage()), (0, 1.0), "what is not wanted is not missing");
    drop(publisher);
    site.end().await;
}

#[tokio::test]
async fn a_pause_stops_at_once_is_kept_over_a_restart_and_ends_when_it_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(noon().plus_micros(4_000_000));
    let site = Site::start(dir.path(), Faults::new(), settings(), clock).await;
    let publisher = site.publisher().await;
    let all = pictures(1, noon());
    all[..100].iter().for_each(|f| publisher.publish(f.clone()));
    site.until_recorded(95).await;
    let pause = site.recorder.pause(&cam(), Some("works in hall 3".into()), None).await.unwrap();
    let mut demand = publisher.demand();
    // Frames of after it are left out, the first that finds it in force and all that follow.
    let late = |n: usize| Frame { wall: pause.since.plus_micros(n as i64 * 40_000), ..all[100 + n].clone() };
    let mut sent = 0;
    while demand.borrow_and_update().is_none() {
        publisher.publish(late(sent));
        sent += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(demand.borrow().as_ref().unwrap().reason.as_ref(), "works in hall 3");
    site.until_gaps(&[Paused]).await;
    let recorded = site.bench.all(&cam()).await;
    let frames: u32 = recorded.iter().map(|s| s.frames).sum();
    assert!((100..100 + sent as u32).contains(&frames), "{frames} of 100 and {sent}");
    let last = recorded.last().unwrap().end();
    drop(publisher);
    site.end().await;

    let site =
        Site::start(dir.path(), Faults::new(), settings(), Clock::simulated(noon().plus_micros(60_000_000))).await;
    let publisher = site.hub.publisher(&cam());
    let mut demand = publisher.demand();
    tokio::time::timeout(PATIENCE, demand.wait_for(Option::is_some)).await.expect("in time").unwrap();
    assert_eq!(site.recorder.pauses().get(&cam()).unwrap().reason.as_deref(), Some("works in hall 3"));
    assert!(site.recorder.resume(&cam()).await.unwrap() && !site.recorder.resume(&cam()).await.unwrap());
    tokio::time::timeout(PATIENCE, demand.wait_for(Option::is_none)).await.expect("in time").unwrap();
    site.until("somebody listens", || async { site.hub.readers(&cam()) > 0 }).await;
    let back = site.clock.wall().plus_micros(2_000_000);
    pictures(2, back).iter().for_each(|f| publisher.publish(f.clone()));
    site.until("footage again", || async { site.bench.all(&cam()).await.iter().any(|s| s.start == back) }).await;
    let gaps = site.gaps().await;
    assert_eq!(gaps[0].start, last, "the last frame of before the pause ends there");
    assert!(gaps.iter().all(|g| [Paused, Restart, Connecting].contains(&g.cause)), "{gaps:?}");
    assert_eq!(gaps.last().unwrap().end, Some(back));
    assert!(gaps.windows(2).all(|w| w[0].end == Some(w[1].start)), "end to end: {gaps:?}");
    drop(publisher);
    site.end().await;
}
