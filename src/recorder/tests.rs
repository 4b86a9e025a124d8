use super::{
    assembler::{Action, Assembler},
    cut::Rules,
    metrics::Counts,
    writer::{Tools, Writer},
    *,
};
use crate::{
    archive::fixture::{Bench, noon, stream},
    base::{Clock, TaskGroup},
    disk::{Disk, Failure, Faults, Op, Rule},
    events::Events,
    live::Hub,
    media::{
        fixture::{Options, clip, run},
        fmp4::read::scan,
    },
    model::{Checksum, Frame, Segment, StreamKey, TrackKind},
};
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

mod checksum;
mod gaps;
mod lost;
mod slow;

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn cam() -> StreamKey {
    stream("cam/1/main")
}

/// Eight seconds of pictures and sound, a key frame each second.
pub(super) fn frames(session: u64) -> Vec<Frame> {
    clip(Options::default()).frames(session, noon().plus_micros(session as i64 * 60_000_000))
}

pub(super) fn settings() -> Settings {
    Settings { segment: Duration::from_secs(2), ..Settings::default() }
}

fn config(settings: Settings) -> Config {
    Config { defaults: settings, devices: BTreeMap::new() }
}

/// A writer whose follower runs beside it.
pub(super) struct Hand {
    pub writer: Writer,
    /// It does not wait for what follows, as the stream's task does not.
    ahead: bool,
    group: TaskGroup,
}

impl Hand {
    /// Lets go of a file that may be open, as a process that is ended does.
    async fn let_go(self) {
        let Self { writer, group, .. } = self;
        drop(writer);
        assert!(group.stop(PATIENCE).await);
    }
}

pub(super) fn writer(bench: &Bench, settings: &Settings) -> Hand {
    let tools = Tools {
        stream: cam(),
        archive: bench.archive.clone(),
        disk: bench.disk.clone(),
        clock: Clock::real(),
        events: Events::discard(),
        counts: Counts::new(&bench.metrics).of(&cam()),
    };
    let (writer, follower) = Writer::new(tools, settings.sync, settings.checksum);
    let group = TaskGroup::new();
    group.spawn("follower", follower.run());
    Hand { writer, ahead: false, group }
}

/// As the stream's task does it: after an error the assembler begins anew. Each step is done before the next one is
/// told, so that each run is the same, unless the hand is to be ahead. Answers how many errors there were.
pub(super) async fn feed(hand: &mut Hand, assembler: &mut Assembler, frames: &[Frame]) -> u64 {
    let mut errors = 0;
    for frame in frames {
        for action in assembler.push(frame.clone()) {
            if apply(hand, action).await.is_err() {
                assert!(!hand.writer.is_open());
                errors += 1;
                assembler.abandon();
                break;
            }
        }
    }
    errors
}

pub(super) async fn end(hand: &mut Hand, assembler: &mut Assembler) -> u64 {
    let mut errors = 0;
    for action in assembler.finish() {
        errors += u64::from(apply(hand, action).await.is_err());
    }
    errors + u64::from(hand.writer.settled().await.is_err())
}

async fn apply(hand: &mut Hand, action: Action) -> Result<(), Error> {
    hand.writer.apply(action).await?;
    if hand.ahead { Ok(()) } else { hand.writer.settled().await }
}

fn probed_frames(path: &Path) -> u32 {
    let path = path.to_str().unwrap();
    let args = ["-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames"];
    run("ffprobe", &[&args[..], &["-of", "csv=p=0", path]].concat()).trim().parse().unwrap()
}

pub(super) fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// What holds after any failure: no file without a whole fragment, no row that says more than its file holds.
async fn check(bench: &Bench, case: &str) -> Vec<Segment> {
    for path in files_below(&bench.archive.dir().join("cam")) {
        if path.extension().is_some_and(|e| e == "mp4") {
            let bytes = fs::read(&path).unwrap();
            let scanned = scan(bytes.len() as u64, |at, buffer| {
                buffer.copy_from_slice(&bytes[at as usize..at as usize + buffer.len()]);
                Ok::<_, ()>(())
            });
            assert!(scanned.unwrap().fragments > 0, "{case}: {} has no whole fragment", path.display());
        }
    }
    let rows = bench.all(&cam()).await;
    for row in &rows {
        let bytes = fs::read(bench.archive.path(row)).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert!(bytes.len() as u64 >= row.bytes, "{case}: row of {} bytes, file of {}", row.bytes, bytes.len());
        let scanned = scan(row.bytes, |at, buffer| {
            buffer.copy_from_slice(&bytes[at as usize..at as usize + buffer.len()]);
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!(scanned.whole_bytes, row.bytes, "{case}: the row ends inside a fragment");
        assert_eq!(*bench.archive.table(row).await.unwrap(), scanned.table, "{case}");
        assert_eq!(scanned.table.video.sizes.len() as u32, row.frames, "{case}");
        assert!(row.closed, "{case}");
    }
    rows
}

async fn fail_each_operation(failure: Failure, persistent: bool, settings: Settings) {
    for ahead in [false, true] {
        fail_each(failure, persistent, &settings, ahead).await;
    }
}

async fn fail_each(failure: Failure, persistent: bool, settings: &Settings, ahead: bool) {
    let frames = frames(1);
    for nth in 1.. {
        let sync = settings.sync;
        let case = format!("{failure:?}, operation {nth}, persistent {persistent}, {sync:?}, ahead {ahead}");
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new();
        let bench = Bench::start(dir.path(), faults.clone(), Clock::real());
        bench.archive.recover().await.unwrap();
        let rule = Rule::any(failure).on("recordings/cam").nth(nth);
        faults.inject(if persistent { rule.persistent() } else { rule });
        let mut writer = Hand { ahead, ..writer(&bench, settings) };
        let mut assembler = Assembler::new(Rules::of(settings));
        let middle = frames.len() / 2;
        let mut errors = feed(&mut writer, &mut assembler, &frames[..middle]).await;
        if writer.writer.settled().await.is_err() {
            errors += 1;
            assembler.abandon();
        }
        let hit = faults.hits() > 0;
        if persistent {
            faults.heal();
        }
        errors += feed(&mut writer, &mut assembler, &frames[middle..]).await;
        errors += end(&mut writer, &mut assembler).await;
        assert!(!persistent || !hit || errors > 0, "{case}: a failure that nobody was told of");
        let rows = check(&bench, &case).await;
        let last = rows.last().unwrap_or_else(|| panic!("{case}: nothing recorded"));
        let end_of_clip = noon().plus_micros(68_000_000);
        if nth < 8 {
            assert_eq!(last.end(), end_of_clip, "{case}: recording goes on after the failure");
        }
        writer.let_go().await;
        bench.end().await;
        // Every third is enough to see a start, which is slow beside the rest.
        if nth % 3 == 1 {
            let bench = Bench::open(dir.path()).await;
            check(&bench, &format!("{case}, after a restart")).await;
            let is_left = |p: &std::path::PathBuf| p.extension().is_some_and(|e| e == "tmp");
            assert!(!files_below(bench.archive.dir()).iter().any(is_left), "{case}");
            bench.end().await;
        }
        if !hit && faults.hits() == 0 {
            assert!(nth > 10, "{case}: too few operations to be true");
            return;
        }
    }
}

#[tokio::test]
async fn any_single_io_error_costs_no_more_than_the_frames_up_to_the_next_key_frame() {
    fail_each_operation(Failure::Io, false, settings()).await;
}

#[tokio::test]
async fn a_full_disk_leaves_no_file_without_a_whole_fragment() {
    fail_each_operation(Failure::NoSpace, true, settings()).await;
}

#[tokio::test]
async fn a_short_write_is_cut_back_to_the_last_whole_fragment() {
    let each_fragment = Settings { sync: Sync::Every(Duration::ZERO), ..settings() };
    fail_each_operation(Failure::Short(700), false, each_fragment).await;
}

#[tokio::test]
async fn after_a_short_write_the_file_is_as_long_as_its_row_says() {
    for nth in 1..8 {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new();
        let bench = Bench::start(dir.path(), faults.clone(), Clock::real());
        bench.archive.recover().await.unwrap();
        faults.inject(Rule::new(Op::Append, Failure::Short(40)).on("recordings/cam").nth(nth));
        let (mut writer, mut assembler) = (writer(&bench, &settings()), Assembler::new(Rules::of(&settings())));
        assert_eq!(feed(&mut writer, &mut assembler, &frames(1)).await, 1, "write {nth}");
        end(&mut writer, &mut assembler).await;
        for row in check(&bench, "short").await {
            let path = bench.archive.path(&row);
            assert_eq!(fs::metadata(&path).unwrap().len(), row.bytes, "write {nth}");
            assert_eq!(probed_frames(&path), row.frames, "write {nth}");
        }
        bench.end().await;
    }
}

#[tokio::test]
async fn a_read_only_disk_is_survived_with_syncs_at_the_end_only() {
    fail_each_operation(Failure::ReadOnly, true, Settings { sync: Sync::Segment, ..settings() }).await;
}

#[tokio::test]
async fn files_play_while_they_grow_and_come_back_from_any_cut() {
    let frames = frames(1);
    for cut in [1usize, 300, 5_000, 20_000] {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path()).await;
        let (mut writer, mut assembler) = (writer(&bench, &settings()), Assembler::new(Rules::of(&settings())));
        assert_eq!(feed(&mut writer, &mut assembler, &frames[..frames.len() * 7 / 8]).await, 0);
        let rows = bench.all(&cam()).await;
        assert_eq!(rows.iter().filter(|r| !r.closed).count(), 1);
        for row in &rows {
            assert_eq!(probed_frames(&bench.archive.path(row)), row.frames, "closed {}", row.closed);
        }
        for pair in rows.windows(2) {
            assert!(pair[1].continues(&pair[0]));
            assert_eq!(pair[1].start, pair[0].end());
        }
        let (last, path) = (rows.last().unwrap().clone(), bench.archive.path(rows.last().unwrap()));
        writer.let_go().await;
        bench.crash().await;
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len().saturating_sub(cut)]).unwrap();

        let bench = Bench::open(dir.path()).await;
        bench.archive.hash_pending().await.unwrap();
        let recovered = check(&bench, "recovered").await;
        let same = &recovered[..recovered.len().min(rows.len() - 1)];
        assert_eq!(same, &rows[..same.len()]);
        for row in &recovered {
            assert_eq!(probed_frames(&bench.archive.path(row)), row.frames);
        }
        let kept = recovered.iter().find(|r| r.start == last.start).map_or(0, |r| r.frames);
        assert!(kept < last.frames && (cut > 300 || kept > 0), "{kept} of {} frames", last.frames);
        let summary = bench.archive.reindex(|_| {}).await.unwrap();
        assert_eq!((summary.mended, summary.dropped, summary.damaged), (0, 0, 0), "rows are as the files say");
        assert_eq!(bench.all(&cam()).await, recovered);
        bench.end().await;
    }
}

/// A recorder over a hub, with a bench below it.
struct Rig {
    bench: Bench,
    hub: Hub,
    recorder: Recorder,
    group: TaskGroup,
}

impl Rig {
    async fn start(dir: &Path, faults: Faults, settings: Settings) -> Self {
        let bench = Bench::start(dir, faults, Clock::real());
        bench.archive.recover().await.unwrap();
        let hub = Hub::default();
        let deps = Deps {
            hub: hub.clone(),
            archive: bench.archive.clone(),
            disk: bench.disk.clone(),
            clock: Clock::real(),
            events: Events::discard(),
            metrics: bench.metrics.clone(),
            store: bench.store.clone(),
        };
        let (recorder, task) = build(config(settings), deps).unwrap();
        let group = TaskGroup::new();
        group.spawn("recorder", task.run(group.stop_token()));
        Self { bench, hub, recorder, group }
    }

    /// Waits until the stream's status is as wanted; None: not live.
    async fn until(&self, mut wanted: impl FnMut(Option<&Status>) -> bool) {
        let mut watch = self.recorder.watch();
        let waited = tokio::time::timeout(PATIENCE, watch.wait_for(|all| wanted(all.get(&cam())))).await;
        waited.expect("in time").unwrap();
    }

    /// Publishes once the recorder listens, so that no frame comes before it.
    async fn listens(&self) {
        let listening = async {
            while self.hub.readers(&cam()) == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listening).await.expect("in time");
    }

    async fn until_listed(&self, frames: u32) {
        let listed = async {
            while self.bench.all(&cam()).await.iter().map(|s| s.frames).sum::<u32>() < frames {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listed).await.expect("in time");
    }

    async fn end(self) {
        assert!(self.group.stop(PATIENCE).await);
        self.bench.end().await;
    }
}

#[tokio::test]
async fn what_is_live_is_listed_while_it_grows_and_whole_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path(), Faults::new(), settings()).await;
    let publisher = rig.hub.publisher(&cam());
    rig.listens().await;
    let frames = frames(1);
    let (first, rest) = frames.split_at(frames.len() / 2 + 10);
    first.iter().for_each(|f| publisher.publish(f.clone()));
    let pictures = first.iter().filter(|f| f.track == TrackKind::Video).count() as u32;
    // All but the one that is held back, although no more frames come.
    rig.until_listed(pictures - 1).await;
    rig.until(|s| s.is_some_and(|s| s.recording)).await;
    let listed = rig.bench.all(&cam()).await;
    for row in &listed {
        assert_eq!(probed_frames(&rig.bench.archive.path(row)), row.frames);
    }
    let counted = || rig.bench.metrics.render();
    let bytes: u64 = listed.iter().map(|r| r.bytes).sum();
    let line = format!("skyvis_recording_bytes_total{{stream=\"cam/1/main\"}} {bytes}");
    assert!(counted().contains(&line), "{}", counted());
    rest.iter().for_each(|f| publisher.publish(f.clone()));
    drop(publisher);
    rig.until(|s| s.is_none()).await;
    let rows = check(&rig.bench, "ended").await;
    assert_eq!(rows.iter().map(|r| r.frames).collect::<Vec<_>>(), [50, 50, 50, 50]);
    for row in &rows {
        let table = rig.bench.archive.table(row).await.unwrap();
        let sound = table.audio.duration_ticks() as f64 / 16_000.0;
        assert!((sound - 2.0).abs() < 0.13, "{sound} s of sound");
        run(
            "ffmpeg",
            &["-v", "error", "-xerror", "-i", rig.bench.archive.path(row).to_str().unwrap(), "-f", "null", "-"],
        );
    }
    let forgotten = async {
        while counted().contains("cam/1/main") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("a stream that is gone is no longer counted");
    rig.end().await;
}

#[tokio::test]
async fn a_stream_that_comes_back_under_its_name_goes_on_and_a_stop_closes_what_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path(), Faults::new(), settings()).await;
    for session in 1..=3 {
        let publisher = rig.hub.publisher(&cam());
        rig.listens().await;
        frames(session).into_iter().for_each(|f| publisher.publish(f));
        if session == 2 {
            publisher.break_session("the camera restarted");
        }
        if session < 3 {
            drop(publisher);
            rig.until(|s| s.is_none()).await;
        } else {
            // Stopped while it is live: what is in the ring is recorded, too.
            assert!(rig.group.stop(PATIENCE).await);
        }
    }
    let rows = check(&rig.bench, "stopped").await;
    assert_eq!(rows.iter().map(|r| r.frames).sum::<u32>(), 600);
    assert_eq!(rows.iter().map(|r| (r.session.0, r.index)).collect::<Vec<_>>().len(), 12);
    assert!(rows.iter().all(|r| r.sum.is_some()));
    rig.bench.end().await;
}

#[tokio::test]
async fn a_device_that_is_disabled_closes_its_file_and_records_again_when_enabled() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path(), Faults::new(), settings()).await;
    let publisher = rig.hub.publisher(&cam());
    rig.listens().await;
    let all = frames(1);
    let half = all.len() / 2;
    all[..half].iter().for_each(|f| publisher.publish(f.clone()));
    rig.until(|s| s.is_some_and(|s| s.recording)).await;
    rig.recorder.apply(config(Settings { enabled: false, ..settings() }));
    rig.until(|s| s.is_some_and(|s| s.reason.as_deref() == Some("disabled"))).await;
    assert!(rig.bench.all(&cam()).await.iter().all(|r| r.closed));
    assert_eq!(rig.hub.readers(&cam()), 0);
    rig.recorder.apply(config(settings()));
    rig.listens().await;
    all[half..].iter().for_each(|f| publisher.publish(f.clone()));
    drop(publisher);
    rig.until(|s| s.is_none()).await;
    let rows = check(&rig.bench, "enabled again").await;
    assert_eq!(rows.last().unwrap().end(), noon().plus_micros(68_000_000));
    rig.end().await;
}

#[tokio::test]
async fn a_camera_that_is_away_is_not_shown_as_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path(), Faults::new(), settings()).await;
    let publisher = rig.hub.publisher(&cam());
    rig.listens().await;
    for session in 1..3 {
        frames(session).into_iter().for_each(|f| publisher.publish(f));
        rig.until(|s| s.is_some_and(|s| s.recording)).await;
        publisher.break_session("the camera went offline");
        rig.until(|s| s.is_some_and(|s| !s.recording && s.reason.is_none())).await;
    }
    drop(publisher);
    rig.until(|s| s.is_none()).await;
    rig.end().await;
}

#[tokio::test]
async fn a_full_disk_pauses_and_recording_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let rig = Rig::start(dir.path(), faults.clone(), settings()).await;
    faults.inject(Rule::new(Op::Append, Failure::NoSpace).on("recordings/").persistent());
    let publisher = rig.hub.publisher(&cam());
    rig.listens().await;
    frames(1).into_iter().for_each(|f| publisher.publish(f));
    rig.until(|s| s.is_some_and(|s| !s.recording && s.reason.as_deref() == Some("disk_full"))).await;
    assert!(files_below(&rig.bench.archive.dir().join("cam")).is_empty());
    faults.heal();
    rig.listens().await;
    frames(2).into_iter().for_each(|f| publisher.publish(f));
    rig.until(|s| s.is_some_and(|s| s.recording && s.reason.is_none())).await;
    drop(publisher);
    rig.until(|s| s.is_none()).await;
    assert_eq!(check(&rig.bench, "room again").await.iter().map(|r| r.frames).sum::<u32>(), 200);
    rig.bench.events.watch().wait_for(|last| *last >= 2).await.unwrap();
    let told: Vec<_> = rig.bench.events.after(0, 10).unwrap().into_iter().map(|e| e.kind.0).collect();
    assert_eq!(told, ["disk.full", "disk.ok"], "once each");
    rig.end().await;
}

#[tokio::test]
async fn without_its_mount_nothing_is_written_where_the_disk_should_be() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path(), Faults::new(), settings()).await;
    let recordings = rig.bench.archive.dir().to_owned();
    fs::rename(&recordings, dir.path().join("elsewhere")).unwrap();
    let publisher = rig.hub.publisher(&cam());
    rig.listens().await;
    frames(1).into_iter().for_each(|f| publisher.publish(f));
    rig.until(|s| s.is_some_and(|s| s.reason.as_deref() == Some("not_mounted"))).await;
    assert!(!recordings.exists());
    fs::rename(dir.path().join("elsewhere"), &recordings).unwrap();
    rig.listens().await;
    frames(2).into_iter().for_each(|f| publisher.publish(f));
    rig.until(|s| s.is_some_and(|s| s.recording)).await;
    rig.end().await;
}

#[tokio::test]
async fn a_disk_that_hangs_costs_frames_and_no_more_and_recording_goes_on_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let rig = Rig::start(dir.path(), faults.clone(), settings()).await;
    let publisher = rig.hub.publisher(&cam());
    rig.listens().await;
    frames(1).into_iter().for_each(|f| publisher.publish(f));
    rig.until(|s| s.is_some_and(|s| s.recording)).await;
    rig.until_listed(100).await;
    faults.hang("recordings");
    for session in 2..12 {
        frames(session).into_iter().for_each(|f| publisher.publish(f));
    }
    rig.until(|s| s.is_some_and(|s| !s.recording && s.reason.as_deref() == Some("disk_hangs"))).await;
    faults.heal();
    rig.until(|s| s.is_some_and(|s| s.recording && s.reason.is_none())).await;
    let left_out = || {
        let all = rig.bench.metrics.render();
        all.lines().any(|l| l.contains("frames_left_out_total") && l.contains("slow_disk") && !l.ends_with(" 0"))
    };
    while !left_out() {
        tokio::task::yield_now().await;
    }
    drop(publisher);
    rig.until(|s| s.is_none()).await;
    check(&rig.bench, "goes on").await;
    rig.end().await;
}

#[tokio::test]
async fn a_file_that_is_taken_away_while_it_grows_is_not_listed_any_more_and_a_new_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let each_fragment = Settings { sync: Sync::Every(Duration::ZERO), ..settings() };
    let (mut writer, mut assembler) = (writer(&bench, &each_fragment), Assembler::new(Rules::of(&each_fragment)));
    let frames = frames(1);
    let (first, rest) = frames.split_at(frames.len() / 8);
    assert_eq!(feed(&mut writer, &mut assembler, first).await, 0);
    let taken = bench.all(&cam()).await.remove(0);
    fs::remove_file(bench.archive.path(&taken)).unwrap();
    assert_eq!(feed(&mut writer, &mut assembler, rest).await, 1);
    end(&mut writer, &mut assembler).await;
    let rows = check(&bench, "taken away").await;
    assert!(rows.len() > 2 && rows.iter().all(|r| r.start != taken.start));
    bench.end().await;
}

#[tokio::test]
async fn a_file_that_no_row_speaks_of_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let there = bench.archive.path_of(&cam(), frames(1)[0].wall, 0);
    fs::create_dir_all(there.parent().unwrap()).unwrap();
    fs::write(&there, b"somebody's").unwrap();
    let (mut writer, mut assembler) = (writer(&bench, &settings()), Assembler::new(Rules::of(&settings())));
    feed(&mut writer, &mut assembler, &frames(1)).await;
    end(&mut writer, &mut assembler).await;
    assert_eq!(fs::read(&there).unwrap(), b"somebody's");
    assert_eq!(bench.all(&cam()).await[0].name_suffix, 1);
    bench.end().await;
}

#[tokio::test]
async fn syncs_come_as_often_as_asked_and_before_the_name() {
    let count = async |sync, rule: Option<Rule>| {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new();
        let mut bench = Bench::start(dir.path(), Faults::new(), Clock::real());
        bench.archive.recover().await.unwrap();
        bench.disk = Disk::faulty(1, faults.clone());
        rule.into_iter().for_each(|rule| faults.inject(rule.on("recordings/cam").persistent()));
        let settings = Settings { sync, ..settings() };
        let (mut writer, mut assembler) = (writer(&bench, &settings), Assembler::new(Rules::of(&settings)));
        feed(&mut writer, &mut assembler, &frames(1)).await;
        end(&mut writer, &mut assembler).await;
        bench.end().await;
        [Op::Append, Op::SyncData, Op::Rename, Op::SyncDir].map(|op| faults.count(op))
    };
    let [appends, syncs, renames, _] = count(Sync::Every(Duration::ZERO), None).await;
    assert_eq!((syncs, renames), (appends, 4), "each fragment");
    let [_, syncs, _, dirs] = count(Sync::Segment, None).await;
    assert_eq!(syncs, 8, "begin and end of four files");
    // cam, 1, main, year, month, day and hour are each made known to their parents, then the four files.
    assert_eq!(dirs, 7 + 4);
    assert_eq!(count(Sync::Off, None).await[1], 0);
    let [.., renames, _] = count(Sync::Segment, Some(Rule::new(Op::SyncData, Failure::Io))).await;
    assert_eq!(renames, 0, "nothing is given its name before it is synced");
}
